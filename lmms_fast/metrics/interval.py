"""A standard error and a 95 % interval for what an aggregation gives. No number depends on the order of the samples.

- Right or wrong, each unit on its own: the mid-p interval of the binomial, which is exact but for its discreteness.
- Other means, and sums of means: the same interval at the n that the samples are worth. That is value·(1 − value) over
  the squared standard error (Korn and Graubard, Survey Methodology 24, 1998), less what few clusters do not tell (the
  quantile of t). Student's own interval at these errors leaves too little room near 0 and 1, as `bench.intervals`
  shows. Standard errors of means are cluster-robust (CR2) with degrees of freedom by Satterthwaite (Bell and McCaffrey,
  2002; Imbens and Kolesár, Rev. Econ. Stat. 98, 2016); those of sums of means are the jackknife's over clusters.
- A mean that has no bounds: Student's t.
- Anything else (F1, BLEU, CIDEr, word errors): the bootstrap over clusters, BCa (Efron, 1987) with the acceleration of
  the jackknife and levels widened for few clusters (Hesterberg, arXiv 1411.5279, 5.1).

With all right, or all wrong, no sample shows any spread; the interval is then that of as many right as clusters.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from lmms_fast.metrics.aggregate import mean_and_error
from lmms_fast.metrics.clusters import Clusters
from lmms_fast.metrics.estimate import Combination, Estimate, Formula, Made, Mean, Places, Span, numbered, plain
from lmms_fast.metrics.quantile import binomial_interval, t_quantile
from lmms_fast.types import Aggregate

if TYPE_CHECKING:
    import numpy as np

    from lmms_fast.metrics.estimate import Array, Statistic

Interval = tuple[float, float]

LEVEL = 0.95
RESAMPLES = 2000
MOST_CLUSTERS = 2000
"""More than these are put into as many groups at random, and the groups resampled: the spread of a sum over them is
that of the sum over clusters, known to within 2 %, and the time is bounded."""
_UPPER = 1 - (1 - LEVEL) / 2
_NORMAL = NormalDist()


def with_intervals(found: Iterable[Aggregate], clusters: Clusters) -> list[Aggregate]:
    """The numbers with standard errors and intervals, where they say what they are made of."""
    return [_with_interval(one, clusters) for one in found]


def with_interval_of_mean(one: Aggregate, numbers: Sequence[float], span: Span | None) -> Aggregate:
    """The mean of numbers of which no more is known than that; each is taken to stand alone."""
    if one.value is None or not numbers:
        return one
    named = [(str(place), number) for place, number in enumerate(numbers)]
    error = mean_and_error(named)[1]
    alone = Clusters({name: place for place, (name, _) in enumerate(named)}, "")
    found = _of_mean(replace(one, stderr=error), one.value, Mean(named, span), alone)
    return replace(found, method=f"{found.method}, pictures not looked at") if found.method else found


def _with_interval(one: Aggregate, clusters: Clusters) -> Aggregate:
    if not isinstance(one, Estimate) or one.made is None or one.value is None:
        return plain(one)
    number = plain(one)
    if isinstance(one.made, Mean):
        return _of_mean(number, one.value, one.made, clusters)
    return _of_clusters(number, one.value, one.made, clusters)


def _of_mean(one: Aggregate, value: float, mean: Mean, clusters: Clusters) -> Aggregate:
    import numpy as np  # noqa: PLC0415

    units = len(mean.numbers)
    alone = len(np.unique(numbered(clusters.of, list(mean.ids())))) == units
    if alone and mean.span is not None and all(number in mean.span for _, number in mean.numbers):
        low, high = mean.span
        right = sum(number == high for _, number in mean.numbers)
        return _told(one, one.stderr, _scaled(binomial_interval(right, units), (low, high)), "exact (mid-p)")
    count, error, df = _clustered(mean.numbers, clusters)
    within = mean.span is not None and all(mean.span[0] <= number <= mean.span[1] for _, number in mean.numbers)
    how = "" if alone else _clustered_by(clusters, count, list(mean.ids()))
    stderr = one.stderr if alone else error
    if mean.span is None or not within:
        return one if error is None else _told(one, stderr, _student(value, error, df), f"Student's t{how}")
    return _told(one, stderr, _effective(value, error, df, count, mean.span), f"mid-p at the effective n{how}")


def _clustered(numbers: Sequence[tuple[str, float]], clusters: Clusters) -> tuple[int, float | None, float]:
    """Of a mean: how many clusters, its standard error (None for one cluster), the degrees of freedom of that."""
    import numpy as np  # noqa: PLC0415

    ordered = sorted(numbers)
    places = np.unique(numbered(clusters.of, [id for id, _ in ordered]), return_inverse=True)[1]
    values = np.array([number for _, number in ordered])
    sizes = np.bincount(places).astype(float)
    count, total = len(sizes), float(len(values))
    if count < 2:
        return count, None, 0.0
    mean = values.mean()
    sums = np.bincount(places, values - mean)
    share = sizes / total
    grown = 1 / (1 - share)
    error = math.sqrt((grown * sums**2).sum()) / total
    # How far two units of a cluster go together, by the analysis of variance: as large as it may be with single units.
    alike = 1.0
    if total > count:
        inside = (np.bincount(places, (values - mean) ** 2) - sums**2 / sizes).sum() / (total - count)
        between = (sums**2 / sizes).sum() / (count - 1)
        usual = (total - (sizes**2).sum() / total) / (count - 1)
        both = between + (usual - 1) * inside
        alike = min(1.0, max(0.0, (between - inside) / both)) if both > 0 else 1.0
    return count, error, _satterthwaite(sizes * (1 - alike) + sizes**2 * alike, share, grown)


def _satterthwaite(spread: Array, share: Array, grown: Array) -> float:
    """(Σ λ)² / Σ λ² for the weighted squares of the clusters' residual sums, whose covariances follow from the
    variances `spread` of the clusters' sums."""
    whole = spread.sum()
    lower = share**2 * whole - 2 * share * spread
    own = spread + lower
    squared, mixed = whole * (grown * share**2).sum(), (grown * share * spread).sum()
    pairs = 2 * squared / whole * (grown * spread**2).sum() + 2 * mixed**2 + squared**2 - 4 * squared * mixed
    return float((grown * own).sum() ** 2 / (pairs + ((grown * own) ** 2 - (grown * lower) ** 2).sum()))


