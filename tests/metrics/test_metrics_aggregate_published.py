"""F1, sums, ratios and the like: by hand, at their edges, and against figures that were published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from lmms_fast.errors import TaskError
from lmms_fast.metrics import AGGREGATORS, aggregate, check_aggregate
from lmms_fast.types import Aggregate, Scored


def numbers(found: Sequence[Aggregate]) -> dict[tuple[str, str | None], float | None]:
    return {(one.metric, one.group): one.value for one in found}


def valued(*values: float | None, **groups: str) -> list[Scored]:
    start = "/".join(groups.values())
    return [Scored(f"{start}/{row}", 0, groups, value, value is not None) for row, value in enumerate(values)]


def yes_no(
    gold: str, answer: str | None, count: int = 1, category: str = "random", value: float | None = -1
) -> list[Scored]:
    value = float(answer == gold) if value == -1 else value
    name, groups = f"{category}/{gold}/{answer}", {"category": category}
    return [
        Scored(f"{name}/{row}", 0, groups, value, answer is not None, {}, answer, (gold,)) for row in range(count)
    ]


def test_f1_by_hand() -> None:
    """6 hits, 2 false alarms, 4 misses, 8 rightly denied."""
    rows = yes_no("yes", "yes", 6) + yes_no("no", "yes", 2) + yes_no("yes", "no", 4) + yes_no("no", "no", 8)
    found = aggregate("f1", rows, {})
    assert [(one.metric, one.value) for one in found] == [
        ("f1", pytest.approx(2 * 0.75 * 0.6 / 1.35)),
        ("accuracy", 0.7),
        ("precision", 0.75),
        ("recall", 0.6),
        ("yes_ratio", 0.4),  # of the answers; of the golds it would be 0.5
    ]
    assert found[0].n == 20
    assert found[1].stderr == pytest.approx((0.21 / 19) ** 0.5)


def test_f1_silence() -> None:
    """Wrong either way; a miss under `negative`, of a "yes" that was asked for, and out of the ratios else."""
    rows = yes_no("yes", "yes", 2) + yes_no("yes", None, 2) + yes_no("no", None, 2) + yes_no("no", "no", 2)
    negative = numbers(aggregate("f1", rows, {}))
    left_out = numbers(aggregate("f1", rows, {"silence": "left_out"}))
    assert negative["accuracy", None] == left_out["accuracy", None] == 0.5
    assert (negative["precision", None], negative["recall", None], negative["yes_ratio", None]) == (1.0, 0.5, 0.25)
    assert (left_out["precision", None], left_out["recall", None], left_out["yes_ratio", None]) == (1.0, 1.0, 0.5)
    assert aggregate("f1", rows, {})[0].n_no_answer == 4
    dotted = numbers(aggregate("f1", rows + yes_no("no", "Yes.", 3), {"silence": "left_out"}))
    assert dotted["precision", None] == 1.0  # a wrong answer that is neither word, to the letter
    with pytest.raises(TaskError, match="allowed: negative, left_out"):
        check_aggregate("f1", {"silence": "positive"}, ())


def test_f1_counts_a_row_of_several_settings_in_each() -> None:
    """POPE's rows as VLMEvalKit has them: 3 rows stand for 5; the mean of the settings' F1 leads."""
    rows = yes_no("yes", "yes", category="adversarial, random,popular") + yes_no("no", "yes", category="random")
    rows += yes_no("yes", "no", category="popular")
    found = aggregate("f1", rows, {"by": ["category"]})
    value = numbers(found)
    assert found[0].metric == "mean_f1"
    assert value["f1", "category=adversarial"] == 1.0
    assert value["f1", "category=random"] == value["f1", "category=popular"] == pytest.approx(2 / 3)
    assert value["mean_f1", None] == pytest.approx(7 / 9)
    assert value["f1", None] == 0.75  # pooled: 3 hits, a false alarm, a miss
    assert value["accuracy", None] == 0.6
    assert {one.n for one in found if one.group is None} == {3}
    assert {one.stderr for one in found if one.group is None} == {None}


def test_f1_of_nothing() -> None:
    """Nothing said "yes": no precision. Nothing measured: no number, and a mean over settings with none has none."""
    value = numbers(aggregate("f1", yes_no("yes", "no", 3), {}))
    assert (value["precision", None], value["recall", None], value["f1", None]) == (None, 0.0, 0.0)
    rows = yes_no("yes", "yes") + yes_no("yes", None, category="popular", value=None)
    found = aggregate("f1", rows, {"by": ["category"]})
    assert (found[0].value, found[0].n, found[0].n_failed) == (None, 1, 1)
    assert numbers(found)["f1", None] == 1.0


def test_f1_takes_a_right_answer_for_the_gold() -> None:
    """As the bounds need: samples that were not measured, taken as right, have no answer that says so."""
    best = yes_no("yes", None, 2, value=1.0) + yes_no("no", None, 2, value=1.0)
    assert [one.value for one in aggregate("f1", best, {})] == [1.0, 1.0, 1.0, 1.0, 0.5]


def test_f1_reads_golds_and_answers_in_any_case() -> None:
    """"Yes." is a yes; an answer that is neither word is none."""
    rows = [Scored("1", 0, {}, 1.0, True, {}, "Yes", ("Yes.",)), Scored("2", 0, {}, 0.0, True, {}, "maybe", ("No",))]
    found = numbers(aggregate("f1", rows, {"silence": "left_out"}))
    assert (found["precision", None], found["yes_ratio", None], found["accuracy", None]) == (1.0, 1.0, 0.5)


def test_mmvet() -> None:
    """A sample counts for each of its capabilities, in whatever order; runs of the judge are averaged."""
    rows = [
        Scored("1", 0, {"capability": "ocr,math"}, 0.4, True),
        Scored("1", 1, {"capability": "math, ocr"}, 0.6, True),
        Scored("2", 0, {"capability": "ocr"}, 1.0, True),
        Scored("3", 0, {"capability": "rec"}, None, False),
    ]
    found = aggregate("mmvet", rows, {})
    assert numbers(found) == {
        ("total", None): 75.0,
        ("total", "capability=math"): 50.0,
        ("total", "capability=ocr"): 75.0,
        ("total", "capability=rec"): None,
        ("total", "capabilities=math, ocr"): 50.0,
        ("total", "capabilities=ocr"): 100.0,
        ("total", "capabilities=rec"): None,
    }
    assert (found[0].n, found[0].n_failed) == (3, 1)


def test_cv_bench_is_no_mean_of_rows() -> None:
    """½·((ADE20K + COCO)/2 + Omni3D), however many rows each has; no number where a source has none."""
    rows = valued(1.0, 0.0, source="ADE20K") + valued(1.0, source="COCO") + valued(0.0, 0.0, 0.0, 1.0, source="Omni3D")
    assert numbers(aggregate("cv_bench", rows, {})) == {
        ("cv_bench", None): 0.5,
        ("cv_bench_2d", None): 0.75,
        ("cv_bench_3d", None): 0.25,
        ("accuracy", "source=ADE20K"): 0.5,
        ("accuracy", "source=COCO"): 1.0,
        ("accuracy", "source=Omni3D"): 0.25,
    }
    part = aggregate("cv_bench", rows[:3], {})
    assert (part[0].value, part[1].value, part[0].n) == (None, 0.75, 3)


def test_hrbench_averages_cycles() -> None:
    """Accuracy in each cycle, averaged: two of four right is a half, where circular evaluation gives nothing."""
    rows = [
        Scored(f"{category}{cycle}", 0, {"category": category, "cycle_category": str(cycle)}, value, True)
        for category, values in {"single": (1.0, 0.0, 1.0, 0.0), "cross": (1.0, 1.0, 1.0, 1.0)}.items()
        for cycle, value in enumerate(values)
    ]
    found = numbers(aggregate("hrbench", rows, {}))
    assert found["average", None] == 0.75
    assert (found["average", "category=single"], found["average", "category=cross"]) == (0.5, 1.0)


def test_ocrbench_counts() -> None:
    """A count of right answers; recognition is the sum of six types; over a part it is of as many as were measured."""
    rows = valued(1.0, 1.0, 0.0, question_type="Regular Text Recognition")
    rows += valued(1.0, question_type="Handwriting Recognition")
    rows += valued(1.0, question_type="Handwritten Mathematical Expression Recognition")
    rows += valued(1.0, None, question_type="Doc-oriented VQA")
    found = aggregate("ocrbench", rows, {})
    assert numbers(found) == {
        ("final_score", None): 5.0,
        ("accuracy", None): 5 / 6,  # not 5/1000
        ("final_score", "question_type=Doc-oriented VQA"): 1.0,
        ("final_score", "question_type=Handwriting Recognition"): 1.0,
        ("final_score", "question_type=Handwritten Mathematical Expression Recognition"): 1.0,
        ("final_score", "question_type=Regular Text Recognition"): 2.0,
        ("final_score", "question_type=Text Recognition"): 3.0,
    }
    assert (found[0].n, found[0].n_failed, AGGREGATORS["ocrbench"].whole) == (6, 1, True)


def pair(id: str, model: float, reference: float, repeat: int = 0) -> Scored:
    parts = {"model": model / 10, "reference": reference / 10}
    return Scored(id, repeat, {"category": "conv"}, model / 10, True, parts)


def test_score_ratio_rounds_as_the_authors_do() -> None:
    """Means to three decimals, the ratio to one, runs after that; the ratio of means, not the mean of ratios."""
    rows = [pair("1", 6.5, 9), pair("2", 7.3, 8), pair("3", 6, 8)]
    found = aggregate("score_ratio", rows, {"by": ["category"]})
    assert [(one.group, one.value) for one in found] == [(None, 79.2), ("category=conv", 79.2)]  # 6.6 / 8.333
    runs = [pair("1", model, 100, repeat) for repeat, model in enumerate((64.747, 65.322, 66.344))]
    assert aggregate("score_ratio", runs, {})[0].value == pytest.approx((64.7 + 65.3 + 66.3) / 3)
    assert aggregate("score_ratio", [pair("1", 9, 6)], {})[0].value == 150.0


def test_score_ratio_failures() -> None:
    """Left out, or −1 for both as in lmms-eval; counted as failed all the same."""
    rows = [pair("1", 5, 10), Scored("2", 0, {"category": "conv"}, None, False)]
    [left_out] = aggregate("score_ratio", rows, {})
    [as_minus_one] = aggregate("score_ratio", rows, {"failures": "as_minus_one"})
    assert (left_out.value, as_minus_one.value) == (50.0, 44.4)  # 2 / 4.5
    assert (left_out.n, left_out.n_failed) == (as_minus_one.n, as_minus_one.n_failed) == (1, 1)
    assert aggregate("score_ratio", rows[1:], {})[0].value is None
    assert aggregate("score_ratio", [pair("1", 5, 0)], {})[0].value is None
    assert not AGGREGATORS["score_ratio"].bounded
    with pytest.raises(TaskError, match="allowed: left_out, as_minus_one"):
        check_aggregate("score_ratio", {"failures": "zero"}, ())


def test_score_ratio_needs_both_scores() -> None:
    """One number cannot be divided by itself."""
    with pytest.raises(TaskError, match="sample /0 has no scores"):
        aggregate("score_ratio", valued(1.0), {})


def test_wildvision_gives_published_figures() -> None:
    """LLaVA-1.6-34b: 90, 156, 26, 145, 83 verdicts give reward 2.5 and win rate 49.2."""
    rows = valued(*[1.0] * 90, *[0.75] * 156, *[0.5] * 26, *[0.25] * 145, *[0.0] * 83)
    found = aggregate("wildvision", rows, {})
    assert [(one.metric, one.value) for one in found[:2]] == [("reward", 2.5), ("win_rate", 49.2)]
    assert [one.value for one in found[2:]] == [90, 156, 26, 145, 83]
    assert aggregate("wildvision", valued(None), {})[0].value is None


def test_saying_nothing_costs_less_than_a_wrong_answer() -> None:
    """SimpleVQA: of ten answers six are right, two wrong, two none; F is the harmonic mean of 60 and 75."""
    rows = [replace(one, parts={"correct": one.value or 0.0, "attempted": float(number < 8)}, groups={"language": "EN"})
            for number, one in enumerate(valued(*[1.0] * 6, *[0.0] * 4))]  # fmt: skip
    found = aggregate("attempts", rows, {"by": ["language"]})
    assert {one.metric: one.value for one in found[:5]} == pytest.approx(
        {"f_score": 200 / 3, "correct": 60, "correct_given_attempted": 75, "incorrect": 20, "not_attempted": 20}
    )
    assert [(one.metric, one.group) for one in found[5:]] == [("f_score", "language=EN")]
    silent = [replace(one, value=0.0, parts={"correct": 0.0, "attempted": 0.0}) for one in rows]
    assert [one.value for one in aggregate("attempts", silent, {})] == [0, 0, 0, 0, 100]
    assert {one.value for one in aggregate("attempts", valued(None), {})} == {None}


def test_macro_is_no_micro_mean() -> None:
    """Each value of the group weighs the same; one of which nothing was measured leaves no mean."""
    rows = valued(1.0, 1.0, 1.0, 0.0, task="ego") + valued(0.0, task="count")
    found = aggregate("macro", rows, {"by": ["task"], "scale": 100, "metric": "mlvu"})
    assert [(one.metric, one.group, one.value, one.n) for one in found] == [
        ("mlvu", None, 37.5, 5), ("mlvu", "task=count", 0.0, 1), ("mlvu", "task=ego", 75.0, 4),
    ]  # fmt: skip
    assert aggregate("macro", rows + valued(None, task="order"), {"by": ["task"]})[0].value is None
    assert aggregate("macro", [], {"by": ["task"]}) == [Aggregate("accuracy", None, None, None, 0, 0, 0)]
    with pytest.raises(TaskError, match="'macro' needs `by`"):
        check_aggregate("macro", {}, ())
    with pytest.raises(TaskError, match="`within` names the group 'kind'"):
        check_aggregate("macro", {"by": ["task"], "within": "kind"}, ["task"])


def test_macro_within() -> None:
    """Fine values inside coarse ones: MMStar's categories, VSI-Bench's levels; a name may stand in two of them."""
    rows = valued(1.0, 0.0, kind="direction", level="easy") + valued(1.0, kind="direction", level="hard")
    rows += valued(0.0, kind="size", level="easy")
    found = aggregate("macro", rows, {"by": ["level"], "within": "kind"})
    assert [(one.group, one.value) for one in found] == [
        (None, 0.375),
        ("kind=direction", 0.75),
        ("kind=size", 0.0),
        ("kind / level=direction / easy", 0.5),
        ("kind / level=direction / hard", 1.0),
        ("kind / level=size / easy", 0.0),
    ]
