"""What a number is made of, so that it can be made again of other samples: what an interval rests on.

An aggregation gives an `Estimate` where it can say that; `interval` needs nothing else of it. Samples are named by
their ids, and weighed by the cluster that they are in: `prepared` makes a function of weights (a row for each resample,
a column for each cluster) to numbers (one for each row).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

from lmms_fast.types import Aggregate

if TYPE_CHECKING:
    import numpy as np  # where it is used it is imported there: `--help` need not pay for it

    Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
    Whole: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

Span = tuple[float, float]
"""The least and the most that a number can be."""
Statistic: TypeAlias = "Callable[[Array], Array]"


@dataclass(frozen=True, slots=True)
class Places:
    """Where samples stand among the weights."""

    clusters: Mapping[str, int]
    """Of ids."""
    groups: Whole
    """The group that a cluster is in, which has one weight."""
    count: int
    """Of groups."""

    def of(self, ids: Sequence[str]) -> Whole:
        """The groups of samples."""
        return numbered(self.clusters, ids, self.groups)


def numbered(clusters: Mapping[str, int], ids: Sequence[str], groups: Whole | None = None) -> Whole:
    """The clusters of samples, or the groups of their clusters."""
    import numpy as np  # noqa: PLC0415

    found = np.fromiter(map(clusters.__getitem__, ids), np.int64, len(ids))
    return found if groups is None else groups[found]


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over units: samples with their repeats averaged, or samples that count together."""

    numbers: Sequence[tuple[str, float]]
    """The id of a sample of the unit, and the unit's number."""
    span: Span | None = (0.0, 1.0)

    def ids(self) -> Iterable[str]:
        """Of the samples that it rests on."""
        return (id for id, _ in self.numbers)

    def prepared(self, places: Places) -> Statistic:
        """Weights → means."""
        sums = _sums([(id, (number, 1.0)) for id, number in self.numbers], places)
        return lambda weights: _ratio(*(weights @ sums).T)


@dataclass(frozen=True, slots=True)
class Combination:
    """A sum of numbers, each times a weight. Where resamples leave some of them without a value, the others stand for
    these."""

    parts: Sequence[tuple[float, Made]]

    @property
    def span(self) -> Span | None:
        """None where a part has none."""
        spans = [(weight * part.span[0], weight * part.span[1]) for weight, part in self.parts if part.span is not None]
        if len(spans) < len(self.parts):
            return None
        return math.fsum(low for low, _ in spans), math.fsum(high for _, high in spans)

    def ids(self) -> Iterable[str]:
        """Of the samples that it rests on."""
        return (id for _, part in self.parts for id in part.ids())

    def prepared(self, places: Places) -> Statistic:
        """Weights → sums."""
        import numpy as np  # noqa: PLC0415

        shares = np.array([weight for weight, _ in self.parts])[:, None]
        statistics = [part.prepared(places) for _, part in self.parts]

        def combined(weights: Array) -> Array:
            values = np.stack([statistic(weights) for statistic in statistics])
            there = np.isfinite(values)
            return _ratio(np.where(there, shares * values, 0).sum(0) * shares.sum(), (there * shares).sum(0))

        return combined


@dataclass(frozen=True, slots=True)
class Formula:
    """A number made of sums over samples, such as F1."""

    rows: Sequence[tuple[str, tuple[float, ...]]]
    """A sample's id, and what it adds to each sum."""
    formula: Callable[..., Any]
    """Sums → the number; of arrays, so operators only."""
    span: Span | None = (0.0, 1.0)
    held: str = ""
    """What is taken as given, though other samples would change it."""

    def ids(self) -> Iterable[str]:
        """Of the samples that it rests on."""
        return (id for id, _ in self.rows)

    def prepared(self, places: Places) -> Statistic:
        """Weights → numbers."""
        sums = _sums(self.rows, places)
        formula = self.formula

        def made(weights: Array) -> Array:
            found: Array = formula(*(weights @ sums).T)
            return found

        return made


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Spearman's, of pairs of numbers."""

    pairs: Sequence[tuple[str, tuple[float, float]]]
    span: Span | None = None

    def ids(self) -> Iterable[str]:
        """Of the samples that it rests on."""
        return (id for id, _ in self.pairs)

    def prepared(self, places: Places) -> Statistic:
        """Weights → correlations."""
        import numpy as np  # noqa: PLC0415

        pairs = sorted(self.pairs)
        of_each = places.of([id for id, _ in pairs])
        columns = [np.unique([pair[side] for _, pair in pairs], return_inverse=True)[1] for side in (0, 1)]

        def correlation(weights: Array) -> Array:
            of_pairs = weights[:, of_each]
            total = of_pairs.sum(1, keepdims=True)
            ranks = []
            for which in columns:
                order = np.argsort(which, kind="stable")
                ties = np.add.reduceat(of_pairs[:, order], np.searchsorted(which[order], np.arange(which.max() + 1)), 1)
                ranks.append((np.cumsum(ties, 1) - ties / 2 - total / 2)[:, which])
            left, right = ranks
            together, lefts, rights = ((of_pairs * one).sum(1) for one in (left * right, left**2, right**2))
            return _ratio(together, np.sqrt(lefts * rights))

        return correlation


Made = Mean | Combination | Formula | RankCorrelation


def _sums(rows: Sequence[tuple[str, tuple[float, ...]]], places: Places) -> Array:
    """A row for each cluster. Added up in the order of the samples' names, or the order they came in would show."""
    import numpy as np  # noqa: PLC0415

    ordered = sorted(rows)
    of_each = places.of([id for id, _ in ordered])
    columns = np.array([numbers for _, numbers in ordered], dtype=float).T
    return np.stack([np.bincount(of_each, column, places.count) for column in columns], axis=1)


def _ratio(part: Array, whole: Array) -> Array:
    found: Array = part / whole
    return found


@dataclass(frozen=True, slots=True)
class Estimate(Aggregate):
    """A number that says what it is made of."""

    made: Made | None = None


def plain(one: Aggregate) -> Aggregate:
    """The number alone."""
    return Aggregate(**{field.name: getattr(one, field.name) for field in fields(Aggregate)})


def combined(value: Aggregate, weights: Sequence[float], parts: Sequence[Aggregate]) -> Aggregate:
    """A weighted sum of others that says so, where they do; `value` has its number and counts."""
    made = [part.made for part in parts if isinstance(part, Estimate) and part.made is not None]
    if value.value is None or not made or len(made) < len(parts):
        return value
    return estimate(value, Combination(list(zip(weights, made, strict=True))))


def estimate(one: Aggregate, made: Made | None) -> Estimate:
    """A number with what it is made of."""
    return Estimate(**{field.name: getattr(one, field.name) for field in fields(Aggregate)}, made=made)
