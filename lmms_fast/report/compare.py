"""Two runs or more, task by task: each against the first. See `compare_check` (may they be compared?), `compare_pairs`
(which samples came out otherwise, and why) and `compare_tests` (is the difference real?)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from lmms_fast.errors import UsageError
from lmms_fast.metrics import aggregate
from lmms_fast.metrics.rule import NONE, Options
from lmms_fast.report import compare_check as check
from lmms_fast.report.compare_check import Difference
from lmms_fast.report.compare_pairs import CAUSES, Cause, Flip, Key, Pairs, by_category
from lmms_fast.report.compare_tests import BLOCKS, Contrast, Paired, holm, of_means, of_numbers
from lmms_fast.report.finished import FinishedRun
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Scored

LOWER_IS_BETTER = frozenset({"wer"})
"""Metrics of which less is more."""
_SLOW = frozenset({"captions"})
"""Aggregations that take seconds, of which fewer are made."""
_FEW_BLOCKS = 20
_MEAN = "mean score"
_SIGNIFICANT = 0.05


class NotComparable(UsageError):
    """The runs were asked or scored otherwise."""


@dataclass(frozen=True, slots=True)
class TaskCompared:
    """A task in two runs, over the samples that both have measured."""

    task: str
    metric: str
    samples: int
    """In both runs …"""
    measured: int
    """… and measured in both."""
    not_measured: tuple[float, float]
    """Share of the samples in both without a score, in each run."""
    first: float | None
    second: float | None
    tested: Contrast | None
    adjusted: float | None
    """p by Holm's correction over all tests that were made together."""
    flips: Sequence[Flip]
    note: str | None = None
    """What the number is not."""

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric counts errors."""
        return self.metric in LOWER_IS_BETTER

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.tested is None or self.adjusted is None:
            return "not tested"
        if self.adjusted >= _SIGNIFICANT:
            return "no difference shown"
        return "better" if (self.tested.difference > 0) != self.lower_is_better else "worse"


@dataclass(frozen=True, slots=True)
class RunCompared:
    """A run against the first."""

    run: FinishedRun
    differences: Sequence[Difference]
    """In how they asked and scored; none, but with `anyway`."""
    tasks: Sequence[TaskCompared]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs against the first one."""

    first: FinishedRun
    others: Sequence[RunCompared]

    @property
    def differences(self) -> list[Difference]:
        """All of them, each once."""
        return list(dict.fromkeys(one for other in self.others for one in other.differences))


def compare(
    runs: Sequence[FinishedRun], chosen: Collection[str] = (), *, anyway: bool = False, include: Sequence[Path] = ()
) -> Comparison:
    """Compare runs with the first of them, in the tasks chosen or all they share.

    Raises NotComparable where they were asked or scored otherwise, unless `anyway`; UsageError.
    """
    first, *others = runs
    if not others:
        raise UsageError("name two runs or more: the one to compare with, then the others.")
    for run in runs:
        if missing := set(chosen) - set(run.tasks):
            raise UsageError(f"{run.path}: has no task {', '.join(sorted(missing))}; it has {', '.join(run.tasks)}.")
    known = check.definitions(first, include)
    found = Comparison(first, [_compared(first, other, chosen, known, include) for other in others])
    if found.differences and not anyway:
        raise NotComparable(refusal(found.differences))
    return _corrected(found)


def refusal(differences: Sequence[Difference]) -> str:
    """Why runs cannot be compared, in a sentence."""
    said = "; ".join(map(str, differences[:_SHOWN])) + (f"; and {len(differences) - _SHOWN} more"
                                                        if len(differences) > _SHOWN else "")  # fmt: skip
    return f"these runs were not asked and scored alike: {said}. --anyway compares them all the same."


_SHOWN = 12


def _compared(
    first: FinishedRun, other: FinishedRun, chosen: Collection[str], known: Mapping[str, Task], include: Sequence[Path]
) -> RunCompared:
    theirs = check.definitions(other, include)
    shared = [name for name in first.tasks if name in other.tasks and (not chosen or name in chosen)]
    if not shared:
        raise UsageError(f"{first.path} and {other.path} have no task in common.")
    differences = [*check.only_in(first, other, chosen), *check.of_runs(first, other)]
    tasks = []
    for name in shared:
        pairs = Pairs(first, other, name)
        task = known.get(name) or theirs.get(name)
        differences += check.of_task(first, other, pairs, task)
        tasks.append(task_compared(pairs, task))
    return RunCompared(other, differences, tasks)


def task_compared(pairs: Pairs, task: Task | None, metric: str | None = None) -> TaskCompared:
    """One task's headline, or the metric named, in two runs. Raises UsageError for a metric that the task lacks."""
    measure = measure_of(pairs, task, metric)
    first, second = measure.both(()) or (None, None)
    count = len(pairs.keys)
    shares = [sum(lines[key]["score"] is None for key in pairs.keys) / count if count else 0.0
              for lines in (pairs.first, pairs.second)]  # fmt: skip
    return TaskCompared(
        pairs.task, measure.metric, count, len(pairs.measured), (shares[0], shares[1]), first, second,
        measure.test(), None, pairs.flips(), measure.note,
    )  # fmt: skip


