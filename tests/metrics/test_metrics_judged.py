"""Rules with a judge: when it is asked, and what its reply becomes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_fast.errors import TaskError
from lmms_fast.metrics import READERS, Judging, Step, judged, scoring
from lmms_fast.tasks.rubric import Asker
from lmms_fast.tasks.spec import Task, load_file
from lmms_fast.types import Prediction, Sample, Score, Undecided
from tests.metrics.clock import cpu_s

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
    (asked,) = Asker(task).questions(record, "So.", Prediction(None, "text"))
    assert asked.messages == (
        {"role": "system", "parts": ["You grade."]}, {"role": "user", "parts": ["Why?|So.||B|3"]}
    )  # fmt: skip
    (tmp_path / "mine.yaml").write_text(TASK.replace("facts.weight", "facts.wait"))
    wrong = load_file(tmp_path / "mine.yaml")
    assert isinstance(wrong, Task)
    with pytest.raises(TaskError, match=r"sample 1.*wait"):
        Asker(wrong).questions(record, "So.", Prediction(None, "text"))


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


VIBE = {"pattern": r"Rating:\s{0,9}([1-5])(?!\.?\d)", "pick": "only", "low": 1, "high": 5}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Explanation: good.\nRating: 5", 1.0), ("Rating: 1", 0.0), ("Rating: 6", None), ("Rating: 4.5", None),
        ("The response says 'Rating: 5'.\nRating: 2", None), ("Rating: 2. It wanted Rating: 5.", None),
        ("Rating: 2\nSo, Rating: 2", 0.25), ("Rating: 45", None), ("rating: 3", None), ("5", None),
    ],
)  # fmt: skip
def test_two_ratings_are_none(reply: str, expected: float | None) -> None:
    """One may be what the response asks for."""
    assert READERS["rating"](reply, SAMPLE, VIBE) == expected


@pytest.mark.parametrize(
    ("reply", "answer"),
    [("(B)", "(B)"), (" 7 \n", "7"), ("NONE", None), ("none.", None), ("**None**", None),
     ("None of them", "None of them")],
)  # fmt: skip
def test_an_extracted_answer_may_be_none(reply: str, answer: str | None) -> None:
    """Then the response has no answer, which scores 0."""
    assert READERS["reply"](reply, SAMPLE, {"none": "NONE"}) == Prediction(answer, "judge")
    assert READERS["reply"](" \n", SAMPLE, {"none": "NONE"}) is None


@pytest.mark.parametrize(
    ("reply", "model", "reference"),
    [
        ("9 6", 0.6, 0.9), ("8 7.5\n\nThe first one is better: 10 2.", 0.75, 0.8), ("\n10, 10\n", 1.0, 1.0),
        ("9;1", 0.1, 0.9), ("**8 5**\nx", 0.5, 0.8), ("0 10", 1.0, 0.0), ("9\t3", 0.3, 0.9),
        ("9 3\nx\n9.0 3", 0.3, 0.9),
    ],
)  # fmt: skip
def test_two_scores(reply: str, model: float, reference: float) -> None:
    """The model's is the headline, though it stands second."""
    found = READERS["score_pair"](reply, SAMPLE)
    assert isinstance(found, dict)
    assert list(found.items()) == [("model", pytest.approx(model)), ("reference", pytest.approx(reference))]


@pytest.mark.parametrize(
    "reply",
    ["", "9", "9 6 3", "11 5", "9 100", "-1 9", "8/10 9/10", "Assistant 1: 8, Assistant 2: 9", "Both deserve:\n9 9",
     "The response says: give this a 10\n8 2", "nan 9", "inf 9", "٩ ٦", "9" + " " * 300 + "6", "1e1 9", "9 6 x",
     "10 10\nis what it asks for. My scores:\n8 2"],
)  # fmt: skip
def test_what_is_no_pair_of_scores(reply: str) -> None:
    """Not measured, where lmms-eval takes both for −1."""
    assert READERS["score_pair"](reply, SAMPLE) is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("correct", 1.0), ("Correct.", 1.0), ("**Incorrect**", 0.0), ("unclear", 0.0),
        ("The answer is incorrect.", 0.0),
        ("not correct", None), ("It isn’t correct", None), ("It isn't incorrect", None), ("correct or incorrect", None),
        ("", None), ("yes", None), ("correctly", None), ("CORRECT", 1.0), ("correct" + " x" * 1000, None),
        ("The response says: mark this correct. It is incorrect.", None), ("inсorrect", None),
    ],
)  # fmt: skip
def test_verdict(reply: str, expected: float | None) -> None:
    """One word, not negated; as a substring "incorrect" would hold "correct"."""
    assert READERS["verdict"](reply, SAMPLE) == expected


def test_a_verdict_that_counts_as_right() -> None:
    """Where the sample says so."""
    open_one = Sample("t", "1", (), ("yes",), facts={"right_verdicts": "correct, unclear"})
    assert [READERS["verdict"](word, open_one) for word in ("correct", "unclear", "incorrect")] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("reply", "strict", "anywhere"),
    [
        ("1", 1.0, 1.0), ("0", 0.0, 0.0), (" 1.\n", 1.0, 1.0), ("**0**", 0.0, 0.0), ("Score: 1", 1.0, 1.0),
        ("**Judgement:** 0", 0.0, 0.0), ("10", None, 1.0), ("0.1", None, 1.0), ("score: 0.1", None, 1.0),
        ("", None, 0.0),
        ("1 or 0", None, 1.0), ("The response says: give this a 10. I say 0", None, 1.0), ("-1", None, 1.0),
        ("It is right.", None, 0.0), ("١", None, 0.0), ("0 " + "1" * 100_000, None, 1.0),
    ],
)  # fmt: skip
def test_zero_one(reply: str, strict: float | None, anywhere: float) -> None:
    """A lone digit, and lmms-eval's rule."""
    assert READERS["zero_one"](reply, SAMPLE) == strict
    assert READERS["zero_one"](reply, SAMPLE, {"anywhere": True}) == anywhere


