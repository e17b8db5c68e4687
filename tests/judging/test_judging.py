"""Judging as a stage: beside the answers, resumed, cached, audited; a failure of the judge is not an answer's."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lmms_fast.events import Event, Judged, Notice, SampleDone
from tests.judging.work import TASK, Servers, answers, evaluate, judges, number_of, right, samples, write
from tests.servers.stand_in import completion

pytestmark = pytest.mark.usefixtures("own_cache")


def test_every_answer_is_judged(tmp_path: Path, pair: Servers) -> None:
    """Scores, and who judged, by what, saying what, beside each answer."""
    result = evaluate(write(tmp_path, 9), pair, tmp_path / "r")
    assert result.score("essays") == pytest.approx(6 / 9)
    assert sorted(pair.judged()) == list(range(9))
    assert result.judged is not None
    assert result.judged.model == "stand-in"
    assert result.judged.questions == 9
    assert (result.judged.prompt_tokens, result.prompt_tokens) == (63, 63)
    line = samples(tmp_path / "r")[3]
    (judgement,) = line["judgements"]
    said = judgement["judge"], judgement["reply"], judgement["temperature"]
    assert (line["score"], *said) == (0.0, "stand-in", "0", "0.0")
    assert judgement["rubric"]
    assert judgement["served_by"] == pair.judge.url
    stored = [json.loads(one) for one in (tmp_path / "r" / "judgements.jsonl").read_text().splitlines()]
    assert {one["key"] for one in stored} >= {judgement["question"]}


def test_judging_goes_on_beside_answering(tmp_path: Path, pair: Servers) -> None:
    """With one request at a time at the model, the first answer is judged while the others are being made."""
    order: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, SampleDone | Judged):
            order.append(type(event).__name__)

    pair.model.delay_s = 0.02
    evaluate(write(tmp_path, 12), pair, tmp_path / "r", listen, concurrency=1)
    assert "Judged" in order[:4]
    assert order.count("Judged") == 12


def test_a_slow_judge_holds_up_nobody(tmp_path: Path, pair: Servers) -> None:
    """While it has not said a word, all answers come in."""
    free = threading.Event()
    done: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, SampleDone):
            done.append(event.key)
            if len(done) == 300:
                free.set()

    pair.judge.hold = free
    result = evaluate(write(tmp_path, 300), pair, tmp_path / "r", listen, judge_concurrency=2)
    assert free.is_set()
    assert result.score("essays") == pytest.approx(200 / 300)


def test_two_slots_at_one_server_do_for_both(tmp_path: Path, pair: Servers) -> None:
    """The model judges itself through the same door: never more than two at once, and no standstill."""
    pair.model.delay_s = 0.002
    result = evaluate(write(tmp_path, 40), pair, tmp_path / "r", judge_endpoint=pair.model.url, concurrency=2)
    assert result.not_judged == 0
    assert pair.model.most == 2
    assert len(pair.model.asked) == 80
    assert sum(judges(body) for body in pair.model.asked) == 40
    assert result.judged is not None
    assert result.judged.same_family == "stand-in"


def test_an_outage_of_the_judge_can_be_resumed(tmp_path: Path, pair: Servers) -> None:
    """Half-way it refuses for good: answers go on, the rest is not judged, and the same command judges that alone."""

    def behave(number: int, body: dict[str, Any]) -> web.Response:
        return answers(number, body) if number < 10 else web.json_response({"error": "gone"}, status=503)

    pair.judge.behave = behave
    said: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            said.append(event.text)

    task = write(tmp_path, 30)
    first = evaluate(task, pair, tmp_path / "r", listen, judge_concurrency=1)
    assert first.tasks["essays"].outcomes["not_judged"] == first.not_judged == 20
    assert first.failed == 0
    assert first.tasks["essays"].aggregates[0].n == 10
    assert any("is not asked any more" in text for text in said), said
    assert len(pair.model.asked) == 30
    done = set(pair.judged()[:10])
    pair.judge.behave, pair.judge.asked[:] = answers, []
    second = evaluate(task, pair, tmp_path / "r")
    assert second.not_judged == 0
    assert second.score("essays") == pytest.approx(20 / 30)
    assert len(pair.model.asked) == 30
    assert not done & set(pair.judged())
    assert len(pair.judge.asked) == 20
    assert evaluate(task, pair, tmp_path / "r").score("essays") == second.score("essays")
    assert len(pair.judge.asked) == 20


def test_the_same_question_is_asked_once(tmp_path: Path, pair: Servers) -> None:
    """By a run and by the next one; another judge, another rubric and --no-judge-cache ask again."""
    task = write(tmp_path, 6)
    evaluate(task, pair, tmp_path / "a", repeats=3)
    assert len(pair.model.asked) == 18
    assert len(pair.judge.asked) == 6
    again = evaluate(task, pair, tmp_path / "b")
    assert len(pair.judge.asked) == 6
    assert again.score("essays") == pytest.approx(4 / 6)
    assert again.judged is not None
    assert again.judged.questions == 6
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["sessions"][-1]["cost"]["judge"]["prompt_tokens"] == 0
    evaluate(task, pair, tmp_path / "c", judge_cache=False)
    assert len(pair.judge.asked) == 12
    evaluate(write(tmp_path, 6, TASK.replace("Reference:", "Gold:")), pair, tmp_path / "d")
    assert len(pair.judge.asked) == 18
    pair.judge.names = ("another",)
    evaluate(write(tmp_path, 6), pair, tmp_path / "e", judge="another", judge_gen={"temperature": None})
    assert len(pair.judge.asked) == 24
    assert pair.judge.asked[-1]["temperature"] is None


VOTES = TASK + "    votes: 3\n    temperature: 0.5\n    combine: {combine}\n"


@pytest.mark.parametrize(("combine", "expected"), [("mean", 1 / 3), ("majority", 0.0)])
def test_votes(tmp_path: Path, pair: Servers, combine: str, expected: float) -> None:
    """Each has a seed of its own; the mean, or what most say."""
    pair.judge.behave = lambda _, body: web.json_response(completion("1" if body["seed"] == 1 else "0"))
    result = evaluate(write(tmp_path, 4, VOTES.replace("{combine}", combine)), pair, tmp_path / "r")
    assert result.score("essays") == pytest.approx(expected)
    assert sorted(body["seed"] for body in pair.judge.asked) == [0] * 4 + [1] * 4 + [2] * 4
    assert [one["reply"] for one in samples(tmp_path / "r")[0]["judgements"]] == ["0", "1", "0"]


def test_a_vote_that_cannot_be_read_leaves_the_sample_unmeasured(tmp_path: Path, pair: Servers) -> None:
    """It is not a zero, and the others are not made to stand for it."""
    pair.judge.behave = lambda _, body: web.json_response(completion("perhaps" if body["seed"] == 2 else "1"))
    result = evaluate(write(tmp_path, 4, VOTES.replace("{combine}", "mean")), pair, tmp_path / "r")
    assert result.tasks["essays"].judging == {"unreadable": 4}
    assert result.not_judged == 4
    assert result.tasks["essays"].aggregates[0].value is None


def test_a_judge_may_think(tmp_path: Path, pair: Servers) -> None:
    """What it thinks is no verdict."""
    pair.judge.behave = lambda _, body: web.json_response(completion("<think>1? 1. Or\n0</think>\n\n0"))
    assert evaluate(write(tmp_path, 3), pair, tmp_path / "r").score("essays") == 0.0


SWAP = """\
  judge:
    prompt: |-
      {%- if swapped %}A: {{ response }} B: {{ target[0] }}{% else %}A: {{ target[0] }} B: {{ response }}{% endif %}
      Write about {{ target[0] | replace('about ', '') }}. Which is better, [[A>B]] or [[B>A]]?
    read: preference
    swap: true
