"""Deadlines and budgets: what is written, and when it is spent."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lmms_fast.errors import UsageError
from lmms_fast.pipeline.budget import PRICES, Allowance, Budget, Price, Spent, parse_budget, price_of
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
        ("500000tok", Allowance(500_000, dollars=False)),
        ("500ktok", Allowance(500_000, dollars=False)),
        ("2Mtok", Allowance(2_000_000, dollars=False)),
        ("2.5usd", Allowance(2.5, dollars=True)),
        ("$2.5", Allowance(2.5, dollars=True)),
    ],
)
def test_budgets(text: str, allowance: Allowance) -> None:
    """Tokens or dollars."""
    assert parse_budget(text) == allowance


@pytest.mark.parametrize("text", ["", "5", "0usd", "-1usd", "5eur", "much"])
def test_bad_budgets(text: str) -> None:
    """A number without a unit is not guessed at."""
    with pytest.raises(UsageError, match="--budget"):
        parse_budget(text)


def test_a_model_without_a_price_is_told_how_to_give_one(tmp_path: Path) -> None:
    """A file of the user's own comes first."""
    with pytest.raises(UsageError, match="--prices"):
        price_of("my-model", None)
    own = tmp_path / "prices.yaml"
    own.write_text("my-*: {prompt: 1, completion: 2}\ngpt-4o*: {prompt: 9, completion: 9}\n")
    assert price_of("my-model", own) == Price(1, 2)
    assert price_of("gpt-4o", own) == Price(9, 9)
    assert price_of("gpt-4o", None) == Price(2.5, 10)
    own.write_text("my-model: cheap\n")
    with pytest.raises(UsageError, match=r"prices\.yaml"):
        price_of("my-model", own)


def test_the_price_table_finds_the_special_before_the_general() -> None:
    """Patterns are tried from the top."""
    names = list(yaml.safe_load(PRICES.read_text()))
    assert names.index("gpt-4o-mini*") < names.index("gpt-4o*")
    assert price_of("gpt-4o-mini", None) == Price(0.15, 0.60)


def test_requests_that_are_out_are_counted_in() -> None:
    """At the mean of those before, so that the budget is kept and not only noticed."""
    stage = Spent(None)
    budget = Budget(Allowance(100, dollars=False), [stage])
    for out, over in ((2, False), (2, False), (6, False), (6, True)):
        stage.add(Usage(5, 5), out)
        assert budget.over == over
    assert stage.amount(budget.allowance) == 40


def test_stages_spend_one_budget() -> None:
    """Each at its own price, and what is out of each at its own mean: cheap answers do not make dear ones cheaper."""
    answers, judging = Spent(Price(0, 0)), Spent(Price(1e6, 0))
    budget = Budget(Allowance(100, dollars=True), [answers, judging])
    for _ in range(50):
        answers.add(Usage(7, 1), 20)
    for _ in range(9):
        judging.add(Usage(10, 1), 0)
        assert not budget.over
    judging.add(Usage(None, None), 1)
    assert budget.over == (90 * 1.1 >= 100)
    judging.add(Usage(10, 0), 0)
    assert budget.over


def test_money() -> None:
    """Prompt and answer have prices of their own."""
    assert Price(2.0, 8.0).of(1_000_000, 500_000) == 6.0
    spent = Spent(Price(2.0, 8.0))
    spent.add(Usage(None, None), 0)
    assert spent.as_told() == {"prompt_tokens": 0, "completion_tokens": 0, "usd": 0.0}
