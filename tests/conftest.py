"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.judging.work import Servers, servers
from tests.servers.stand_in import StandIn
from tests.servers.thread import served


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A real vLLM takes minutes to start again and again: with two processes one begins with that."""
    items.sort(key=lambda item: item.get_closest_marker("vllm") is None)


@pytest.fixture(autouse=True, scope="session")
def _no_kept_servers_of_the_developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A vLLM left running by hand must not be what the tests test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judgements of another test, or of the developer's runs, must not be found."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def pair() -> Iterator[Servers]:
    """A model and a judge, which answer alike to those who take them for two servers of one model."""
    with servers() as running:
        yield running


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A running stand-in on loopback."""
    server = StandIn()
    app = web.Application(client_max_size=1 << 28)
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.chat)
    with served(app) as server.url:
        yield server
