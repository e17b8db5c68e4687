"""Standard errors and intervals: known values, what holds for every aggregation, and how often they hold the truth."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import intervals as bench
from lmms_fast.metrics import AGGREGATORS, aggregate, aggregate_with_bounds, group_mean
from lmms_fast.metrics.clusters import Clusters, clusters
from lmms_fast.metrics.estimate import Estimate, Places, plain
from lmms_fast.metrics.interval import with_interval_of_mean, with_intervals
from lmms_fast.metrics.quantile import beta_share, binomial_interval, t_quantile
from lmms_fast.types import Aggregate, Scored
from tests.metrics.clock import cpu_s
from tests.metrics.test_metrics_aggregate import OPTIONS, measured, some


def one(id: str, value: float | None, *pictures: str, repeat: int = 0, **groups: str) -> Scored:
    return Scored(id, repeat, groups, value, value is not None, pictures=pictures)


def headline(rows: list[Scored], name: str = "mean") -> Aggregate:
    return aggregate_with_bounds(name, rows)[0]


# Quantiles


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2544, 0.3658), (15, 148, 0.0601, 0.1581), (0, 20, 0.0, 0.1391), (1, 29, 0.0017, 0.1585)],
)
def test_mid_p_is_that_of_the_literature(right: int, n: int, low: float, high: float) -> None:
    """Newcombe, Stat. Med. 17 (1998), table I, method 6."""
    assert binomial_interval(right, n) == pytest.approx((low, high), abs=5e-5)
    assert binomial_interval(n - right, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize(
    ("df", "quantile"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (10, 2.22814), (30, 2.04227), (120, 1.97993)]
)
def test_student(df: int, quantile: float) -> None:
    """Any table's values; symmetrical; the normal's in the end."""
    assert t_quantile(0.975, df) == pytest.approx(quantile, rel=1e-5)
    assert t_quantile(0.025, df) == -t_quantile(0.975, df)
    assert t_quantile(0.975, 1e7) == pytest.approx(t_quantile(0.975, 1e10), rel=1e-6)


@given(st.integers(1, 60), st.integers(0, 60), st.floats(0.001, 0.999))
def test_incomplete_beta_is_a_sum_of_binomials(right: int, wrong: int, share: float) -> None:
    """I_p(k, n − k + 1) is the chance of k or more of n."""
    n = right + wrong
    chances = (math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(right, n + 1))
    assert beta_share(right, wrong + 1, share) == pytest.approx(math.fsum(chances), rel=1e-9, abs=1e-12)


@settings(max_examples=200)
@given(st.floats(0, 1), st.floats(0.05, 1e6))
def test_the_interval_of_a_fraction_of_fractions(share: float, n: float) -> None:
    """Holds the share, inside 0 and 1, whatever n is worth."""
    low, high = binomial_interval(share * n, n)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    assert low < high


# By hand


def test_independent_shares_are_exact() -> None:
    """Of 20 right ones nothing is certain; one sample says little; silence and failures do not count for it."""
    found = headline([one(str(id), 1.0) for id in range(20)])
    assert found.interval == (pytest.approx(0.05 ** (1 / 20)), 1.0)
    assert (found.method, found.stderr) == ("exact (mid-p)", 0.0)
    assert headline([one("1", 1.0)]).interval == (pytest.approx(0.05), 1.0)
    assert headline([one("1", 0.0), one("2", None)]).interval == (0.0, pytest.approx(0.95))
    for rows in ([], [one("1", None)]):
        assert (headline(rows).interval, headline(rows).method) == (None, "")


def test_clusters_by_hand() -> None:
    """Three pictures with 2, 2 and 1 questions: CR2 of the mean, √Σ (Σe)² / (1 − n_g/n) / n."""
    rows = [one(str(id), value, picture) for id, (value, picture) in
            enumerate([(1.0, "a"), (1.0, "a"), (0.0, "b"), (1.0, "b"), (0.0, "c")])]  # fmt: skip
    found = headline(rows)
    sums = [(0.8, 0.6), (-0.2, 0.6), (-0.6, 0.8)]
    assert found.value == 0.6
    assert found.stderr == pytest.approx(math.sqrt(sum(total**2 / rest for total, rest in sums)) / 5)
    assert found.method == "mid-p at the effective n, clustered by picture (3 clusters)"
    assert found.interval is not None
    assert found.interval[0] < 0.2
    assert found.interval[1] > 0.9


def test_pictures_of_one_question_each_cost_nothing() -> None:
    """And copies of each answer on the same picture add no certainty, but little is lost by knowing of few clusters."""
    dice = random.Random(1)
    rows = [one(str(id), float(dice.random() < 0.7), str(id)) for id in range(100)]
    alone, copied = headline(rows), headline([replace(row, id=f"{row.id}/{copy}") for row in rows for copy in range(4)])
    assert alone.method == "exact (mid-p)"
    assert copied.stderr == pytest.approx(alone.stderr)
    assert copied.interval == pytest.approx(alone.interval, abs=0.01)


def test_graded_scores_on_equal_clusters_are_students() -> None:
    """In the middle of the scale the interval at the effective n is that of t with G − 1 degrees of freedom."""
    dice = random.Random(1)
    centres = [dice.uniform(0.3, 0.7) for _ in range(40)]
    rows = [one(f"{id}/{side}", centre + dice.uniform(-0.1, 0.1), str(id))
            for id, centre in enumerate(centres) for side in (0, 1)]  # fmt: skip
    found = headline(rows)
    assert found.value is not None
    assert found.stderr is not None
    means = [(rows[2 * id].value or 0) / 2 + (rows[2 * id + 1].value or 0) / 2 for id in range(40)]
    assert found.stderr == pytest.approx(np.std(means, ddof=1) / math.sqrt(40))
    room = t_quantile(0.975, 39) * found.stderr
    assert found.interval == pytest.approx((found.value - room, found.value + room), abs=0.002)


def test_what_has_no_bounds_is_students() -> None:
    """Lengths in words, of an evaluator that does not say more."""
    numbers = [3.0, 5.0, 4.0, 8.0]
    found = with_interval_of_mean(Aggregate("words", None, 5.0, None, 4, 0, 0), numbers, None)
    assert found.stderr == pytest.approx(math.sqrt(14 / 3 / 4))
    assert found.interval == pytest.approx((1.56256, 8.43744), abs=1e-5)  # 5 ± 3.18245 · √(14/12)
    assert found.method == "Student's t, pictures not looked at"
    single = Aggregate("words", None, 5.0, None, 1, 0, 0)
    assert with_interval_of_mean(single, [5.0], None) == single


def test_perfect_numbers_of_any_kind_are_not_certain() -> None:
    """All right makes all resamples alike; the interval is that of as many right as clusters."""
    rows = [Scored(str(id), 0, {"kind": "ab"[id % 2]}, 1.0, True, {}, "yes", ("yes",), (str(id // 2),))
            for id in range(40)]  # fmt: skip
    f1 = headline(rows, "f1")
    assert (f1.value, f1.interval) == (1.0, (pytest.approx(0.05 ** (1 / 20)), 1.0))
    assert f1.method == "mid-p of clusters: all resamples alike, clustered by picture (20 clusters)"
    single = headline(rows[:1], "f1")
    assert (single.value, single.stderr, single.interval) == (1.0, None, (pytest.approx(0.05), 1.0))
    macro = aggregate_with_bounds("macro", rows, {"by": ["kind"]})[0]
    assert macro.interval == (pytest.approx(0.05 ** (1 / 20)), 1.0)


def test_groups_of_tasks() -> None:
    """MOVER: what the tasks' intervals reach, squared and added."""
    left = Aggregate("a", None, 0.8, 0.1, 10, 0, 0, interval=(0.5, 0.9))
    right = Aggregate("a", None, 0.6, 0.1, 30, 0, 0, interval=(0.2, 0.8))
    found = group_mean("mean", [left, right])
    assert found.interval == pytest.approx((0.7 - math.hypot(0.15, 0.2), 0.7 + math.hypot(0.05, 0.1)))
    assert "independent" in found.method
    assert group_mean("mean", [left, replace(right, interval=None)]).interval is None


