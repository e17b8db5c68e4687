"""Boxes and points: how they are read, and how they are compared."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_fast.errors import TaskError
from lmms_fast.metrics import EXTRACTORS, MATCHERS, Step, score, scoring
from lmms_fast.metrics.boxes import EXTRACTORS as READERS
from lmms_fast.types import Prediction, Sample
from tests.metrics.clock import cpu_s

PICTURE = {"width": "200", "height": "100"}


def sample(target: str = "[0.1, 0.2, 0.5, 0.4]", **facts: str) -> Sample:
    return Sample("demo", "1", (), (target,), (), {}, facts or PICTURE)


def read(rule: str, text: str, **options: str) -> Any:
    return EXTRACTORS[rule](text, sample(), options).answer


@pytest.mark.parametrize(
    ("text", "square", "either", "free"),
    [
        ("[0.1, 0.2, 0.5, 0.4]", *["[0.1, 0.2, 0.5, 0.4]"] * 3),
        ("The box is [ 0,0 , 1,1.0 ].", *["[0, 0, 1, 1]"] * 3),
        ("(0.1, 0.2, 0.5, 0.4)", None, *["[0.1, 0.2, 0.5, 0.4]"] * 2),
        ("(1, 2) or [0.1,0.2,0.5,0.4], [0,0,1,1]", *["[0.1, 0.2, 0.5, 0.4]"] * 2, "[1, 2, 0.1, 0.2]"),
        ("[-0.1, 0, 1, 1]", *["[-0.1, 0, 1, 1]"] * 3),
        ("<box>(10, 20), (50, 40)</box>", None, None, "[10, 20, 50, 40]"),
        ("0.1 0.2 0.5 0.4", None, None, "[0.1, 0.2, 0.5, 0.4]"),
        ("[0.1 0.2 0.5 0.4]", None, None, "[0.1, 0.2, 0.5, 0.4]"),  # commas are asked for
        ("[0.1, 0.2, 0.5]", None, None, None),
        ("[0.1, 0.2, 0.5, 0.4, 0.9]", None, None, "[0.1, 0.2, 0.5, 0.4]"),  # five numbers are no box
        ("[a, b, c, d]", None, None, None),
        ("[" + "9" * 400 + ", 0, 1, 1]", None, None, None),  # beyond every picture
        ("", None, None, None),
    ],
)
def test_box(text: str, square: str | None, either: str | None, free: str | None) -> None:
    """The first four numbers in square brackets, in either kind, in none."""
    assert read("box", text, brackets="square") == square
    assert read("box", text) == either
    assert read("box", text, brackets="none") == free


def test_box_units() -> None:
    """As they are; by a thousand always, or where one is above 1."""
    assert read("box", "[100, 200, 500, 400]") == "[100, 200, 500, 400]"
    assert read("box", "[100, 200, 500, 400]", numbers="auto") == "[0.1, 0.2, 0.5, 0.4]"
    assert read("box", "[0.1, 0.2, 0.5, 1]", numbers="auto") == "[0.1, 0.2, 0.5, 1]"
    assert read("box", "[0, 1, 1, 1]", numbers="thousandths") == "[0, 0.001, 0.001, 0.001]"
    with pytest.raises(TaskError, match="`numbers` is 'pixels'; allowed: shares, thousandths, auto"):
        scoring(Step("box", {"numbers": "pixels"}), "iou")
    with pytest.raises(TaskError, match="needs height, width"):
        scoring("point", "point_in_box")


@pytest.mark.parametrize(
    ("text", "expected", "rule"),
    [
        ("[0.5, 0.25]", "[0.5, 0.25]", "brackets"),
        ("(0.5 0.25)", "[0.5, 0.25]", "brackets"),
        ("Click [50%, 25 %].", "[0.5, 0.25]", "brackets"),
        ("Step 1: [0.5, 0.25], step 2: [0, 0]", "[0.5, 0.25]", "brackets"),
        ("<bbox>0.2, 0.2, 0.4, 0.8</bbox> or [0, 0]", "[0.30000000000000004, 0.5]", "bbox"),
        ("<BBOX>20 20 100 40</BBOX>", "[0.3, 0.3]", "bbox"),
        ("<bbox>0.5, 0.25</bbox> [0.1, 0.2]", "[0.1, 0.2]", "brackets"),  # two numbers are no box
        ("x: 0.5, y: 0.25", "[0.5, 0.25]", "x and y"),
        ('{"x": 0.5, "y": 0.25}', "[0.5, 0.25]", "x and y"),
        ("X=50% and then Y = 25%", "[0.5, 0.25]", "x and y"),
        ("max: 3, x: 0.5, y: 0.25", "[0.5, 0.25]", "x and y"),
        ("y: 0.25, x: 0.5", "[0.25, 0.5]", "first numbers"),  # no y behind the x
        ("The bounding box is [0.25, 0.25, 0.75, 0.5]", "[0.5, 0.375]", "box"),
        ("rectangle 0 0 1 1", "[0.5, 0.5]", "box"),
        ("[0.25, 0.25, 0.75, 0.5]", "[0.25, 0.25]", "first numbers"),  # nothing calls it a box: its corner
        ("at 0.5 and 0.25", "[0.5, 0.25]", "first numbers"),
        ("[100, 25]", "[0.5, 0.25]", "brackets"),  # pixels of 200 × 100
        ("[100, 0.5]", "[0.5, 0.005]", "brackets"),  # one above 1: both are pixels
        ("[500, 250]", "[2.5, 2.5]", "brackets"),  # thousandths are taken for pixels
        ("[1, 1]", "[1, 1]", "brackets"),
        ("0.5", None, "first numbers"),
        ("no idea", None, "first numbers"),
        ("", None, "first numbers"),
    ],
)
def test_point(text: str, expected: str | None, rule: str) -> None:
    """In ScreenSpot's order of forms."""
    assert EXTRACTORS["point"](text, sample(), {}) == Prediction(expected, f"point: {rule}")


