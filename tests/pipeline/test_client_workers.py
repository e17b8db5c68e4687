"""`--client-workers`: several processes ask one run, and nothing about the run tells."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from lmms_fast import evaluate
from lmms_fast.errors import DataError, LmmsFastError, TaskError
from lmms_fast.events import Event, FeedDone, LimitChanged, Notice, RequestRetried, RequestStarted, SampleDone
from lmms_fast.pipeline import scale
from lmms_fast.pipeline.door import Share
from lmms_fast.pipeline.scale import Second, processes
from tests.catalogue.hub import everything
from tests.catalogue.hub import write as write_hub
from tests.judging import work
from tests.servers.stand_in import StandIn

pytestmark = pytest.mark.usefixtures("own_cache")


def children() -> list[psutil.Process]:
    """Client processes of this one."""
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "lmms_fast.pipeline.worker" in _words(child)]


def _words(child: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):  # it may end while it is looked at
        return child.cmdline()
    return []


def results(run: Path) -> tuple[bytes, list[dict[str, object]]]:
    """Scores and samples; what depends on the clock is left out."""
    samples = [json.loads(line) for line in (run / "samples_essays.jsonl").read_text().splitlines()]
    for one in samples:
        one["response"].pop("latency_s")
    return (run / "results.json").read_bytes(), samples


def test_the_run_is_the_same(tmp_path: Path, pair: work.Servers) -> None:
    """Scores, order, judgements, repeats; every sample is asked once, and the limit is that of all together."""
    task = work.write(tmp_path / "task", 100)
    events: list[Event] = []
    work.evaluate(task, pair, tmp_path / "one", client_workers=1, repeats=2)
    pair.model.asked.clear()
    pair.model.delay_s = 0.005
    work.evaluate(task, pair, tmp_path / "three", client_workers=3, repeats=2, concurrency=6, notify=events.append)
    assert results(tmp_path / "one") == results(tmp_path / "three")
    assert len(pair.model.asked) == 200
    assert pair.model.most <= 6
    kinds = Counter(type(event) for event in events)
    assert (kinds[RequestStarted], kinds[SampleDone], kinds[FeedDone]) == (200, 200, 1)
    assert max(event.limit for event in events if isinstance(event, LimitChanged)) == 6
    assert not children()
    timing = json.loads((tmp_path / "three" / "manifest.json").read_text())["sessions"][-1]["timing"]
    assert timing["samples"] == 200
    assert timing["tail_s"] > 0


def test_groups_and_pictures(tmp_path: Path, stand_in: StandIn) -> None:
    """Tasks of the catalogue, with pictures, groups and limits."""
    write_hub(tmp_path / "hub", everything().datasets, everything().files)
    tasks = ["mme", "mmbench_en_dev", "hallusion_bench_image", "naturalbench"]
    for name, count, limit in (("one", 1, None), ("two", 2, None), ("one6", 1, 6), ("two6", 2, 6)):
        evaluate(tasks, stand_in.url, data_dir=tmp_path / "hub", output_dir=tmp_path / name, client_workers=count,
                 limit=limit)  # fmt: skip
    for one, two in (("one", "two"), ("one6", "two6")):
        assert (tmp_path / one / "results.json").read_bytes() == (tmp_path / two / "results.json").read_bytes()


def test_a_judge_at_the_same_server_is_within_the_limit(tmp_path: Path, pair: work.Servers) -> None:
    """It asks from the run's own process, which has its share."""
    task = work.write(tmp_path / "task", 60)
    pair.model.delay_s = 0.005
    result = evaluate(str(task), pair.model.url, judge="stand-in", client_workers=2, concurrency=3,
                      output_dir=tmp_path / "r")  # fmt: skip
    assert (result.samples, result.failed, result.not_judged) == (60, 0, 0)
    assert pair.model.most <= 3


def test_no_more_of_them_than_requests_at_a_server(tmp_path: Path, pair: work.Servers) -> None:
    """Or one of them would have nothing to do, or the limit would not hold."""
    said: list[str] = []
    pair.model.delay_s = 0.005
    task = work.write(tmp_path / "task", 40)
    evaluate(str(task), pair.model.url, client_workers=8, concurrency=2, output_dir=tmp_path / "r",
             notify=lambda event: said.append(event.text) if isinstance(event, Notice) else None)  # fmt: skip
    assert any("--client-workers 8: 2" in text for text in said)
    assert pair.model.most <= 2


