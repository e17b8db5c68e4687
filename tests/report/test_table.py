"""The score table: what stands in it, and that it can be read."""

from __future__ import annotations

import random
from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console

from lmms_fast.metrics import aggregate_with_bounds, group_mean
from lmms_fast.report.console import remarks, score_table
from lmms_fast.report.result import RunResult, TaskResult
from lmms_fast.types import Aggregate, Scored


def task(aggregates: list[Aggregate], repeats: list[Aggregate] | None = None) -> TaskResult:
    return TaskResult(
        tuple(aggregates), {"correct": 60, "wrong": 40}, {}, 3, 0, None, "default", {}, {}, False, None,
        repeats=tuple(repeats or ()),
    )  # fmt: skip


def shown(result: RunResult) -> list[str]:
    out = StringIO()
    Console(file=out, width=100).print(score_table(result))
    return out.getvalue().splitlines()


def run(tasks: dict[str, TaskResult], groups: dict[str, Aggregate] | None = None) -> RunResult:
    return RunResult(Path(), tasks, groups or {}, {}, 1, 1, 1)


def rows(n: int = 100, repeats: int = 1) -> list[Scored]:
    dice = random.Random(1)
    return [Scored(str(id), repeat, {}, float(dice.random() < 0.6), True, {}, "x", ("x",), (str(id // 4),))
            for id in range(n) for repeat in range(repeats)]  # fmt: skip


def test_every_score_has_its_interval_in_a_line_of_100_columns() -> None:
    """Tasks, what their repeats say, and groups; how the intervals were made stands below, once for equals."""
    many = rows(50, 4)
    first, second = task(aggregate_with_bounds("mean", rows())), task(
        aggregate_with_bounds("mean", many, {"metric": "exact_match"}), aggregate_with_bounds("repeats", many)
    )  # fmt: skip
    whole = group_mean("mean", [first.aggregates[0], second.aggregates[0]])
    result = run({"smoke_counting": first, "mmmu_val": second}, {"both of them": whole})
    lines = shown(result)
    assert len(lines) == 2 + 1 + 5 + 1
    assert "95 %" in lines[0]
    assert "interval" in lines[1]
    metrics = ["accuracy", "exact_match", "mean", "pass@4", "maj@4", "flip_rate", "mean"]
    for line, name in zip(lines[2:], metrics, strict=True):
        assert f" {name} " in line
        assert "–" in line
    low, high = first.aggregates[0].interval or (0, 0)
    assert f"{low:.3f}–{high:.3f}" in lines[2]
    [said] = [line for line in remarks(result) if line.startswith("95 % intervals")]
    assert said.count("clustered by picture") == 1
    assert "(smoke_counting, mmmu_val)" in said
    assert "clusters)" not in said


def test_bounds_are_told_apart_from_intervals() -> None:
    """What was not measured is another doubt than what was not asked; large numbers need no four digits."""
    missing = [replace(one, value=None, answered=False) if number < 10 else one for number, one in enumerate(rows())]
    lines = shown(run({"t": task(aggregate_with_bounds("mean", missing, {"scale": 1000}))}))
    assert "the rest" in lines[0]
    assert "wrong–right" in lines[1]
    [found] = aggregate_with_bounds("mean", missing, {"scale": 1000})
    assert f"{found.low:.1f}–{found.high:.1f}" in lines[2]
    assert f"{found.value:.1f}" in lines[2]


def test_a_score_without_an_interval_stays_empty() -> None:
    """As over nothing."""
    result = run({"t": task([])})
    assert len(shown(result)) == 3
    assert not [line for line in remarks(result) if "interval" in line]