def test_point_beyond_one() -> None:
    """Thousandths where the task says so; a size that is none leaves the point outside of the picture."""
    assert read("point", "[500, 250]", beyond_one="thousandths") == "[0.5, 0.25]"
    for width in ("1", "0", "-3", "nan", "", "wide"):
        assert EXTRACTORS["point"]("[500, 250]", sample(width=width, height=width), {}).answer == "[500, 250]"
    with pytest.raises(TaskError, match="`beyond_one` is 'metres'; allowed: pixels, thousandths"):
        scoring(Step("point", {"beyond_one": "metres"}), "point_in_box", facts=PICTURE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "dog"}]\n```', ("[1, 2, 3, 4]",)),
        ('Here: [{"bbox": [1, 2, 3, 4]}, {"bbox": [5, 6, 7.5, 8]}] done', ("[1, 2, 3, 4]", "[5, 6, 7.5, 8]")),
        ('{"objects": [{"position": [1, 2, 3, 4], "colour": [0, 0, 0, 0]}]}', ("[1, 2, 3, 4]",)),
        ('Result {"dog": [1, 2, 3, 4]}!', ("[1, 2, 3, 4]",)),
        ("[[1, 2, 3, 4], [1, 2, 3, 4], [5, 6, 7, 8]]", ("[1, 2, 3, 4]", "[5, 6, 7, 8]")),
        ('{"box": [true, 2, 3, 4]}', None),
        ('{"box": [[[1, 2, 3, 4]]]}', ("[1, 2, 3, 4]",)),
        ('{"bbox_2d": "[1, 2, 3, 4]"}', ("[1, 2, 3, 4]",)),  # as numbers in a row
        ("<box>1 2 3 4</box>", ("[1, 2, 3, 4]",)),
        ("1, 2, 3, 4, 5, 6, 7, 8", ("[1, 2, 3, 4]", "[5, 6, 7, 8]")),
        ("{'bbox': [1, 2, 3, 4]}", ("[1, 2, 3, 4]",)),  # what json.loads would not take
        ("```json\n[{\"bbox_2d\": [1, 2, 3, 4]}, {\"bbox_2d\": [5, 6", ("[1, 2, 3, 4]",)),  # cut off
        ("[1, 2, 3]", None),
        ("no dog", None),
        ("", None),
    ],
)
def test_json_boxes(text: str, expected: tuple[str, ...] | None) -> None:
    """Fenced, bare, inside prose, in objects and lists; else any four numbers in a row."""
    assert read("json_boxes", text) == expected


def match(rule: str, answer: Any, target: str = "[0.1, 0.2, 0.5, 0.4]") -> dict[str, float]:
    return dict(MATCHERS[rule](Prediction(answer, "test"), sample(target)).parts)


@pytest.mark.parametrize(
    ("answer", "overlap", "centred"),
    [
        ("[0.1, 0.2, 0.5, 0.4]", 1.0, 1.0),
        ("[0.1, 0.2, 0.3, 0.4]", 0.5, 1.0),
        ("[0.3, 0.3, 0.7, 0.5]", 1 / 7, 1.0),  # its centre is the corner of the gold: edges count
        ("[0.5, 0.4, 0.9, 0.9]", 0.0, 0.0),  # touches
        ("[0.5, 0.4, 0.1, 0.2]", 0.0, 1.0),  # turned inside out: no area, though a centre
        ("[0.2, 0.3, 0.2, 0.3]", 0.0, 1.0),
        ("[100, 200, 500, 400]", 0.0, 0.0),  # thousandths taken as they are
        ("no box", 0.0, 0.0),
    ],
)
def test_iou(answer: str, overlap: float, centred: float) -> None:
    """By hand; a box that is right but for rounding reaches every threshold it should."""
    found = match("iou", answer)
    assert found["IoU"] == pytest.approx(overlap)
    assert found["Center_ACC"] == centred
    for least in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert found[f"ACC@{least}"] == float(found["IoU"] >= least)


