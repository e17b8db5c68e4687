"""Every fault against a real server: what becomes of the sample, how often it is asked, and that no error is an answer.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from lmms_fast.errors import EndpointError, ServerError
from lmms_fast.events import EndpointState, Event, Notice, Ready, SampleDone
from lmms_fast.server.command import Platform
from tests.faults.work import check_sound, command, evaluate, journal, samples, write
from tests.servers.faulty import Fault, Faulty, free_port

PASSING: list[tuple[Fault, str]] = [
    ({"name": "429", "retry_after": "0"}, "rate_limit"),
    ({"name": "429"}, "rate_limit"),
    ({"name": "408"}, "timeout"),
    ({"name": "500"}, "server"),
    ({"name": "502", "body": "<html>502 Bad Gateway: C</html>"}, "server"),
    ({"name": "503"}, "server"),
    ({"name": "503", "retry_after": "0"}, "server"),
    ({"name": "504", "body": ""}, "server"),
    ({"name": "529"}, "server"),
    ({"name": "529", "retry_after": "0"}, "server"),
    ({"name": "hang"}, "timeout"),
    ({"name": "half then hang"}, "timeout"),
    ({"name": "reset"}, "connection"),
    ({"name": "reset mid-body"}, "connection"),
    ({"name": "cut off"}, "connection"),
    ({"name": "cut-off chunks"}, "connection"),
    ({"name": "no HTTP"}, "connection"),
    ({"name": "bad header"}, "connection"),
    ({"name": "long header"}, "connection"),
    ({"name": "bad gzip"}, "connection"),
    ({"name": "truncated JSON"}, "malformed"),
    ({"name": "empty body"}, "malformed"),
    ({"name": "no choices"}, "malformed"),
    ({"name": "event stream"}, "malformed"),
    ({"name": "HTML"}, "malformed"),
    ({"name": "error with 200"}, "malformed"),
    ({"name": "invalid UTF-8"}, "malformed"),
    ({"name": "half a character"}, "malformed"),
    ({"name": "huge", "megabytes": 65}, "malformed"),
]
DROPPED: list[Fault] = [{"name": "aborted"}, {"name": "errored"}]
FINAL: list[tuple[Fault, str]] = [
    ({"name": "400"}, "bad_request"),
    ({"name": "422"}, "bad_request"),
    ({"name": "400", "body": {"error": {"message": "maximum context length is 8 tokens"}}}, "too_long"),
    ({"name": "413"}, "too_long"),
    ({"name": "400", "body": {"message": "cannot identify image file"}}, "media"),
]
ANSWERS = ["slow", "wrong type", "parts", "stale", "closed", "out of order"]
ODD_HEADERS: list[Fault] = [
    {"name": "429", "retry_after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"},
    {"name": "503", "retry_after": "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"},
    {"name": "headers", "headers": {"x-ratelimit-remaining-requests": "0" * 5000}},
    {"name": "headers", "headers": {"x-ratelimit-remaining-tokens": "²"}},
]
NO_ANSWER = [("null content", "empty"), ("tool call", "empty"), ("refusal", "refused"), ("filtered", "content_filter")]
FATAL: list[tuple[Fault, str]] = [
    ({"name": "401"}, "The key is not accepted"),
    ({"name": "403"}, "The key is not accepted"),
    ({"name": "402"}, "The account has nothing left"),
    ({"name": "429", "body": {"error": {"code": "insufficient_quota"}}}, "The account has nothing left"),
    ({"name": "404"}, "The model or address is unknown there"),
    ({"name": "redirect"}, "it redirects to"),
]


def _name(value: Any) -> str:
    return " ".join(map(str, value.values())) if isinstance(value, dict) else str(value)


def _timeout_s(fault: Fault) -> float:
    return 0.3 if "hang" in fault["name"] else 10


@pytest.mark.parametrize(("fault", "kind"), PASSING, ids=_name)
def test_a_fault_that_passes(faulty: Faulty, task: Path, tmp_path: Path, fault: Fault, kind: str) -> None:
    """Asked once more, and answered."""
    faulty.plan(fault)
    result = evaluate(task, faulty.url, tmp_path / "r", request_timeout=_timeout_s(fault))
    assert result.failed == 0
    assert faulty.stats()["requests"] == 4
    check_sound(tmp_path / "r", result)
    assert [line["response"]["attempts"] for line in samples(tmp_path / "r")] == [2, 2]


@pytest.mark.parametrize(("fault", "kind"), PASSING, ids=_name)
def test_a_fault_that_stays(faulty: Faulty, task: Path, tmp_path: Path, fault: Fault, kind: str) -> None:
    """Counted as not measured, by kind, after the attempts allowed; never scored. A later session asks again."""
    faulty.plan({**fault, "times": 0})
    result = evaluate(task, faulty.url, tmp_path / "r", max_attempts=1, request_timeout=_timeout_s(fault))
    assert result.failures == {kind: 2}
    assert result.score("faults") is None
    # A server that says "later" is not failing, so being told so is no attempt; it is bounded apart.
    told = "rate_limit" in kind or "retry_after" in fault
    assert faulty.stats()["requests"] == 2 * (10 if told else 1)
    check_sound(tmp_path / "r", result)
    faulty.plan()
    again = evaluate(task, faulty.url, tmp_path / "r", max_attempts=1)
    assert again.failed == 0
    assert faulty.stats()["requests"] == 2
    assert {line["outcome"] for line in samples(tmp_path / "r")} <= {"correct", "wrong"}


@pytest.mark.parametrize("fault", DROPPED, ids=_name)
def test_an_answer_that_the_server_gave_up(faulty: Faulty, task: Path, tmp_path: Path, fault: Fault) -> None:
    """What there is of it is not the model's answer, so it is asked again, or not measured."""
    faulty.plan({**fault, "times": 0})
    assert evaluate(task, faulty.url, tmp_path / "a").failures == {"server": 2}
    faulty.plan(fault)
    check_sound(tmp_path / "b", evaluate(task, faulty.url, tmp_path / "b"))
    assert faulty.stats()["requests"] == 4


