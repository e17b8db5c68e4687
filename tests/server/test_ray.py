"""`--ray-address`: servers on the nodes of a real Ray cluster of this machine, a stand-in for vLLM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lmms_fast import evaluate
from lmms_fast.errors import ServerError, UsageError
from lmms_fast.events import EndpointState, Event, Notice, SampleDone, ServerPhase
from lmms_fast.report.result import RunResult
from tests.judging.work import write
from tests.servers.ray_nodes import Nodes, nodes, soon, stand_in, together


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """One node; tests add theirs."""
    with nodes([stand_in(tmp_path_factory.mktemp("stand_in"))]) as running:
        yield running


@pytest.fixture
def two(cluster: Nodes) -> Iterator[Nodes]:
    """Two nodes, on which runs begin when both servers are ready; nothing is left on them afterwards."""
    cluster.add()
    with together():
        yield cluster
    assert soon(lambda: not cluster.servers())
    while cluster.others:
        cluster.remove()


class Listener:
    """Keeps what was said, and acts at the n-th answer."""

    def __init__(self, at: int = 0, act: Any = None) -> None:
        self.events: list[Event] = []
        self.answers = 0
        self._at, self._act = at, act

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, SampleDone):
            self.answers += 1
            if self.answers == self._at:
                self._act()

    @property
    def said(self) -> list[str]:
        """Notices."""
        return [event.text for event in self.events if isinstance(event, Notice)]


def run(cluster: Nodes, folder: Path, count: int, notify: Any = lambda event: None, **options: Any) -> RunResult:
    """Replicas on the cluster."""
    given = {"dp": 2, "concurrency": 4, "output_dir": folder / "r", **options}
    return evaluate(str(write(folder, count)), "local", "m", ray_address=cluster.address, notify=notify, **given)


def served(folder: Path) -> Counter[str]:
    """Who answered how many."""
    lines = (folder / "r" / "journal.jsonl").read_text().splitlines()
    return Counter(json.loads(line)["response"]["served_by"] for line in lines)


def session(folder: Path) -> dict[str, Any]:
    """What the manifest says of the last one."""
    manifest = json.loads((folder / "r" / "manifest.json").read_text())
    found: dict[str, Any] = manifest["sessions"][-1]
    return found


def test_both_nodes_are_used(two: Nodes, tmp_path: Path) -> None:
    """Each has one; on loopback, for they are here; the logs are in the run's directory."""
    listener = Listener()
    result = run(two, tmp_path, 200, listener)
    assert (result.samples, result.failed) == (200, 0)
    assert set(served(tmp_path)) == {"local-0", "local-1"}
    told = session(tmp_path)["servers"]["local-1"]
    assert len(told["nodes"]) == 1
    assert told["command"][told["command"].index("--host") + 1] == "127.0.0.1"
    for name in ("server.log", "server_1.log"):
        assert "Application startup complete" in (tmp_path / "r" / name).read_text()
    assert "ready" in {event.phase for event in listener.events if isinstance(event, ServerPhase)}
    assert soon(lambda: not two.actors())


def test_an_actor_is_killed(two: Nodes, tmp_path: Path) -> None:
    """vLLM ends with it and is started again; nothing is lost."""
    listener = Listener(20, lambda: os.kill(two.actors()[0], signal.SIGKILL))
    result = run(two, tmp_path, 400, listener)
    assert (result.samples, result.failed) == (400, 0)
    assert any("Starting it again (1 of 2)." in text for text in listener.said), listener.said
    [death] = session(tmp_path)["deaths"]
    assert "Ray says of its actor: its worker process has died." in death["error"]


def test_a_node_is_killed_and_another_joins(two: Nodes, tmp_path: Path) -> None:
    """Nothing of it lives on; the other goes on alone while there is no room, and then is not alone any more."""
    before = set(two.servers())
    listener = Listener(20, two.kill)

    def notify(event: Event) -> None:
        listener(event)
        if isinstance(event, ServerPhase) and event.phase == "waiting" and not two.others and listener.answers > 60:
            two.add()

    result = run(two, tmp_path, 1500, notify)
    assert (result.samples, result.failed) == (1500, 0)
    assert EndpointState("local-1", True, "it was started again") in listener.events or (
        EndpointState("local-0", True, "it was started again") in listener.events
    )
    assert before == set()
    [death] = session(tmp_path)["deaths"]
    assert "Ray says of its actor" in death["error"]


def test_one_never_starts(cluster: Nodes, tmp_path: Path) -> None:
    """It is told why, and the run goes on with the other."""
    cluster.add(STAND_IN_BROKEN="1")
    try:
        listener = Listener()
        result = run(cluster, tmp_path, 600, listener)
    finally:
        cluster.remove()
    assert (result.samples, result.failed) == (600, 0)
    assert len(served(tmp_path)) == 1
    assert any("vLLM did not start (exit code 1). RuntimeError: this node is broken" in text for text in listener.said)