def _clustered_by(clusters: Clusters, count: int, ids: Sequence[str]) -> str:
    """The end of the method's name."""
    return f", clustered by {clusters.by} ({count} clusters)" if count < len(set(ids)) else ""


def _student(value: float, error: float, df: float) -> Interval:
    room = t_quantile(_UPPER, df) * error
    return value - room, value + room


def _effective(value: float, error: float | None, df: float, count: int, span: Span) -> Interval:
    """The binomial's interval at the n that has this standard error; at the number of clusters where none is seen."""
    low, high = span
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    n = float(count)
    if error is not None and error > 1e-9 * (high - low) and 0 < share < 1:
        n = share * (1 - share) * ((high - low) / error) ** 2
        if n > 1e6:
            return _student(value, error, df)
        n = max(0.05, n * (_NORMAL.inv_cdf(_UPPER) / t_quantile(_UPPER, max(1.0, df))) ** 2)
    return _scaled(binomial_interval(share * n, n), span)


def _scaled(interval: Interval, span: Span) -> Interval:
    low, high = span
    return low + interval[0] * (high - low), low + interval[1] * (high - low)


def _of_clusters(one: Aggregate, value: float, made: Made, clusters: Clusters) -> Aggregate:
    """By leaving out clusters, or drawing them again."""
    import numpy as np  # noqa: PLC0415

    ids = list(made.ids())
    used = np.unique(numbered(clusters.of, ids))
    groups = min(len(used), MOST_CLUSTERS)
    places = np.zeros(len(clusters.of), dtype=np.int64)
    places[used] = np.arange(len(used)) if groups == len(used) else np.random.default_rng(7).permutation(len(used))
    how_clustered = _clustered_by(clusters, len(used), ids)
    with np.errstate(all="ignore"):
        statistic = made.prepared(Places(clusters.of, places % groups, groups))
        without = _without_each(statistic, groups, value)
        error = math.sqrt((groups - 1) / groups * (without**2).sum()) if groups > 1 else None
        if isinstance(made, Combination) and all(isinstance(part, Mean) for _, part in made.parts) and made.span:
            how = f"mid-p at the effective n by the jackknife{how_clustered}"
            return _told(one, error, _effective(value, error, groups - 1, len(used), made.span), how)
        drawn = _drawn(statistic, groups)
    held = f", {made.held} held" if isinstance(made, Formula) and made.held else ""
    how = f"bootstrap (BCa), {RESAMPLES} resamples{held}{how_clustered}"
    if not len(drawn) or drawn[-1] - drawn[0] <= 1e-9 * max(1.0, abs(value)):
        if made.span is None:
            return one
        alike = _effective(value, None, 0, len(used), made.span)
        return _told(one, None if groups < 2 else 0.0, alike, f"mid-p of clusters: all resamples alike{how_clustered}")
    return _told(one, float(drawn.std(ddof=1)), _bca(value, drawn, without, groups), how)


