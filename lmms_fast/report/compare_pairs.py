"""The samples of a task in two runs, side by side: which came out otherwise, and why."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

from lmms_fast.metrics import strip_reasoning
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

# What an aggregation counts together is one draw, too.
_UNITS: Mapping[str, tuple[str, ...]] = {
    "circular": ("circular_id",), "pairs": ("pair_id",), "mme": ("category", "question_id"),
    "hallusion": ("category", "subcategory", "set_id"), "naturalbench": ("group_id",), "mmeval_pro": ("triplet_id",),
    "wemath": ("problem_id",),
}  # fmt: skip


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

    def clusters(self, aggregator: str | None) -> dict[Key, str]:
        """What each sample was drawn together with: questions on the same picture, repeats of one question, and
        samples that the aggregation counts together.

        A picture that all samples have (an example in the prompt) joins none. Where more than half of the samples would
        be one cluster (pictures that were drawn at random for each question), only equal sets of pictures join.
        """
        shown = {key: frozenset(pictures(self.first[key])) for key in self.keys}
        everywhere = frozenset.intersection(*shown.values()) if shown else frozenset()
        units = {key: self._unit(key, _UNITS.get(aggregator or "", ())) for key in self.keys}
        found = _joined({key: [*units[key], *(shown[key] - everywhere)] for key in self.keys})
        if found and 2 * max(Counter(found.values()).values()) > len(found):
            sets = {key: ["set " + " ".join(sorted(names))] if (names := shown[key] - everywhere) else []
                    for key in self.keys}  # fmt: skip
            found = _joined({key: [*units[key], *sets[key]] for key in self.keys})
        return found

    def _unit(self, key: Key, columns: Sequence[str]) -> list[str]:
        groups = self.first[key]["groups"]
        whole = columns and all(column in groups for column in columns)
        return ["unit " + " / ".join(groups[column] for column in columns)] if whole else []

    def flips(self) -> list[Flip]:
        """What came out otherwise."""
        return [
            Flip(key, cause(self.first[key], self.second[key]), self.first[key], self.second[key])
            for key in self.keys
            if self.first[key]["score"] != self.second[key]["score"]
        ]


def _joined(marks: Mapping[Key, Sequence[str]]) -> dict[Key, str]:
    """Samples that share an id or a mark, directly or by way of others, under one name."""
    above: dict[str, str] = {}

    def root(name: str) -> str:
        while (higher := above.setdefault(name, name)) != name:
            above[name] = above.get(higher, higher)
            name = higher
        return name

    for (id, _), names in marks.items():
        for name in names:
            above[root(f"mark {name}")] = root(f"id {id}")
    return {key: root(f"id {key[0]}") for key in marks}


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
