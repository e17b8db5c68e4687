"""Captions against several references each: BLEU, ROUGE-L and CIDEr as the reference for COCO computes them.

Sources: arXiv 1504.00325 (COCO's evaluation server), tylin/coco-caption and salaniz/pycocoevalcap; CIDEr-D is arXiv
1411.5726. METEOR and SPICE are left out: they are Java programs with data of their own, and another programme's number
under their names would be wrong. What of METEOR needs no data is in `meteor`, under the name METEOR_exact_stem.
"""

from __future__ import annotations

import functools
import math
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lmms_fast.metrics.aggregate import averaged, counted, with_golds
from lmms_fast.metrics.estimate import Estimate, Formula, Mean, Span, estimate
from lmms_fast.metrics.meteor import best_counts, corpus_score, score_of
from lmms_fast.metrics.plain import readings
from lmms_fast.metrics.rule import FLAG, Aggregator, Matcher, Options, one_of
from lmms_fast.metrics.tokenise import penn_words
from lmms_fast.types import Aggregate, Prediction, Sample, Scored

_ORDERS = (1, 2, 3, 4)
_Words = Sequence[int]
"""A text as numbers of its words."""
_Gram = tuple[int, ...]


def _caption(prediction: Prediction, sample: Sample, options: Options) -> float:
    """ROUGE-L of the one caption, for the sample browser; what a task reports is the aggregation `captions`.

    Option `tokeniser`: ``ptb`` (the default) or ``none``, which takes the words as spaces part them.
    """
    caption, references = _texts(prediction.answer, sample.target, options)
    return rouge_l(caption, references)


