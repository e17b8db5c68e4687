"""CMMMU (arXiv 2401.11944; repository CMMMU-Benchmark/CMMMU), from its definitions.

Three kinds of question, by the fact `type`: 选择 multiple choice, of which several letters may be right; 判断 true or
false; 填空 to be filled in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from lmms_fast.metrics.letters import LETTERS
from lmms_fast.metrics.mmmu import NUMBER_WITH_EXPONENT, letter_forms, pad, tails, with_dice
from lmms_fast.metrics.plain import readings
from lmms_fast.metrics.rule import Extractor, Matcher, Options
from lmms_fast.types import Prediction, Sample

_CHOICE, _TRUE_OR_FALSE = "选择", "判断"
_TRUE, _FALSE = "对", "错"

_FILL_INDICATORS = ("是", "为", "所以", "等于", "方案", "选择", "正确答案", "因此", "最后", "答案", "结果")
_TRUE_FALSE_INDICATORS = ("是", "为", "所以", "判断", "陈述", "说法", "表达", "答案", "结果")

_AMBIGUOUS = ("对错", "是否正确", "否正确", "或者", "是否", "正确性", "对不")
_POSITIVE = ("正确", "对", "准确", "肯定")
_NEGATIVE = ("错", "不合适", "否定")
"""The reference has more words of either kind. Each contains one of these; "不对" contains a positive one, and those
go first."""

_NUMBERS = (
    re.compile(r"-?\d{1,3}(?:，\d{3})+"),
    NUMBER_WITH_EXPONENT,
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+)(?![eE][+-]?\d)(?!，\d)"),
)


def _cmmmu(text: str, sample: Sample, _: Options) -> Prediction:
    """CMMMU's three parsers, without their dice."""
    kind = sample.facts["type"]
    if kind == _CHOICE:
        return _letters(text, sample.choices)
    return Prediction(_true_or_false(text), "cmmmu: 判断") if kind == _TRUE_OR_FALSE else _filled_in(text)


def _cmmmu_random(text: str, sample: Sample, options: Options) -> Prediction:
    """As `cmmmu`, with the reference's dice where no letter is found, or as much speaks for true as for false."""
    prediction, kind = _cmmmu(text, sample, options), sample.facts["type"]
    if kind == _CHOICE:
        return with_dice(prediction, sample)
    return with_dice(prediction, sample, _TRUE + _FALSE) if kind == _TRUE_OR_FALSE else prediction


def _letters(text: str, choices: Sequence[str]) -> Prediction:
    """The most frequent letters as one word in the order of the alphabet: "AC" where A and C are equally frequent.

    Counted are ``(X)``; where there is none, X anywhere, be it in a word; else the texts of the options.
    """
    padded, options = pad(text), dict(zip(LETTERS, choices, strict=False))
    texts = {letter: option for letter, option in options.items() if option}
    stages = {"(X)": letter_forms(options, "(X)"), "X": letter_forms(options, "X"), "option text": texts}
    for stage, forms in stages.items():
        counts = {letter: padded.count(form) for letter, form in forms.items()}
        if most := max(counts.values(), default=0):
            return Prediction("".join(letter for letter in counts if counts[letter] == most), f"cmmmu: {stage}")
    return Prediction(None, "cmmmu: nothing")


def _true_or_false(text: str) -> str | None:
    """Whether more of the decisive parts of the response speak for true than for false.

    A part with a positive word is positive whatever else it says: "不正确" contains "正确".
    """
    parts = dict.fromkeys(_decisive(text, _TRUE_FALSE_INDICATORS))
    clear = [part for part in parts if not _has(part, _AMBIGUOUS)]
    positive = sum(_has(part, _POSITIVE) for part in clear)
    negative = sum(_has(part, _NEGATIVE) and not _has(part, _POSITIVE) for part in clear)
    if positive == negative:
        return None
    return _TRUE if positive > negative else _FALSE


def _has(text: str, words: Sequence[str]) -> bool:
    return any(word in text for word in words)


def _filled_in(text: str) -> Prediction:
    """Every reading of the response: its decisive parts, and the numbers therein."""
    parts = _decisive(text, _FILL_INDICATORS, ("=",))
    numbers = [number for part in parts for form in _NUMBERS for number in form.findall(part)]
    found = dict.fromkeys(_number_or_text(item) for item in parts + numbers)
    return Prediction(tuple(found) or None, "cmmmu: 填空")


def _decisive(text: str, indicators: Sequence[str], of_last: Sequence[str] = ()) -> list[str]:
    """Of each sentence the shortest text behind any indicator; of the last also behind those of `of_last`; where there
    is none, the whole response.
    """
    whole = text.strip("。").strip()
    sentences = re.split("[。\n]", whole)
    found = tails(sentences[:-1], indicators) + tails(sentences[-1:], (*indicators, *of_last))
    return found or [whole] * bool(whole)


def _number_or_text(item: str) -> float | str:
    """A number to two decimals, else the text, stripped."""
    try:
        return round(float(item.replace(",", "")), 2)
    except ValueError:
        return item.strip()


def _cmmmu_match(prediction: Prediction, sample: Sample, _: Options) -> float:
    """CMMMU: the letters or the verdict; for a blank an equal number, or a short text that contains the gold."""
    if sample.facts["type"] in (_CHOICE, _TRUE_OR_FALSE):
        return float(prediction.answer in sample.target)
    return float(any(_fits(reading, gold) for reading in readings(prediction) for gold in sample.target))


def _fits(reading: float | str, gold: str) -> bool:
    """A text that is much longer than the gold, or has more than two Latin letters more, is no answer."""
    wanted = _number_or_text(gold)
    if isinstance(reading, float) or isinstance(wanted, float):
        return reading == wanted
    return len(reading) <= len(gold) + 20 and _latin(reading) <= _latin(gold) + 2 and wanted in reading


def _latin(text: str) -> int:
    return sum(character.isascii() and character.isalpha() for character in text)


_NEEDS = frozenset({"type"})

EXTRACTORS: Mapping[str, Extractor] = MappingProxyType(
    {"cmmmu": Extractor(_cmmmu, needs=_NEEDS), "cmmmu_random": Extractor(_cmmmu_random, needs=_NEEDS)}
)

MATCHERS: Mapping[str, Matcher] = MappingProxyType({"cmmmu": Matcher(_cmmmu_match, needs=_NEEDS)})
