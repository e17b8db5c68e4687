"""Whether 95 % intervals hold what they say: ``python -m bench.intervals [--runs 2000] [--readme]``.

Each line draws samples of a known kind, has them aggregated as a run's are, and counts how often the interval holds the
true value. Shares of independent samples need no dice: their coverage is a sum over what can come out.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.measure import machine, publish
from lmms_fast.metrics import aggregate_with_bounds, group_mean
from lmms_fast.metrics.captions import bleu_counts, bleu_of, cider
from lmms_fast.metrics.clusters import Clusters
from lmms_fast.metrics.estimate import Formula, estimate
from lmms_fast.metrics.interval import with_intervals
from lmms_fast.metrics.quantile import binomial_interval
from lmms_fast.types import Aggregate, Scored

Dice = np.random.Generator
PER_PICTURE = 5


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of data."""

    name: str
    truth: float
    draw: Callable[[Dice], Aggregate]
    """A number with its interval."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often the interval held the truth, lay above it, and below."""

    held: float
    above: float
    below: float
    method: str


def measured(case: Case, runs: int, seed: int = 1) -> Coverage:
    """By drawing `runs` times."""
    dice = np.random.default_rng(seed)
    above = below = 0
    found = None
    for _ in range(runs):
        found = case.draw(dice)
        assert found.interval is not None, case.name
        above += case.truth < found.interval[0] - 1e-9
        below += case.truth > found.interval[1] + 1e-9
    assert found is not None
    return Coverage(1 - (above + below) / runs, above / runs, below / runs, found.method)


def exact(n: int, p: float) -> Coverage:
    """Of the mid-p interval, without dice."""
    above = below = 0.0
    for right in range(n + 1):
        log = math.lgamma(n + 1) - math.lgamma(right + 1) - math.lgamma(n - right + 1)
        chance = math.exp(log + right * math.log(p) + (n - right) * math.log(1 - p))
        low, high = binomial_interval(right, n)
        above += chance * (p < low)
        below += chance * (p > high)
    return Coverage(1 - above - below, above, below, "exact (mid-p)")


# Means


def graded(n: int, name: str, values: Callable[[Dice, int], np.ndarray], truth: float) -> Case:
    """Independent samples with values between 0 and 1."""
    return Case(f"graded, {name}, n = {n}", truth,
                lambda dice: aggregate_with_bounds("mean", _rows(values(dice, n)))[0])  # fmt: skip


def mostly_right(dice: Dice, n: int) -> np.ndarray:
    """Nine of ten 1, the others anything: as ANLS is."""
    return np.where(dice.random(n) < 0.9, 1.0, 0.9 * dice.random(n))


def clustered(pictures: int, alike: float, p: float, unequal: bool = False) -> Case:
    """Right or wrong, some questions on each picture, with an intraclass correlation `alike`."""

    def draw(dice: Dice) -> Aggregate:
        sizes = dice.geometric(1 / PER_PICTURE, pictures) if unequal else np.full(pictures, PER_PICTURE)
        picture = np.repeat(np.arange(pictures), sizes)
        right = dice.random(len(picture)) < _beta(dice, p, alike, pictures)[picture]
        return aggregate_with_bounds("mean", _rows(right, picture))[0]

    sizes = f"1 to many (mean {PER_PICTURE})" if unequal else str(PER_PICTURE)
    return Case(f"p = {p}, {pictures} pictures with {sizes} questions each, ICC {alike}", p, draw)


def repeated(n: int, k: int, p: float, alike: float) -> Case:
    """The mean over k answers to each question."""

    def draw(dice: Dice) -> Aggregate:
        right = dice.random((n, k)) < _beta(dice, p, alike, n)[:, None]
        rows = [Scored(str(id), repeat, {}, float(right[id, repeat]), True) for id in range(n) for repeat in range(k)]
        return aggregate_with_bounds("mean", rows)[0]

    return Case(f"p = {p}, {n} questions with {k} answers each, ICC {alike}", p, draw)


# Sums of means


