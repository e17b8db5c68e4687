"""Matchers, and extractor and matcher together."""

from __future__ import annotations

from typing import Any

import pytest

from lmms_fast.errors import TaskError
from lmms_fast.metrics import MATCHERS, Step, score, scoring
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
    assert MATCHERS[match](Prediction(answer, "test"), sample(*target)).value == expected


@pytest.mark.parametrize("match", MATCHERS)
def test_no_answer_is_never_right(match: str) -> None:
    """Nothing found is 0.0, even where the gold is empty."""
    for choices in ((), ("x", "y")):
        assert MATCHERS[match](Prediction(None, "test"), sample("", choices=choices)).value == 0.0


def test_mmmu_choice_needs_the_letter() -> None:
    """With options the letter is compared, and a gold list accepts any of its letters."""
    multiple = sample("B", "C", choices=("x", "y", "z"))
    assert MATCHERS["mmmu"](Prediction("C", "test"), multiple).value == 1.0
    assert MATCHERS["mmmu"](Prediction("A", "test"), multiple).value == 0.0


def test_score_cuts_thinking_first() -> None:
    """What was weighed while thinking is not read as the answer."""
    verdict = score(sample("B", choices=("x", "y")), "<think>The answer is A</think>B", scoring("letter"))
    assert (verdict.value, verdict.prediction.answer) == (1.0, "B")


def test_open_question_of_one_digit() -> None:
    """Gold "5", response "5": lmms-eval v0.3.5 to v0.7.2 calls this wrong."""
    assert score(sample("5"), "5", scoring("mmmu", "mmmu")).value == 1.0


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        (("lettre",), "number_or_word"),
        (("letter", "exakt"), "exact_ignore_case"),
        ((Step("letter", {"pattern": "x"}),), "takes none"),
        ((Step("regex", {"pattern": "x", "picks": "last"}),), "group, otherwise, pattern, pick"),
        (("regex",), "pattern"),
        ((Step("regex", {"pattern": "("}),), "not a regular expression"),
        ((Step("regex", {"pattern": "x", "group": 1}),), "no group 1"),
        ((Step("regex", {"pattern": "x", "pick": "any"}),), "first, last"),
        ((Step("regex", {"pattern": "x", "otherwise": "any"}),), "nothing, keep"),
        (("text", Step("exact", {"case": False})), "takes none"),
        (((),), "at least one"),
    ],
)
def test_wrong_rules_are_named(rules: tuple[Any, ...], named: str) -> None:
    """The error says what is allowed."""
    with pytest.raises(TaskError, match=named):
        scoring(*rules)


def test_a_chain_goes_from_text_to_text() -> None:
    """Each extractor reads what the one before found; the rule names them all; nothing found ends it."""
    chain = [Step("regex", {"pattern": r"Final: (.*)", "group": 1}), "number_or_word"]
    verdict = score(sample("3"), "Of 12, Final: three", scoring(chain))
    assert (verdict.value, verdict.prediction.answer, verdict.prediction.rule) == (1.0, "3", "regex → number_or_word")
    assert score(sample("3"), "three", scoring(chain)).prediction == Prediction(None, "regex")


def test_a_filter_may_keep_what_it_does_not_match() -> None:
    """As lmms-eval's `flexible-extract` does."""
    chain = [Step("regex", {"pattern": r"\A\s*([A-Z])\.", "group": 1, "otherwise": "keep"})]
    assert score(sample("B"), "B. cat", scoring(chain)).value == 1.0
    assert score(sample("B"), " B ", scoring(chain)).value == 1.0


def test_good_rules_pass() -> None:
    """A regex rule with all its options is accepted."""
    scoring(Step("regex", {"pattern": "(?P<n>x)", "group": "n", "pick": "last", "otherwise": "keep"}), "mme")


def test_rules_that_would_hold_up_requests_say_so() -> None:
    """Whatever takes milliseconds a sample is scored at the end of a run."""
    assert {name for name, match in MATCHERS.items() if match.slow} == {
        "mathv", "reasoning", "reasoning_lmms_eval", "math_verify",
    }  # fmt: skip
    assert scoring("mathv", "mathv").slow
    assert not scoring("letter").slow
