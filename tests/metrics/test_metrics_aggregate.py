"""From scores to the numbers of a task and of a group."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from lmms_fast.errors import TaskError
from lmms_fast.metrics import AGGREGATORS, aggregate, aggregate_with_bounds, check_aggregate, group_mean
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


BY = {"by": ["category"]}
OPTIONS = {"mean": BY, "macro": BY, "f1": BY, "mmlongbench": BY, "pass_at_k": {"k": [1, 2]}, "majority": {"k": [1, 2]}}
GROUPS = {
    "eval_type": ["Origin", "Perception", "Knowledge"],
    "key": ["2steps_1", "2steps_2", "2steps_multi"],
    "source": ["ADE20K", "COCO", "Omni3D"],
    "category": ["OCR", "count"],
    "capability": ["ocr", "ocr,math"],
    "n_inst": ["1", "2"],
}
"""Names that an aggregation knows; other groups have two values each."""
GRADED = {"mean", "macro", "mmvet", "mmlongbench", "captions", "score_ratio", "wildvision"}


def measured(name: str, dice: random.Random) -> list[Scored]:
    """Samples with everything that an aggregation reads, complete units among them, all measured."""
    rows = []
    for number in range(dice.randrange(1, 12)):
        groups = {
            one: dice.choice(GROUPS.get(one, ["1", "2"]))
            for one in sorted(AGGREGATORS[name].needs | {"category"})
        }  # fmt: skip
        if dice.random() < 0.8:  # in the order in which units are filled
            unit = {one: GROUPS[one][number % 3] for one in ("key", "eval_type") if one in groups}
            unit |= {"question": str(number % 2), "picture": str(number // 2 % 2)} if "picture" in groups else {}
            groups |= unit and {**unit, **{one: "1" for one in groups if one.endswith("_id")}}
        right = dice.random() < 0.6
        value = dice.choice([0.25, 0.5, 0.75]) if name in GRADED and dice.random() < 0.3 else float(right)
        target = dice.choice(["yes", "no", "Not answerable", "3"])
        wrong = dice.choice([None, *{"yes", "no", "Not answerable", "5"} - {target}])
        answer = target if value == 1 else wrong if value == 0 else "partly"
        parts = {"model": value, "reference": 1.0} if name == "score_ratio" else {}
        rows.append(
            Scored(str(number // 2), number % 2, groups, value, answer is not None, parts, answer, (target,))
        )  # fmt: skip
    return rows


def some(rows: list[Scored], dice: random.Random) -> list[Scored]:
    """The same, some of them not measured."""
    return [
        replace(one, value=None, answered=False, parts={}, answer=None) if dice.random() < 0.3 else one
        for one in rows
    ]  # fmt: skip


@pytest.mark.parametrize("name", AGGREGATORS)
def test_order_never_shows(name: str) -> None:
    """Every aggregation gives the same numbers, to the last digit, whatever the order; and counts every sample."""
    options = OPTIONS.get(name, {})
    for seed in range(100):
        dice = random.Random(seed)
        rows = some(measured(name, dice), dice)
        found = aggregate(name, rows, options)
        assert found
        assert found == aggregate(name, dice.sample(rows, len(rows)), options)
        assert all(one.value is None or math.isfinite(one.value) for one in found)
        assert all(one.n_no_answer <= one.n for one in found)
        assert found[0].n + found[0].n_failed == len(rows)
    aggregate(name, [], options)


@pytest.mark.parametrize("name", AGGREGATORS)
def test_bounds_hold_whatever_comes_out(name: str) -> None:
    """What a number is once all is measured lies between the bounds it had before."""
    options, rule = OPTIONS.get(name, {}), AGGREGATORS[name]
    for seed in range(120):
        dice = random.Random(seed)
        rows = measured(name, dice)
        before = aggregate_with_bounds(name, some(rows, dice), options)
        after = {(one.metric, one.group): one.value for one in aggregate(name, rows, options)}
        for one in before:
            if not rule.bounds(one.metric):
                assert one.low is one.high is None
            elif (value := after[one.metric, one.group]) is not None and not (one.low is None or one.high is None):
                assert one.low - 1e-9 <= value <= one.high + 1e-9, (seed, one)


def test_bounds_are_those_of_all_wrong_and_all_right() -> None:
    """Only where some were measured and some not; a number that has none stays alone."""
    rows = [scored("1", 1.0), scored("2", None)]
    [found] = aggregate_with_bounds("mean", rows)
    assert (found.low, found.value, found.high) == (0.5, 1.0, 1.0)
    assert [(one.low, one.high) for one in aggregate_with_bounds("mean", rows[:1])] == [(None, None)]
    assert aggregate_with_bounds("mean", rows[1:]) == aggregate("mean", rows[1:])
    asked = [replace(one, target=("no",), answer="no") for one in rows]
    bounds = {one.metric: (one.low, one.high) for one in aggregate_with_bounds("f1", asked)}
    assert bounds["accuracy"] == (0.5, 1.0)
    assert bounds["f1"] == (0.0, None)
    assert bounds["yes_ratio"] == (None, None)


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