def _captions(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """CIDEr, Bleu_1 to Bleu_4 and ROUGE_L, with `meteor` METEOR_exact_stem too; `metric_prefix` before each name.

    Option `tokeniser` as for the matcher `caption`. No answer is an empty caption. A sample without references counts
    as not measured. Repeats of a sample share its references, which are one document to CIDEr. Its weights come from
    the samples at hand: a part of a benchmark has other numbers than the whole. Standard errors take them as given.
    """
    rows = with_golds(scored)
    used = sorted((one for one in rows if one.value is not None), key=lambda one: (one.id, one.repeat))
    texts = [_texts(one.answer, one.target, options) for one in used]
    pairs = _numbered(texts)
    documents = {one.id: references for one, (_, references) in zip(used, pairs, strict=True)}
    prefix = options.get("metric_prefix", "")

    def mean(name: str, values: Iterable[float], span: Span) -> Aggregate:
        numbers = ((one.id, value) for one, value in zip(used, values, strict=True))
        return averaged(prefix + name, None, numbers, rows, span)

    matches = [(one.id, bleu_counts(*pair)) for one, pair in zip(used, pairs, strict=True)]
    totals = [sum(column) for column in zip(*(numbers for _, numbers in matches), strict=True)]
    found = [
        _resampled(mean("CIDEr", cider(pairs, list(documents.values())), (0.0, 10.0))),
        *(
            estimate(
                counted(f"{prefix}Bleu_{order}", None, bleu_of(order, *totals) if used else None, None, rows),
                Formula(matches, functools.partial(bleu_of, order)),
            )
            for order in _ORDERS
        ),
        mean("ROUGE_L", (rouge_l(caption, references) for caption, references in texts), (0.0, 1.0)),
    ]
    if options.get("meteor", False):
        counts = best_counts(texts)
        score = counted(f"{prefix}METEOR_exact_stem", None, corpus_score(counts) if used else None, None, rows)
        found.append(estimate(score, Formula([(one.id, row) for one, row in zip(used, counts, strict=True)], score_of)))
    return found


def _resampled(cider: Aggregate) -> Aggregate:
    """The mean as one whose interval is the bootstrap's. The weights of n-grams stay those of the whole set: a sample
    drawn twice would else make its own references common."""
    made = cider.made if isinstance(cider, Estimate) else None
    if not isinstance(made, Mean):
        return cider
    rows = [(id, (number, 1.0)) for id, number in made.numbers]
    return estimate(cider, Formula(rows, operator.truediv, made.span, "document frequencies"))


def _texts(
    answer: str | tuple[str | float, ...] | None, target: Sequence[str], options: Options
) -> tuple[str, Sequence[str]]:
    """A caption and its references as words with spaces between them."""
    caption = str(next(iter(readings(Prediction(answer, ""))), ""))
    if options.get("tokeniser", "ptb") == "none":
        return caption, target
    return penn_words(caption), [penn_words(reference) for reference in target]


def _numbered(texts: Iterable[tuple[str, Sequence[str]]]) -> list[tuple[_Words, list[_Words]]]:
    """Captions and references as numbers of words: equal words are one object, which saves most of the memory."""
    numbers: dict[str, int] = {}

    def numbered(text: str) -> _Words:
        return [numbers.setdefault(word, len(numbers)) for word in text.split()]

    return [(numbered(caption), [numbered(one) for one in references]) for caption, references in texts]


def _grams(words: _Words, order: int) -> Counter[_Gram]:
    return Counter(zip(*(words[start:] for start in range(order)), strict=False))


def bleu_counts(caption: _Words, references: Sequence[_Words]) -> tuple[int, ...]:
    """What a caption adds to a corpus's BLEU: its length, that of the reference closest in length (the shorter of two),
    and for each order the n-grams that a reference has too, and all n-grams."""
    counts = [len(caption), min((abs(len(one) - len(caption)), len(one)) for one in references)[1]]
    for order in _ORDERS:
        best = [_grams(one, order) for one in references]
        ours = _grams(caption, order)
        counts.append(sum(min(count, max(one[gram] for one in best)) for gram, count in ours.items()))
        counts.append(max(0, len(caption) - order + 1))
    return tuple(counts)


def bleu_of(order: int, length: Any, wanted: Any, *matches: Any) -> Any:
    """BLEU of an order (Papineni et al., 2002) from the sums of `bleu_counts` over a corpus, 0 to 1. Of arrays, too."""
    ratio = (length + 1e-15) / (wanted + 1e-9)
    product: Any = 1.0
    for correct, guessed in zip(matches[: 2 * order : 2], matches[1 : 2 * order : 2], strict=True):
        product = product * ((correct + 1e-15) / (guessed + 1e-9))  # the reference's guards against nothing at all
    return product ** (1 / order) * math.e ** ((ratio < 1) * (1 - 1 / ratio))


def cider(pairs: Sequence[tuple[_Words, Sequence[_Words]]], documents: Sequence[Sequence[_Words]]) -> list[float]:
    """CIDEr-D of each caption, 0 to 10. `documents` are the references of all pictures, one document for each.

    An n-gram weighs log N - log(number of documents that have it): with one document nothing has any weight.
    """
    found = [0.0] * len(pairs)
    for order in _ORDERS:  # one after the other, so that the n-grams of one order alone are in memory
        frequency = Counter(gram for one in documents for gram in set().union(*(_grams(text, order) for text in one)))
        logs = [math.log(max(1, times)) for times in range(len(documents) + 1)]
        weights = [logs[-1] - log for log in logs]
        for place, (caption, references) in enumerate(pairs):
            ours, norm = _weighed(_grams(caption, order), frequency, weights)
            similarity = 0.0
            for reference in references:
                theirs, their_norm = _weighed(_grams(reference, order), frequency, weights)
                shared = [(weight, theirs[gram]) for gram, weight in ours.items() if gram in theirs]
                common = sum(min(weight, their_weight) * their_weight for weight, their_weight in shared)
                if norm and their_norm:
                    common /= norm * their_norm
                # The reference's lengths are numbers of pairs of words, whatever the order.
                apart = max(0, len(caption) - 1) - max(0, len(reference) - 1)
                similarity += common * math.exp(-(apart**2) / 72)
            found[place] += similarity / len(references)
    return [10 * value / len(_ORDERS) for value in found]


def _weighed(
    grams: Counter[_Gram], frequency: Mapping[_Gram, int], weights: Sequence[float]
) -> tuple[dict[_Gram, float], float]:
    """Counts times weights, and the length of that vector."""
    vector = {gram: times * weights[frequency.get(gram, 0)] for gram, times in grams.items()}
    return vector, math.sqrt(sum(weight * weight for weight in vector.values()))


def rouge_l(caption: str, references: Sequence[str]) -> float:
    """The longest common subsequence with each reference as an F-measure of β = 1.2, 0 to 1 (Lin, 2004).

    The best precision and the best recall are taken apart, and words part at single spaces alone: as the reference
    does, also where that leaves empty words.
    """
    from rapidfuzz.distance import LCSseq  # noqa: PLC0415  20 ms, for tasks with this rule alone

    words = caption.split(" ")
    precision = recall = 0.0
    for reference in references:
        theirs = reference.split(" ")
        common = LCSseq.similarity(words, theirs)
        precision, recall = max(precision, common / len(words)), max(recall, common / len(theirs))
    if not precision:
        return 0.0
    return (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)


_TOKENISERS = ("ptb", "none")

MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {"caption": Matcher(_caption, frozenset({"tokeniser"}), one_of("score.match", tokeniser=_TOKENISERS))}
)

AGGREGATORS: Mapping[str, Aggregator] = MappingProxyType(
    {
        "captions": Aggregator(
            _captions,
            frozenset({"tokeniser", "metric_prefix", "meteor"}),
            one_of("report", tokeniser=_TOKENISERS, meteor=FLAG),
            whole=True,
            bounded=False,
        )
    }
)
