"""Samples that count together: by hand, with members missing or not measured, and against published figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from lmms_fast.errors import TaskError
from lmms_fast.metrics import AGGREGATORS, aggregate, check_aggregate
from lmms_fast.types import Aggregate, Scored


def scored(id: str, value: float | None, repeat: int = 0, **groups: str) -> Scored:
    return Scored(id, repeat, groups, value, value is not None)


def together(key: str, name: str, *values: float | None, **groups: str) -> list[Scored]:
    """One unit: samples that share the group `key`."""
    groups[key] = name
    return [Scored(f"{name}/{row}", 0, groups, value, value is not None) for row, value in enumerate(values)]


def numbers(found: Sequence[Aggregate]) -> dict[tuple[str, str | None], float | None]:
    return {(one.metric, one.group): one.value for one in found}


def mme(category: str, picture: str, *values: float | None) -> list[Scored]:
    return [
        scored(f"{category}/{picture}/{row}", value, category=category, question_id=picture)
        for row, value in enumerate(values)
    ]


def test_mme_by_hand() -> None:
    """100·acc + 100·acc+: three of four right, one picture of two fully right: 75 + 50."""
    rows = mme("OCR", "1", 1.0, 1.0) + mme("OCR", "2", 1.0, 0.0) + mme("count", "1", 1.0, 1.0)
    rows += mme("code_reasoning", "1", 0.0, 0.0)
    assert [(one.metric, one.group, one.value, one.n) for one in aggregate("mme", rows, {})] == [
        ("mme_perception_score", None, 325.0, 6),
        ("mme_cognition_score", None, 0.0, 2),
        ("mme_perception_score", "category=OCR", 125.0, 4),
        ("mme_perception_score", "category=count", 200.0, 2),
        ("mme_cognition_score", "category=code_reasoning", 0.0, 2),
    ]


def test_mme_leaves_out_broken_pairs() -> None:
    """A pair with a member missing or failed counts as failed; a category of those has no value."""
    rows = mme("OCR", "1", 1.0, 1.0) + mme("OCR", "2", 1.0, None) + mme("count", "1", 1.0)
    headline, cognition, text, count = aggregate("mme", rows, {})
    assert (headline.value, headline.n, headline.n_failed) == (200.0, 2, 3)
    assert (cognition.value, cognition.n) == (None, 0)
    assert (text.value, text.n_failed) == (200.0, 2)
    assert (count.value, count.n, count.n_failed) == (None, 0, 1)


def test_mme_pictures_of_one_name_in_two_categories() -> None:
    """A picture's id counts within its category only."""
    rows = mme("OCR", "0001.jpg", 1.0, 1.0) + mme("count", "0001.jpg", 1.0, 0.0)
    found = numbers(aggregate("mme", rows, {}))
    assert found["mme_perception_score", None] == 250.0


def test_mme_three_questions_on_a_picture_are_no_pair() -> None:
    """An id that stands twice in the data would make four of a pair."""
    [headline, *_] = aggregate("mme", mme("OCR", "1", 1.0, 1.0, 1.0), {})
    assert (headline.value, headline.n_failed) == (None, 3)


def test_mme_errors_are_those_over_pictures() -> None:
    """A category's over its pairs; the sum's of independent categories; none where a category has one pair."""
    rows = mme("OCR", "1", 1.0, 1.0) + mme("OCR", "2", 0.0, 0.0) + mme("count", "1", 1.0, 1.0)
    headline, _, text, count = aggregate("mme", rows, {})
    assert (headline.stderr, text.stderr, count.stderr) == (None, 100.0, None)
    headline = aggregate("mme", [*rows, *mme("count", "2", 0.0, 0.0)], {})[0]
    assert headline.stderr == pytest.approx(math.hypot(100, 100))


def test_circular_is_neither_single_pass_nor_the_mean_of_rows() -> None:
    """Three numbers for the same answers: all rotations right, the first row right, rows right."""
    rows = [
        scored(f"{question}/{turn}", value, circular_id=str(question), rotations="4", vanilla=str(int(turn == 0)),
               category="x")
        for question, values in enumerate([(1.0, 1.0, 1.0, 1.0), (1.0, 0.0, 1.0, 1.0), (0.0, 1.0, 1.0, 1.0)])
        for turn, value in enumerate(values)
    ]
    circular, vanilla, by = aggregate("circular", rows, {"scale": 100, "by": ["category"]})
    assert circular.value == pytest.approx(100 / 3)
    assert vanilla.value == pytest.approx(200 / 3)
    assert (by.group, by.value, by.n) == ("category=x", circular.value, 12)
    assert circular.stderr == pytest.approx(100 / 3)  # over questions: of one, zero, zero
    assert aggregate("mean", rows, {})[0].value == pytest.approx(10 / 12)