@pytest.mark.parametrize(("fault", "kind"), FINAL, ids=_name)
def test_a_request_that_cannot_be_answered(
    faulty: Faulty, task: Path, tmp_path: Path, fault: Fault, kind: str
) -> None:
    """Not measured after one request; a later session leaves it alone."""
    faulty.plan({**fault, "times": 0, "match": "row 0 "})
    for _ in range(2):
        result = evaluate(task, faulty.url, tmp_path / "r")
        assert result.failures == {kind: 1}
        assert faulty.stats()["requests"] == 2
        check_sound(tmp_path / "r", result)


@pytest.mark.parametrize("name", ANSWERS)
def test_an_odd_way_to_answer(faulty: Faulty, tmp_path: Path, name: str) -> None:
    """The right answer all the same, whichever connection it came by."""
    faulty.plan({"name": name}, rate=0.5, seed=2)
    task = write(tmp_path / "task", 40)
    result = evaluate(task, faulty.url, tmp_path / "r", max_attempts=10)
    assert result.failed == 0
    check_sound(tmp_path / "r", result)
    stats = faulty.stats()
    assert stats["faults"][name] > 10
    assert (stats["requests"], stats["answers"], stats["connections"]) == (40, 40, 0)


@pytest.mark.parametrize("fault", ODD_HEADERS, ids=range(len(ODD_HEADERS)))
def test_headers_that_mean_nothing(faulty: Faulty, task: Path, tmp_path: Path, fault: Fault) -> None:
    """Are as if they were not there."""
    faulty.plan(fault)
    result = evaluate(task, faulty.url, tmp_path / "r")
    assert result.failed == 0
    check_sound(tmp_path / "r", result)


@pytest.mark.parametrize(("name", "reason"), NO_ANSWER)
def test_an_answer_without_a_text(faulty: Faulty, task: Path, tmp_path: Path, name: str, reason: str) -> None:
    """Measured, wrong, and counted by its reason: the model was asked and did not answer."""
    faulty.plan({"name": name, "match": "row 0 "})
    result = evaluate(task, faulty.url, tmp_path / "r")
    assert result.failed == 0
    assert result.tasks["faults"].no_answer == {reason: 1}
    assert faulty.stats()["requests"] == 2
    check_sound(tmp_path / "r", result)
    first = samples(tmp_path / "r")[0]
    assert (first["outcome"], first["score"], first["response"]["text"]) == ("no_answer", 0.0, "")


