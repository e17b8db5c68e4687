"""What a run may spend, in tokens or in money, and when that is as good as spent."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from lmms_fast.errors import UsageError
from lmms_fast.types import Usage

_AMOUNT = re.compile(r"\$?(\d+(?:\.\d+)?)\s*(usd|tok|ktok|mtok)?", re.IGNORECASE)
_TOKENS = {"tok": 1.0, "ktok": 1e3, "mtok": 1e6}
PRICES = Path(__file__).parent.parent / "endpoints" / "prices.yaml"


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens, in US dollars."""

    prompt: float
    completion: float

    def of(self, usage: Usage) -> float:
        """Dollars."""
        return ((usage.prompt_tokens or 0) * self.prompt + (usage.completion_tokens or 0) * self.completion) / 1e6


@dataclass(frozen=True, slots=True)
class Allowance:
    """A parsed ``--budget``; tokens where `price` is None, else dollars."""

    amount: float
    price: Price | None

    def cost(self, usage: Usage, price: Price | None = None) -> float:
        """Of one answer, in the allowance's unit, at its own model's price if that is another's. Tokens that a server
        does not report cost nothing."""
        if self.price is None:
            return float((usage.prompt_tokens or 0) + (usage.completion_tokens or 0))
        return (price or self.price).of(usage)


class Budget:
    """Counts what was spent. Requests that are out are taken to cost the mean of those before."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self.spent = 0.0
        self._answers = 0

    def spend(self, usage: Usage, out: int, price: Price | None = None) -> bool:
        """Take an answer in, with `out` more still to come; False when that is all the budget allows."""
        self.spent += self._allowance.cost(usage, price)
        self._answers += 1
        return self.spent * (1 + out / self._answers) < self._allowance.amount


@dataclass(slots=True)
class Spent:
    """What one stage of a session took, and takes out of the session's budget."""

    price: Price | None
    """None: not known."""
    budget: Budget | None
    over: Callable[[], None]
    """Called when the budget is spent."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, usage: Usage, out: int) -> None:
        """An answer, with `out` requests more still to come."""
        self.prompt_tokens += usage.prompt_tokens or 0
        self.completion_tokens += usage.completion_tokens or 0
        if self.budget and not self.budget.spend(usage, out, self.price):
            self.over()

    def as_told(self) -> dict[str, Any]:
        """Tokens, and dollars at the list price where that is known."""
        usage = Usage(self.prompt_tokens, self.completion_tokens)
        return {**asdict(usage), "usd": None if self.price is None else round(self.price.of(usage), 6)}


def parse_budget(text: str, model: str, prices: Path | None) -> Allowance:
    """``2.50usd`` or ``$2.50``, ``500000tok``, ``2Mtok``. Raises UsageError, also for a model without a price."""
    found = _AMOUNT.fullmatch(text.strip())
    if not found or float(found[1]) <= 0 or not (found[2] or text.strip().startswith("$")):
        raise UsageError(f"--budget {text}: write dollars (2.50usd) or tokens (500000tok, 500ktok, 2Mtok).")
    unit = (found[2] or "usd").lower()
    if unit in _TOKENS:
        return Allowance(float(found[1]) * _TOKENS[unit], None)
    return Allowance(float(found[1]), price_of(model, prices))


def known_price(model: str, prices: Path | None) -> Price | None:
    """By the user's table, else ours; None for a model of neither. Raises UsageError for a table that is none."""
    for table in [_read(path) for path in (prices, PRICES) if path is not None]:
        for pattern, price in table.items():
            if fnmatch.fnmatch(model.lower(), pattern.lower()):
                return price
    return None


def price_of(model: str, prices: Path | None) -> Price:
    """The same, where it has to be known. Raises UsageError."""
    if (price := known_price(model, prices)) is not None:
        return price
    raise UsageError(
        f"--budget in dollars: no price is known for '{model}'; give a file with --prices, such as "
        f"'{model}: {{prompt: 0.5, completion: 1.5}}' (dollars a million tokens)."
    )


def _read(path: Path) -> Mapping[str, Price]:
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {str(name): Price(float(one["prompt"]), float(one["completion"])) for name, one in content.items()}
    except (OSError, yaml.YAMLError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise UsageError(
            f"--prices {path}: expected lines such as 'model*: {{prompt: 0.5, completion: 1.5}}' "
            f"({type(error).__name__}: {error})."
        ) from None