def test_circular_leaves_out_what_lacks_a_rotation() -> None:
    """Not measured, or not there: right in the rest is not right in all, and a rotation too many is another's."""
    whole = together("circular_id", "1", 1.0, 0.0, rotations="2")
    failed = together("circular_id", "2", 1.0, 1.0, None, rotations="3")
    missing = together("circular_id", "3", 1.0, 1.0, rotations="4")
    [found] = aggregate("circular", whole + failed + missing, {})
    assert (found.value, found.n, found.n_failed) == (0.0, 2, 5)
    twice = together("circular_id", "4", 1.0, 1.0, 1.0, rotations="2")
    [found] = aggregate("circular", whole + twice, {})
    assert (found.value, found.n, found.n_failed) == (0.0, 2, 3)
    assert aggregate("circular", [], {})[0] == Aggregate("circular_accuracy", None, None, None, 0, 0, 0)
    with pytest.raises(TaskError, match="'circular' needs rotations"):
        check_aggregate("circular", {}, ["circular_id"])


def test_repeats_of_a_group_are_groups_of_their_own() -> None:
    """Rotations of different repeats are never mixed, and repeats of a group are averaged before the error is taken."""
    rows = [
        scored(f"{name}/{turn}", value, repeat, circular_id=name, rotations="2")
        for name, repeats in {"1": [(1.0, 0.0), (0.0, 1.0)], "2": [(1.0, 1.0), (0.0, 0.0)]}.items()
        for repeat, values in enumerate(repeats)
        for turn, value in enumerate(values)
    ]
    [found] = aggregate("circular", rows, {})
    assert (found.value, found.stderr, found.n) == (0.25, 0.25, 8)


def test_pairs() -> None:
    """Both right; a half pair is none, whichever half; another size where groups are larger."""
    rows = together("pair_id", "0", 1.0, 1.0) + together("pair_id", "1", 1.0, 0.0) + together("pair_id", "2", 1.0)
    [found] = aggregate("pairs", rows, {"metric": "mmvp_pair_accuracy"})
    assert (found.metric, found.value, found.n, found.n_failed) == ("mmvp_pair_accuracy", 0.5, 4, 1)
    [triplet] = aggregate("pairs", together("pair_id", "0", 1.0, 1.0, 1.0), {"size": 3})
    assert triplet.value == 1.0
    with pytest.raises(TaskError, match="`size` is how many"):
        check_aggregate("pairs", {"size": 0}, ["pair_id"])
    with pytest.raises(TaskError, match="`size` names the group 'n'; the task has: pair_id"):
        check_aggregate("pairs", {"size": "n"}, ["pair_id"])


def hallusion(category: str, figure: str, question: str, value: float | None, answered: bool = True) -> Scored:
    groups = {
        "category": category, "subcategory": "map", "set_id": "0", "figure_id": figure, "question_id": question,
    }  # fmt: skip
    return Scored(f"{category}{figure}{question}", 0, groups, value, answered)


def test_hallusion() -> None:
    """Two figures, two questions: a wrong answer costs its figure and its question."""
    rows = [hallusion("VD", figure, question, float((figure, question) != ("1", "1")))
            for figure in "01" for question in "01"]  # fmt: skip
    found = numbers(aggregate("hallusion", rows, {"by": ["category"]}))
    assert [found[metric, None] for metric in ("aAcc", "qAcc", "fAcc")] == [75.0, 50.0, 50.0]
    assert [found[metric, "category=VD"] for metric in ("aAcc", "qAcc", "fAcc")] == [75.0, 50.0, 50.0]


def test_hallusion_no_picture_is_no_figure() -> None:
    """VS questions without their picture (figure 0) count for aAcc and qAcc; VD's figure 0 is a picture."""
    rows = [hallusion("VS", "0", "0", 0.0), hallusion("VS", "1", "0", 1.0)]
    found = {one.metric: one for one in aggregate("hallusion", rows, {})}
    assert [found[metric].value for metric in ("aAcc", "qAcc", "fAcc")] == [50.0, 0.0, 100.0]
    assert found["fAcc"].n == 1
    assert aggregate("hallusion", [hallusion("VD", "0", "0", 0.0)], {})[2].value == 0.0


def test_hallusion_leaves_out_what_was_not_measured() -> None:
    """The question and the figure of a failed sample go, both of its neighbours with them."""
    rows = [hallusion("VD", figure, question, 1.0 if (figure, question) != ("1", "1") else None)
            for figure in "01" for question in "01"]  # fmt: skip
    found = {one.metric: one for one in aggregate("hallusion", rows, {})}
    counts = {metric: (one.n, one.n_failed) for metric, one in found.items()}
    assert counts == {"aAcc": (3, 1), "qAcc": (2, 2), "fAcc": (2, 2)}
    assert found["fAcc"].value == 100.0