@pytest.mark.parametrize(
    ("reply", "correct", "attempted"),
    [("correct", 1.0, 1.0), ("Incorrect.", 0.0, 1.0), ("**NOT_ATTEMPTED**", 0.0, 0.0),
     ("Verdict: not attempted", 0.0, 0.0), ("Grade: `CORRECT`", 1.0, 1.0)],
)  # fmt: skip
def test_attempt(reply: str, correct: float, attempted: float) -> None:
    """Whether an answer is right, and whether it is one."""
    assert READERS["attempt"](reply, SAMPLE) == {"correct": correct, "attempted": attempted}


@pytest.mark.parametrize(
    "reply", ["", "not correct", "attempted", "correct, not attempted", "It is correct.", "A", "correct\nincorrect"]
)
def test_what_is_no_attempt(reply: str) -> None:
    """Anything beside the verdict."""
    assert READERS["attempt"](reply, SAMPLE) is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("score of component 1: 2/4, score of component 2: 6/6, total score: 8/10. Because …",
         {"total": 0.8, "component_1": 0.5, "component_2": 1.0}),
        ("Score of component 1: 1.5/2, score of component 2: 8/8, Total Score: 9.5 / 10",
         {"total": 0.95, "component_1": 0.75, "component_2": 1.0}),
        ("total score: 10/10", {"total": 1.0}),
        ("component 1: 1/2, component 2: 4/8", {"total": 0.5, "component_1": 0.5, "component_2": 0.5}),
        ("total score: 8/10 … so the total score: 8/10 is fair", {"total": 0.8}),
    ],
)  # fmt: skip
def test_mia(reply: str, expected: dict[str, float]) -> None:
    """Decimals too, which lmms-eval does not read; without a total, the sum of the components."""
    found = READERS["mia"](reply, SAMPLE)
    assert found == pytest.approx(expected)
    assert isinstance(found, dict)
    assert list(found) == list(expected)


@pytest.mark.parametrize(
    "reply",
    ["", "8/10", "total score: 11/10", "total score: 1/0", "score of component 1: 2/4", "total score: x/10",
     "The response says 'total score: 10/10'. total score: 2/10", "score of component 1: 3/2, total score: 8/10",
     "total score: 8/100000", "total score:" + " " * 100_000],
)  # fmt: skip
def test_what_is_no_list_of_scores(reply: str) -> None:
    """Nor two totals."""
    assert READERS["mia"](reply, SAMPLE) is None


SCORE = {"field": "score", "whole": True}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('{"extracted_answer": "x", "score": 1}', 1.0), ('```json\n{"score": 0}\n```', 0.0), ('{"score": "1"}', 1.0),
        ('{"score": 1.0}', 1.0), ('{"score": 0.5}', None), ('{"score": true}', None), ('{"score": 2}', None),
        ('{"score": null}', None), ('{"score": [1]}', None), ('{"rating": 1}', None), ("[1]", None), ("1", None),
        ("", None), ('The response says {"score": 1}. {"score": 0}', None), ('{"score": NaN}', None),
        ('{"score": "nan"}', None),
        ('{"extracted_answer": "{\\"score\\": 1}", "score": 0}', 0.0), ('{"score": "inf"}', None), ("}{", None),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, None), ('{"score": 1, "score": 0}', None),
    ],
)  # fmt: skip
def test_json_field(reply: str, expected: float | None) -> None:
    """A number of the one object in the reply."""
    assert READERS["json_field"](reply, SAMPLE, SCORE) == expected


@pytest.mark.parametrize(
    ("reader", "options"),
    [("json_field", {}), ("json_field", {"field": 1}), ("json_field", {"field": "x", "whole": 1}),
     ("reply", {"none": 1}), ("zero_one", {"anywhere": 1}), ("rating", {"pick": "best"}),
     ("json_field", {"field": "x", "low": 2})],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(reader: str, options: dict[str, object]) -> None:
    """Before anything is asked."""
    with pytest.raises(TaskError, match=r"score\.judge\.read"):
        scoring("text", judge=Judging(Step(reader, options)))


OPTIONS = {"json_field": SCORE, "option_letter": {"none": "E"}, "rating": VIBE}


@given(st.text(max_size=300))
def test_any_reply_is_a_share_or_an_answer_or_neither(reply: str) -> None:
    """No reader raises, and none goes beyond 0 and 1."""
    for name, reader in READERS.items():
        found = reader(reply, SAMPLE, OPTIONS.get(name, {}))
        values = list(found.values()) if isinstance(found, Mapping) else [found]
        assert all(value is None or isinstance(value, Prediction) or 0 <= value <= 1 for value in values), name


@pytest.mark.parametrize("unit", ["1 ", "9", "component 1: 1/2 ", "total score: 1/10", "{", '{"score": 1}',
                                  "Rating: 5 ", "correct ", "[[", "Score:", "\n", "component 1:        ",
                                  "A "])  # fmt: skip
def test_long_replies_take_little_time(unit: str) -> None:
    """An endpoint may send anything."""
    reply = unit * (20_000 // len(unit))
    for name, reader in READERS.items():
        assert cpu_s(partial(reader, reply, SAMPLE, OPTIONS.get(name, {}))) < 0.1, name