def test_one_that_is_killed_is_replaced(tmp_path: Path, pair: work.Servers) -> None:
    """What it had said stays, what it had not is asked again, and nothing is counted twice."""
    task = work.write(tmp_path / "task", 200)
    said: list[str] = []
    settled: Counter[str] = Counter()
    lost: list[str] = []

    def listen(event: Event) -> None:
        match event:
            case SampleDone():
                settled[event.key] += 1
                if settled.total() == 40:
                    children()[0].kill()
            case Notice():
                said.append(event.text)
            case RequestRetried() if event.kind == "worker":
                lost.append(event.key)

    pair.model.delay_s = 0.01
    result = evaluate(str(task), pair.model.url, client_workers=2, concurrency=4, output_dir=tmp_path / "r",
                      notify=listen)  # fmt: skip
    assert (result.samples, result.failed) == (200, 0)
    assert set(settled.values()) == {1}
    assert lost
    assert [text for text in said if "another goes on with its part" in text]
    assert not children()


def test_one_that_keeps_dying_ends_the_run(tmp_path: Path, pair: work.Servers) -> None:
    """With a sentence; what was answered is kept and the same command goes on."""
    task = work.write(tmp_path / "task", 100)

    def listen(event: Event) -> None:
        if isinstance(event, SampleDone):
            for child in children():
                child.kill()

    pair.model.delay_s = 0.01
    with pytest.raises(LmmsFastError, match="ended 3 times"):
        evaluate(str(task), pair.model.url, client_workers=2, concurrency=4, output_dir=tmp_path / "r",
                 notify=listen)  # fmt: skip
    kept = len((tmp_path / "r" / "journal.jsonl").read_text().splitlines())
    assert 0 < kept < 100
    pair.model.asked.clear()
    result = evaluate(str(task), pair.model.url, client_workers=3, output_dir=tmp_path / "r")
    assert (result.samples, result.failed) == (100, 0)
    assert len(pair.model.asked) == 100 - kept


def test_an_id_that_is_there_twice_is_found(tmp_path: Path, pair: work.Servers) -> None:
    """Though no process sees both."""
    task = work.write(tmp_path / "task", 64, work.TASK.replace('"{{ number }}"\nprompt', '"{{ number % 60 }}"\nprompt'))
    with pytest.raises(DataError, match=r"id '[0-3]' occurs twice"):
        evaluate(str(task), pair.model.url, client_workers=2, output_dir=tmp_path / "r")


def test_what_no_request_can_mend_ends_the_run(tmp_path: Path, stand_in: StandIn) -> None:
    """As with one process: one sentence, of the same kind."""
    task = work.write(tmp_path / "task", 10, work.TASK.replace("{{ number }}.", "{{ missing }}."))
    for count in (1, 2):
        with pytest.raises(TaskError, match=r"'missing' is undefined\. The row has: number\."):
            evaluate(str(task), stand_in.url, client_workers=count, output_dir=tmp_path / f"r{count}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_of_them(tmp_path: Path, pair: work.Servers, number: signal.Signals) -> None:
    """As a scheduler or a terminal sends it: requests that are out are finished, and nothing is left running."""
    task = work.write(tmp_path / "task", 2000)
    pair.model.delay_s = 0.02
    words = [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--endpoint", pair.model.url, "--tasks",
             str(task), "--client-workers", "2", "--concurrency", "4", "-o", str(tmp_path / "r"), "--json"]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        while '"SampleDone"' not in run.stdout.readline():
            assert run.poll() is None
        below = psutil.Process(run.pid).children()
        for process in (*below, psutil.Process(run.pid)):
            os.kill(process.pid, number)
        said = run.communicate(timeout=60)[1]
    assert run.returncode == 128 + number, said
    assert "Traceback" not in said
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in below)
    lines = [json.loads(line) for line in (tmp_path / "r" / "journal.jsonl").read_text().splitlines()]
    assert lines
    assert all("response" in line for line in lines)
    assert len(lines) == len(pair.model.asked)