"""


def test_positions_are_swapped(tmp_path: Path, pair: Servers) -> None:
    """A judge that always likes the first answer better finds neither better, one that sees the model's finds it."""
    task = write(tmp_path, 4, TASK[: TASK.index("  judge:")] + SWAP)
    pair.judge.behave = lambda number, body: web.json_response(completion("So: [[A>B]]"))
    assert evaluate(task, pair, tmp_path / "a").score("essays") == 0.5

    def sees(_: int, body: dict[str, Any]) -> web.Response:
        first = "A: It is" in json.dumps(body["messages"])
        return web.json_response(completion("[[A>>B]]" if first else "[[B>A]]"))

    pair.judge.behave = sees
    assert evaluate(task, pair, tmp_path / "b", judge_cache=False).score("essays") == pytest.approx((0.75 + 1) / 2)


FORM = """\
    form: {type: object, properties: {score: {type: integer}}, required: [score]}
    read: {name: json_field, options: {field: score}}
"""


@pytest.mark.parametrize("understood", [True, False])
def test_the_form_of_a_reply(tmp_path: Path, pair: Servers, understood: bool) -> None:
    """Asked for where the endpoint has it; one that refuses it is asked without, and no more with it."""

    def behave(number: int, body: dict[str, Any]) -> web.Response:
        if "response_format" in body and not understood:
            return web.json_response({"error": {"message": "response_format is not supported"}}, status=400)
        return web.json_response(completion('{"score": ' + right(number_of(body)) + "}"))

    pair.judge.behave = behave
    task = write(tmp_path, 60, TASK.replace("    read: zero_one\n", FORM))
    result = evaluate(task, pair, tmp_path / "r", judge_concurrency=1)
    assert result.score("essays") == pytest.approx(40 / 60)
    with_form = [body for body in pair.judge.asked if "response_format" in body]
    if understood:
        assert len(with_form) == len(pair.judge.asked) == 60
        assert with_form[0]["response_format"]["json_schema"]["schema"]["required"] == ["score"]
    else:
        assert len(pair.judge.asked) == 60 + len(with_form)
        assert len(with_form) < 40