def test_repeats() -> None:
    """Mean, pass@k, maj@k and flip rate, with k the answers that were asked for; one that failed leaves its question
    out of what needs k."""
    rows = [replace(one(id, value, repeat=repeat), answer=str(value), target=("1.0",))
            for id, values in {"1": (1, 1, 0), "2": (0, 0, 0), "3": (0, 1, 0), "4": (1, 1, None)}.items()
            for repeat, value in enumerate(None if value is None else float(value) for value in values)]  # fmt: skip
    mean, some_right, most, flips = aggregate_with_bounds("repeats", rows)
    assert [found.metric for found in (mean, some_right, most, flips)] == ["mean", "pass@3", "maj@3", "flip_rate"]
    assert mean.value == pytest.approx((2 / 3 + 0 + 1 / 3 + 1) / 4)
    assert (some_right.value, most.value, flips.value) == (pytest.approx(2 / 3), pytest.approx(1 / 3), 0.5)
    assert flips.interval == binomial_interval(2, 4) or flips.interval == pytest.approx(binomial_interval(2, 4))
    assert all(found.interval and not found.low for found in (mean, some_right, most, flips))


# Which samples go together


def test_pictures_join_samples() -> None:
    """Directly, and by way of a third; ids in any order give the same numbers."""
    rows = [one("1", 1.0, "a"), one("2", 1.0, "a", "b"), one("3", 1.0, "b"), one("4", 1.0, "c"), one("5", 1.0),
            one("6", 1.0, "d"), one("7", 1.0)]  # fmt: skip
    assert clusters(rows) == Clusters({"1": 0, "2": 0, "3": 0, "4": 1, "5": 2, "6": 3, "7": 4}, "picture")
    assert clusters(rows[::-1]) == clusters(rows)
    assert clusters([]) == Clusters({}, "")


