"""Many scores → the numbers of a task, and of a group of tasks. No number depends on the order of what comes in."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from lmms_fast.errors import TaskError
from lmms_fast.metrics.rule import NONE, Aggregator, Options
from lmms_fast.types import Aggregate, Scored

MME_PERCEPTION = (
    "existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR",
)  # fmt: skip
MME_COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")


def _mean(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """Mean over samples under the name `metric` (default accuracy), again for every value of the groups in `by`.

    Of the samples' values, or of the named `part`, times `scale` (default 1). Repeats of a sample are averaged first;
    the standard error is that of the mean over samples.
    """
    metric = options.get("metric", "accuracy")
    found = [mean_of(metric, None, scored, options)]
    for column in options.get("by", ()):
        parts = by_group(scored, column)
        found += [mean_of(metric, f"{column}={value}", parts[value], options) for value in sorted(parts)]
    return found


def mean_of(metric: str, group: str | None, scored: Sequence[Scored], options: Options = NONE) -> Aggregate:
    """One mean, as `mean` reports it; options `part` and `scale`."""
    part, scale = options.get("part"), options.get("scale", 1)
    repeats: defaultdict[str, list[float]] = defaultdict(list)
    for one in scored:
        if (value := one.part(part)) is not None:
            repeats[one.id].append(scale * value)
    # fsum is exact before its one rounding, so the order of the samples cannot show.
    values = [math.fsum(of_one) / len(of_one) for of_one in repeats.values()]
    value = math.fsum(values) / len(values) if values else None
    return counted(metric, group, value, scored, _stderr(values))


def counted(
    metric: str, group: str | None, value: float | None, scored: Sequence[Scored], stderr: float | None = None
) -> Aggregate:
    """A value with the counts of the samples it was made of."""
    used = [one for one in scored if one.value is not None]
    return Aggregate(metric, group, value, stderr, len(used), _silent(used), len(scored) - len(used))


def by_group(scored: Sequence[Scored], *columns: str) -> dict[str, list[Scored]]:
    """Samples by the value of a group, or by the values of several joined with `` / ``. Raises TaskError."""
    parts: defaultdict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        parts[" / ".join(group_of(one, column) for column in columns)].append(one)
    return parts


def _silent(used: Sequence[Scored]) -> int:
    return sum(not one.answered for one in used)


def _stderr(values: Sequence[float]) -> float | None:
    """Sample standard deviation over √n; None for fewer than two."""
    count = len(values)
    if count < 2:
        return None
    mean = math.fsum(values) / count
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1) / count)


def _mme(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """MME's two scores (arXiv 2306.13394): perception of 2000, cognition of 800, and each category of 200.

    A category is 100·acc + 100·acc+, acc+ being the share of pictures whose two questions are both right; a score is
    the sum of its categories. Pairs share the groups `category` and `question_id`. A pair with a member missing or
    not measured is left out, both of its samples counting as failed; a category without any pair has no value and is
    not in the sum. As in lmms-eval, a category outside the perception list counts as cognition.
    """
    pairs: defaultdict[str, defaultdict[tuple[str, int], list[Scored]]] = defaultdict(lambda: defaultdict(list))
    for one in scored:
        pairs[group_of(one, "category")][group_of(one, "question_id"), one.repeat].append(one)
    headlines, details = [], []
    for metric, perception in (("mme_perception_score", True), ("mme_cognition_score", False)):
        names = sorted(name for name in pairs if (name in MME_PERCEPTION) is perception)
        categories = [_mme_category(metric, name, list(pairs[name].values())) for name in names]
        headlines.append(_mme_sum(metric, categories))
        details += categories
    return headlines + details


def _mme_category(metric: str, name: str, pairs: Sequence[Sequence[Scored]]) -> Aggregate:
    complete = [pair for pair in pairs if len(pair) == 2 and all(one.value is not None for one in pair)]
    right = [sum(one.value == 1.0 for one in pair) for pair in complete]
    value = 100 * (sum(right) / 2 + right.count(2)) / len(complete) if complete else None
    used = [one for pair in complete for one in pair]
    failed = sum(map(len, pairs)) - len(used)
    return Aggregate(metric, f"category={name}", value, None, len(used), _silent(used), failed)


def _mme_sum(metric: str, categories: Sequence[Aggregate]) -> Aggregate:
    values = [category.value for category in categories if category.value is not None]
    return Aggregate(
        metric,
        None,
        math.fsum(values) if values else None,
        None,
        n=sum(category.n for category in categories),
        n_no_answer=sum(category.n_no_answer for category in categories),
        n_failed=sum(category.n_failed for category in categories),
    )


def group_of(one: Scored, column: str) -> str:
    """The sample's value of a group. Raises TaskError where the task has no such group."""
    if column not in one.groups:
        known = ", ".join(one.groups) or "none"
        raise TaskError(f"report: sample {one.id} has no group '{column}'; groups of the task: {known}.")
    return one.groups[column]


def _check_mean(options: Options) -> None:
    by = options.get("by", ())
    if isinstance(by, str) or not all(isinstance(name, str) for name in by):
        raise TaskError("report: `by` is a list of names of groups.")


AGGREGATORS: Mapping[str, Aggregator] = MappingProxyType(
    {
        "mean": Aggregator(_mean, frozenset({"metric", "by", "part", "scale"}), _check_mean),
        "mme": Aggregator(_mme, needs=frozenset({"category", "question_id"}), whole=True),
    }
)


def group_mean(metric: str, headlines: Sequence[Aggregate], weight: Literal["equal", "size"] = "equal") -> Aggregate:
    """The headline of a group of tasks: the mean of theirs, or the mean weighted by their n.

    None if any task has no value: a mean over the rest would pass for the group's. The standard error takes the tasks
    as independent.
    """
    sizes = [1 if weight == "equal" else headline.n for headline in headlines]
    values = [headline.value for headline in headlines if headline.value is not None]
    errors = [headline.stderr for headline in headlines if headline.stderr is not None]
    total, count = sum(sizes), len(headlines)
    value = stderr = None
    if count and len(values) == count:
        value = math.fsum(map(math.prod, zip(sizes, values, strict=True))) / total
        if len(errors) == count:
            squares = [(size * error) ** 2 for size, error in zip(sizes, errors, strict=True)]
            stderr = math.sqrt(math.fsum(squares)) / total
    return Aggregate(
        metric,
        None,
        value,
        stderr,
        n=sum(headline.n for headline in headlines),
        n_no_answer=sum(headline.n_no_answer for headline in headlines),
        n_failed=sum(headline.n_failed for headline in headlines),
        low=_bound(sizes, [headline.low for headline in headlines], headlines),
        high=_bound(sizes, [headline.high for headline in headlines], headlines),
    )


def _bound(sizes: Sequence[int], bounds: Sequence[float | None], headlines: Sequence[Aggregate]) -> float | None:
    """None where no task has bounds; a task that was measured whole is its own bound."""
    if all(bound is None for bound in bounds):
        return None
    values = [one.value if bound is None else bound for bound, one in zip(bounds, headlines, strict=True)]
    if None in values or not sum(sizes):
        return None
    return math.fsum(size * (value or 0.0) for size, value in zip(sizes, values, strict=True)) / sum(sizes)
