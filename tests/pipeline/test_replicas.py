"""`--dp`: several servers of one model that this run launched, behind one pool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from lmms_fast import evaluate
from lmms_fast.errors import ServerError
from lmms_fast.events import EndpointState, Event, Notice, SampleDone
from lmms_fast.server import fleet
from lmms_fast.server.command import Platform
from lmms_fast.server.spec import ServerSpec
from tests.judging.work import Servers, write


@dataclass
class Launched:
    """A server as if this run had launched it; it dies when it is told to."""

    url: str
    spec: ServerSpec
    killed: asyncio.Event
    log_path: Path
    served_name: str = "stand-in"
    api_key: str = "k"
    command: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    platform: Platform = "cpu"
    starts: Callable[[], bool] = lambda: True

    @property
    def base_url(self) -> str:
        """Its address."""
        return f"{self.url}/v1"

    async def ready(self) -> None:
        """At once, or not at all."""
        if not self.starts():
            raise ServerError("vLLM did not start (exit code 1).")

    async def died(self) -> ServerError:
        """When it is killed."""
        await self.killed.wait()
        return ServerError("vLLM died (exit code -9).")

    def log(self) -> str:
        """Nothing."""
        return ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.fixture
def launched(pair: Servers, monkeypatch: pytest.MonkeyPatch) -> list[Launched]:
    """Every server that a run launches: replica 0 is the pair's first, replica 1 its second."""
    found: list[Launched] = []

    async def launch(spec: ServerSpec, *, log_path: Path, **_: object) -> Launched:
        url = (pair.model, pair.judge)[spec.replica].url
        found.append(Launched(url, spec, asyncio.Event(), log_path))
        return found[-1]

    monkeypatch.setattr("lmms_fast.server.fleet.launch", launch)
    return found


def test_both_are_used(tmp_path: Path, pair: Servers, launched: list[Launched]) -> None:
    """About equally, and who answered is recorded."""
    pair.model.delay_s = pair.judge.delay_s = 0.01
    result = evaluate(str(write(tmp_path, 200)), "local", "m", dp=2, concurrency=8, output_dir=tmp_path / "r")
    assert (result.samples, result.failed) == (200, 0)
    assert abs(len(pair.model.asked) - len(pair.judge.asked)) < 80
    assert [one.spec.replica for one in launched] == [0, 1]
    assert [one.log_path.name for one in launched] == ["server.log", "server_1.log"]
    lines = (tmp_path / "r" / "journal.jsonl").read_text().splitlines()
    served = {json.loads(line)["response"]["served_by"] for line in lines}
    assert served == {"local-0", "local-1"}
    assert pair.model.most + pair.judge.most <= 8


def test_one_that_keeps_dying_does_not_end_the_run(tmp_path: Path, pair: Servers, launched: list[Launched]) -> None:
    """It is started again twice, then the other goes on alone; every sample is answered."""
    said: list[str] = []
    done = 0

    def listen(event: Event) -> None:
        nonlocal done
        if isinstance(event, Notice):
            said.append(event.text)
        if isinstance(event, SampleDone):
            done += 1
            if done % 30 == 0:
                for one in launched:
                    if one.spec.replica == 1:
                        one.killed.set()

    pair.model.delay_s = pair.judge.delay_s = 0.01
    result = evaluate(str(write(tmp_path, 300)), "local", "m", dp=2, concurrency=8, output_dir=tmp_path / "r",
                      notify=listen)  # fmt: skip
    assert (result.samples, result.failed) == (300, 0)
    assert [one.log_path.name for one in launched if one.spec.replica] == ["server_1.log", "server_1.1.log",
                                                                            "server_1.2.log"]  # fmt: skip
    assert any("Going on without it." in text for text in said), said
    manifest = json.loads((tmp_path / "r" / "manifest.json").read_text())
    assert len(manifest["sessions"][-1]["deaths"]) == 3


def not_starting(launched: list[Launched], monkeypatch: pytest.MonkeyPatch, *fails: tuple[int, int]) -> None:
    """Launches that fail: replica and number, from 0."""
    plain = fleet.launch

    async def launch(spec: ServerSpec, **options: Any) -> Any:
        number = sum(one.spec.replica == spec.replica for one in launched)
        server = await plain(spec, **options)
        launched[-1].starts = lambda: (spec.replica, number) not in fails
        return server

    monkeypatch.setattr(fleet, "launch", launch)


@pytest.mark.parametrize("lasting", [True, False])
def test_one_that_does_not_start(
    tmp_path: Path, pair: Servers, launched: list[Launched], monkeypatch: pytest.MonkeyPatch, lasting: bool
) -> None:
    """Neither at the beginning nor later is that the end of the run; one that starts after all is used."""
    not_starting(launched, monkeypatch, *((1, number) for number in range(3 if lasting else 2)))
    said: list[Event] = []
    pair.model.delay_s = pair.judge.delay_s = 0.01
    result = evaluate(str(write(tmp_path, 300)), "local", "m", dp=2, concurrency=8, output_dir=tmp_path / "r",
                      notify=said.append)  # fmt: skip
    assert (result.samples, result.failed) == (300, 0)
    texts = [event.text for event in said if isinstance(event, Notice)]
    assert any("vLLM did not start (exit code 1). Starting it again (1 of 2)." in text for text in texts)
    assert any("Going on without it." in text for text in texts) is lasting
    assert (len(pair.judge.asked) > 0) is not lasting
    assert (EndpointState("local-1", True, "it was started again") in said) is not lasting


def test_none_starts(
    tmp_path: Path, pair: Servers, launched: list[Launched], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of the first, and none is tried again."""
    not_starting(launched, monkeypatch, (0, 0), (1, 0))
    with pytest.raises(ServerError, match="vLLM did not start"):
        evaluate(str(write(tmp_path, 3)), "local", "m", dp=2, output_dir=tmp_path / "r")
    assert len(launched) == 2
    assert pair.model.asked == pair.judge.asked == []


def test_all_dying_ends_the_run(tmp_path: Path, pair: Servers, launched: list[Launched]) -> None:
    """When none is left it is a server error, and what was answered is kept."""

    def listen(event: Event) -> None:
        if isinstance(event, SampleDone):
            for one in launched:
                one.killed.set()

    pair.model.delay_s = pair.judge.delay_s = 0.01
    with pytest.raises(ServerError, match="vLLM died"):
        evaluate(str(write(tmp_path, 300)), "local", "m", dp=2, concurrency=2, output_dir=tmp_path / "r", notify=listen)
    assert (tmp_path / "r" / "journal.jsonl").stat().st_size