def test_a_picture_of_every_sample_joins_none() -> None:
    """An example in the prompt tells nothing of which questions go together."""
    rows = [one(str(id), 1.0, "example", str(id // 2)) for id in range(6)]
    assert list(clusters(rows).of.values()) == [0, 0, 1, 1, 2, 2]
    alone = [one(str(id), 1.0, "example") for id in range(3)]
    assert clusters(alone) == Clusters({"0": 0, "1": 1, "2": 2}, "")


def test_a_net_of_pictures_is_no_cluster() -> None:
    """Pairs drawn at random from a few pictures hang together; those of the same two are what counts then."""
    pairs = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("b", "a"), ("e", "f")]
    rows = [one(str(id), 1.0, *pair) for id, pair in enumerate(pairs)]
    assert clusters(rows).of == {"0": 0, "4": 0, "1": 1, "2": 2, "3": 3, "5": 4}


def test_what_counts_together_is_one_cluster() -> None:
    """Pairs are their aggregation's units, and join pictures that they have."""
    rows = [one("1", 1.0, "x", pair_id="p"), one("2", 0.0, "y", pair_id="p"), one("3", 1.0, "y", pair_id="q"),
            one("4", 1.0, "z", pair_id="q"), one("5", 1.0, "v", pair_id="r"), one("6", 1.0, "w", pair_id="r"),
            one("7", 1.0, "t", pair_id="s"), one("8", 1.0, "u", pair_id="s")]  # fmt: skip
    found = clusters(rows, AGGREGATORS["pairs"].together)
    assert found == Clusters({"1": 0, "2": 0, "3": 0, "4": 0, "5": 1, "6": 1, "7": 2, "8": 2}, "picture and group")
    assert "clustered by picture and group (3 clusters)" in headline(rows, "pairs").method
    apart = [replace(row, pictures=()) for row in rows]
    assert headline(apart, "pairs").method == "exact (mid-p)"


# Of every aggregation


def pictured(rows: list[Scored], dice: random.Random) -> list[Scored]:
    return [replace(row, pictures=(dice.choice("abcdefgh"),)) if dice.random() < 0.7 else row for row in rows]


@pytest.mark.parametrize("name", AGGREGATORS)
def test_order_never_shows(name: str) -> None:
    """The same bytes whatever the order; the number is inside; values and counts are those without intervals."""
    options = OPTIONS.get(name, {})
    for seed in range(25):
        dice = random.Random(seed)
        rows = pictured(some(measured(name, dice), dice), dice)
        found = aggregate_with_bounds(name, rows, options)
        again = aggregate_with_bounds(name, dice.sample(rows, len(rows)), options)
        assert orjson.dumps(found) == orjson.dumps(again)
        for before, after in zip(aggregate(name, rows, options), found, strict=True):
            assert (before.value, before.n, before.n_failed) == (after.value, after.n, after.n_failed)
            if after.interval is not None and after.value is not None:
                assert after.interval[0] <= after.value <= after.interval[1]
                assert all(map(math.isfinite, after.interval))
                assert after.method


@pytest.mark.parametrize("name", AGGREGATORS)
def test_what_a_number_is_made_of_gives_the_number(name: str) -> None:
    """With every cluster once. Published roundings are not made again."""
    rounded = {"score_ratio": 0.06, "mmeval_pro": 0.006}
    for seed in range(25):
        dice = random.Random(seed)
        rows = measured(name, dice)
        of = clusters(rows, AGGREGATORS[name].together).of
        count = max(of.values()) + 1
        for found in AGGREGATORS[name].run(rows, OPTIONS.get(name, {})):
            if found.value is None or found.metric == "verdicts":  # counts, not scores
                continue
            assert isinstance(found, Estimate), found.metric
            assert found.made is not None
            with np.errstate(all="ignore"):
                again = found.made.prepared(Places(of, np.arange(count), count))(np.ones((1, count)))
            if np.isfinite(again[0]):
                assert again[0] == pytest.approx(found.value, abs=rounded.get(name, 1e-9)), found.metric


@pytest.mark.parametrize("name", ["mean", "f1", "pairs", "mme", "spearman"])
def test_more_samples_make_it_narrower(name: str) -> None:
    """Four times as many, about half as wide."""
    widths = []
    for n in (100, 400):
        dice = random.Random(1)
        rows = []
        for id in range(n):
            right = dice.random() < 0.8
            groups = {"pair_id": str(id // 2), "category": ("OCR", "count")[id // 2 % 2], "question_id": str(id // 2)}
            said = ("yes", "no")[(id % 2 == 0) is right]
            near = (str(id + 300 * dice.random()), str(id))
            answer, gold = near if name == "spearman" else (said, ("no", "yes")[id % 2])
            rows.append(Scored(str(id), 0, groups, float(right), True, {}, answer, (gold,), (str(id // 2),)))
        interval = headline(rows, name).interval
        assert interval is not None
        widths.append(interval[1] - interval[0])
    limits = (0.1, 0.7) if name == "spearman" else (0.35, 0.7)
    assert limits[0] < widths[1] / widths[0] < limits[1]


def test_a_number_that_does_not_say_what_it_is_made_of_stays_alone() -> None:
    """As those of other evaluators' code do."""
    number = Aggregate("x", None, 1.0, None, 1, 0, 0)
    assert with_intervals([number], Clusters({}, "")) == [number]
    assert plain(Estimate("x", None, 1.0, None, 1, 0, 0)) == number


def test_it_costs_little() -> None:
    """50,000 samples: some 0.4 s of CPU more than without."""
    dice = random.Random(1)
    rows = [one(str(id), float(dice.random() < 0.8), str(id // 3), kind=str(id % 20)) for id in range(50_000)]
    options = {"by": ["kind"]}
    without = cpu_s(lambda: aggregate("macro", rows, options))
    assert cpu_s(lambda: aggregate_with_bounds("macro", rows, options)) < without + 2


# How often they hold the truth. `python -m bench.intervals` has more of it, drawn more often.


@pytest.mark.parametrize("n", [20, 50, 100, 300, 1000])
@pytest.mark.parametrize("p", [0.5, 0.8, 0.97])
def test_shares_hold_what_they_say(n: int, p: float) -> None:
    """Computed, not drawn. What comes out is a whole number, so single ones are off: with p near 1 and few samples, the
    interval of "all right" holds the truth as a whole or not at all."""
    few_wrong = {(20, 0.97): (0.97, 0.99), (50, 0.97): (0.97, 0.99), (100, 0.97): (0.92, 0.93)}
    low, high = few_wrong.get((n, p), (0.93, 0.97))
    assert low < bench.exact(n, p).held < high


CASES = [
    bench.graded(50, "uniform", lambda dice, n: dice.random(n), 0.5),
    bench.graded(50, "mostly right", bench.mostly_right, 0.945),
    bench.clustered(50, 0.3, 0.8),
    bench.clustered(50, 0.8, 0.8),
    bench.clustered(50, 0.8, 0.8, unequal=True),
    bench.repeated(60, 3, 0.7, 0.5),
    bench.macro([20, 20, 40], [0.9, 0.6, 0.8]),
    bench.mme(10, 0.8),
    bench.group([(50, 0.9), (60, 0.6)]),
    bench.f1(100, 0.8, 0.2),
    bench.f1(120, 0.8, 0.2, per_picture=6),
    bench.words(60, 0.1),
    bench.spearman(40, 0.6),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_intervals_hold_what_they_say(case: bench.Case) -> None:
    """93 to 97 %, and no less than the chance of so many draws allows: 250 make ± 2.7 %."""
    found = bench.measured(case, 250, seed=3)
    assert 0.93 - 0.02 <= found.held <= 0.97 + 0.02, found