def mme(pairs: int, p: float, alike: float = 0.3) -> Case:
    """MME's perception score: both questions on a picture right, in ten categories."""
    names = ("existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR")
    a, b = p * (1 - alike) / alike, (1 - p) * (1 - alike) / alike
    both = p * (a + 1) / (a + b + 1)

    def draw(dice: Dice) -> Aggregate:
        rows = []
        for name in names:
            right = dice.random((pairs, 2)) < _beta(dice, p, alike, pairs)[:, None]
            rows += [
                Scored(f"{name}{pair}/{side}", 0, {"category": name, "question_id": str(pair)},
                       float(right[pair, side]), True)
                for pair in range(pairs) for side in (0, 1)
            ]  # fmt: skip
        return aggregate_with_bounds("mme", rows)[0]

    return Case(f"MME's perception score, 10 × {pairs} pairs, p = {p}", 1000 * (p + both), draw)


def macro(sizes: Sequence[int], shares: Sequence[float]) -> Case:
    """The mean over categories."""

    def draw(dice: Dice) -> Aggregate:
        rows = [
            Scored(f"{name}/{id}", 0, {"kind": str(name)}, float(right), True)
            for name, (size, share) in enumerate(zip(sizes, shares, strict=True))
            for id, right in enumerate(dice.random(size) < share)
        ]
        return aggregate_with_bounds("macro", rows, {"by": ["kind"]})[0]

    return Case(f"macro mean, {len(sizes)} categories of {min(sizes)} to {max(sizes)}", float(np.mean(shares)), draw)


def group(tasks: Sequence[tuple[int, float]]) -> Case:
    """The mean of several tasks."""

    def draw(dice: Dice) -> Aggregate:
        heads = [aggregate_with_bounds("mean", _rows(dice.random(n) < p))[0] for n, p in tasks]
        return group_mean("mean", heads)

    return Case(f"mean of {len(tasks)} tasks", float(np.mean([p for _, p in tasks])), draw)


# What is no mean


def f1(n: int, hit: float, false: float, per_picture: int = 1, alike: float = 0.3, fixed: bool = False) -> Case:
    """POPE's: half of the golds are yes, by chance or (`fixed`) always; `hit` and `false` are the chances of a yes."""

    def draw(dice: Dice) -> Aggregate:
        picture = np.arange(n) // per_picture
        gold = np.arange(n) % 2 == 0 if fixed else dice.random(n) < 0.5
        if per_picture == 1:
            yes = dice.random(n) < np.where(gold, hit, false)
        else:
            count = picture[-1] + 1
            chances = np.where(gold, _beta(dice, hit, alike, count)[picture], _beta(dice, false, alike, count)[picture])
            yes = dice.random(n) < chances
        words = ("no", "yes")
        rows = [
            Scored(str(id), 0, {}, float(said == right), True, {}, words[said], (words[right],), (str(picture[id]),))
            for id, (said, right) in enumerate(zip(map(int, yes), map(int, gold), strict=True))
        ]
        return aggregate_with_bounds("f1", rows)[0]

    on = "" if per_picture == 1 else f", {per_picture} on each picture, ICC {alike}"
    design = ", golds half and half by design" if fixed else ""
    return Case(f"F1 of {2 * hit / (1 + hit + false):.2f}, n = {n}{on}{design}", 2 * hit / (1 + hit + false), draw)


def words(n: int, rate: float) -> Case:
    """Word errors: each text has its own rate, and 5 to 15 words."""

    def draw(dice: Dice) -> Aggregate:
        lengths = dice.integers(5, 16, n)
        edits = dice.binomial(lengths, dice.beta(2 * rate / (1 - rate), 2, n))
        rows = [
            Scored(str(id), 0, {}, 0.0, True, {}, " ".join(["x"] * wrong + ["w"] * (length - wrong)),
                   (" ".join(["w"] * length),))
            for id, (length, wrong) in enumerate(zip(map(int, lengths), map(int, edits), strict=True))
        ]  # fmt: skip
        return aggregate_with_bounds("wer", rows)[0]

    return Case(f"word error rate of {rate}, n = {n}", 100 * rate, draw)


def spearman(n: int, r: float) -> Case:
    """Rank correlation of normal numbers with a correlation `r`."""

    def draw(dice: Dice) -> Aggregate:
        gold = dice.standard_normal(n)
        said = r * gold + math.sqrt(1 - r * r) * dice.standard_normal(n)
        rows = [Scored(str(id), 0, {}, 0.0, True, {}, f"{said[id]:.6f}", (f"{gold[id]:.6f}",)) for id in range(n)]
        return aggregate_with_bounds("spearman", rows)[0]

    truth = 6 / math.pi * math.asin(r / 2)
    return Case(f"Spearman's correlation of {truth:.2f}, n = {n}", truth, draw)