def test_none_starts(cluster: Nodes, tmp_path: Path) -> None:
    """As on one machine."""
    with pytest.raises(ServerError, match=r"this node is broken"):
        run(cluster, tmp_path, 10, dp=1, server_args=("--broken",))
    assert "this node is broken" in (tmp_path / "r" / "server.log").read_text()


def test_gpus(cluster: Nodes, tmp_path: Path) -> None:
    """Where a node has some, servers are nowhere else, each on those that Ray gave it."""
    cluster.add(gpus=4)
    try:
        with together():
            assert run(cluster, tmp_path, 100, tp=2).failed == 0
    finally:
        cluster.remove()
    logs = [(tmp_path / "r" / name).read_text() for name in ("server.log", "server_1.log")]
    assert sorted(log.splitlines()[0] for log in logs) == ["GPUs 0,1", "GPUs 2,3"]


def test_a_model_on_two_nodes(two: Nodes, tmp_path: Path) -> None:
    """The first serves, the second works; when that dies, both are started again."""

    def kill() -> None:
        """When it is there, which the stand-in that serves does not wait for; its child comes after its first words."""
        assert soon(lambda: two.headless() and psutil.Process(two.headless()[0]).children())
        os.kill(two.headless()[0], signal.SIGKILL)

    listener = Listener(20, kill)
    result = run(two, tmp_path, 200, listener, dp=1, pp=2)
    assert (result.samples, result.failed) == (200, 0)
    [death] = session(tmp_path)["deaths"]
    assert "vLLM died" in death["error"]
    assert "--headless" in (tmp_path / "r" / "server.node1.log").read_text()


def lmms_fast(cluster: Nodes, folder: Path) -> subprocess.Popen[str]:
    """A run of its own process, under way."""
    words = ["eval", "--tasks", str(write(folder, 3000)), "--model", "m", "--ray-address", cluster.address, "--dp", "2",
             "--output-dir", str(folder / "r"), "--concurrency", "2"]  # fmt: skip
    started = subprocess.Popen([sys.executable, "-m", "lmms_fast.cli.app", *words], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)  # fmt: skip
    journal = folder / "r" / "journal.jsonl"
    assert soon(lambda: started.poll() is not None or (journal.exists() and journal.stat().st_size > 10_000), 60)
    return started


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_run_is_ended(two: Nodes, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """As on one machine: the exit code says how, and nothing is left."""
    with lmms_fast(two, tmp_path) as started:
        assert len(two.servers()) >= 6
        started.send_signal(number)
        said, _ = started.communicate(timeout=60)
        assert started.returncode == code, said
    assert soon(lambda: not two.servers())


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "lmms_fast.server.ray", raising=False)
    with pytest.raises(UsageError, match=r"--ray-address needs Ray: pip install 'lmms-fast\[ray\]', on all nodes\."):
        evaluate("smoke", "local", ray_address="auto")


def test_what_cannot_be(cluster: Nodes, tmp_path: Path) -> None:
    """One sentence each."""
    with pytest.raises(UsageError, match=r"too small for --dp 3 with 1 CPU each: CPUs of its nodes: 1\."):
        run(cluster, tmp_path, 1, dp=3)
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:1: nothing answers there; `ray start --head`"):
        evaluate("smoke", "local", ray_address="127.0.0.1:1")
    with pytest.raises(UsageError, match=r"ray://h:1: write HOST:PORT or auto"):
        evaluate("smoke", "local", ray_address="ray://h:1")
    with pytest.raises(UsageError, match="--keep-server"):
        evaluate("smoke", "local", ray_address="auto", keep_server=True)
    with pytest.raises(UsageError, match="goes with --endpoint local"):
        evaluate("smoke", "http://127.0.0.1:1", ray_address="auto")


def test_clients_on_the_nodes(two: Nodes, tmp_path: Path) -> None:
    """They ask the replicas, one on each node; the run is the same as by one process here."""
    listener = Listener()
    result = run(two, tmp_path, 200, listener, client_workers=2)
    assert (result.samples, result.failed) == (200, 0)
    assert set(served(tmp_path)) == {"local-0", "local-1"}
    assert listener.answers == 200
    command = session(tmp_path)["servers"]["local-1"]["command"]
    assert command[command.index("--host") + 1] != "127.0.0.1", "clients elsewhere must reach it"
    run(two, tmp_path / "alone", 200)
    same = [(folder / "r" / "results.json").read_bytes() for folder in (tmp_path, tmp_path / "alone")]
    assert same[0] == same[1]
    assert soon(lambda: not two.actors("Client"))


def test_a_node_with_a_client_is_killed(two: Nodes, tmp_path: Path) -> None:
    """Another goes on with its part; what it had said stays, and nothing is counted twice."""
    listener = Listener(40, two.kill)
    result = run(two, tmp_path, 400, listener, client_workers=2)
    assert (result.samples, result.failed) == (400, 0)
    assert listener.answers == 400
    assert any("another goes on with its part" in text for text in listener.said), listener.said
    two.add()
