"""Rules that belong to no benchmark: the response as it is, a part of it, a number; equality."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType

from lmms_fast.errors import TaskError
from lmms_fast.metrics.rule import Extractor, Matcher, Options, one_of
from lmms_fast.types import Prediction, Sample

# Thinking

_REASONING_TAGS = (("<think>", "</think>"), ("<analysis>", "</analysis>"))


def strip_reasoning(text: str) -> str:
    """The response without its thinking, stripped.

    Each ``<think>…</think>`` and ``<analysis>…</analysis>`` goes. A closing tag without an opening one (the chat
    template had put that into the prompt) ends the thinking: what follows the last of them stays. An opening tag
    without a closing one leaves the text alone. (The default of lmms-eval's command line.)
    """
    for opening, closing in _REASONING_TAGS:
        text = _cut(text, opening, closing)
        if closing in text and opening not in text:
            text = text.rpartition(closing)[2]
    return text.strip()


def _cut(text: str, opening: str, closing: str) -> str:
    """Without the blocks between the tags. Found by hand: ``.*?`` would scan to the end from every opening tag."""
    kept: list[str] = []
    rest = 0
    while (start := text.find(opening, rest)) >= 0 and (end := text.find(closing, start + len(opening))) >= 0:
        kept.append(text[rest:start])
        rest = end + len(closing)
    return "".join([*kept, text[rest:]])


# What rules have in common


def as_float(text: str) -> float | None:
    """The number that a text is to Python's `float`; None for any other text."""
    try:
        return float(text)
    except ValueError:
        return None


def without_marks(text: str, marks: str) -> str:
    """Without the marks at either end, each taken off once, in their order: by ``,.`` "A.," is A, and "A,." is "A,"."""
    for mark in marks:
        text = text.strip(mark)
    return text


def readings(prediction: Prediction) -> tuple[str | float, ...]:
    """The answers the prediction stands for, of which any may match; empty where nothing was found."""
    if prediction.answer is None:
        return ()
    return (prediction.answer,) if isinstance(prediction.answer, str) else prediction.answer


# Extractors

_COUNT_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
COUNTS = {word: str(count) for count, word in enumerate(_COUNT_WORDS)}
"""zero to twenty, in digits."""
TO_TEN = dict(list(COUNTS.items())[:11])
_NUMBER = re.compile(
    r"(?<![\w.])(?P<digits>-?(?:[0-9]{1,3}(?:,[0-9]{3}(?![0-9]))+|[0-9]+)(?:\.[0-9]+)?)"
    rf"|\b(?P<word>{'|'.join(_COUNT_WORDS)})\b(?P<more>[\s-](?:{'|'.join(_COUNT_WORDS[1:10])}|hundred|thousand|million|dozen)\b)?",
    re.IGNORECASE,
)


def _text(text: str, _: Sample, __: Options) -> Prediction:
    """The whole response, stripped."""
    return Prediction(text.strip() or None, "text")


def _verbatim(text: str, _: Sample, __: Options) -> Prediction:
    """The whole response with the blanks around it, for published outputs: some scorers measure those, too."""
    return Prediction(text or None, "verbatim")


def _first_line(text: str, _: Sample, __: Options) -> Prediction:
    """The first line that is not blank, stripped: for models that answer and then explain."""
    lines = text.strip().splitlines()
    return Prediction(lines[0].strip() if lines else None, "first_line")


def _number_or_word(text: str, _: Sample, __: Options) -> Prediction:
    """For counting: the first number, ``3`` and ``three`` alike."""
    return Prediction(_first_number(text), "number_or_word")


def _regex(text: str, _: Sample, options: Options) -> Prediction:
    """A match of `pattern`, or one `group` of it (default 0, the whole match); `pick`: ``first`` or ``last``;
    `otherwise`: ``nothing`` (the default) or ``keep`` the text as it is.

    The pattern is the task author's: mind that a response may be long and hostile.
    """
    matches = re.finditer(options["pattern"], text)
    last = options.get("pick") == "last"
    match = next(iter(deque(matches, maxlen=1)), None) if last else next(matches, None)
    if match is None and options.get("otherwise") == "keep":
        return Prediction(text.strip() or None, "regex: kept")
    found = match[options.get("group", 0)] if match else None
    return Prediction((found or "").strip() or None, "regex")


def _first_number(text: str) -> str | None:
    """The first number, in digits or as a word up to twenty, written plainly: no commas, no idle zeros.

    None if that word goes on to a number beyond twenty ("twenty-one", "two hundred").
    """
    match = _NUMBER.search(text)
    if match is None or match["more"]:
        return None
    return COUNTS[match["word"].lower()] if match["word"] else _plain_number(match["digits"])


def _plain_number(digits: str) -> str:
    # By text: int() refuses what is longer than 4,300 digits, and float() would round.
    whole, _, fraction = digits.replace(",", "").partition(".")
    sign, whole, fraction = "-" * whole.startswith("-"), whole.lstrip("-0") or "0", fraction.rstrip("0")
    plain = f"{whole}.{fraction}" if fraction else whole
    return plain if plain == "0" else sign + plain


def _check_regex(options: Options) -> None:
    if not isinstance(options.get("pattern"), str):
        raise TaskError("score.extract: rule 'regex' needs the option `pattern`, a regular expression.")
    try:
        pattern = re.compile(options["pattern"])
    except re.error as error:
        raise TaskError(f"score.extract: `pattern` is not a regular expression: {error}.") from None
    group = options.get("group", 0)
    if not (group in pattern.groupindex or (isinstance(group, int) and 0 <= group <= pattern.groups)):
        raise TaskError(f"score.extract: `pattern` has no group {group!r}; it has {pattern.groups}.")
    one_of("score.extract", pick=("first", "last"), otherwise=("nothing", "keep"))(options)


# Matchers


def _exact(prediction: Prediction, sample: Sample, _: Options) -> float:
    """Equal to an accepted answer, character for character."""
    return float(any(reading in sample.target for reading in readings(prediction)))


def _exact_ignore_case(prediction: Prediction, sample: Sample, _: Options) -> float:
    """Equal after stripping, lower-casing and dropping trailing periods on both sides.

    The rule of GQA's evaluation script (arXiv 1902.09506) as haotian-liu/LLaVA uses it.
    """
    accepted = {_plain(target) for target in sample.target}
    return float(any(isinstance(item, str) and _plain(item) in accepted for item in readings(prediction)))


def _plain(text: str) -> str:
    return text.strip().rstrip(".").lower()


EXTRACTORS: Mapping[str, Extractor] = MappingProxyType(
    {
        "text": Extractor(_text),
        "verbatim": Extractor(_verbatim),
        "first_line": Extractor(_first_line),
        "number_or_word": Extractor(_number_or_word),
        "regex": Extractor(_regex, frozenset({"pattern", "group", "pick", "otherwise"}), _check_regex),
    }
)

MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {"exact": Matcher(_exact), "exact_ignore_case": Matcher(_exact_ignore_case)}
)