def captions(n: int) -> Iterator[Case]:
    """BLEU-4 and CIDEr of captions drawn from 4,000, with the weights of n-grams of these."""
    dice = np.random.default_rng(0)
    frequent = 1 / np.arange(1, 301)
    frequent /= frequent.sum()
    pairs = []
    for _ in range(4000):
        text = dice.choice(300, dice.integers(7, 14), p=frequent)
        kept = dice.beta(4, 2)
        versions = [[int(word) if dice.random() < kept else int(dice.choice(300, p=frequent)) for word in text]
                    for _ in range(6)]  # fmt: skip
        pairs.append((versions[0], versions[1:]))
    counts = np.array([bleu_counts(*pair) for pair in pairs])
    scores = np.array(cider(pairs, [references for _, references in pairs]))

    def case(name: str, table: np.ndarray, formula: Callable[..., float], span: tuple[float, float]) -> Case:
        def draw(dice: Dice) -> Aggregate:
            chosen = table[dice.integers(len(table), size=n)]
            one = Aggregate(name, None, float(formula(*chosen.sum(0))), None, n, 0, 0)
            made = Formula([(str(id), tuple(map(float, row))) for id, row in enumerate(chosen)], formula, span)
            return with_intervals([estimate(one, made)], Clusters({str(id): id for id in range(n)}, ""))[0]

        truth = float(formula(*table.sum(0)))
        return Case(f"{name} of {truth:.2f}, n = {n}", truth, draw)

    yield case("BLEU-4", counts, lambda *sums: bleu_of(4, *sums), (0.0, 1.0))
    yield case("CIDEr", np.stack([scores, np.ones(len(scores))], 1), lambda total, n: total / n, (0.0, 10.0))


def _rows(values: np.ndarray, picture: np.ndarray | None = None) -> list[Scored]:
    return [
        Scored(str(id), 0, {}, float(value), True, pictures=() if picture is None else (str(picture[id]),))
        for id, value in enumerate(values)
    ]


def _beta(dice: Dice, p: float, alike: float, size: int) -> np.ndarray:
    """Chances with a mean p that make what is drawn with them alike."""
    return dice.beta(p * (1 - alike) / alike, (1 - p) * (1 - alike) / alike, size)


def cases() -> Iterator[Case]:
    """All that are drawn."""
    for n in (20, 50, 200):
        yield graded(n, "uniform", lambda dice, n: dice.random(n), 0.5)
        yield graded(n, "nine of ten 1", mostly_right, 0.9 + 0.1 * 0.45)
    for alike in (0.3, 0.8):
        for p in (0.5, 0.8, 0.97):
            for pictures in (10, 20, 50, 200):
                yield clustered(pictures, alike, p)
    yield clustered(50, 0.3, 0.8, unequal=True)
    yield clustered(50, 0.8, 0.8, unequal=True)
    yield repeated(100, 4, 0.7, 0.5)
    yield macro([20, 20, 40, 40, 80], [0.9, 0.6, 0.8, 0.5, 0.7])
    yield mme(20, 0.8)
    yield mme(20, 0.95)
    yield group([(50, 0.9), (100, 0.6), (500, 0.75)])
    yield f1(50, 0.8, 0.2)
    yield f1(200, 0.8, 0.2)
    yield f1(200, 0.97, 0.03)
    yield f1(200, 0.8, 0.2, fixed=True)
    yield f1(1000, 0.8, 0.2, fixed=True)
    yield f1(300, 0.8, 0.2, per_picture=6, fixed=True)
    yield from captions(200)
    yield words(100, 0.1)
    yield spearman(100, 0.6)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Coverage of 95 % intervals.")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md or docs/")
    options = parser.parse_args()
    lines = ["| what | held | above the truth | below |", "|---|---|---|---|"]
    for n in (20, 50, 100, 300, 1000):
        for p in (0.5, 0.8, 0.97):
            lines.append(_line(f"right or wrong, p = {p}, n = {n} (computed)", exact(n, p)))
    for case in cases():
        lines.append(_line(case.name, measured(case, options.runs)))
    note = (f"{options.runs:,} draws a line, so ± {1.96 * math.sqrt(0.95 * 0.05 / options.runs):.1%} on `held`. "
            f"{machine()}.")  # fmt: skip
    publish("intervals", [*lines, "", note], options.readme)


def _line(name: str, found: Coverage) -> str:
    return f"| {name} | {found.held:.1%} | {found.above:.1%} | {found.below:.1%} |"


if __name__ == "__main__":
    main()
