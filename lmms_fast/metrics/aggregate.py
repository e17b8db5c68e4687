"""Many scores → the numbers of a task, and of a group of tasks. No number depends on the order of what comes in."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal, TypeVar

from lmms_fast.errors import TaskError
from lmms_fast.metrics.estimate import Mean, Span, combined, estimate
from lmms_fast.metrics.rule import NONE, Aggregator, Options
from lmms_fast.types import Aggregate, Scored

Unit = TypeVar("Unit", bound=Hashable)


def mean(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """Mean over samples under the name `metric` (default accuracy), again for every value of the groups in `by`.

    Of the samples' values, or of the named `part`, times `scale` (default 1). Repeats of a sample are averaged first;
    the standard error is that of the mean over samples. `each`: groups that list several values with commas between,
    for each of which the samples that name it are averaged (a question's skills).
    """
    metric = options.get("metric", "accuracy")
    found = [mean_of(metric, None, scored, options)]
    for column in options.get("by", ()):
        found += _means(metric, [column], scored, options)
    for column in options.get("each", ()):
        parts = by_each(scored, column)
        found += [mean_of(metric, f"{column}={value}", parts[value], options) for value in sorted(parts)]
    return found


def mean_of(metric: str, group: str | None, scored: Sequence[Scored], options: Options = NONE) -> Aggregate:
    """One mean, as `mean` reports it; options `part` and `scale`."""
    part, scale = options.get("part"), options.get("scale", 1)
    numbers = [(one.id, scale * value) for one in scored if (value := one.part(part)) is not None]
    return averaged(metric, group, numbers, scored, (0.0, float(scale)))


def averaged(
    metric: str, group: str | None, numbers: Iterable[tuple[str, float]], scored: Sequence[Scored],
    span: Span | None = (0.0, 1.0),
) -> Aggregate:  # fmt: skip
    """The mean of (sample's id, number) over samples, the repeats of one averaged first; `span`: the least and the most
    that a number can be, where there is such a thing."""
    means = unit_means(numbers)
    return estimate(counted(metric, group, *mean_of_means(means.values()), scored), Mean(list(means.items()), span))


def mean_and_error(numbers: Iterable[tuple[Hashable, float]]) -> tuple[float | None, float | None]:
    """The mean of (unit, number) over units, each one's repeats averaged first, and its standard error.

    That is the sample standard deviation over √n; None for fewer than two units.
    """
    return mean_of_means(unit_means(numbers).values())


def unit_means(numbers: Iterable[tuple[Unit, float]]) -> dict[Unit, float]:
    """Each unit's mean."""
    repeats: defaultdict[Unit, list[float]] = defaultdict(list)
    for unit, number in numbers:
        repeats[unit].append(number)
    # fsum is exact before its one rounding, so the order of the samples cannot show.
    return {unit: math.fsum(of_one) / len(of_one) for unit, of_one in repeats.items()}


def mean_of_means(values: Collection[float]) -> tuple[float | None, float | None]:
    """As `mean_and_error`, of the units' means."""
    count = len(values)
    if not count:
        return None, None
    mean = math.fsum(values) / count
    if count < 2:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1) / count)


def counted(
    metric: str, group: str | None, value: float | None, stderr: float | None, scored: Sequence[Scored]
) -> Aggregate:
    """A value with the counts of the samples it was made of."""
    used = [one for one in scored if one.value is not None]
    return Aggregate(metric, group, value, stderr, len(used), silent(used), len(scored) - len(used))


def by_group(scored: Sequence[Scored], *columns: str) -> dict[str, list[Scored]]:
    """Samples by the value of a group, or by the values of several joined with `` / ``. Raises TaskError."""
    parts: defaultdict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        parts[" / ".join(group_of(one, column) for column in columns)].append(one)
    return parts


def by_each(scored: Sequence[Scored], column: str) -> dict[str, list[Scored]]:
    """Samples by each of the values that a group lists, with commas between; one of several values is under each."""
    parts: defaultdict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        for value in listed(one, column):
            parts[value].append(one)
    return parts


def listed(one: Scored, column: str) -> list[str]:
    """The values that a sample's group lists, sorted. Raises TaskError."""
    return sorted({value.strip() for value in group_of(one, column).split(",")})


def with_golds(scored: Sequence[Scored]) -> list[Scored]:
    """The samples, of which one without an accepted answer counts as not measured: it cannot be compared."""
    return [one if one.target else replace(one, value=None) for one in scored]


def silent(used: Sequence[Scored]) -> int:
    """How many of the measured samples have no answer."""
    return sum(not one.answered for one in used)


