"""A judge model's reply → a score, or the answer it read out of the response. What the judge is asked is the task's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from lmms_fast.errors import TaskError
from lmms_fast.metrics.letters import LETTERS
from lmms_fast.metrics.rule import Options, Reader
from lmms_fast.types import Prediction, Sample

_REPLY_MAX = 2000
_NUMBER = re.compile(r"(?<![\w.-])\d{1,6}(?:\.\d{1,6})?(?![\w.]*\d)")


def _reply(reply: str, _: Sample, __: Options) -> Prediction | None:
    """The whole reply is the answer that the response gives (MathVista's extraction)."""
    text = reply.strip()
    return Prediction(text, "judge") if text else None


def _rating(reply: str, _: Sample, options: Options) -> float | None:
    """The number of the first match of `pattern` (its group 1; default the first number), from `low` (default 0) to
    `high` (default 1), as a share of that range. A number outside of it is no rating."""
    pattern = options.get("pattern")
    match = re.search(pattern, reply) if pattern else _NUMBER.search(reply)
    try:
        number = float(match[1] if pattern else match[0]) if match else None
    except (ValueError, TypeError):
        return None
    low, high = options.get("low", 0), options.get("high", 1)
    return (number - low) / (high - low) if number is not None and low <= number <= high else None


def _check_rating(options: Options) -> None:
    try:
        if "pattern" in options and re.compile(options["pattern"]).groups < 1:
            raise TaskError("score.judge.read: `pattern` needs a group around the number.")
    except (re.error, TypeError) as error:
        raise TaskError(f"score.judge.read: `pattern` is not a regular expression: {error}.") from None
    if not options.get("low", 0) < options.get("high", 1):
        raise TaskError("score.judge.read: `low` must be below `high`.")


def _option_letter(reply: str, sample: Sample, options: Options) -> Prediction | None:
    """The option that the judge says the response means; `none` is the letter that stands for none of them."""
    none = options.get("none", "Z")
    words = set(re.split(r"[\s.,:;()\[\]*\"'`]+", reply[:_REPLY_MAX]))
    named = words & {*LETTERS[: len(sample.choices)], none}
    if len(named) != 1:
        return None
    return Prediction(None if none in named else named.pop(), "judge")


def _check_none(options: Options) -> None:
    if options.get("none", "Z") not in tuple(LETTERS):
        raise TaskError("score.judge.read: `none` is one capital letter.")


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "reply": Reader(_reply),
        "rating": Reader(_rating, frozenset({"pattern", "low", "high"}), _check_rating),
        "option_letter": Reader(_option_letter, frozenset({"none"}), _check_none),
    }
)