def test_nothing_outlives_a_run_that_is_killed(tmp_path: Path, pair: work.Servers) -> None:
    """They see that nobody listens."""
    task = work.write(tmp_path / "task", 2000)
    pair.model.delay_s = 0.02
    words = [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--endpoint", pair.model.url, "--tasks",
             str(task), "--client-workers", "2", "-o", str(tmp_path / "r"), "--json"]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        assert run.stdout is not None
        while '"SampleDone"' not in run.stdout.readline():
            assert run.poll() is None
        below = psutil.Process(run.pid).children()
        run.kill()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert len(below) == 2
    assert not alive


def test_more_when_one_is_at_its_limit(
    tmp_path: Path, pair: work.Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are out are finished first; nothing is asked twice, and what failed waits for the next session."""

    fifty, said = asyncio.Event(), list[str]()

    async def at_once(left: object) -> int:
        await fifty.wait()
        return 2

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            said.append(event.text)
        if isinstance(event, SampleDone) and len(pair.model.asked) >= 50:
            fifty.set()

    monkeypatch.setattr(scale, "wanted", at_once)
    task = work.write(tmp_path / "task", 300)
    pair.model.delay_s = 0.005
    result = evaluate(str(task), pair.model.url, concurrency=4, output_dir=tmp_path / "r", notify=listen)
    assert (result.samples, result.failed) == (300, 0)
    assert len(pair.model.asked) == 300
    assert any("2 go on" in text for text in said)
    assert pair.model.most <= 4


def test_when_there_should_be_more() -> None:
    """A core in use, others idle, for some seconds, with work left that is worth it."""
    busy = [Second(0.98, 6.3, 90_000 - 1_000 * at) for at in range(5)]
    assert processes(busy) == 7
    assert processes([replace(one, idle=60.0) for one in busy]) == scale.MOST
    assert processes([replace(one, left=math.inf) for one in busy]) == 7
    assert processes(busy[1:]) == 1
    assert processes([replace(one, left=one.left - 80_000) for one in busy]) == 1, "done in six seconds"
    assert processes([*busy[:4], replace(busy[4], used=0.5)]) == 1
    assert processes([*busy[:4], replace(busy[4], idle=0.4)]) == 1


async def test_it_is_looked_at_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the clock of the process and of the machine."""
    clock = Counter[str]()

    async def second(_: float) -> None:
        clock.update(real=1.0, used=0.95, idle=2.2)

    monkeypatch.setattr(scale.asyncio, "sleep", second)
    monkeypatch.setattr(scale.time, "monotonic", lambda: clock["real"])
    monkeypatch.setattr(scale.time, "process_time", lambda: clock["used"])
    monkeypatch.setattr(scale, "idle_s", lambda: clock["idle"])
    assert await scale.wanted(lambda: math.inf) == 3
    assert clock["real"] == scale.SECONDS


def test_idle_seconds(tmp_path: Path) -> None:
    """Of the cores that may be used; where nobody tells, none."""
    assert 0 < scale.idle_s() < 1e10
    (tmp_path / "stat").write_text("cpu  1 2 3\n")
    assert scale.idle_s(tmp_path / "stat") == scale.idle_s(tmp_path / "missing") == 0.0


@pytest.mark.parametrize(("limit", "of"), [(8, 3), (7, 7), (512, 8), (3, 2)])
def test_shares_make_the_limit(limit: int, of: int) -> None:
    """All together, where that is enough for one each."""
    assert sum(Share(number, of).part(limit) for number in range(1, of + 1)) == limit


def test_how_many_there_may_be() -> None:
    """No more than requests at one server; where a judge uses it too, one less, and auto keeps to one."""
    assert scale.allowed(4, "auto", 1, shared=False) == (4, 4)
    assert scale.allowed(8, 64, 16, shared=False) == (4, 4)
    assert scale.allowed(8, 64, 16, shared=True) == (3, 3)
    assert scale.allowed(2, 1, 1, shared=True) == (1, 1)
    assert scale.allowed("auto", "auto", 2, shared=False) == (1, scale.MOST)
    assert scale.allowed("auto", 3, 1, shared=False) == (1, 3)
    assert scale.allowed("auto", "auto", 2, shared=True) == (1, 1)
