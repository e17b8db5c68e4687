"""Rules with a judge: when it is asked, and what its reply becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmms_fast.errors import TaskError
from lmms_fast.metrics import READERS, Judging, Step, judged, scoring
from lmms_fast.tasks.rubric import Asker
from lmms_fast.tasks.spec import Task, load_file
from lmms_fast.types import Prediction, Sample, Score, Undecided

SAMPLE = Sample("t", "1", (), ("B",), ("a cat", "a dog"))


def test_undecided_until_the_judge_was_asked() -> None:
    """And again when its reply cannot be read: it is not a zero."""
    rules = scoring("text", judge=Judging(Step("rating", {"high": 10})))
    assert judged(SAMPLE, "a dog", rules) == Undecided(Prediction("a dog", "text"))
    assert judged(SAMPLE, "a dog", rules, "good") == Undecided(Prediction("a dog", "text"))
    assert judged(SAMPLE, "a dog", rules, "7") == Score(0.7, Prediction("a dog", "text"))


def test_only_where_the_rules_found_nothing() -> None:
    """A judge that reads the answer out of the response leaves the comparison to the matcher."""
    rules = scoring("letter", judge=Judging(Step("reply"), "no_answer"))
    decided = judged(SAMPLE, "B", rules, "A")
    assert isinstance(decided, Score)
    assert (decided.value, decided.prediction.rule) == (1.0, "letter: alone")
    assert judged(SAMPLE, "hm", rules, "A") == Score(0.0, Prediction("A", "judge"))
    assert judged(SAMPLE, "hm", rules, "B") == Score(1.0, Prediction("B", "judge"))
    assert isinstance(judged(SAMPLE, "hm", rules), Undecided)


TASK = """\
task: mine
benchmark: test
about: A rubric.
source: this test
licence: none
dataset: {files: mine.jsonl}
prompt: {user: [{text: "{{ q }}"}]}
target: B
facts: {weight: "{{ w }}"}
score:
  extract: text
  judge:
    system: You grade.
    prompt: "{{ question }}|{{ response }}|{{ answer }}|{{ target[0] }}|{{ facts.weight }}"
    read: rating
"""


def test_what_a_judge_is_asked(tmp_path: Path) -> None:
    """The rubric sees question, response, answer, target and facts; a name that is none is an error."""
    (tmp_path / "mine.yaml").write_text(TASK)
    task = load_file(tmp_path / "mine.yaml")
    assert isinstance(task, Task)
    record = {"id": "1", "messages": [{"role": "user", "parts": [{"image": "x"}, "Why?"]}], "target": ["B"],
              "choices": [], "groups": {}, "facts": {"weight": "3"}}  # fmt: skip
    system, user = Asker(task).question(record, "So.", Prediction(None, "text"))
    assert (system.role, system.parts) == ("system", ("You grade.",))
    assert user.parts == ("Why?|So.||B|3",)
    (tmp_path / "mine.yaml").write_text(TASK.replace("facts.weight", "facts.wait"))
    wrong = load_file(tmp_path / "mine.yaml")
    assert isinstance(wrong, Task)
    with pytest.raises(TaskError, match=r"sample 1.*wait"):
        Asker(wrong).question(record, "So.", Prediction(None, "text"))


@pytest.mark.parametrize(
    ("reply", "options", "expected"),
    [
        ("0.5", {}, 0.5), ("Score: 1", {}, 1.0), ("7", {}, None), ("", {}, None), ("none", {}, None), ("-1", {}, None),
        ("Rating: 4", {"pattern": r"Rating:\s*([1-5])", "low": 1, "high": 5}, 0.75),
        ("I give 4 of 5. Rating: 2", {"pattern": r"Rating:\s*([1-5])", "low": 1, "high": 5}, 0.25),
        ("Rating: x", {"pattern": r"Rating:\s*(\w)", "low": 1, "high": 5}, None), ("9" * 100_000, {}, None),
        ("٣", {"high": 10}, 0.3),
    ],
)  # fmt: skip
def test_rating(reply: str, options: dict[str, object], expected: float | None) -> None:
    """A number in its range, or no judgement."""
    assert READERS["rating"](reply, SAMPLE, options) == expected


@pytest.mark.parametrize(
    ("reply", "answer"),
    [("B", "B"), ("B.", "B"), ("**B**", "B"), ("The answer is (A).", "A"), ("E", None), ("E.", None)],
)
def test_option_letter(reply: str, answer: str | None) -> None:
    """The option that the response means, or that it means none, which is wrong."""
    assert READERS["option_letter"](reply, SAMPLE, {"none": "E"}) == Prediction(answer, "judge")


@pytest.mark.parametrize("reply", ["", "C", "A or B", "I cannot tell.", "b"])
def test_what_names_no_option_is_no_judgement(reply: str) -> None:
    """Not measured, where the reference draws a letter."""
    assert READERS["option_letter"](reply, SAMPLE, {"none": "E"}) is None


@pytest.mark.parametrize("options", [{"pattern": "x"}, {"pattern": "("}, {"low": 1}])
def test_a_rating_that_cannot_be_is_refused(options: dict[str, object]) -> None:
    """Before anything is asked."""
    with pytest.raises(TaskError, match=r"score\.judge\.read"):
        scoring("text", judge=Judging(Step("rating", options)))
