"""`--client-workers` with `--ray-address`: client processes on the nodes of a real Ray cluster of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.test_ray import Listener, run, served, session
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
