"""Deadlines and budgets: what is written, and when it is spent."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lmms_fast.errors import UsageError
from lmms_fast.pipeline.budget import PRICES, Allowance, Budget, Price, parse_budget
from lmms_fast.pipeline.stop import Stop, parse_time_s
from lmms_fast.types import Usage


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400)])
def test_times(text: str, seconds: float) -> None:
    """Seconds, or with a unit."""
    assert parse_time_s(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3", "0", "3x", "1h30"])
def test_bad_times(text: str) -> None:
    """One sentence that says how to write it."""
    with pytest.raises(UsageError, match="--max-time"):
        parse_time_s(text)


def test_only_the_first_reason_to_stop_counts() -> None:
    """A deadline during Ctrl-C's grace changes nothing."""
    heard: list[str] = []
    stop = Stop()
    stop.how = heard.append
    stop.request("one")
    stop.request("two")
    assert (stop.reason, heard) == ("one", ["one"])


@pytest.mark.parametrize(
    ("text", "allowance"),
    [
        ("500000tok", Allowance(500_000, None)),
        ("500ktok", Allowance(500_000, None)),
        ("2Mtok", Allowance(2_000_000, None)),
        ("2.5usd", Allowance(2.5, Price(2.5, 10.0))),
        ("$2.5", Allowance(2.5, Price(2.5, 10.0))),
    ],
)
def test_budgets(text: str, allowance: Allowance) -> None:
    """Tokens or dollars; dollars need a price."""
    assert parse_budget(text, "gpt-4o-2024-08-06", None) == allowance


@pytest.mark.parametrize("text", ["", "5", "0usd", "-1usd", "5eur", "much"])
def test_bad_budgets(text: str) -> None:
    """A number without a unit is not guessed at."""
    with pytest.raises(UsageError, match="--budget"):
        parse_budget(text, "gpt-4o", None)


def test_a_model_without_a_price_is_told_how_to_give_one(tmp_path: Path) -> None:
    """A file of the user's own comes first."""
    with pytest.raises(UsageError, match="--prices"):
        parse_budget("1usd", "my-model", None)
    own = tmp_path / "prices.yaml"
    own.write_text("my-*: {prompt: 1, completion: 2}\ngpt-4o*: {prompt: 9, completion: 9}\n")
    assert parse_budget("1usd", "my-model", own).price == Price(1, 2)
    assert parse_budget("1usd", "gpt-4o", own).price == Price(9, 9)
    assert parse_budget("1usd", "gpt-4o", None).price == Price(2.5, 10)
    own.write_text("my-model: cheap\n")
    with pytest.raises(UsageError, match=r"prices\.yaml"):
        parse_budget("1usd", "my-model", own)


def test_the_price_table_finds_the_special_before_the_general() -> None:
    """Patterns are tried from the top."""
    names = list(yaml.safe_load(PRICES.read_text()))
    assert names.index("gpt-4o-mini*") < names.index("gpt-4o*")
    assert parse_budget("1usd", "gpt-4o-mini", None).price == Price(0.15, 0.60)


def test_requests_that_are_out_are_counted_in() -> None:
    """At the mean of those before, so that the budget is kept and not only noticed."""
    budget = Budget(Allowance(100, None))
    assert budget.spend(Usage(5, 5), out=2)
    assert budget.spend(Usage(5, 5), out=2)
    assert budget.spend(Usage(5, 5), out=6)
    assert not budget.spend(Usage(5, 5), out=6)
    assert budget.spent == 40


def test_money() -> None:
    """Prompt and answer have prices of their own."""
    allowance = Allowance(1.0, Price(2.0, 8.0))
    assert allowance.cost(Usage(1_000_000, 500_000)) == 6.0
    assert allowance.cost(Usage(None, None)) == 0.0
