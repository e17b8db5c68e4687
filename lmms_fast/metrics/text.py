"""Short answers against accepted ones: equality, containment, nearness of numbers, words in common."""

from __future__ import annotations

import ast
import re
import string
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from lmms_fast.errors import TaskError
from lmms_fast.metrics.plain import as_float, readings
from lmms_fast.metrics.rule import FLAG, Matcher, Options, one_of
from lmms_fast.types import Prediction, Sample

# What rules about text have in common


def texts(prediction: Prediction) -> tuple[str, ...]:
    """The readings of a prediction that are texts."""
    return tuple(reading for reading in readings(prediction) if isinstance(reading, str))


def best(prediction: Prediction, sample: Sample, value: Callable[[str, str], float]) -> float:
    """The highest value(text, gold) of any reading and any accepted answer; 0.0 where either is missing."""
    return max((value(text, gold) for text in texts(prediction) for gold in sample.target), default=0.0)


_LONGEST_LITERAL = 2_000
"""Characters of a text that is read as a Python list: one that long answers no question, and nesting costs."""


def literal_list(text: str) -> list[Any] | None:
    """The list that a text spells as Python does; None for any other text."""
    if not (text.startswith("[") and text.endswith("]")) or len(text) > _LONGEST_LITERAL:
        return None
    try:
        with warnings.catch_warnings():  # of escapes such as "\d", which the text's author never meant as Python
            warnings.simplefilter("ignore")
            found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return found if isinstance(found, list) else None


# Equality

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NO_DIGITS = str.maketrans("", "", string.digits)


def _exact_match(prediction: Prediction, sample: Sample, options: Options) -> float:
    """Equal after what the options drop from both sides: Hugging Face's `exact_match`, as lm-eval and lmms-eval use it.

    In this order: matches of the regular expressions in `ignore`, letter case (`ignore_case`), ASCII punctuation
    (`ignore_punctuation`), ASCII digits (`ignore_numbers`). Blanks inside, articles and Unicode punctuation stay.
    """

    def reduced(text: str) -> str:
        for pattern in options.get("ignore", ()):
            text = re.sub(pattern, "", text)
        if options.get("ignore_case"):
            text = text.lower()
        if options.get("ignore_punctuation"):
            text = text.translate(_NO_PUNCTUATION)
        return text.translate(_NO_DIGITS) if options.get("ignore_numbers") else text

    return best(prediction, sample, lambda text, gold: float(reduced(text) == reduced(gold)))


def _check_exact_match(options: Options) -> None:
    one_of("score.match", ignore_case=FLAG, ignore_punctuation=FLAG, ignore_numbers=FLAG)(options)
    patterns = options.get("ignore", ())
    if isinstance(patterns, str) or not all(isinstance(pattern, str) for pattern in patterns):
        raise TaskError("score.match: `ignore` is a list of regular expressions.")
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise TaskError(f"score.match: `ignore` has {pattern!r}, no regular expression: {error}.") from None


def _accuracy_of_any(prediction: Prediction, sample: Sample, options: Options) -> float:
    """Equal to any accepted answer but for case and outer blanks.

    VLMEvalKit's rule for OCR-VQA, and the accuracy of MP-DocVQA (arXiv 2212.05935), where the answer "none" is wrong
    whatever the gold: option `none_is_wrong`.
    """

    def equal(text: str, gold: str) -> float:
        text = text.lower().strip()
        return float(text == gold.lower().strip() and not (text == "none" and options.get("none_is_wrong")))

    return best(prediction, sample, equal)


# Containment

_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " "}


def _contains_gold(prediction: Prediction, sample: Sample, options: Options) -> float:
    """OCRBench (arXiv 2305.07895; repository Yuliang-Liu/MultimodalOCR): the response contains an accepted answer.

    Case, outer blanks and the kind of blank aside. Formulas (fact `dataset` = HME100k) keep their case and lose all
    their blanks. With `full_width` full-width forms count as the ASCII they stand for, formulas aside, as lmms-eval has
    it since 2026.
    """
    if sample.facts.get("dataset") == "HME100k":
        return best(prediction, sample, lambda text, gold: float(_unspaced(gold) in _unspaced(text)))

    def reduced(text: str) -> str:
        if options.get("full_width"):
            text = text.translate(_HALF_WIDTH)
        return text.lower().strip().replace("\n", " ")

    return best(prediction, sample, lambda text, gold: float(reduced(gold) in reduced(text)))


def _unspaced(text: str) -> str:
    return text.strip().replace("\n", "").replace(" ", "")


