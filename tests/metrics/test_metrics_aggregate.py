"""From scores to the numbers of a task and of a group."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_fast.errors import TaskError
from lmms_fast.metrics import AGGREGATORS, aggregate, check_aggregate, group_mean
from lmms_fast.types import Aggregate, Scored


def scored(id: str, value: float | None, repeat: int = 0, answered: bool = True, **groups: str) -> Scored:
    return Scored(id, repeat, groups, value, answered)


def test_mean_counts_what_was_not_measured_apart() -> None:
    """A failure is not a zero; silence is."""
    [found] = aggregate("mean", [scored("1", 1.0), scored("2", 0.0, answered=False), scored("3", None)], {})
    assert found == Aggregate("accuracy", None, 0.5, 0.5, n=2, n_no_answer=1, n_failed=1)


def test_mean_over_nothing_is_none() -> None:
    """No number rather than zero, whether nothing came or everything failed."""
    assert aggregate("mean", [], {"metric": "acc"}) == [Aggregate("acc", None, None, None, 0, 0, 0)]
    assert aggregate("mean", [scored("1", None)], {}) == [Aggregate("accuracy", None, None, None, 0, 0, 1)]


def test_mean_by_groups() -> None:
    """One number per value of each column, the overall mean first."""
    rows = [scored("1", 1.0, subject="Art", domain="X"), scored("2", 0.0, subject="Law", domain="X")]
    found = aggregate("mean", rows, {"by": ("domain", "subject")})
    assert [(one.group, one.value, one.n) for one in found] == [
        (None, 0.5, 2),
        ("domain=X", 0.5, 2),
        ("subject=Art", 1.0, 1),
        ("subject=Law", 0.0, 1),
    ]


def test_repeats_are_averaged_first() -> None:
    """A sample measured thrice weighs as much as one measured once, and adds no certainty."""
    rows = [scored("1", 1.0), scored("1", 1.0, 1), scored("1", None, 2), scored("2", 0.0)]
    [found] = aggregate("mean", rows, {})
    assert (found.value, found.stderr, found.n, found.n_failed) == (0.5, 0.5, 3, 1)


OPTIONS = {"mean": {"by": ["category"]}, "macro": {"by": ["category"]}, "f1": {"by": ["category"]}}


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1) | st.none(), st.sampled_from("ab"))), st.randoms())
def test_order_never_shows(rows: list[tuple[int, float | None, str]], dice: random.Random) -> None:
    """Every aggregation gives the same numbers, to the last digit, whatever the order."""
    for name, rule in AGGREGATORS.items():
        names = sorted(rule.needs | {"category"})
        given_rows = [
            Scored(
                str(id), repeat, {**{one: str(id // 2) for one in names}, "category": group}, value, value is not None,
                {"model": value or 0.0, "reference": 1.0}, "yes", ("yes",),
            )
            for repeat, (id, value, group) in enumerate(rows)
        ]  # fmt: skip
        mixed = dice.sample(given_rows, len(given_rows))
        found = aggregate(name, given_rows, OPTIONS.get(name, {}))
        assert found
        assert found == aggregate(name, mixed, OPTIONS.get(name, {}))
        assert all(one.value is None or math.isfinite(one.value) for one in found)


def test_a_missing_group_is_named() -> None:
    """The error says which groups the task has."""
    with pytest.raises(TaskError, match="no group 'subject'; groups of the task: kind"):
        aggregate("mean", [scored("1", 1.0, kind="x")], {"by": ["subject"]})


def test_unknown_names_are_refused() -> None:
    """Unknown aggregations and options are named with those that exist."""
    with pytest.raises(TaskError, match=r"allowed: .*mean, mme"):
        check_aggregate("median", {}, ())
    with pytest.raises(TaskError, match="allowed: by, each, metric"):
        check_aggregate("mean", {"bye": []}, ())
    with pytest.raises(TaskError, match="needs question_id"):
        check_aggregate("mme", {}, ["category"])
    with pytest.raises(TaskError, match="names the group 'subject'; the task has: kind"):
        check_aggregate("mean", {"by": ["subject"]}, ["kind"])


def test_group_mean_weighs() -> None:
    """Equal weights or sizes; the standard errors add as independent."""
    small = Aggregate("a", None, 1.0, 0.3, 1, 0, 0)
    large = Aggregate("a", None, 0.5, 0.4, 3, 2, 1)
    assert group_mean("acc", [small, large]) == Aggregate("acc", None, 0.75, 0.25, 4, 2, 1)
    by_size = group_mean("acc", [small, large], "size")
    assert by_size.value == 0.625
    assert by_size.stderr == pytest.approx(math.hypot(0.3, 1.2) / 4)


def test_group_mean_needs_every_task() -> None:
    """A mean over some of the tasks would pass for the group's."""
    measured, nothing = Aggregate("a", None, 1.0, None, 1, 0, 0), Aggregate("a", None, None, None, 0, 0, 5)
    assert group_mean("a", [measured, nothing]).value is None
    assert group_mean("a", [measured, nothing], "size").n_failed == 5
    assert group_mean("a", [measured]).stderr is None
    assert group_mean("a", []) == Aggregate("a", None, None, None, 0, 0, 0)