@pytest.mark.parametrize(("fault", "sentence"), FATAL, ids=_name)
def test_what_every_request_would_meet(
    faulty: Faulty, tmp_path: Path, fault: Fault, sentence: str
) -> None:
    """One sentence, few requests; what was answered before is kept, and the same command goes on."""
    task = write(tmp_path / "task", 200)
    faulty.plan({**fault, "times": 0, "after": 20})
    with pytest.raises(EndpointError, match=sentence) as caught:
        evaluate(task, faulty.url, tmp_path / "r")
    assert "\n" not in str(caught.value)
    kept = len(journal(tmp_path / "r"))
    assert 16 <= kept <= 20
    assert faulty.stats()["requests"] <= 20 + 4
    faulty.plan()
    check_sound(tmp_path / "r", evaluate(task, faulty.url, tmp_path / "r"))
    assert faulty.stats()["requests"] == 200 - kept


def test_mixed_faults_end_as_none(faulty: Faulty, tmp_path: Path) -> None:
    """Results are the same, byte for byte."""
    task = write(tmp_path / "task", 400)
    evaluate(task, faulty.url, tmp_path / "plain", concurrency=16)
    assert faulty.stats()["requests"] == 400
    faulty.plan(*(fault for fault, _ in PASSING if fault["name"] not in ("huge", "hang", "half then hang")),
                {"name": "stale"}, {"name": "closed"}, {"name": "slow", "seconds": 0.05}, rate=0.15)  # fmt: skip
    result = evaluate(task, faulty.url, tmp_path / "r", concurrency=16, max_attempts=20)
    check_sound(tmp_path / "r", result)
    found = [(tmp_path / name / "results.json").read_bytes() for name in ("plain", "r")]
    assert found[0] == found[1]
    assert len(faulty.stats()["faults"]) > 20


def test_a_storm_is_over_when_it_is_over(faulty: Faulty, tmp_path: Path) -> None:
    """A second in which every request is refused, without a word on when to come back, costs a few seconds."""
    task = write(tmp_path / "task", 300)
    faulty.plan({"name": "429", "times": 0, "for_s": 1.0}, {"name": "slow", "times": 0, "seconds": 0.02})
    result = evaluate(task, faulty.url, tmp_path / "r", concurrency="auto", max_time="12s")
    assert result.not_asked == 0
    check_sound(tmp_path / "r", result)


def test_exit_codes(faulty: Faulty, task: Path, tmp_path: Path) -> None:
    """2 with a panel when more is not measured than allowed, 1 with a sentence when nothing can be, 0 when all is."""
    def done() -> subprocess.CompletedProcess[str]:
        words = command(task, faulty.url, tmp_path / "r", "--max-attempts", "1")
        return subprocess.run(words, capture_output=True, text=True, check=False)

    faulty.plan({"name": "HTML", "match": "row 0 "})
    first = done()
    assert first.returncode == 2
    assert "1 of 2 samples could not be measured" in first.stderr
    faulty.plan({"name": "401"})
    second = done()
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "The key is not accepted" in second.stderr
    assert done().returncode == 0


def test_flapping(tmp_path: Path) -> None:
    """A server that dies and comes back on the same port, three times: everything is answered, once."""
    task = write(tmp_path / "task", 120)
    with Faulty() as server:
        server.plan(*({"name": "die", "after": after, "total": 1, "seconds": 0.2} for after in (20, 50, 80)))
        result = evaluate(task, server.url, tmp_path / "r")
        stats = server.stats()
    assert result.failed == 0
    check_sound(tmp_path / "r", result)
    assert stats["faults"] == {"die": 3}
    assert stats["requests"] <= 120 + 3 * 4


def test_a_server_that_stays_away_costs_no_samples(tmp_path: Path) -> None:
    """The run ends after --patience with what it has; the same command goes on when the server is back."""
    task = write(tmp_path / "task", 60)
    with Faulty() as server:
        server.plan({"name": "exit", "after": 30, "times": 0})
        words = command(task, server.url, tmp_path / "r", "--concurrency", "4", "--patience", "1")
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    kept = journal(tmp_path / "r")
    assert 26 <= len(kept) <= 30
    assert f"{60 - len(kept)} samples were not asked" in " ".join(done.stderr.replace("│", " ").split())
    assert all("response" in line for line in kept)
    with Faulty(server.port) as server:
        check_sound(tmp_path / "r", evaluate(task, server.url, tmp_path / "r"))
        assert server.stats()["requests"] == 60 - len(kept)