def natural(group: str, *values: float | None) -> list[Scored]:
    """In the order of the published rows: question 0 on both pictures, then question 1."""
    places = [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
    return [
        scored(f"{group}{question}{picture}", value, group_id=group, question=question, picture=picture)
        for (question, picture), value in zip(places, values, strict=True)
    ]


def test_naturalbench() -> None:
    """Questions go along rows, pictures across; a failed member costs only the units it is in."""
    rows = natural("1", 1.0, 1.0, 1.0, 1.0) + natural("2", 1.0, 1.0, 0.0, 0.0) + natural("3", 1.0, 0.0, 1.0, 0.0)
    assert [one.value for one in aggregate("naturalbench", rows, {})] == [1 / 3, 0.5, 0.5, 8 / 12]
    found = aggregate("naturalbench", natural("1", 1.0, 1.0, 1.0, None), {})
    assert [(one.metric, one.value, one.n_failed) for one in found] == [
        ("G_Acc", None, 4), ("Q_Acc", 1.0, 2), ("I_Acc", 1.0, 2), ("Acc", 1.0, 1),
    ]  # fmt: skip


def triplet(source: str, name: str, *values: float | None) -> list[Scored]:
    return [
        scored(f"{source}{name}{kind}", value, source=source, triplet_id=name, eval_type=kind)
        for kind, value in zip(("Origin", "Perception", "Knowledge"), values, strict=True)
    ]


def test_mmeval_pro() -> None:
    """Genuine accuracy wants all three; the macro mean is over numbers rounded as they are published."""
    rows = triplet("MMMU", "1", 1.0, 1.0, 1.0) + triplet("MMMU", "2", 1.0, 0.0, 1.0)
    rows += triplet("MMMU", "3", 0.0, 1.0, 1.0)
    rows += triplet("MathVista", "1", 0.0, 0.0, 0.0)  # the same number in another source
    found = numbers(aggregate("mmeval_pro", rows, {}))
    assert found["genuine_accuracy_score", "source=MMMU"] == pytest.approx(100 / 3)
    assert found["macro_genuine_accuracy_score", None] == 33.33 / 2
    assert found["micro_genuine_accuracy_score", None] == 25.0
    assert found["micro_average_score", None] == pytest.approx(700 / 12)
    assert found["origin_score", "source=MMMU"] == pytest.approx(200 / 3)
    assert found["knowledge_score", "source=MMMU"] == 100.0
    assert found["macro_perception_score", None] == 66.67 / 2
    whole = aggregate("mmeval_pro", triplet("MMMU", "1", 1.0, None, 1.0), {})[0]
    assert (whole.metric, whole.value, whole.n_failed) == ("macro_genuine_accuracy_score", None, 3)


def problem(name: str, multi: float | None, *steps: float | None) -> list[Scored]:
    keys = [*(f"{len(steps)}steps_{step}" for step in range(1, len(steps) + 1)), f"{len(steps)}steps_multi"]
    return [
        scored(f"{name}/{key}", value, problem_id=name, key=key)
        for key, value in zip(keys, [*steps, multi], strict=True)
    ]


def test_wemath_gives_the_papers_figures() -> None:
    """GPT-4o in the paper's tables: 164 IK, 80 IG, 185 CM and 96 RM of 525; loosely 278 CM, 3 RM.

    Strict score 42.86, CM 35.24, RM 34.16; loose 60.57, 52.95, 1.07; IK 31.24 and IG 15.24 in both.
    """
    rows: list[Scored] = []
    for count, multi, steps in (
        (164, 0.0, (1.0, 0.0)),
        (80, 0.0, (1.0, 1.0, 1.0)),
        (185, 1.0, (1.0, 1.0)),
        (93, 1.0, (0.0, 1.0, 0.0)),
        (3, 1.0, (0.0, 0.0)),
    ):
        rows += [one for number in range(count) for one in problem(f"{len(rows)} {number}", multi, *steps)]
    found = {one.metric: one for one in aggregate("wemath", rows, {})}
    assert {metric: round(100 * (one.value or 0), 2) for metric, one in found.items()} == {
        "score_strict": 42.86, "score_loose": 60.57, "IK": 31.24, "IG": 15.24,
        "CM_strict": 35.24, "CM_loose": 52.95, "RM_strict": 34.16, "RM_loose": 1.07,
    }  # fmt: skip
    assert found["score_strict"].n == len(rows)


def test_wemath_leaves_out_broken_problems() -> None:
    """A step missing, failed, or of another problem: the problem is not classified. No problem: no number."""
    broken = problem("1", 1.0, 1.0, 1.0, 1.0)[1:] + problem("2", 1.0, None, 1.0)
    broken += [scored(f"3/{key}", 1.0, problem_id="3", key=key) for key in ("2steps_1", "3steps_multi")]
    found = aggregate("wemath", broken + problem("4", 0.0, 1.0, 0.0), {})
    assert (found[0].value, found[0].n, found[0].n_failed) == (0.0, 3, len(broken))
    assert [one.value for one in found] == [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, None, None]


@pytest.mark.parametrize("name", ["circular", "pairs", "mme", "hallusion", "naturalbench", "mmeval_pro", "wemath"])
def test_a_part_of_the_set_is_said_to_be_one(name: str) -> None:
    """What rests on whole groups means something over the whole set; nothing at all gives no number."""
    assert AGGREGATORS[name].whole
    found = aggregate(name, [], {})
    assert all((one.value, one.n, one.n_failed) == (None, 0, 0) for one in found)