def test_iou_has_the_headline_first() -> None:
    """So that a plain mean is the mean IoU, and the parts have the benchmark's names."""
    found = MATCHERS["iou"](Prediction("[0, 0, 1, 1]", "test"), sample("[0, 0, 1, 0.5]"))
    assert (found.value, list(found.parts)) == (
        0.5, ["IoU", "ACC@0.1", "ACC@0.3", "ACC@0.5", "ACC@0.7", "ACC@0.9", "Center_ACC"],
    )  # fmt: skip
    assert found.parts["ACC@0.5"] == 1.0  # at the threshold


def test_best_iou_takes_the_unit_that_fits() -> None:
    """Pixels and thousandths of 200 × 100, among several boxes; the gold is in pixels."""
    gold = "[20, 20, 100, 40]"
    assert match("best_iou", ("[20, 20, 100, 40]",), gold)["IoU"] == 1.0
    assert match("best_iou", ("[0, 0, 1, 1]", "[100, 200, 500, 400]"), gold)["IoU"] == 1.0
    assert match("best_iou", ("[0.1, 0.2, 0.5, 0.4]",), gold)["IoU"] == 0.0  # shares are neither
    assert match("iou", ("[9, 9, 10, 10]", "[20, 20, 60, 40]"), gold)["IoU"] == 0.5


def test_a_gold_without_area_has_no_overlap() -> None:
    """The union may be nothing; the centre may still be right."""
    assert match("iou", "[0.2, 0.2, 0.2, 0.2]", "[0.2, 0.2, 0.2, 0.2]")["IoU"] == 0.0


@pytest.mark.parametrize(
    ("point", "expected"), [("[0.3, 0.3]", 1.0), ("[0.1, 0.4]", 1.0), ("[0.5, 0.41]", 0.0), ("0.3", 0.0), ("[1]", 0.0)]
)
def test_point_in_box(point: str, expected: float) -> None:
    """Edges count."""
    assert MATCHERS["point_in_box"](Prediction(point, "test"), sample()).value == expected


def test_a_gold_that_is_no_box_is_said_so() -> None:
    """It would be the task's fault, and look like the model's."""
    for target in ("", "0.1, 0.2, 0.5, 0.4", "[1, 2, 3]", "[1, 2, 3, null]"):
        for rule in ("iou", "best_iou", "point_in_box"):
            with pytest.raises(TaskError, match="target of sample 1 is no box"):
                match(rule, "[0, 0, 1, 1]", target)


def test_from_text_to_score() -> None:
    """Extractor and matcher together; no box found is no answer, and wrong."""
    rules = scoring(Step("box", {"numbers": "auto"}), "iou")
    assert score(sample(), "<think>[0, 0, 1, 1]</think> It is at [100, 200, 500, 400].", rules).value == 1.0
    missing = score(sample(), "I see none.", rules)
    assert (missing.value, missing.prediction.answer) == (0.0, None)
    rules = scoring("point", "point_in_box", facts=PICTURE)
    assert score(sample(), "Click at (40, 30)", rules).value == 1.0


PIECES = st.lists(
    st.sampled_from(["[", "]", "(", ")", "{", "}", ",", " ", ":", "x", "y", "%", '"bbox"', "<bbox>", "</bbox>", "0.5",
                     "-", ".", "1", "99", "```", "İ", "\ud800", "٣"])
).map("".join)  # fmt: skip


@given(st.text() | PIECES)
def test_what_is_read_can_be_compared(text: str) -> None:
    """No text breaks a rule, and every answer is a box or a point with coordinates that exist."""
    for name, rule in READERS.items():
        for options in ({}, {"brackets": "none"}) if name.startswith("box") else ({},):
            found = rule(text, sample(), options)
            matcher = "point_in_box" if name == "point" else "best_iou"
            assert found.answer is None or 0.0 <= MATCHERS[matcher](found, sample()).value <= 1.0


@pytest.mark.parametrize(
    "piece",
    ["1", "1 ", "1,", "[", "[1,", "[1, 2, 3, 4], ", "[1 ", "[1" + " " * 50, "1" + " " * 50, "<bbox>", "</bbox>", "x:1 ",
     "x ", "y", "box ", "```", '{"a":', "{}", "[[", "-", "1.", ".1", "9" * 30 + ".", " ", "\u0663", "x: "],
)  # fmt: skip
@pytest.mark.parametrize("start", ["", "[1", "<bbox>x"])
def test_hostile_length(piece: str, start: str) -> None:
    """20,000 characters take each rule a moment, whatever they are."""
    text = (start + piece * 20_000)[:20_000]
    for rule in READERS.values():
        for options in ({}, {"brackets": "none"}):
            assert cpu_s(partial(rule, text, sample(), options)) < 0.1
