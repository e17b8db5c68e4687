"""The tests behind `compare` and `gate`: known values, and how often they are wrong."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable, Sequence
from statistics import fmean

import pytest

from lmms_fast.metrics.quantile import binomial_interval, t_quantile
from lmms_fast.report.compare_tests import (
    Contrast,
    Paired,
    Z,
    holm,
    mcnemar,
    of_means,
    of_numbers,
    t_two_sided,
    tango,
)


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (0, 6, 2 / 64),
        (1, 5, 2 * 7 / 64),
        (10, 2, 2 * (1 + 12 + 66) / 4096),
        (121, 59, 4.434449263755e-06),  # statsmodels' example, [[101, 121], [59, 33]]
        (5, 15, 0.04138946533203125),
    ],
)
def test_mcnemar(gained: int, lost: int, p: float) -> None:
    """By hand as a binomial, and as others publish it."""
    assert mcnemar(gained, lost) == pytest.approx(p, rel=1e-9)
    assert mcnemar(lost, gained) == mcnemar(gained, lost)


def test_holm_by_hand() -> None:
    """Times 4, 3, 2, 1 in order, never falling, never above 1."""
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_t_of_the_tables() -> None:
    """Quantiles as tables print them."""
    for freedom, quantile in ((1, 12.706), (4, 2.776), (30, 2.042), (120, 1.980)):
        assert t_quantile(0.975, freedom) == pytest.approx(quantile, abs=6e-4)
        assert t_two_sided(quantile, freedom) == pytest.approx(0.05, abs=1e-4)
    assert t_two_sided(0, 7) == pytest.approx(1)
    assert t_two_sided(1.0, 1) == pytest.approx(0.5)  # Cauchy


def test_tangos_interval() -> None:
    """Where nothing changed it is ± z² / (n + z²); it holds what its own score test does not reject."""
    assert tango(0, 0, 80) == pytest.approx((-Z * Z / (80 + Z * Z), Z * Z / (80 + Z * Z)))
    # No difference is inside just where McNemar's score (b − c)² / (b + c) is below z².
    assert tango(15, 5, 60)[0] > 0 > tango(14, 6, 60)[0]
    low, high = tango(9, 3, 50)
    assert tango(3, 9, 50) == pytest.approx((-high, -low), abs=1e-9)
    assert tango(0, 20, 20)[0] == pytest.approx(-1)


def test_a_score_alone_has_the_interval_of_every_table() -> None:
    """Against nothing at all."""
    alone = of_means(_pairs([(0, 1)] * 17 + [(0, 0)] * 3), alone=True)
    assert alone is not None
    assert (alone.difference, alone.low, alone.high) == pytest.approx((0.85, *binomial_interval(17, 20)))


def _pairs(cells: Sequence[tuple[float, float]], per_cluster: int = 1) -> list[Paired]:
    return [Paired(one, other, number // per_cluster) for number, (one, other) in enumerate(cells)]


def test_a_clustered_mean_by_hand() -> None:
    """Two questions on each of three pictures: t over the sums of the pictures."""
    found = of_means(_pairs([(0, 1), (0, 1), (0, 0), (0, 0), (1, 1), (0, 0.5)], 2), 10.0)
    assert found is not None
    mean = 2.5 / 6
    error = math.sqrt(((2 - 2 * mean) ** 2 + (2 * mean) ** 2 + (0.5 - 2 * mean) ** 2) * 3 / 2) / 6
    assert (found.difference, found.error) == pytest.approx((mean, error))
    assert (found.clusters, found.method) == (3, "paired t over clusters")
    assert found.high - found.difference == pytest.approx(error * t_quantile(0.975, 2))
    assert found.p == pytest.approx(t_two_sided(mean / error, 2))


def test_nothing_to_test() -> None:
    """One cluster tells nothing, and no sample at all neither."""
    assert of_means(_pairs([(0, 1)] * 5, 5)) is None
    assert of_means([]) is None
    assert of_numbers(["a", "b"], lambda without: None, 1.0) is None
    assert of_numbers(["a"], lambda without: (0.0, 1.0), 1.0) is None


def test_no_change_is_no_certainty() -> None:
    """Equal answers of a few clusters leave room for a difference, which shrinks with their number."""
    reaches = []
    for clusters in (10, 100, 1000):
        found = of_means(_pairs([(0.3, 0.3)] * 2 * clusters, 2))
        assert found is not None
        assert (found.difference, found.p) == (0.0, 1.0)
        reaches.append(found.high)
    assert reaches == pytest.approx([Z * Z / (n + Z * Z) for n in (10, 100, 1000)])


def test_the_jackknife_of_a_mean_is_the_t_test() -> None:
    """Leaving out each cluster once, the standard error is about that over clusters; of sums, n times as large."""
    dice = random.Random(3)
    cells = [(dice.random(), dice.random()) for _ in range(80)]
    names: list[Hashable] = [number // 2 for number in range(80)]

    def sums(without: object) -> tuple[float, float]:
        kept = [pair for name, pair in zip(names, cells, strict=True) if name not in without]  # type: ignore[operator]
        return sum(one for one, _ in kept), sum(other for _, other in kept)

    by_t = of_means([Paired(*pair, name) for name, pair in zip(names, cells, strict=True)])
    found = of_numbers(names, sums, 1.0)
    assert by_t is not None
    assert found is not None
    assert found.difference == pytest.approx(80 * by_t.difference)
    # A sum also has the spread of the number of clusters that were drawn; here that of the differences' own mean.
    assert found.error == pytest.approx(80 * by_t.error, rel=0.05)


# By simulation. The seeds are fixed, so the figures are the same every time.

Draw = Callable[[random.Random], tuple[list[Paired], float]]
"""Pairs, and the true difference."""


def _binary(n: int, gained: float, lost: float) -> Draw:
    def draw(dice: random.Random) -> tuple[list[Paired], float]:
        cells = []
        for _ in range(n):
            u = dice.random()
            cells.append((0.0, 1.0) if u < gained else (1.0, 0.0) if u < gained + lost else (1.0, 1.0))
        return _pairs(cells), gained - lost

    return draw


def _clustered(clusters: int, size: int, shift: float = 0.0, *, binary: bool = True) -> Draw:
    """Each picture favours one run or the other, so that its questions change together."""

    def draw(dice: random.Random) -> tuple[list[Paired], float]:
        cells = []
        for _ in range(clusters):
            lean = dice.gauss(0, 0.25)
            for _ in range(size):
                one, other = 0.5 - lean / 2, 0.5 + lean / 2 + shift
                if binary:
                    cells.append((float(dice.random() < one), float(dice.random() < other)))
                else:
                    cells.append((min(1, max(0, one + dice.gauss(0, 0.1))), min(1, max(0, other + dice.gauss(0, 0.1)))))
        return _pairs(cells, size), shift

    return draw


def _rates(draw: Draw, runs: int, seed: int = 1) -> tuple[float, float]:
    """(share of p < 0.05, share of intervals that hold the truth)."""
    dice = random.Random(seed)
    found, covered = 0, 0
    for _ in range(runs):
        pairs, truth = draw(dice)
        tested = of_means(pairs)
        assert tested is not None
        found += tested.p < 0.05
        covered += tested.low <= truth <= tested.high
    return found / runs, covered / runs


@pytest.mark.parametrize(
    "draw",
    [_binary(80, 0.08, 0.08), _binary(300, 0.05, 0.05), _binary(300, 0.01, 0.01), _clustered(60, 5),
     _clustered(40, 3, binary=False), _clustered(60, 1, binary=False)],
    ids=["80 right or wrong", "300", "300, few change", "60 pictures", "graded, 40 pictures", "graded"],
)  # fmt: skip
def test_false_alarms_are_at_most_one_in_twenty(draw: Draw) -> None:
    """Under no difference; and the interval holds it at least as often as it says."""
    alarms, covered = _rates(draw, 1000)
    assert alarms <= 0.065  # 0.05 and two standard errors of the simulation
    assert covered >= 0.93


def test_the_interval_holds_a_real_difference() -> None:
    """Nominal 95 %: not much less, and not much more."""
    for draw in (_binary(200, 0.03, 0.13), _clustered(60, 5, -0.1)):
        assert 0.93 <= _rates(draw, 1000, seed=2)[1] <= 0.975


def test_without_clusters_there_would_be_too_many_alarms() -> None:
    """The same draws, each question for itself."""
    draw = _clustered(40, 10)

    def alone(dice: random.Random) -> tuple[list[Paired], float]:
        pairs, truth = draw(dice)
        return [Paired(one.first, one.second, number) for number, one in enumerate(pairs)], truth

    assert _rates(draw, 600)[0] <= 0.07
    assert _rates(alone, 600)[0] >= 0.12


@pytest.mark.parametrize("clustered", [False, True])
def test_what_is_said_to_be_detectable_is_detected_in_four_of_five(clustered: bool) -> None:
    """The minimum detectable difference of draws without one, as the true difference of many."""
    dice = random.Random(5)
    start = _clustered(80, 4) if clustered else _binary(400, 0.1, 0.1)
    wanted = fmean(tested.detectable for _ in range(20) if (tested := of_means(start(dice)[0])))
    real = _clustered(80, 4, -wanted) if clustered else _binary(400, 0.1 - wanted / 2, 0.1 + wanted / 2)
    assert 0.72 <= _rates(real, 800, seed=6)[0] <= 0.9


def _f1(pairs: Sequence[Paired]) -> tuple[float, float] | None:
    """F1 of yes answers, of which the gold is coded in the cluster's parity."""

    def of(said: Sequence[float]) -> float:
        right = sum(one for one, pair in zip(said, pairs, strict=True) if int(pair.cluster) % 2)  # type: ignore[call-overload]
        golds = sum(int(pair.cluster) % 2 for pair in pairs)  # type: ignore[call-overload]
        return 2 * right / (sum(said) + golds)

    return (of([one.first for one in pairs]), of([one.second for one in pairs])) if pairs else None


