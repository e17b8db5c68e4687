"""The samples of a task in two runs, side by side: which came out otherwise, and why."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

from lmms_fast.metrics import AGGREGATORS, strip_reasoning
from lmms_fast.metrics.clusters import clusters
from lmms_fast.report.finished import FinishedRun
from lmms_fast.types import Scored

Line = Mapping[str, Any]
"""A line of a samples file."""
Key = tuple[str, int]
"""Id and repeat."""
Cause = Literal["not measured", "prompt", "target", "truncation", "judge", "parser", "model"]
CAUSES: Mapping[Cause, str] = {
    "not measured": "no score on one side: the request failed, or no judge could tell",
    "prompt": "the question itself was another one",
    "target": "the accepted answers were others",
    "truncation": "the worse answer was cut off by the token limit, the better one was not",
    "judge": "the same response, judged otherwise",
    "parser": "the same response, or the same final answer, and something else was read out of it",
    "model": "another answer",
}


@dataclass(frozen=True, slots=True)
class Flip:
    """A sample with another score, or with a score on one side only."""

    key: Key
    cause: Cause
    first: Line
    second: Line

    @property
    def before(self) -> float | None:
        """The score in the first run; None where it was not measured."""
        return cast("float | None", self.first["score"])

    @property
    def after(self) -> float | None:
        """The score in the second run."""
        return cast("float | None", self.second["score"])

    @property
    def better(self) -> bool | None:
        """Whether the second run is the better one; None where one side was not measured."""
        return None if self.before is None or self.after is None else self.after > self.before


class Pairs:
    """A task's samples in two runs, those that both have, in the order of the first."""

    def __init__(self, first: FinishedRun, second: FinishedRun, task: str) -> None:
        self.task = task
        self.first = _lines(first, task)
        self.second = _lines(second, task)
        self.keys = [key for key in self.first if key in self.second]

    @cached_property
    def measured(self) -> list[Key]:
        """Those with a score in both."""
        return [key for key in self.keys if None not in (self.first[key]["score"], self.second[key]["score"])]

    @cached_property
    def scored(self) -> tuple[dict[Key, Scored], dict[Key, Scored]]:
        """The samples measured in both, as the aggregations see them."""
        first, second = ({key: scored(lines[key]) for key in self.measured} for lines in (self.first, self.second))
        return first, second

    def clusters(self, aggregator: str | None) -> dict[Key, int]:
        """What each sample was drawn together with (`metrics.clusters`), by the pictures of the first run."""
        together = AGGREGATORS[aggregator].together if aggregator else ()
        found = clusters([scored(self.first[key]) for key in self.keys], together).of
        return {key: found[key[0]] for key in self.keys}

    def flips(self) -> list[Flip]:
        """What came out otherwise."""
        return [
            Flip(key, cause(self.first[key], self.second[key]), self.first[key], self.second[key])
            for key in self.keys
            if self.first[key]["score"] != self.second[key]["score"]
        ]


def _lines(run: FinishedRun, task: str) -> dict[Key, Line]:
    return {(line["id"], line["repeat"]): line for line in run.samples(task)}


def pictures(line: Line) -> list[str]:
    """Digests of what a sample shows; none of a picture that could not be read."""
    return [part["image"] for message in line["messages"] for part in message["parts"]
            if isinstance(part, dict) and part["image"] != "?"]  # fmt: skip


def scored(line: Line) -> Scored:
    """A line as the aggregations see a sample."""
    answer = (line.get("prediction") or {}).get("answer")
    return Scored(
        line["id"], line["repeat"], line["groups"], line["score"], line["score"] is not None and answer is not None,
        line.get("parts", {}), tuple(answer) if isinstance(answer, list) else answer, tuple(line["target"]),
        tuple(dict.fromkeys(pictures(line))),
    )  # fmt: skip


def cause(first: Line, second: Line) -> Cause:
    """Why two lines of one sample have different scores: the first reason in the order of the record that holds."""
    before, after = first["score"], second["score"]
    if before is None or after is None:
        return "not measured"
    if first["messages"] != second["messages"]:
        return "prompt"
    if first["target"] != second["target"]:
        return "target"
    worse, better = (first, second) if before < after else (second, first)
    if _cut_off(worse) and not _cut_off(better):
        return "truncation"
    judged = _judged(first) or _judged(second)
    if _text(first) == _text(second):
        return "judge" if judged else "parser"
    if judged:
        return "model"
    same_answer = _answer(first) == _answer(second)
    return "parser" if same_answer or _ends_in(_text(worse), _answer(better)) else "model"


def _text(line: Line) -> str:
    return strip_reasoning(line["response"]["text"]).strip()


def _answer(line: Line) -> Any:
    return (line.get("prediction") or {}).get("answer")


def _judged(line: Line) -> bool:
    return bool(line.get("judgements"))


def _cut_off(line: Line) -> bool:
    return bool(line["response"]["finish_reason"] == "length")


_MARKUP = re.compile(r"[\s*_`$.,;:!?()\[\]{}\"'\\]+")


def _ends_in(text: str, answer: Any) -> bool:
    """Whether the last words of a response are an answer: what a person would take it to say in the end."""
    if not isinstance(answer, str) or not (wanted := _MARKUP.sub(" ", answer).strip().lower()):
        return False
    return f" {_MARKUP.sub(' ', text[-2000:]).strip().lower()}".endswith(f" {wanted}")


def by_category(flips: Sequence[Flip]) -> dict[str, dict[str, dict[str, int]]]:
    """Group → value → how many came out better, worse, or on one side only."""
    found: defaultdict[str, defaultdict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for flip in flips:
        for column, value in flip.first["groups"].items():
            found[column][value][{True: "better", False: "worse", None: "one_side"}[flip.better]] += 1
    return {column: {value: dict(counts) for value, counts in sorted(values.items())}
            for column, values in found.items()}  # fmt: skip
