"""MMLongBench-Doc: five formats of answers, accuracy and F1."""

from __future__ import annotations

import pytest

from lmms_fast.metrics import MATCHERS, aggregate
from lmms_fast.types import Aggregate, Prediction, Sample, Scored


def value(kind: str, answer: str, *gold: str, variant: str = "default") -> float:
    sample = Sample("demo", "1", (), gold, facts={"answer_format": kind})
    return MATCHERS["mmlongbench"](Prediction(answer, "test"), sample, {"variant": variant}).value


@pytest.mark.parametrize(
    ("kind", "answer", "gold", "expected", "lmms_eval"),
    [
        ("Int", "12", "12", 1.0, 1.0),
        ("Int", "12.7", "12", 1.0, 1.0),  # cut, not rounded
        ("Int", "12 pages", "12", 0.0, 1.0),
        ("Int", "1,200", "1200", 0.0, 1.0),
        ("Int", "inf", "12", 0.0, 0.0),
        ("Int", "nan", "12", 0.0, 0.0),
        ("Int", "twelve", "12", 0.0, 0.0),
        ("Float", "0.995", "1.0", 1.0, 1.0),  # within 1 %
        ("Float", "0.98", "1.0", 0.0, 0.0),
        ("Float", "45%", "0.45", 1.0, 1.0),  # percent and share alike
        ("Float", "$45", "0.45", 1.0, 1.0),
        ("Float", "0.33", "0.334", 1.0, 1.0),  # equal at the two decimals of the shorter
        ("Float", "45 (see page 3)", "45", 1.0, 1.0),
        ("Float", "about 45", "45", 0.0, 1.0),
        ("Float", "", "45", 0.0, 0.0),
        ("Str", "Pew Research", "pew research", 1.0, 1.0),
        ("Str", "'Pew' ", "Pew", 1.0, 1.0),
        ("Str", "ab", "abcd", 0.0, 0.0),  # exactly one half is worth nothing
        ("Str", "abc", "abcd", 0.75, 0.75),
        ("Str", "page 4", "page 5", 0.0, 0.0),  # names are right or wrong
        ("Str", "main.py", "main1.py", 0.0, 0.0),
        ("Str", "https://a.org/b", "https://a.org/c", 0.0, 0.0),
        ("Str", "2020-01-01", "2020-01-02", 0.0, 0.0),
        ("Str", "555 1234", "555 1235", 0.0, 0.0),
        ("Str", "9 a.m.", "8 a.m.", 0.0, 0.0),
        ("Str", "a@b.org", "a@c.org", 0.0, 0.0),
        ("Str", "5 miles", "5", 0.0, 1.0),  # the script's own dropping of units does nothing
        ("Str", "5", "$5%", 1.0, 1.0),
        ("None", "Not answerable", "Not answerable", 1.0, 1.0),
        ("None", "Not answerable.", "Not answerable", 14 / 15, 0.0),
        ("None", "42", "Not answerable", 0.0, 0.0),
        ("List", "['b', 'a']", "['a', 'b']", 1.0, 1.0),
        ("List", "['a']", "['a', 'b']", 0.0, 0.0),
        ("List", "['abcd', 'xyz']", "['abce', 'xyz']", 0.75, 0.75),  # the worst pair
        ("List", "[12, 13]", "[12, 14]", 0.0, 0.0),  # numbers are right or wrong
        ("List", "[13, 12]", "['12', '13']", 1.0, 1.0),
        ("List", "['q1 21', 'z']", "['q1 22', 'z']", 0.8, 0.0),  # a digit in the first is enough for lmms-eval
        ("List", "a", "['a']", 1.0, 1.0),
        ("List", "[a, b]", "['a', 'b']", 0.0, 0.0),
        ("List", "[]", "[]", 0.0, 0.0),
    ],
)
def test_mmlongbench(kind: str, answer: str, gold: str, expected: float, lmms_eval: float) -> None:
    """The benchmark's script, which expects answers to have been extracted, and lmms-eval's reading of responses."""
    assert value(kind, answer, gold) == pytest.approx(expected)
    assert value(kind, answer, gold, variant="lmms_eval") == pytest.approx(lmms_eval)


def test_a_list_that_a_column_has_split() -> None:
    """Golds of a List are its items where there are several."""
    assert value("List", "['b', 'a']", "a", "b") == 1.0
    assert value("Str", "b", "a", "b") == 1.0


@pytest.mark.parametrize(
    ("answer", "gold"),
    [("a (b) c", "a c"), ("a((b) c", "a c"), ("(b) a", "a"), ("a (b", "a (b"), ("a) b", "a) b"), ("a   (b)(c)", "a")],
)
def test_remarks_in_brackets_go(answer: str, gold: str) -> None:
    """From an opening bracket to the next closing one, with the blanks before."""
    assert value("Str", answer, gold) == 1.0


def answered(id: str, score: float | None, answer: str | None, gold: str, **groups: str) -> Scored:
    return Scored(id, 0, groups, score, answer is not None, {}, answer, (gold,))


def test_accuracy_and_f1() -> None:
    """Recall over what can be answered, precision over what was answered; silence is an answer, failure is nothing."""
    rows = [
        answered("1", 1.0, "x", "x", doc_type="a"),
        answered("2", 0.0, "not Answerable", "x", doc_type="a"),
        answered("3", 0.6, "xy", "x", doc_type="b"),
        answered("4", 1.0, "Not answerable", "Not answerable", doc_type="b"),
        answered("5", 0.0, "x", "Not answerable", doc_type="b"),
        answered("6", 0.0, None, "x", doc_type="b"),
        answered("7", None, None, "x", doc_type="b"),
    ]
    accuracy, f1, first, second = aggregate("mmlongbench", rows, {"by": ["doc_type"]})
    precision, recall = 1.6 / 4, 1.6 / 4
    assert accuracy.value == pytest.approx(2.6 / 6)
    assert f1 == Aggregate(
        "mmlongbench_doc_f1", None, pytest.approx(2 * precision * recall / (precision + recall)), None, 6, 1, 1
    )
    assert (first.group, first.value, second.group) == ("doc_type=a", 0.5, "doc_type=b")


def test_f1_of_little() -> None:
    """Nothing right is 0, nothing measured is no number."""
    assert aggregate("mmlongbench", [answered("1", 0.0, "not answerable", "x")], {})[1].value == 0.0
    assert aggregate("mmlongbench", [], {})[1].value is None
