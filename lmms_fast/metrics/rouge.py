"""ROUGE as the Python package `rouge` 1.0.1 computes it, which VisualWebBench (arXiv 2404.05955) scores with.

Its numbers differ from those of Google's `rouge-score`: words are what stands between blanks, case and punctuation
count, texts are cut at every period, n-grams are counted once however often they occur, and ROUGE-L is of the union of
the common subsequences of all pairs of sentences. Written anew here because the package's table of subsequences grows
with the square of the text, and its recursion with its length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

from lmms_fast.errors import TaskError
from lmms_fast.metrics.rule import Matcher, Options
from lmms_fast.metrics.text import best, texts
from lmms_fast.types import Prediction, Sample

_LONGEST = 500
"""Words of a text that ROUGE-L looks at, on either side: its time grows with the product. Descriptions and headings,
which it is used for, are shorter."""


def _rouge(prediction: Prediction, sample: Sample, options: Options) -> Mapping[str, float]:
    """F1 by words (``rouge_1``), pairs of words (``rouge_2``) and common subsequence (``rouge_l``), best of the golds.

    A response of fewer characters than `min_characters` (default 1) is worth 0: VisualWebBench's reading of elements
    wants two.
    """
    if all(len(text) < options.get("min_characters", 1) for text in texts(prediction)):
        return dict.fromkeys(_PARTS, 0.0)
    return {name: best(prediction, sample, part) for name, part in _PARTS.items()}


def _rouge_1(prediction: Prediction, sample: Sample, _: Options) -> float:
    """F1 by words, best of the golds: VisualWebBench's questions about pages."""
    return best(prediction, sample, rouge_1)


def rouge_1(text: str, gold: str) -> float:
    """F1 of the sets of words."""
    said, wanted = set(_words(_sentences(text))), set(_words(_sentences(gold)))
    return _f1(len(said & wanted), len(said), len(wanted))


def rouge_2(text: str, gold: str) -> float:
    """F1 of the sets of pairs of neighbouring words."""
    said, wanted = set(pairwise(_words(_sentences(text)))), set(pairwise(_words(_sentences(gold))))
    return _f1(len(said & wanted), len(said), len(wanted))


def rouge_l(text: str, gold: str) -> float:
    """F1 of the words in the longest common subsequences of each sentence of the gold with each of the text."""
    said, wanted = _sentences(text), _sentences(gold)
    common: set[str] = set()
    for reference in _first_words(wanted):
        for sentence in _first_words(said):
            common |= _subsequence(reference, sentence)
    return _f1(len(common), len(set(_words(said))), len(set(_words(wanted))))


_PARTS = {"rouge_1": rouge_1, "rouge_2": rouge_2, "rouge_l": rouge_l}


def _sentences(text: str) -> list[list[str]]:
    # A blank sentence is one empty word, in the package too.
    return [" ".join(part.split()).split(" ") for part in text.split(".") if part]


def _words(sentences: Sequence[Sequence[str]]) -> list[str]:
    return [word for sentence in sentences for word in sentence]


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