SICK: list[tuple[Fault, str]] = [
    ({"name": "500"}, "HTTP 500: fault 500"),
    ({"name": "hang"}, "no answer within 0.2 s"),
    ({"name": "reset"}, "Connection reset by peer"),
]


@pytest.mark.parametrize(("fault", "said"), SICK, ids=_name)
def test_a_server_that_only_lists_its_models(tmp_path: Path, fault: Fault, said: str) -> None:
    """It is tried with one request now and then, and after --patience the run ends, with what it says last."""
    task = write(tmp_path / "task", 60)
    with Faulty() as server:
        server.plan({**fault, "after": 30, "times": 0})
        words = command(task, server.url, tmp_path / "r", "--concurrency", "4", "--patience", "3",
                        "--request-timeout", "0.2")  # fmt: skip
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
        asked = server.stats()["requests"]
    assert done.returncode == 2, done.stderr
    assert f"since no endpoint has answered for 3 s (last from {server.url}: " in done.stderr
    assert said in done.stderr
    assert "30 samples were not asked" in done.stderr
    assert len(journal(tmp_path / "r")) == 30
    assert all("response" in line for line in journal(tmp_path / "r"))
    assert 30 + 5 < asked <= 30 + 8 + 3  # those that took it out, and trials after 0.5, 1.5 and 3.5 s


@pytest.mark.parametrize(("fault", "said"), SICK, ids=_name)
def test_one_of_two_servers_only_lists_its_models(tmp_path: Path, fault: Fault, said: str) -> None:
    """What it is tried with is answered by the other one, and none of that counts as an attempt."""
    task = write(tmp_path / "task", 300)
    states: list[EndpointState] = []
    with Faulty() as sick, Faulty() as sound:
        sick.plan({**fault, "times": 0})
        sound.plan({"name": "slow", "seconds": 0.02})
        result = evaluate(task, [sick.url, sound.url], tmp_path / "r", max_attempts=3, request_timeout=0.2,
                          notify=lambda event: states.append(event) if isinstance(event, EndpointState) else None)
        asked = sick.stats()["requests"]
    assert (result.samples, result.failed) == (300, 0)
    check_sound(tmp_path / "r", result)
    assert {state.endpoint for state in states} == {sick.url}
    assert sum(state.up for state in states) >= 2
    assert asked <= 6 + sum(state.up for state in states)