def _without_each(statistic: Statistic, groups: int, value: float) -> Array:
    """The number without each of the clusters, less the mean of these."""
    import numpy as np  # noqa: PLC0415

    rows = (1 - np.eye(min(_CHUNK, groups - start), groups, start) for start in range(0, groups, _CHUNK))
    every = np.concatenate([statistic(weights) for weights in rows])
    found: Array = np.where(np.isfinite(every), every, value)
    found -= found.mean()
    return found


def _drawn(statistic: Statistic, groups: int) -> Array:
    """The numbers of as many clusters drawn with replacement, sorted; without those that have no value."""
    import numpy as np  # noqa: PLC0415

    times = _resamples(groups)
    every = np.concatenate([statistic(times[start : start + _CHUNK].astype(float))
                            for start in range(0, RESAMPLES, _CHUNK)])  # fmt: skip
    return np.sort(every[np.isfinite(every)])


@functools.lru_cache(maxsize=2)
def _resamples(groups: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """How often each group is in each resample; the same ones for numbers over as many groups, 4 MB at most."""
    import numpy as np  # noqa: PLC0415

    dice = np.random.default_rng(7)
    starts = groups * np.arange(_CHUNK)[:, None]
    drawn = (dice.integers(groups, size=(_CHUNK, groups)) + starts for _ in range(RESAMPLES // _CHUNK))
    times = [np.bincount(one.ravel(), minlength=_CHUNK * groups).astype(np.uint8) for one in drawn]
    return np.concatenate(times).reshape(RESAMPLES, groups)


_CHUNK = 250
"""Resamples at a time, for memory's sake."""


def _bca(value: float, drawn: Array, without: Array, groups: int) -> Interval:
    import numpy as np  # noqa: PLC0415

    size = len(drawn)
    below = (np.searchsorted(drawn, value - 1e-12) + np.searchsorted(drawn, value + 1e-12)) / 2 / size
    bias = _NORMAL.inv_cdf(min(1 - 1 / size, max(1 / size, below)))
    cubes, squares = (without**3).sum(), (without**2).sum()
    acceleration = -cubes / (6 * squares**1.5) if squares > 0 else 0.0
    wide = t_quantile(_UPPER, groups - 1) * math.sqrt(groups / (groups - 1))
    ends = []
    for z in (-wide, wide):
        turned = bias + (bias + z) / max(1e-6, 1 - acceleration * (bias + z))
        ends.append(float(np.quantile(drawn, _NORMAL.cdf(turned))))
    return ends[0], ends[1]


def _told(one: Aggregate, error: float | None, interval: Interval, method: str) -> Aggregate:
    """Rounded to ten digits: the last ones are those of the machine's arithmetic, and the value is always inside."""
    value = one.value or 0.0
    low, high = (float(f"{end:.10g}") for end in interval)
    stderr = error if error is None or error == one.stderr else float(f"{error:.10g}")
    return replace(one, stderr=stderr, interval=(min(low, value), max(high, value)), method=method)
