"""Student's t and the binomial, as far as intervals need them; scipy would cost every run its import.

The incomplete beta function is the continued fraction of Abramowitz and Stegun, 26.5.8 (Numerical Recipes, 6.4).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from statistics import NormalDist

_NORMAL = NormalDist()


def beta_share(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b): the chance that a Beta(a, b) is below `x`."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """By Lentz's method; some √(a + b) steps."""
    d = 1 / _not_zero(1 - (a + b) * x / (a + 1))
    c, found = 1.0, d
    for m in range(1, 100_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            found *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return found


def _not_zero(number: float) -> float:
    return number if abs(number) > 1e-300 else 1e-300


@functools.lru_cache(maxsize=4096)
def t_quantile(share: float, df: float) -> float:
    """The quantile of Student's t with `df` degrees of freedom, which need not be whole."""
    normal = _NORMAL.inv_cdf(share)
    if df > 1e9:
        return normal

    def below(t: float) -> float:
        tail = beta_share(df / 2, 0.5, df / (df + t * t)) / 2
        return 1 - tail if t > 0 else tail

    if share < 0.5:
        return -t_quantile(1 - share, df)
    far = 2 * normal + 1
    while below(far) < share:
        far *= 2
    return _where(lambda t: _normal(below(t)) - normal, 0.0, far)


@functools.lru_cache(maxsize=4096)
def binomial_interval(right: float, n: float, tail: float = 0.025) -> tuple[float, float]:
    """The mid-p interval of a share with `right` of `n` (Lancaster, 1961; Berry and Armitage, 1995).

    Both may be fractions, where n is what a clustered sample is worth (Korn and Graubard, 1998).
    """
    return _lowest(right, n, tail), 1 - _lowest(n - right, n, tail)


def _lowest(right: float, n: float, tail: float) -> float:
    """The share under which `right` or more, at half the weight for `right` itself, has the chance `tail`."""
    if right <= 0:
        return 0.0

    def chance(share: float) -> float:
        at_least = beta_share(right, n - right + 1, share)
        more = beta_share(right + 1, n - right, share) if n - right > 1e-12 else 0.0
        return (at_least + more) / 2

    wanted = _NORMAL.inv_cdf(tail)
    return _where(lambda share: _normal(chance(share)) - wanted, 0.0, right / n, _wilson(right / n, n, wanted))


def _normal(chance: float) -> float:
    """The normal's quantile, where chances near their ends are nearly straight lines."""
    return _NORMAL.inv_cdf(chance) if 1e-300 < chance < 1 else math.copysign(40.0, chance - 0.5)


def _wilson(share: float, n: float, z: float) -> float:
    middle = share + z * z / (2 * n)
    return (middle + z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)) / (1 + z * z / n)


def _where(number: Callable[[float], float], low: float, high: float, near: float | None = None) -> float:
    """Where a growing function crosses zero between `low` and `high`, by the Illinois form of false position."""
    before, after = number(low), number(high)
    guess = (low + high) / 2 if near is None or not low < near < high else near
    kept = 0
    for _ in range(200):
        here = number(guess)
        if here < 0:
            low, before = guess, here
            after = after / 2 if kept == -1 else after
            kept = -1
        else:
            high, after = guess, here
            before = before / 2 if kept == 1 else before
            kept = 1
        last = guess
        guess = low - before * (high - low) / (after - before)
        if abs(guess - last) <= 1e-13 * max(1e-3, abs(guess)) or not low < guess < high:
            break
    return guess