@dataclass
class Launched:
    """A server as if it were launched by the run, which lives as long as the run."""

    base_url: str
    served_name: str = "faulty"
    api_key: str = "k"
    command: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    platform: Platform = "cpu"

    async def ready(self) -> None:
        """At once."""

    async def died(self) -> ServerError:
        """Never."""
        await asyncio.Event().wait()
        raise AssertionError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def test_a_launched_server_in_trouble_that_lives(
    faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is probed and tried like any other: only one that died is started again."""
    async def launch(*_: object, **__: object) -> Launched:
        return Launched(f"{faulty.url}/v1")

    monkeypatch.setattr("lmms_fast.server.fleet.launch", launch)
    faulty.plan({"name": "500", "after": 20, "total": 8, "times": 0})
    result = evaluate(write(tmp_path / "task", 60), "local", tmp_path / "r", max_attempts=5, patience=5)
    assert (result.samples, result.not_asked, result.failed) == (60, 0, 0)


def test_one_of_two_servers_is_killed(tmp_path: Path) -> None:
    """The other takes over; what was out is answered once."""
    task = write(tmp_path / "task", 120)
    with Faulty() as first, Faulty() as second:
        for server in (first, second):
            server.plan({"name": "exit", "after": 30 if server is first else 1000, "times": 0},
                        {"name": "slow", "seconds": 0.01})  # fmt: skip
        result = evaluate(task, [first.url, second.url], tmp_path / "r")
        stats = second.stats()
    assert result.failed == 0
    check_sound(tmp_path / "r", result)
    served = Counter(line["response"]["served_by"] for line in journal(tmp_path / "r"))
    assert served[first.url] + served[second.url] == 120
    assert 28 <= served[first.url] <= 30
    assert stats["repeats"] == 0


def test_a_server_that_joins_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was named, was not there at the start, and gets a share once it is."""
    monkeypatch.setattr("lmms_fast.pipeline.servers._JOIN_S", 0.05)
    task = write(tmp_path / "task", 200)
    late = Faulty(free_port())
    done = 0

    def notify(event: Event) -> None:
        nonlocal done
        done += isinstance(event, SampleDone)
        if isinstance(event, SampleDone) and done == 20:
            late.start()

    try:
        with Faulty() as first, Faulty() as second:
            for server in (first, second):
                server.plan({"name": "slow", "seconds": 0.02})
            result = evaluate(task, [first.url, second.url, late.url], tmp_path / "r", notify, concurrency=6)
    finally:
        late.kill()
    check_sound(tmp_path / "r", result)
    served = Counter(line["response"]["served_by"] for line in journal(tmp_path / "r"))
    assert served[late.url] > 20
    assert served.total() == 200


@pytest.mark.parametrize("options", [("--models-status", "401 Unauthorized"), ("--model", "another")], ids=str)
def test_a_late_server_that_cannot_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, str]
) -> None:
    """A notice, and the run goes on without it."""
    monkeypatch.setattr("lmms_fast.pipeline.servers._JOIN_S", 0.05)
    task = write(tmp_path / "task", 60)
    late = Faulty(free_port(), *options)
    events: list[Event] = []

    def notify(event: Event) -> None:
        events.append(event)
        if isinstance(event, Ready):
            late.start()

    try:
        with Faulty() as server:
            server.plan({"name": "slow", "seconds": 0.05})
            result = evaluate(task, [server.url, late.url], tmp_path / "r", notify, model="faulty")
    finally:
        late.kill()
    check_sound(tmp_path / "r", result)
    assert {line["response"]["served_by"] for line in journal(tmp_path / "r")} == {server.url}
    assert any(late.url in event.text and "without it" in event.text for event in events if isinstance(event, Notice))


def test_the_first_server_is_missing(faulty: Faulty, task: Path, tmp_path: Path) -> None:
    """Those that are there do the work, also when the model's name is theirs to tell."""
    check_sound(tmp_path / "r", evaluate(task, [f"http://127.0.0.1:{free_port()}", faulty.url], tmp_path / "r"))
    assert faulty.stats()["requests"] == 2


def test_servers_of_different_models(faulty: Faulty, task: Path, tmp_path: Path) -> None:
    """Two models' answers do not become one result."""
    with Faulty(0, "--model", "another") as other, pytest.raises(EndpointError, match="another"):
        evaluate(task, [faulty.url, other.url], tmp_path / "r")


def test_tls_that_cannot_be_trusted(faulty: Faulty, task: Path, tmp_path: Path) -> None:
    """A certificate that nobody signed is one sentence before the first request, and no model's failure in a pool."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    names = [str(tmp_path / name) for name in ("cert.pem", "key.pem")]
    words = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "1", "-subj", "/CN=127.0.0.1", "-out", names[0], "-keyout", names[1]]  # fmt: skip
    subprocess.run(words, check=True, capture_output=True)
    with Faulty(0, "--tls", *names) as server:
        secure = f"https://127.0.0.1:{server.port}"
        with pytest.raises(EndpointError, match=r"cannot reach .* \(.*CERTIFICATE_VERIFY_FAILED") as caught:
            evaluate(task, secure, tmp_path / "a")
        assert "\n" not in str(caught.value)
        check_sound(tmp_path / "b", evaluate(task, [faulty.url, secure], tmp_path / "b"))
    assert faulty.stats()["requests"] == 2


def test_no_tls_where_some_was_expected(faulty: Faulty, task: Path, tmp_path: Path) -> None:
    """One sentence; and the other way round."""
    with pytest.raises(EndpointError, match=r"cannot reach .* is the server up, the URL right\?"):
        evaluate(task, f"https://127.0.0.1:{faulty.port}", tmp_path / "r")
    assert not (tmp_path / "r" / "journal.jsonl").exists()
