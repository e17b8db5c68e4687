"""Fixtures shared by all tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from aiohttp import web

from tests.servers.stand_in import StandIn


@pytest.fixture(autouse=True, scope="session")
def _no_kept_servers_of_the_developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A vLLM left running by hand must not be what the tests test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A running stand-in on loopback."""
    server = StandIn()
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_get("/v1/models", server.models)
        app.router.add_post("/v1/chat/completions", server.chat)
        runner = web.AppRunner(app, shutdown_timeout=0.1)  # a hanging answer must not hold up the end
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        started.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    started.wait()
    yield server
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
