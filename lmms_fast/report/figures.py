"""Numbers of a finished run as its page shows them: distributions, shares, bars. Knows nothing of HTML."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmms_fast.report.shown import label_of

_BINS = 36


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often values lie in steps of equal width, from 0 on."""

    counts: tuple[int, ...]
    width: float
    above: int
    """Values beyond the last step, which ends a little above the 99th percentile."""
    n: int
    median: float
    high: float
    """90th percentile."""
    highest: float
    """99th percentile."""
    most: float

    whole: bool
    """A value takes a step of 1."""

    @property
    def mark(self) -> float:
        """Where the median lies, in steps."""
        return (self.median + self.whole / 2) / self.width

    @property
    def end(self) -> float:
        """Upper edge of the last step."""
        return self.width * len(self.counts)


def histogram(values: Sequence[float], *, whole: bool = False) -> Histogram | None:
    """None of nothing. `whole`: the values are whole numbers, and so is a step."""
    if not values:
        return None
    ordered = sorted(values)
    median, high, highest = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.9, 0.99))
    width = _round_step(highest * 1.02 / _BINS, whole=whole)
    steps = int(highest / width) + 1
    counts = [0] * steps
    above = 0
    for value in ordered:
        step = int(max(0.0, value) / width)
        if step < steps:
            counts[step] += 1
        else:
            above += 1
    return Histogram(tuple(counts), width, above, len(ordered), median, high, highest, ordered[-1], whole)


def _round_step(least: float, *, whole: bool) -> float:
    """1, 2, 2.5 or 5 times a power of ten, at least `least`."""
    if whole and least <= 1:
        return 1.0
    if least <= 0:
        return 0.001
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5 if whole and power < 10 else 2.5, 5, 10) if step * power >= least)


@dataclass(slots=True)
class Measured:
    """What the samples of a task took."""

    latencies: array[float] = field(default_factory=lambda: array("d"))
    lengths: array[float] = field(default_factory=lambda: array("d"))
    """Completion tokens; only where the server counts them."""
    prompts: array[float] = field(default_factory=lambda: array("d"))
    rules: Counter[str] = field(default_factory=Counter)
    rubrics: set[str] = field(default_factory=set)
    """Versions that judges were asked by."""

    def add(self, line: Mapping[str, Any]) -> None:
        """Take in a line of the samples file."""
        if (prediction := line.get("prediction")) and prediction["rule"]:
            self.rules[prediction["rule"]] += 1
        self.rubrics.update(label_of(str(one.get("rubric"))) for one in line.get("judgements") or ())
        if (response := line.get("response")) is None:
            return
        if response["attempts"]:
            self.latencies.append(response["latency_s"])
        for kept, name in ((self.lengths, "completion_tokens"), (self.prompts, "prompt_tokens")):
            if (tokens := response["usage"].get(name)) is not None:
                kept.append(tokens)


@dataclass(frozen=True, slots=True)
class Bar:
    """A number between 0 and `top` of its bars, with what is known of its error."""

    label: str
    value: float | None
    interval: tuple[float, float] | None
    """Of 95 %, where the results have it."""
    n: int
    link: Mapping[str, str]
    """What the samples behind it are filtered by."""


@dataclass(frozen=True, slots=True)
class Bars:
    """A task's numbers by the values of a column."""

    title: str
    metric: str
    top: float
    bars: tuple[Bar, ...]


def interval_of(aggregate: Mapping[str, Any]) -> tuple[float, float] | None:
    """Of a score, where the results have one; 1.96 standard errors where they have only those. None where
    the standard error is 0: all values are the same, and nothing can be said of others by it."""
    found: Any = aggregate.get("interval")
    if isinstance(found, Mapping):
        found = found.get("low"), found.get("high")
    if found and None not in found[:2]:
        return float(found[0]), float(found[1])
    value, error = aggregate["value"], aggregate.get("stderr")
    return None if value is None or not error else (value - 1.96 * error, value + 1.96 * error)


def top_of(values: Iterable[float | None]) -> float:
    """Where the scale of numbers ends: 1, 100, or the largest of them."""
    most = max((one for one in values if one is not None), default=1.0)
    return 1.0 if most <= 1 else 100.0 if most <= 100 else most


def bars_of(task: str, aggregates: Sequence[Mapping[str, Any]]) -> list[Bars]:
    """The groups among a task's numbers, by metric and column."""
    found: dict[tuple[str, str], list[Bar]] = {}
    for one in aggregates:
        if one["group"] is None:
            continue
        column, _, value = one["group"].partition("=")
        link = {"task": label_of(task), "group": f"{label_of(column)}={label_of(value)}"}
        bar = Bar(label_of(value or column), one["value"], interval_of(one), one["n"], link)
        found.setdefault((one["metric"], column), []).append(bar)
    return [Bars(label_of(column), label_of(metric), top_of(bar.value for bar in bars), tuple(bars))
            for (metric, column), bars in found.items()]  # fmt: skip
