"""A judge model's reply → a score, or the answer it read out of the response. What the judge is asked is the task's.

A reply that does not follow the form that was asked for is None, not measured: nothing is guessed from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from types import MappingProxyType

import orjson

from lmms_fast.errors import TaskError
from lmms_fast.metrics.letters import LETTERS
from lmms_fast.metrics.rule import FLAG, Options, Reader, one_of
from lmms_fast.types import Prediction, Sample

_REPLY_MAX = 2000
_LINE_MAX = 200
_NUMBER = re.compile(r"(?<![\w.-])\d{1,6}(?:\.\d{1,6})?(?![\w.]*\d)")
_MARKUP = " \t\r\n*_`\"'.()[]"


def _reply(reply: str, _: Sample, options: Options) -> Prediction | None:
    """The whole reply is the answer that the response gives (MathVista's extraction); `none` is the reply that stands
    for no answer, in any case."""
    text = reply.strip()
    none = options.get("none")
    silent = none is not None and text.strip(_MARKUP).lower() == none.lower()
    return Prediction(None if silent else text, "judge") if text else None


def _check_reply(options: Options) -> None:
    if not isinstance(options.get("none", ""), str):
        raise TaskError("score.judge.read: `none` is a word.")


def _rating(reply: str, _: Sample, options: Options) -> float | None:
    """The number of the first match of `pattern` (its group 1; default the first number), from `low` (default 0) to
    `high` (default 1), as a share of that range. A number outside of it is none; with `pick` ``only``, nor are several
    that differ, one of which may be quoted from the response."""
    pattern = options.get("pattern")
    matches = re.finditer(pattern, reply) if pattern else _NUMBER.finditer(reply)
    found = (match[1] if pattern else match[0] for match in matches)
    try:
        numbers = {float(one) for one in (found if options.get("pick") == "only" else islice(found, 1))}
    except (ValueError, TypeError):
        return None
    return _share(numbers.pop(), options) if len(numbers) == 1 else None


def _share(number: float, options: Options) -> float | None:
    low, high = options.get("low", 0), options.get("high", 1)
    return (number - low) / (high - low) if low <= number <= high else None


def _check_rating(options: Options) -> None:
    try:
        if "pattern" in options and re.compile(options["pattern"]).groups < 1:
            raise TaskError("score.judge.read: `pattern` needs a group around the number.")
    except (re.error, TypeError) as error:
        raise TaskError(f"score.judge.read: `pattern` is not a regular expression: {error}.") from None
    one_of("score.judge.read", pick=("first", "only"))(options)
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


_DECIMAL = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,3})?")


def _score_pair(reply: str, _: Sample, __: Options) -> Mapping[str, float] | None:
    """Two numbers from 0 to 10, and nothing else, on the first line: those of the reference and of the model, in this
    order, with a blank, comma or semicolon between (LLaVA-Bench, arXiv 2304.08485). As shares of 10, `model` first.

    None where a further line holds two others.
    """
    first, *rest = (_pair(line) for line in reply.strip().split("\n"))
    if first is None or any(pair not in (None, first) for pair in rest):
        return None
    reference, model = first
    return {"model": model / 10, "reference": reference / 10} if max(first) <= 10 else None


def _pair(line: str) -> tuple[float, float] | None:
    words = re.split(r"[\s,;]+", line.strip(_MARKUP)) if len(line) <= _LINE_MAX else []
    if len(words) != 2 or not all(map(_DECIMAL.fullmatch, words)):
        return None
    return float(words[0]), float(words[1])


def _score_pair_swapped(found: float | Mapping[str, float]) -> Mapping[str, float]:
    assert isinstance(found, Mapping)
    return {"model": found["reference"], "reference": found["model"]}


_PREFERENCE = re.compile(r"\[\[(A>>B|A>B|A=B|B>A|B>>A|A<B|A<<B|B=A|B<A|B<<A)\]\]")
PREFERENCES: Mapping[str, float] = MappingProxyType({
    "A>>B": 0.0, "A>B": 0.25, "A=B": 0.5, "B>A": 0.75, "B>>A": 1.0,
    "B<<A": 0.0, "B<A": 0.25, "B=A": 0.5, "A<B": 0.75, "A<<B": 1.0,
})  # fmt: skip
"""What a verdict on two answers is worth for B."""


def _preference(reply: str, _: Sample, __: Options) -> float | None:
    """Which of two answers is better, A the reference's and B the model's: ``[[A>>B]]``, ``[[A>B]]``, ``[[A=B]]``,
    ``[[B>A]]`` or ``[[B>>A]]`` (WildVision, arXiv 2406.11069), as 0, 0.25, 0.5, 0.75, 1. None without a verdict, or
    where there are several that differ."""
    found = {PREFERENCES[verdict] for verdict in _PREFERENCE.findall(reply)}
    return found.pop() if len(found) == 1 else None


def _preference_swapped(found: float | Mapping[str, float]) -> float:
    assert isinstance(found, float)
    return 1 - found


_VERDICTS = {"correct", "incorrect", "unclear"}
_NEGATIONS = {"not", "isn't", "neither", "nor", "cannot", "can't", "no"}


def _verdict(reply: str, sample: Sample, _: Options) -> float | None:
    """``correct``, ``incorrect`` or ``unclear``: the one that is among the reply's words, unless it is negated there.

    Correct is right, and what the fact `right_verdicts` lists, for the benchmarks where a sample may leave it open
    (HallusionBench, arXiv 2310.14566). Looked for as part of a word, "not correct" would be right.
    """
    words = set(re.findall(r"[a-z']+", reply[: _REPLY_MAX + 1].lower().replace("’", "'")))
    named = words & _VERDICTS
    if len(named) != 1 or words & _NEGATIONS or len(reply) > _REPLY_MAX:
        return None
    return float(named <= {"correct", *sample.facts.get("right_verdicts", "").replace(",", " ").split()})


_LABEL = re.compile(r"(?:score|answer|judge?ment|verdict|grade)\W{0,4}[:=]\W{0,4}", re.IGNORECASE)


def _zero_one(reply: str, _: Sample, options: Options) -> float | None:
    """A lone 0 or 1, perhaps behind a word such as "Score:". With `anywhere`, as lmms-eval reads it: any reply that has
    the character 1 in it is right, "10" and "0.1" too, and all others are wrong."""
    if options.get("anywhere", False):
        return float("1" in reply)
    word = _unlabelled(reply)
    return float(word) if word in ("0", "1") else None


def _unlabelled(reply: str) -> str:
    """A short reply without marks around it, or a word such as "Score:" in front."""
    word = reply.strip(_MARKUP)
    if len(word) <= _LINE_MAX and (label := _LABEL.match(word)):
        word = word[label.end() :].strip(_MARKUP)
    return word


_ATTEMPTS: Mapping[str, Mapping[str, float]] = {
    "correct": {"correct": 1.0, "attempted": 1.0},
    "incorrect": {"correct": 0.0, "attempted": 1.0},
    "not attempted": {"correct": 0.0, "attempted": 0.0},
}


def _attempt(reply: str, _: Sample, __: Options) -> Mapping[str, float] | None:
    """``correct``, ``incorrect`` or ``not attempted``, alone (SimpleVQA, arXiv 2502.13059)."""
    return _ATTEMPTS.get(_unlabelled(reply).lower().replace("_", " "))


_OF = r"\s{0,9}:\s{0,9}([0-9]{1,3}(?:\.[0-9]{1,3})?)\s{0,9}/\s{0,9}([0-9]{1,3}(?:\.[0-9]{1,3})?)(?![0-9.]*[0-9])"
_COMPONENT = re.compile(r"\bcomponent\s{1,9}([0-9]{1,2})" + _OF, re.IGNORECASE)
_TOTAL = re.compile(r"\btotal\s{1,9}score" + _OF, re.IGNORECASE)
_POINTS = 10


def _mia(reply: str, _: Sample, __: Options) -> Mapping[str, float] | None:
    """MIA-Bench (arXiv 2407.01509): ``score of component 1: x/2, … total score: z/10`` as shares, `total` first.

    Without a total it is the sum over the components, if those are worth 10 together; decimals are read. None where a
    share is above 1, or where one thing has two different scores, such as a total that the response asked for.
    """
    shares: dict[str, set[float]] = {}
    points: dict[str, tuple[float, float]] = {}
    named = [(f"component_{found[1]}", found[2], found[3]) for found in _COMPONENT.finditer(reply)]
    for name, given, most in [*named, *(("total", found[1], found[2]) for found in _TOTAL.finditer(reply))]:
        points[name] = float(given), float(most)
        shares.setdefault(name, set()).add(float(given) / float(most) if float(most) else 2.0)
    if not shares or any(len(found) > 1 or max(found) > 1 for found in shares.values()):
        return None
    parts = {name: found.pop() for name, found in sorted(shares.items()) if name != "total"}
    given, most = (sum(column) for column in zip(*(points[name] for name in parts), strict=True)) if parts else (0, 0)
    if "total" not in shares and most != _POINTS:
        return None
    return {"total": shares["total"].pop() if "total" in shares else given / most, **parts}


def _json_field(reply: str, _: Sample, options: Options) -> float | None:
    """The number under `field` in the JSON object that the reply is or holds, as `rating` takes it; with `whole`, only
    whole numbers (CharXiv, arXiv 2406.18521). None where the field is there twice."""
    text, field = reply[reply.find("{") : reply.rfind("}") + 1], options["field"]
    if len(re.findall(rf'"{re.escape(field)}"\s{{0,99}}:', text)) != 1:
        return None
    try:
        value = orjson.loads(text)[field]
        number = float(value) if not isinstance(value, bool) else None
    except (ValueError, TypeError, KeyError):
        return None
    if number is None or (options.get("whole", False) and not number.is_integer()):
        return None
    return _share(number, options)


def _check_json_field(options: Options) -> None:
    _check_rating(options)
    one_of("score.judge.read", whole=FLAG)(options)
    if not isinstance(options.get("field"), str):
        raise TaskError("score.judge.read: 'json_field' needs `field`, a name.")


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "reply": Reader(_reply, frozenset({"none"}), _check_reply),
        "rating": Reader(_rating, frozenset({"pattern", "pick", "low", "high"}), _check_rating),
        "option_letter": Reader(_option_letter, frozenset({"none"}), _check_none),
        "score_pair": Reader(_score_pair, swapped=_score_pair_swapped),
        "preference": Reader(_preference, swapped=_preference_swapped),
        "verdict": Reader(_verdict),
        "zero_one": Reader(_zero_one, frozenset({"anywhere"}), one_of("score.judge.read", anywhere=FLAG)),
        "attempt": Reader(_attempt),
        "mia": Reader(_mia),
        "json_field": Reader(_json_field, frozenset({"field", "low", "high", "whole"}), _check_json_field),
    }
)