def test_the_jackknife_has_few_false_alarms_and_finds_what_is_there() -> None:
    """F1 with three answers to each of 60 pictures: a number that is no mean."""

    def once(dice: random.Random, worse: float) -> Contrast:
        pairs = []
        for cluster in range(60):
            hard = dice.random() * 0.5
            for _ in range(3):
                right = [float(dice.random() > hard), float(dice.random() > hard + worse)]
                pairs.append(Paired(*(one if cluster % 2 else 1 - one for one in right), cluster))

        def number(without: object) -> tuple[float, float] | None:
            return _f1([pair for pair in pairs if pair.cluster not in without])  # type: ignore[operator]

        found = of_numbers([pair.cluster for pair in pairs], number, 1.0)
        assert found is not None
        return found

    dice = random.Random(8)
    assert sum(once(dice, 0.0).p < 0.05 for _ in range(300)) / 300 <= 0.08
    assert sum(once(dice, 0.25).p < 0.05 for _ in range(60)) / 60 >= 0.9


def test_how_many_samples_it_would_take() -> None:
    """Four times as many for half the distance; none where there is no distance."""
    tested = Contrast(-0.02, -0.06, 0.02, 0.3, 0.02, "", 100)
    assert tested.enough(0.01, 100) == pytest.approx(4 * (tested.enough(0.02, 100) or 0), rel=0.01)
    assert tested.enough(0.0, 100) is None
