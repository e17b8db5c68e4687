"""Judging as a stage: beside the answers, resumed, cached, audited; a failure of the judge is not an answer's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lmms_fast.events import Event, Judged, Notice, SampleDone
from tests.judging.work import Servers, answers, evaluate, judges, samples, servers, write


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judgements of another test, or of the developer's runs, must not be found."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def pair() -> Iterator[Servers]:
    """A model and a judge."""
    with servers() as running:
        yield running


def test_every_answer_is_judged(tmp_path: Path, pair: Servers) -> None:
    """Scores, and who judged, by what, saying what, beside each answer."""
    result = evaluate(write(tmp_path, 9), pair, tmp_path / "r")
    assert result.score("essays") == pytest.approx(6 / 9)
    assert sorted(pair.judged()) == list(range(9))
    assert result.judged is not None and result.judged.model == "stand-in" and result.judged.questions == 9
    assert (result.judged.prompt_tokens, result.prompt_tokens) == (63, 63)
    line = samples(tmp_path / "r")[3]
    (judgement,) = line["judgements"]
    assert (line["score"], judgement["judge"], judgement["reply"], judgement["temperature"]) == (0.0, "stand-in", "0", "0.0")
    assert judgement["rubric"] and judgement["served_by"] == pair.judge.url
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
    assert "Judged" in order[:4] and order.count("Judged") == 12


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
    assert free.is_set() and result.score("essays") == pytest.approx(200 / 300)


def test_two_slots_at_one_server_do_for_both(tmp_path: Path, pair: Servers) -> None:
    """The model judges itself through the same door: never more than two at once, and no standstill."""
    pair.model.delay_s = 0.002
    result = evaluate(write(tmp_path, 40), pair, tmp_path / "r", judge_endpoint=pair.model.url, concurrency=2)
    assert result.not_judged == 0 and pair.model.most == 2
    assert len(pair.model.asked) == 80 and sum(judges(body) for body in pair.model.asked) == 40
    assert result.judged is not None and result.judged.same_family == "stand-in"


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
    assert first.failed == 0 and first.tasks["essays"].aggregates[0].n == 10
    assert any("is not asked any more" in text for text in said), said
    assert len(pair.model.asked) == 30
    done = set(pair.judged()[:10])
    pair.judge.behave, pair.judge.asked[:] = answers, []
    second = evaluate(task, pair, tmp_path / "r")
    assert second.not_judged == 0 and second.score("essays") == pytest.approx(20 / 30)
    assert len(pair.model.asked) == 30 and not done & set(pair.judged()) and len(pair.judge.asked) == 20
    assert evaluate(task, pair, tmp_path / "r").score("essays") == second.score("essays")
    assert len(pair.judge.asked) == 20