def _mtvqa(prediction: Prediction, sample: Sample, _: Options) -> float:
    """MTVQA (arXiv 2405.11985, as VLMEvalKit scores it): the response contains the gold, case and outer blanks aside.

    The response loses every period, the gold keeps its own: a gold with a period in it ("3.5") is never met.
    """
    return best(
        prediction, sample, lambda text, gold: float(gold.strip().lower() in text.strip().lower().replace(".", ""))
    )


# Numbers


def _relaxed(prediction: Prediction, sample: Sample, options: Options) -> float:
    """Relaxed accuracy of PlotQA (arXiv 1909.00997) and ChartQA (2203.10244): numbers within 5 % of the gold.

    ``12%`` is 0.12 on either side. Where one side is no number ("$5", "1,000", "5 million" are none) or the gold is 0:
    equality without case. Years are numbers like others: 2010 is near 2015. `variant: vlmevalkit` measures the 5 %
    against the response instead, and takes a gold that spells a Python list for several golds.
    """
    if options.get("variant", "default") == "default":
        return best(prediction, sample, lambda text, gold: _near(text.strip(), gold))
    golds = [str(item).strip() for gold in sample.target for item in literal_list(gold.strip()) or [gold]]
    return max((_near(gold, text.strip()) for text in texts(prediction) for gold in golds), default=0.0)


def _near(text: str, gold: str) -> float:
    said, wanted = _number(text), _number(gold)
    if said is not None and wanted:
        return float(abs(said - wanted) / abs(wanted) <= 0.05)
    return float(text.lower() == gold.lower())


def _number(text: str) -> float | None:
    number = as_float(text.rstrip("%"))
    return number / 100 if number is not None and text.endswith("%") else number


_NUMERAL = re.compile(r"[-+]?[\d,./]+")


def _tabmwp(prediction: Prediction, sample: Sample, _: Options) -> float:
    """TabMWP (arXiv 2209.14610; repository lupantech/PromptPG): equal without case after its normalisation.

    A leading ``$`` and one trailing comma, period or slash go; numbers lose their commas, fractions are worked out,
    three decimals stay; texts lose the unit (fact `unit`, may be empty).
    """
    unit = sample.facts.get("unit", "")
    golds = {_plain_value(gold, unit).lower() for gold in sample.target}
    return float(any(_plain_value(text, unit).lower() in golds for text in texts(prediction)))


def _plain_value(text: str, unit: str) -> str:
    text = text.removeprefix("$")
    if text.endswith((",", ".", "/")):
        text = text[:-1]
    if not _NUMERAL.fullmatch(text):
        return text.replace(unit, "").strip() if unit else text
    digits = text.replace(",", "")
    try:
        if digits.lstrip("-+").isdecimal():
            return str(int(digits))
        over, slash, under = digits.partition("/")
        value = float(over) / float(under.partition("/")[0]) if slash else float(over)
        return re.sub(r"\.0+\Z", "", str(round(value, 3)))
    except (ValueError, ArithmeticError):
        return digits


# Words in common

_TOKEN = re.compile(r"\w+|[^\w\s]")


def _token_set_f1(prediction: Prediction, sample: Sample, _: Options) -> float:
    """F1 of the sets of words and punctuation marks, without case: lmms-eval's form of SQuAD's F1 for WebSRC.

    As sets: a word said twice counts once, and order does not matter.
    """
    golds = [_tokens(gold) for gold in sample.target]
    return max((_set_f1(said, gold) for said in map(_tokens, texts(prediction)) for gold in golds), default=0.0)


def _tokens(text: str) -> set[str]:
    return set(_TOKEN.findall(text.lower()))


def _set_f1(said: set[str], wanted: set[str]) -> float:
    common = len(said & wanted)
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {
        "exact_match": Matcher(
            _exact_match,
            frozenset({"ignore", "ignore_case", "ignore_punctuation", "ignore_numbers"}),
            _check_exact_match,
        ),
        "accuracy_of_any": Matcher(
            _accuracy_of_any, frozenset({"none_is_wrong"}), one_of("score.match", none_is_wrong=FLAG)
        ),
        "contains_gold": Matcher(
            _contains_gold, frozenset({"full_width"}), one_of("score.match", full_width=FLAG), frozenset({"dataset"})
        ),
        "mtvqa": Matcher(_mtvqa),
        "relaxed": Matcher(_relaxed, frozenset({"variant"}), one_of("score.match", variant=("default", "vlmevalkit"))),
        "tabmwp": Matcher(_tabmwp, needs=frozenset({"unit"})),
        "token_set_f1": Matcher(_token_set_f1),
    }
)