def _corrected(found: Comparison) -> Comparison:
    p_values: dict[Hashable, float] = {(number, task.task): task.tested.p
                                       for number, other in enumerate(found.others)
                                       for task in other.tasks if task.tested is not None}  # fmt: skip
    adjusted = holm(p_values)
    return replace(found, others=[
        replace(other, tasks=[replace(task, adjusted=adjusted.get((number, task.task))) for task in other.tasks])
        for number, other in enumerate(found.others)
    ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measure:
    """A task's number over samples in two runs."""

    pairs: Pairs
    metric: str
    rule: str
    """The aggregation's name."""
    options: Options
    clusters: Mapping[Key, int]
    note: str | None = None
    alone: bool = False
    """Against nothing at all: the difference is then the second run's number, and its interval that of the number."""

    def both(self, without: Collection[Hashable]) -> tuple[float, float] | None:
        """The number in both runs, without the samples of some clusters; None where one of them has none."""
        keys = [key for key in self.pairs.measured if self.clusters[key] not in without]
        before, after = self.pairs.scored
        second = self.of([after[key] for key in keys])
        first = 0.0 if self.alone else self.of([before[key] for key in keys])
        return None if first is None or second is None else (first, second)

    def of(self, samples: Sequence[Scored]) -> float | None:
        """The number over samples."""
        if not samples:
            return None
        return next((one.value for one in aggregate(self.rule, samples, self.options)
                     if one.group is None and one.metric == self.metric), None)  # fmt: skip

    def test(self) -> Contrast | None:
        """The difference (second − first); None where there is nothing to test."""
        keys = self.pairs.measured
        if self.rule == "mean":
            return of_means(self._paired(keys), self.options.get("scale", 1), alone=self.alone)
        values = self.both(())
        scale = 1.0 if values is None else max(1.0, *map(abs, values))
        blocks = _FEW_BLOCKS if self.rule in _SLOW else BLOCKS
        return of_numbers([self.clusters[key] for key in keys], self.both, scale, blocks)

    def _paired(self, keys: Sequence[Key]) -> list[Paired]:
        """Each sample's two numbers, repeats averaged as the mean over samples does."""
        part, scale = self.options.get("part"), self.options.get("scale", 1)
        numbers: defaultdict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
        for key in keys:
            one, other = (side[key].part(part) for side in self.pairs.scored)
            if one is not None and other is not None:
                numbers[key[0], self.clusters[key]].append((0.0 if self.alone else scale * one, scale * other))
        return [
            Paired(fmean(one for one, _ in found), fmean(other for _, other in found), cluster)
            for (_, cluster), found in numbers.items()
        ]


def measure_of(pairs: Pairs, task: Task | None, metric: str | None = None) -> Measure:
    """The task's headline, or the metric named. Raises UsageError for one that the task lacks."""
    if task is None or not pairs.measured:
        if task is None and metric not in (None, _MEAN):
            raise UsageError(f"{pairs.task}: only its samples' scores can be compared, since its definition is not at "
                             f"hand as it was; leave out the metric '{metric}'.")  # fmt: skip
        note = "its definition is not at hand as it was, so this is the mean of its samples' scores"
        return Measure(pairs, metric or _MEAN, "mean", {"metric": metric or _MEAN}, pairs.clusters(None),
                       note if pairs.measured else "no sample has a score of its own in both runs")  # fmt: skip
    samples = list(pairs.scored[0].values())
    known: list[str] = []
    for report in task.report:
        names = dict.fromkeys(one.metric for one in aggregate(report.name, samples, report.options)
                              if one.group is None)  # fmt: skip
        known += names
        if found := next((name for name in names if metric in (None, name)), None):
            return Measure(pairs, found, report.name, report.options or NONE, pairs.clusters(report.name))
    raise UsageError(f"{pairs.task}: has no metric '{metric}'; it has {', '.join(known)}.")


def alone(
    run: FinishedRun, name: str, metric: str | None = None, task: Task | None = None, include: Sequence[Path] = ()
) -> Measure:
    """A task's number in one run, whose test is its interval. `task`: its file as it was, where that is known already.

    Raises UsageError for a metric that the task lacks.
    """
    task = task or check.definitions(run, include).get(name)
    return replace(measure_of(Pairs(run, run, name), task, metric), alone=True)


def as_json(found: Comparison) -> dict[str, Any]:
    """What `compare --json` prints."""
    return {
        "baseline": _run(found.first),
        "runs": [
            {**_run(other.run), "differences": [str(one) for one in other.differences],
             "tasks": {task.task: task_json(task) for task in other.tasks}}
            for other in found.others
        ],
    }  # fmt: skip


def _run(run: FinishedRun) -> dict[str, Any]:
    return {"path": str(run.path), "model": run.model}


def task_json(task: TaskCompared) -> dict[str, Any]:
    """A task's numbers and flips."""
    tested = task.tested
    return {
        "metric": task.metric, "verdict": task.verdict, "baseline": task.first, "value": task.second,
        "samples": task.samples, "measured_in_both": task.measured, "not_measured": list(task.not_measured),
        "test": None if tested is None else {
            **asdict(tested), "detectable": tested.detectable, "p_holm": task.adjusted
        },
        "causes": causes(task.flips), "categories": by_category(task.flips), "note": task.note,
        "flips": [{"id": flip.key[0], "repeat": flip.key[1], "cause": flip.cause, "baseline": flip.before,
                   "value": flip.after} for flip in task.flips],
    }  # fmt: skip


def causes(flips: Sequence[Flip]) -> dict[Cause, dict[str, int]]:
    """Cause → how many came out better, worse, or on one side only; in the order of CAUSES."""
    counts = {cause: Counter({True: "better", False: "worse", None: "one_side"}[flip.better]
                             for flip in flips if flip.cause == cause) for cause in CAUSES}  # fmt: skip
    return {cause: dict(count) for cause, count in counts.items() if count}
