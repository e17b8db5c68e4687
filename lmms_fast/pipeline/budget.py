"""What a run may spend, in tokens or in money, and when that is as good as spent."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
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

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Dollars."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True, slots=True)
class Allowance:
    """A parsed ``--budget``."""

    amount: float
    dollars: bool
    """Else tokens."""


@dataclass(slots=True)
class Budget:
    """An allowance that the stages of a session spend together."""

    allowance: Allowance
    stages: list[Spent] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether all is spent once the requests are answered that are out, at the mean of their stage before."""
        coming = sum(stage.amount(self.allowance) * (1 + stage.out / max(1, stage.answers)) for stage in self.stages)
        return coming >= self.allowance.amount


@dataclass(slots=True)
class Spent:
    """What one stage of a session took. Tokens that a server does not report cost nothing."""

    price: Price | None
    """None: not known."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    answers: int = 0
    out: int = 0
    """Requests still to be answered."""

    def add(self, usage: Usage, out: int) -> None:
        """An answer."""
        self.prompt_tokens += usage.prompt_tokens or 0
        self.completion_tokens += usage.completion_tokens or 0
        self.answers += 1
        self.out = out

    def amount(self, allowance: Allowance) -> float:
        """In the allowance's unit."""
        if not allowance.dollars:
            return float(self.prompt_tokens + self.completion_tokens)
        assert self.price is not None, "a budget in dollars has all prices"
        return self.price.of(self.prompt_tokens, self.completion_tokens)

    def as_told(self) -> dict[str, Any]:
        """Tokens, and dollars at the list price where that is known."""
        dollars = None if self.price is None else round(self.price.of(self.prompt_tokens, self.completion_tokens), 6)
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens, "usd": dollars}


def parse_budget(text: str) -> Allowance:
    """``2.50usd`` or ``$2.50``, ``500000tok``, ``2Mtok``. Raises UsageError."""
    found = _AMOUNT.fullmatch(text.strip())
    if not found or float(found[1]) <= 0 or not (found[2] or text.strip().startswith("$")):
        raise UsageError(f"--budget {text}: write dollars (2.50usd) or tokens (500000tok, 500ktok, 2Mtok).")
    unit = (found[2] or "usd").lower()
    if unit in _TOKENS:
        return Allowance(float(found[1]) * _TOKENS[unit], dollars=False)
    return Allowance(float(found[1]), dollars=True)


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