def macro(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """Mean over the values of a group of the mean of the samples with that value, however many those are.

    `by` is a list of the group's name (of several: their values joined). With `within`, a coarser group, the headline
    is the mean over its values of the macro mean inside each, which also stand alone: MMStar's average over categories
    of the mean over their sub-categories; the levels of one question type in VSI-Bench. A value of which nothing was
    measured has no mean, and leaves none to what it belongs to. `metric`, `part` and `scale` as in `mean`. The standard
    error takes the samples of different values as independent.
    """
    metric, within = options.get("metric", "accuracy"), options.get("within")
    if within is None:
        means = _means(metric, options["by"], scored, options)
        return [group_mean(metric, means), *means]
    wholes, details = [], []
    for whole, members in sorted(by_group(scored, within).items()):
        means = _means(metric, [within, *options["by"]], members, options)
        wholes.append(replace(group_mean(metric, means), group=f"{within}={whole}"))
        details += means
    return [group_mean(metric, wholes), *wholes, *details]


def _means(metric: str, columns: Sequence[str], scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """The mean for every value of the columns' groups."""
    parts = by_group(scored, *columns)
    return [mean_of(metric, f"{' / '.join(columns)}={value}", parts[value], options) for value in sorted(parts)]


def group_of(one: Scored, column: str) -> str:
    """The sample's value of a group. Raises TaskError where the task has no such group."""
    if column not in one.groups:
        known = ", ".join(one.groups) or "none"
        raise TaskError(f"report: sample {one.id} has no group '{column}'; groups of the task: {known}.")
    return one.groups[column]


def check_by(options: Options) -> None:
    """Raise TaskError if the option `by`, or `each`, is no list of names."""
    for key in ("by", "each"):
        names = options.get(key, ())
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise TaskError(f"report: `{key}` is a list of names of groups.")


def _check_macro(options: Options) -> None:
    check_by(options)
    if not options.get("by"):
        raise TaskError("report: 'macro' needs `by`, a list with the name of a group.")


AGGREGATORS: Mapping[str, Aggregator] = MappingProxyType(
    {
        "mean": Aggregator(mean, frozenset({"metric", "by", "each", "part", "scale"}), check_by),
        "macro": Aggregator(macro, frozenset({"metric", "by", "within", "part", "scale"}), _check_macro),
    }
)


def group_mean(metric: str, headlines: Sequence[Aggregate], weight: Literal["equal", "size"] = "equal") -> Aggregate:
    """The headline of a group of tasks: the mean of theirs, or the mean weighted by their n.

    None if any task has no value: a mean over the rest would pass for the group's. Standard error and interval take the
    tasks as independent: pictures that two of them share are not looked at.
    """
    sizes = [1 if weight == "equal" else headline.n for headline in headlines]
    values = [headline.value for headline in headlines if headline.value is not None]
    errors = [headline.stderr for headline in headlines if headline.stderr is not None]
    total, count = sum(sizes), len(headlines)
    value = stderr = interval = None
    if count and len(values) == count:
        value = math.fsum(map(math.prod, zip(sizes, values, strict=True))) / total
        if len(errors) == count:
            squares = [(size * error) ** 2 for size, error in zip(sizes, errors, strict=True)]
            stderr = math.sqrt(math.fsum(squares)) / total
        interval = _interval_of_sum(value, [size / total for size in sizes], headlines)
    found = Aggregate(
        metric,
        None,
        value,
        stderr,
        n=sum(headline.n for headline in headlines),
        n_no_answer=sum(headline.n_no_answer for headline in headlines),
        n_failed=sum(headline.n_failed for headline in headlines),
        low=_bound(sizes, [headline.low for headline in headlines], headlines),
        high=_bound(sizes, [headline.high for headline in headlines], headlines),
        interval=interval,
        method="" if interval is None else "of the tasks' intervals, taken as independent (MOVER)",
    )
    return combined(found, [size / total for size in sizes] if total else [], headlines)


def _interval_of_sum(
    value: float, weights: Sequence[float], parts: Sequence[Aggregate]
) -> tuple[float, float] | None:
    """MOVER: the square root of the sum of the squares of what the parts' intervals reach below, and above (Donner and
    Zou, Stat. Methods Med. Res. 21, 2012). None where a part has none."""
    reach = [
        (weight * (part.value - part.interval[0]), weight * (part.interval[1] - part.value))
        for weight, part in zip(weights, parts, strict=True)
        if part.interval is not None and part.value is not None
    ]
    if len(reach) < len(parts):
        return None
    below, above = (math.hypot(*side) for side in zip(*reach, strict=True))
    return value - below, value + above


def _bound(sizes: Sequence[int], bounds: Sequence[float | None], headlines: Sequence[Aggregate]) -> float | None:
    """None where no task has bounds; a task that was measured whole is its own bound."""
    if all(bound is None for bound in bounds):
        return None
    values = [one.value if bound is None else bound for bound, one in zip(bounds, headlines, strict=True)]
    if None in values or not sum(sizes):
        return None
    return math.fsum(size * (value or 0.0) for size, value in zip(sizes, values, strict=True)) / sum(sizes)