def test_a_second_judge_looks_at_a_slice(tmp_path: Path, pair: Servers) -> None:
    """Agreement and κ over a random share of the samples, the same one each time, with those that differ."""
    task = write(tmp_path, 200)

    def behave(number: int, body: dict[str, Any]) -> web.Response:
        row = number_of(body)
        return web.json_response(completion("0" if body["model"] == "strict" and row % 10 == 1 else right(row)))

    pair.judge.behave = behave
    options = {"judge": "lenient", "judge_audit": "20%", "audit_judge": "strict", "judge_endpoint": pair.judge.url}
    pair.judge.names = ("lenient", "strict")
    result = evaluate(task, pair, tmp_path / "r", **options)
    audit = result.tasks["essays"].audit
    assert audit is not None
    asked = [number_of(body) for body in pair.judge.asked if body["model"] == "strict"]
    assert 20 <= len(asked) <= 60
    differ = {row for row in asked if row % 10 == 1 and right(row) == "1"}
    assert {int(key.split("/")[1].split("#")[0]) for key, _, _ in audit.disagreements} == differ
    assert audit.agreement.n == len(asked)
    assert audit.agreement.raw == pytest.approx(1 - len(differ) / len(asked))
    assert audit.agreement.kappa is not None
    assert result.score("essays") == pytest.approx(133 / 200)
    assert evaluate(task, pair, tmp_path / "r", **options).tasks["essays"].audit == audit
    assert len(pair.judge.asked) == 200 + len(asked)


def test_cut_off_answers_asked_again_are_judged_too(tmp_path: Path, pair: Servers) -> None:
    """Both scores are there: of the first answers, and with the longer ones."""

    def behave(number: int, body: dict[str, Any]) -> web.Response:
        row, long = number_of(body), body["max_tokens"] > 16
        return web.json_response(completion(f"row {row}, {'whole' if long else 'cut'}", "stop" if long else "length"))

    pair.model.behave = behave
    pair.judge.behave = lambda _, body: web.json_response(
        completion("1" if "whole" in json.dumps(body["messages"]) else "0")
    )
    result = evaluate(write(tmp_path, 5), pair, tmp_path / "r", retry_truncated=64)
    longer = result.tasks["essays"].longer
    assert longer is not None
    assert (result.score("essays"), longer.aggregates[0].value) == (0.0, 1.0)
    assert samples(tmp_path / "r")[0]["longer"]["judgements"][0]["reply"] == "1"


def test_the_budget_holds_for_both(tmp_path: Path, pair: Servers) -> None:
    """Judging counts, at its own model's price; when it is spent the run ends, and says so."""
    prices = tmp_path / "prices.yaml"
    prices.write_text("stand-in: {prompt: 0, completion: 0}\ndear: {prompt: 1000000, completion: 0}\n")
    task = write(tmp_path, 50)
    pair.judge.names = ("dear",)
    result = evaluate(task, pair, tmp_path / "r", judge="dear", budget="100usd", prices=prices, judge_concurrency=1)
    assert 10 <= result.tasks["essays"].judging["judged"] <= 15
    cost = json.loads((tmp_path / "r" / "manifest.json").read_text())["sessions"][-1]["cost"]
    assert cost["model"]["usd"] == 0
    assert 70 <= cost["judge"]["usd"] <= 105


def test_nothing_to_judge_needs_no_judge(tmp_path: Path, pair: Servers) -> None:
    """A judge that is named for tasks without a rubric is not even looked for."""
    said: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            said.append(event.text)

    task = write(tmp_path, 3, TASK[: TASK.index("  judge:")] + "  match: exact\n")
    evaluate(task, pair, tmp_path / "r", listen)
    assert any("None of the tasks has anything for a judge" in text for text in said)
    assert pair.judge.asked == []
