"""LLaVA-Interleave Bench's rules."""

from __future__ import annotations

from functools import partial

import pytest

from lmms_fast.metrics import EXTRACTORS, MATCHERS
from lmms_fast.types import Sample
from tests.metrics.clock import cpu_s


def scored(rule: str, text: str, gold: str, kind: str = "multi-choice") -> float:
    """The value of a response."""
    sample = Sample("t", "1", (), (gold,), facts={"question_type": kind})
    return MATCHERS["llava_interleave"](EXTRACTORS[rule](text, sample), sample).value


@pytest.mark.parametrize(
    ("text", "gold", "ours", "theirs"),
    [
        ("B", "B", 1, 1), ("b.", "B", 1, 1), ("B. the cat", "B. a cat", 1, 1), ("(B)", "B", 1, 1), ("C", "B", 0, 0),
        ("The answer is B", "B", 1, 1), ("a cat", "A", 0, 1), ("A dog, so the answer is B", "B", 1, 0),
        ("", "B", 0, 0), ("none", "B", 0, 0), ("Yes!", "yes", 1, 1), ("It is yes", "yes", 0, 0), ("No", "yes", 0, 0),
        ("Ｂ", "B", 0, 0), ("F", "B", 0, 0), ("B.\n\nIt is so.", "B", 1, 1),
    ],
)  # fmt: skip
def test_choices(text: str, gold: str, ours: float, theirs: float) -> None:
    """The authors' rule takes the article for A."""
    assert (scored("llava_interleave", text, gold), scored("llava_interleave_lmms_eval", text, gold)) == (ours, theirs)


@pytest.mark.parametrize(
    ("text", "expected"), [("a brown table", 1.0), ("a table", 0.8), ("", 0.0), ("x" * 512 + " a brown table", 0.0)]
)
def test_open_answers(text: str, expected: float) -> None:
    """ROUGE-L of what the first 512 characters hold."""
    for rule in ("llava_interleave", "llava_interleave_lmms_eval"):
        assert scored(rule, text, "a brown table", "open-ended") == pytest.approx(expected)


@pytest.mark.parametrize("unit", ["A. ", "A.\n", "a ", "(", "1,1", ".", "\u200b"])
def test_long_responses_take_little_time(unit: str) -> None:
    """Whatever they are."""
    for kind in ("multi-choice", "open-ended"):
        for rule in ("llava_interleave", "llava_interleave_lmms_eval"):
            assert cpu_s(partial(scored, rule, unit * (100_000 // len(unit)), "B", kind)) < 0.2, (rule, kind)
