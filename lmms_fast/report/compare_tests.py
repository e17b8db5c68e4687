"""Is a difference between two runs of the same samples real? Pure functions on paired numbers.

What is tested, by what the number is:

    right or wrong, each sample on its own    McNemar's exact test; Tango's score interval (1998,
                                              doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B)
    any other mean over samples               paired t over clusters: the sums of the differences in each
    any other number (CIDEr, F1, MME's sum)   paired jackknife: the number again without each block of clusters, for
                                              both runs alike

The jackknife and not the bootstrap, since a resample holds clusters twice, and numbers over samples that count together
(rotations, pairs) do not take a member that is there twice; it throws no dice, and for means both come to the same.

A cluster is what was drawn together: the questions on one picture, the rotations of one question, repeats.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from lmms_fast.metrics.quantile import beta_share, binomial_interval, t_quantile

LEVEL = 0.95
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
_Z_POWER = NormalDist().inv_cdf(0.8)
BLOCKS = 100


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference with its 95 % interval."""

    difference: float
    low: float
    high: float
    p: float
    """Two-sided, for no difference."""
    error: float
    """Standard error of the difference."""
    method: str
    clusters: int

    @property
    def detectable(self) -> float:
        """The smallest difference that such a comparison finds in four of five cases, at p < 0.05."""
        return (Z + _Z_POWER) * self.error

    def enough(self, distance: float, n: int) -> int | None:
        """Samples that would tell in four of five cases that the difference is not `distance` away from where it is
        now, n being those at hand; None where it is there."""
        return math.ceil(n * (self.detectable / distance) ** 2) if distance else None


@dataclass(frozen=True, slots=True)
class Paired:
    """A sample's two numbers, the repeats of one averaged."""

    first: float
    second: float
    cluster: Hashable


def of_means(pairs: Sequence[Paired], scale: float = 1.0, *, alone: bool = False) -> Contrast | None:
    """The mean difference (second − first) of numbers from 0 to `scale`; None for fewer than two clusters.

    `alone`: the first are all 0 and nothing was measured, so the interval is that of the second's own mean.
    """
    clusters = len({pair.cluster for pair in pairs})
    if clusters < 2:
        return None
    single = clusters == len(pairs)
    if single and all({pair.first, pair.second} <= {0.0, scale} for pair in pairs):
        gained = sum(pair.second > pair.first for pair in pairs)
        lost = sum(pair.second < pair.first for pair in pairs)
        return _right_or_wrong(gained, lost, len(pairs), scale, alone)
    difference = math.fsum(pair.second - pair.first for pair in pairs) / len(pairs)
    sums: defaultdict[Hashable, list[float]] = defaultdict(list)
    for pair in pairs:
        sums[pair.cluster].append(pair.second - pair.first - difference)
    spread = math.fsum(math.fsum(of_one) ** 2 for of_one in sums.values())
    error = math.sqrt(spread * clusters / (clusters - 1)) / len(pairs)
    found = _by_t(difference, error, clusters, clusters - 1, "paired t" if single else "paired t over clusters", scale)
    return replace(found, low=max(found.low, -scale), high=min(found.high, scale))


def _right_or_wrong(gained: int, lost: int, n: int, scale: float, alone: bool) -> Contrast:
    low, high = binomial_interval(gained, n) if alone else tango(gained, lost, n)
    difference = (gained - lost) / n
    error = math.sqrt(max(0.0, gained + lost - n * difference**2)) / n or (high - low) / 2 / Z
    return Contrast(scale * difference, scale * low, scale * high, mcnemar(gained, lost), scale * error,
                    "exact (mid-p)" if alone else "McNemar's exact test, Tango's interval", n)  # fmt: skip


def of_numbers(
    clusters: Sequence[Hashable], number: Callable[[Collection[Hashable]], tuple[float, float] | None], scale: float,
    blocks: int = BLOCKS,
) -> Contrast | None:  # fmt: skip
    """The difference of two numbers over the same clusters, which are put into so many `blocks` at most.

    `number` gives both without the clusters named (none of them: the numbers themselves), None where there is none;
    then, and for fewer than two clusters, there is no test.
    """
    distinct = sorted(set(clusters), key=_shuffled)
    whole = number(())
    if len(distinct) < 2 or whole is None:
        return None
    count = min(blocks, len(distinct))
    without = []
    for block in range(count):
        found = number(frozenset(distinct[block::count]))
        if found is None:
            return None
        without.append(found[1] - found[0])
    middle = math.fsum(without) / count
    error = math.sqrt(math.fsum((one - middle) ** 2 for one in without) * (count - 1) / count)
    return _by_t(whole[1] - whole[0], error, len(distinct), count - 1, "paired jackknife over clusters", scale)


def _shuffled(cluster: Hashable) -> bytes:
    """Blocks are of clusters from everywhere, the same ones in every run."""
    return hashlib.blake2b(repr(cluster).encode(), digest_size=8).digest()


def _by_t(difference: float, error: float, clusters: int, freedom: int, method: str, scale: float) -> Contrast:
    if error <= 1e-12 * scale:
        # Not one cluster differs from the others. That is no certainty: as for right and wrong, with as many units.
        low, high = (scale * bound for bound in tango(0, 0, clusters))
        p = 1.0 if abs(difference) <= 1e-12 * scale else min(1.0, 2 * 0.5**clusters)
        return Contrast(difference, difference + low, difference + high, p, (high - low) / 2 / Z, method, clusters)
    reach = error * t_quantile((1 + LEVEL) / 2, freedom)
    p = t_two_sided(difference / error, freedom)
    return Contrast(difference, difference - reach, difference + reach, p, error, method, clusters)


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p of McNemar's test: that of a fair coin over the samples that changed (binomial, doubled)."""
    n, fewer = gained + lost, min(gained, lost)
    if gained == lost:
        return 1.0
    logs = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
            for k in range(fewer + 1))  # fmt: skip
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def tango(gained: int, lost: int, n: int) -> tuple[float, float]:
    """Score interval of (gained − lost) / n for paired proportions, also where nothing changed: ± z² / (n + z²)."""

    def score(delta: float) -> float:
        b = -gained - lost + (2 * n - gained + lost) * delta
        c = -lost * delta * (1 - delta)
        q = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        spread = n * (2 * q + delta * (1 - delta))
        apart = gained - lost - n * delta
        return apart / math.sqrt(spread) if spread > 1e-12 else math.copysign(math.inf, apart) if apart else 0.0

    estimate = (gained - lost) / n
    return _solve(score, Z, -1.0, estimate), _solve(score, -Z, estimate, 1.0)


def _solve(falling: Callable[[float], float], value: float, low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > value else (low, middle)
    return (low + high) / 2


def holm(p_values: Mapping[Hashable, float]) -> dict[Hashable, float]:
    """Holm's correction (1979): adjusted p, none of which is below another's that was smaller before."""
    found: dict[Hashable, float] = {}
    highest = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p))
        found[name] = highest
    return found


def t_two_sided(t: float, freedom: float) -> float:
    """Chance that Student's t is as far from 0, on either side."""
    return beta_share(freedom / 2, 0.5, freedom / (freedom + t * t))
