"""Matchers, and extractor and matcher together."""

from __future__ import annotations

from typing import Any

import pytest

from lmms_fast.errors import TaskError
from lmms_fast.metrics import MATCHERS, ScoringRules, score
from lmms_fast.types import Prediction, Sample


def sample(*target: str, choices: tuple[str, ...] = ()) -> Sample:
    return Sample("demo", "1", (), target, choices)


@pytest.mark.parametrize(
    ("match", "answer", "target", "expected"),
    [
        ("exact", "B", ("B",), 1.0),
        ("exact", "b", ("B",), 0.0),
        ("exact", "B", ("A", "B"), 1.0),
        ("exact", ("x", "B"), ("B",), 1.0),
        ("exact_ignore_case", "Blue.", ("blue",), 1.0),
        ("exact_ignore_case", "blue", (" Blue. ",), 1.0),
        ("exact_ignore_case", "light blue", ("blue",), 0.0),
        ("mme", "yes", ("Yes",), 1.0),
        ("mme", "yes", ("Yes.",), 1.0),
        ("mme", "yes", ("No",), 0.0),
        ("mmmu", (5.0,), ("5",), 1.0),
        ("mmmu", (1234.5,), ("1,234.499",), 1.0),
        ("mmmu", ("a blue sky",), ("Blue",), 1.0),
        ("mmmu", ("blue",), ("blue sky",), 0.0),
        ("mmmu", ("cat",), ("C",), 0.0),  # one letter must touch a space
        ("mmmu", (" c", "c "), ("C",), 1.0),
        ("mmmu", ("red",), ("green", "red"), 1.0),
        ("mmmu", ("5 apples",), ("5",), 0.0),  # text against number
    ],
)
def test_match(match: str, answer: Any, target: tuple[str, ...], expected: float) -> None:
    """Right or wrong under each rule."""
    assert MATCHERS[match](Prediction(answer, "test"), sample(*target), {}) == expected


@pytest.mark.parametrize("match", MATCHERS)
def test_no_answer_is_never_right(match: str) -> None:
    """Nothing found is 0.0, even where the gold is empty."""
    for choices in ((), ("x", "y")):
        assert MATCHERS[match](Prediction(None, "test"), sample("", choices=choices), {}) == 0.0


def test_mmmu_choice_needs_the_letter() -> None:
    """With options the letter is compared, and a gold list accepts any of its letters."""
    multiple = sample("B", "C", choices=("x", "y", "z"))
    assert MATCHERS["mmmu"](Prediction("C", "test"), multiple, {}) == 1.0
    assert MATCHERS["mmmu"](Prediction("A", "test"), multiple, {}) == 0.0


def test_score_cuts_thinking_first() -> None:
    """What was weighed while thinking is not read as the answer."""
    verdict = score(sample("B", choices=("x", "y")), "<think>The answer is A</think>B", ScoringRules("letter"))
    assert (verdict.value, verdict.prediction.answer) == (1.0, "B")


def test_open_question_of_one_digit() -> None:
    """Gold "5", response "5": lmms-eval v0.3.5 to v0.7.2 calls this wrong."""
    assert score(sample("5"), "5", ScoringRules("mmmu", match="mmmu")).value == 1.0


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        (ScoringRules("lettre"), "number_or_word"),
        (ScoringRules("letter", match="exakt"), "exact_ignore_case"),
        (ScoringRules("letter", {"pattern": "x"}), "takes none"),
        (ScoringRules("regex", {"pattern": "x", "picks": "last"}), "group, pattern, pick"),
        (ScoringRules("regex"), "pattern"),
        (ScoringRules("regex", {"pattern": "("}), "not a regular expression"),
        (ScoringRules("regex", {"pattern": "x", "group": 1}), "no group 1"),
        (ScoringRules("regex", {"pattern": "x", "pick": "any"}), "first, last"),
        (ScoringRules("text", {}, "exact", {"case": False}), "takes none"),
    ],
)
def test_wrong_rules_are_named(rules: ScoringRules, named: str) -> None:
    """The error says what is allowed."""
    with pytest.raises(TaskError, match=named):
        rules.check()


def test_good_rules_pass() -> None:
    """A regex rule with all its options is accepted."""
    ScoringRules("regex", {"pattern": "(?P<n>x)", "group": "n", "pick": "last"}, "mme").check()
