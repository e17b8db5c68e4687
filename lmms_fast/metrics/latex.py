"""The number that a piece of LaTeX stands for, without evaluating anything as code.

Benchmarks turn answers into numbers with latex2sympy and Python's `eval`. A model's output must reach neither, so this
reads by hand what occurs in answers: digits, + - * / ^ ! %, fractions, roots, pi, brackets, factors side by side.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from itertools import islice

# What is skipped is never walked twice (`*+`), and numbers hold ASCII digits only, as in latex2sympy.
_TOKEN = re.compile(
    r"(?:\s|\$|~|\\,|\\(?:left|right|q?quad|displaystyle)(?![A-Za-z]))*+"
    r"(?P<token>(?:[0-9]++(?:,[0-9]{3})*+(?:\.[0-9]++)?+|\.[0-9]++)(?:\\%)?+|\\[A-Za-z]++|\\?\S|\Z)"
)
_TOKENS_MAX, _DEPTH_MAX, _DIGITS_MAX, _BITS_MAX, _COUNT_MAX = 300, 40, 1000, 4096, 200
_END, _TOO_LONG = "", "?"
_DIGITS = frozenset("0123456789")

_TIMES = frozenset({"*", r"\times", r"\cdot"})
_OVER = frozenset({"/", ":", r"\div"})
_FRACTIONS = frozenset({r"\frac", r"\dfrac", r"\tfrac"})
_FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    r"\sin": math.sin,
    r"\cos": math.cos,
    r"\tan": math.tan,
    r"\arcsin": math.asin,
    r"\arccos": math.acos,
    r"\arctan": math.atan,
}
_CLOSING = {"(": ")", "[": "]", "{": "}", r"\{": r"\}"}
_FACTORS = frozenset({r"\sqrt", r"\pi", r"\binom", *_FRACTIONS, *_FUNCTIONS, *_CLOSING})
_STOPS = frozenset({_END, ".", "'", "&", "_", r"\\", r"\rightarrow", *_CLOSING.values()})
"""Where reading may end: what follows is ignored, so that ``20. Since …`` and ``4)`` are numbers."""


def latex_number(text: str) -> int | float | None:
    """The number at the start of a LaTeX expression; None where it is none, or none of a bounded size.

    As latex2sympy2 1.9 with ``eval(str(…))`` in a namespace with Python's `math`, oddities included: ``1\\frac{1}{2}``
    is a product (0.5), ``2:5`` a quotient, ``2^3^2`` is 64, ``1/2\\pi`` is 1/(2π), and of ``3. 4`` only 3 is read.
    Angles are in radians. It differs where that reads logarithms or relations (``2<3`` is 1 there), or drops a word
    that starts like one of its commands (``2 triangles`` is 2 there), which are None here; the argument of a function
    is the one thing behind it; and numbers of more than some 1,200 digits are None.
    """
    reader = _Reader([*(match["token"] for match in islice(_TOKEN.finditer(text), _TOKENS_MAX)), _TOO_LONG])
    try:
        value = reader.sum()
        finite = not isinstance(value, complex) and math.isfinite(value)
    except (ValueError, ArithmeticError):
        return None
    return value if finite and reader.next in _STOPS else None


class _Reader:
    """Recursive descent over tokens. Its methods raise ValueError or ArithmeticError where there is no number."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    @property
    def next(self) -> str:
        return self._tokens[self._position]

    def sum(self) -> int | float:
        value = self._product()
        while self.next in ("+", "-"):
            value = value + self._product() if self._take() == "+" else value - self._product()
        return value

    def _product(self) -> int | float:
        value = self._signed()
        while self.next in _TIMES or self.next in _OVER:
            value = value * self._signed() if self._take() in _TIMES else value / self._signed()
        return value

    def _signed(self) -> int | float:
        negative = False
        while self.next in ("+", "-"):
            negative ^= self._take() == "-"
        value = self._power()
        while self._begins_factor():
            value *= self._power()
        return -value if negative else value

    def _begins_factor(self) -> bool:
        return _is_number(self.next) or self.next in _FACTORS

    def _power(self) -> int | float:
        value = self._atom()
        while self.next in ("^", "!"):
            value = _power(value, self._atom()) if self._take() == "^" else math.factorial(_count(value))
        return value

    def _atom(self) -> int | float:
        token = self._take()
        if _is_number(token):
            return _literal(token)
        if token == r"\pi":
            return math.pi
        if token in _FRACTIONS:
            return self._group("{") / self._group("{")
        if token == r"\sqrt":
            degree = self._group("[") if self.next == "[" else 2
            radicand = self._group("{")
            return math.sqrt(radicand) if degree == 2 else _power(radicand, 1 / degree)
        if token == r"\binom":
            return math.comb(_count(self._group("{")), _count(self._group("{")))
        if token in _FUNCTIONS:
            exponent = self._atom() if self.next == "^" and self._take() else 1
            return _power(_FUNCTIONS[token](self._atom()), exponent)
        self._position -= 1
        return self._group(token)

    def _group(self, opening: str) -> int | float:
        self._depth += 1
        if opening not in _CLOSING or self._take() != opening or self._depth > _DEPTH_MAX:
            raise ValueError("no group")
        value = self.sum()
        if self._take() != _CLOSING[opening]:
            raise ValueError("not closed")
        self._depth -= 1
        return value

    def _take(self) -> str:
        token = self.next
        if token in (_END, _TOO_LONG):
            raise ValueError("ends too early")
        self._position += 1
        return token


def _is_number(token: str) -> bool:
    return token.removesuffix(r"\%")[-1:] in _DIGITS


def _literal(token: str) -> int | float:
    digits = token.removesuffix(r"\%").replace(",", "")
    if len(digits) > _DIGITS_MAX:
        raise ValueError("too many digits")
    value = float(digits) if "." in digits else int(digits)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a member (1.0,2) of a list is written (1,2)
    return value / 100 if token.endswith("%") else value


def _power(base: int | float, exponent: int | float) -> int | float:
    if isinstance(base, int) and abs(exponent) * base.bit_length() > _BITS_MAX:
        raise ValueError("too large")
    value: int | float | complex = base**exponent
    if isinstance(value, complex):
        raise ValueError("not real")
    return value


def _count(value: int | float) -> int:
    if not isinstance(value, int) or value > _COUNT_MAX:
        raise ValueError("no count of a bounded size")
    return value
