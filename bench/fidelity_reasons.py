"""Where lmms-eval's verdict of a sample stands in what it returns, and why ours may differ: an explicit list."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lmms_fast.types import Sample, Score, Undecided

Reading = Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True)
class Case:
    """One response, scored twice."""

    task: str
    sample: Sample
    text: str
    ours: Score | Undecided
    raw: Mapping[str, Any]
    """All that they returned: `raw`, `single` (their aggregation of this sample alone), `dice`, `asked`, or `error`."""
    theirs: float | None

    @property
    def value(self) -> float | None:
        """Ours."""
        return self.ours.value if isinstance(self.ours, Score) else None

    def shown(self) -> str:
        """For people."""
        found = self.raw.get("error") or self.raw.get("single") or self.raw.get("raw")
        return (f"{self.text!r} gold {self.sample.target[:3]!r} choices {list(self.sample.choices)!r:.120} "
                f"ours {self.value} ({self.ours.prediction.answer!r}, {self.ours.prediction.rule}) "
                f"theirs {self.theirs} {str(found)[:160]} {str(self.raw.get('raw'))[:200]}")  # fmt: skip


def single(metric: str | None = None, scale: float = 1) -> Reading:
    """Their aggregation over the one sample; the first metric's where none is named."""

    def read(case: Mapping[str, Any]) -> float | None:
        found = case.get("single") or {}
        value = next(iter(found.values()), None) if metric is None else found.get(metric)
        return value * scale if isinstance(value, int | float) else None

    return read


def path(*keys: str, scale: float = 1) -> Reading:
    """A value inside what they return for the sample."""

    def read(case: Mapping[str, Any]) -> float | None:
        value: Any = case.get("raw")
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value * scale if isinstance(value, int | float) else None

    return read


def of_any(key: str, scale: float = 1) -> Reading:
    """The value of that name in the first metric that has one."""

    def read(case: Mapping[str, Any]) -> float | None:
        for found in (case.get("raw") or {}).values():
            if isinstance(found, Mapping) and isinstance(found.get(key), int | float):
                return float(found[key]) * scale
        return None

    return read


READINGS: tuple[tuple[str, Reading], ...] = (("mme", of_any("score")),)


def reading_of(task: str) -> Reading:
    """How their verdict is read."""
    return next((reading for pattern, reading in READINGS if fnmatch.fnmatchcase(task, pattern)), single())


@dataclass(frozen=True)
class Reason:
    """A deviation that is meant, or that is theirs."""

    name: str
    tasks: str
    """Pattern."""
    holds: Callable[[Case], bool]
    why: str


REASONS: tuple[Reason, ...] = (
    Reason("dice", "*", lambda case: bool(case.raw.get("dice")), "Theirs draws an option where it finds no answer; ours is wrong."),
)


def reason_of(case: Case) -> str:
    """The first that holds."""
    return next((reason.name for reason in REASONS if fnmatch.fnmatchcase(case.task, reason.tasks) and reason.holds(case)),
                "they raise" if "error" in case.raw else "unexplained")  # fmt: skip
