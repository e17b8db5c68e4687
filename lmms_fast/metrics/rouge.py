"""ROUGE as the Python package `rouge` 1.0.1 computes it, which VisualWebBench (arXiv 2404.05955) scores with.

Its numbers differ from those of Google's `rouge-score`: words are what stands between blanks, case and punctuation
count, texts are cut at every period, n-grams are counted once however often they occur, and ROUGE-L is of the union of
the common subsequences of all pairs of sentences. Written anew here because the package's table of subsequences grows
with the square of the text, and its recursion with its length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from lmms_fast.errors import TaskError
from lmms_fast.metrics.rule import Matcher, Options
from lmms_fast.metrics.text import texts
from lmms_fast.types import Prediction, Sample

_LONGEST = 500
"""Words of a text that ROUGE-L looks at, on either side: its time grows with the product. Descriptions and headings,
which it is used for, are shorter."""


@dataclass(frozen=True, slots=True)
class Words:
    """A text as the package reads it."""

    sentences: Sequence[Sequence[str]]
    single: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    """Of neighbouring words, over the ends of sentences too."""


def words_of(text: str) -> Words:
    """The words of a text, cut at every period. A blank sentence is one empty word, in the package too."""
    sentences = [" ".join(part.split()).split(" ") for part in text.split(".") if part]
    words = [word for sentence in sentences for word in sentence]
    return Words(sentences, frozenset(words), frozenset(pairwise(words)))


def _rouge(prediction: Prediction, sample: Sample, options: Options) -> Mapping[str, float]:
    """F1 by words (``rouge_1``), pairs of words (``rouge_2``) and common subsequence (``rouge_l``), best of the golds.

    A response of fewer characters than `min_characters` (default 1) is worth 0: VisualWebBench's reading of elements
    wants two.
    """
    least = options.get("min_characters", 1)
    said = [words_of(text) for text in texts(prediction) if len(text) >= least]
    golds = [words_of(gold) for gold in sample.target]
    return {
        name: max((part(text, gold) for text in said for gold in golds), default=0.0) for name, part in _PARTS.items()
    }


def _rouge_1(prediction: Prediction, sample: Sample, _: Options) -> float:
    """F1 by words, best of the golds: VisualWebBench's questions about pages."""
    said, golds = map(words_of, texts(prediction)), [words_of(gold) for gold in sample.target]
    return max((rouge_1(text, gold) for text in said for gold in golds), default=0.0)


def rouge_1(said: Words, wanted: Words) -> float:
    """F1 of the sets of words."""
    return _f1(len(said.single & wanted.single), len(said.single), len(wanted.single))


def rouge_2(said: Words, wanted: Words) -> float:
    """F1 of the sets of pairs of neighbouring words."""
    return _f1(len(said.pairs & wanted.pairs), len(said.pairs), len(wanted.pairs))


def rouge_l(said: Words, wanted: Words) -> float:
    """F1 of the words in the longest common subsequences of each sentence of the one with each of the other."""
    common: set[str] = set()
    for reference in _first_words(wanted.sentences):
        for sentence in _first_words(said.sentences):
            common |= _subsequence(reference, sentence)
    return _f1(len(common), len(said.single), len(wanted.single))


_PARTS = {"rouge_1": rouge_1, "rouge_2": rouge_2, "rouge_l": rouge_l}


def _first_words(sentences: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    kept, room = [], _LONGEST
    for sentence in sentences:
        if room <= 0:
            break
        kept.append(sentence[:room])
        room -= len(sentence)
    return kept


def _subsequence(first: Sequence[str], second: Sequence[str]) -> set[str]:
    """The words of a longest common subsequence; of several, the one that the package meets.

    From the end: equal words are taken, else `first` is shortened where that alone keeps the length, else `second`.
    """
    table = [[0] * (len(second) + 1)]
    for word in first:
        above, row = table[-1], [0]
        for column, other in enumerate(second):
            row.append(above[column] + 1 if word == other else max(above[column + 1], row[column]))
        table.append(row)
    row_number, column, found = len(first), len(second), set()
    while row_number and column:
        if first[row_number - 1] == second[column - 1]:
            found.add(first[row_number - 1])
            row_number, column = row_number - 1, column - 1
        elif table[row_number - 1][column] > table[row_number][column - 1]:
            row_number -= 1
        else:
            column -= 1
    return found


def _f1(common: int, said: int, wanted: int) -> float:
    if not common:
        return 0.0
    precision, recall = common / said, common / wanted
    return 2 * precision * recall / (precision + recall + 1e-8)  # the package's guard shows in the ninth decimal


def _check_rouge(options: Options) -> None:
    least = options.get("min_characters", 1)
    if isinstance(least, bool) or not isinstance(least, int):
        raise TaskError(f"score.match: `min_characters` is {least!r}; a whole number is needed.")


MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {"rouge": Matcher(_rouge, frozenset({"min_characters"}), _check_rouge), "rouge_1": Matcher(_rouge_1)}
)
