"""What runs on a node of a Ray cluster: an actor that has a vLLM, or its part of one, under a guard.

The guard's lifeline is the actor's, so whatever ends the actor's process ends vLLM with all its children.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmms_fast import __version__
from lmms_fast.errors import ServerError
from lmms_fast.limits import set_limits
from lmms_fast.server.command import Platform
from lmms_fast.server.launch import Elsewhere, Server, choices, free_port, start
from lmms_fast.server.spec import ServerSpec
from lmms_fast.server.tune import Choice

ENVIRONMENT = {"RAY_kill_child_processes_on_worker_exit": "0"}
"""Of the actor's process. Ray would kill the guard, and only the guard, which then could not end what is below it."""
_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Started:
    """What is to be known of a server elsewhere."""

    base_url: str
    api_key: str = field(repr=False)
    served_name: str
    command: tuple[str, ...]
    facts: Mapping[str, Any]
    platform: Platform
    choices: tuple[Choice, ...]
    log_path: str
    """On the node."""


class Node:
    """The actor. Its node's raylet may be killed alone, and Ray does not always see that from here; so it looks itself.
    """

    def __init__(self) -> None:
        self._server: Server | None = None
        self._raylet: asyncio.Task[None] | None = None
        set_limits()
        os.environ.pop("OMP_NUM_THREADS", None)  # Ray's, for as many CPUs as the actor has; vLLM sees to its threads

    async def address(self) -> tuple[str, int]:
        """The node's, and a port that is free there."""
        import ray.util  # noqa: PLC0415

        host = ray.util.get_node_ip_address()
        return host, free_port(host)

    async def start(
        self, spec: ServerSpec, host: str, version: str, chosen: Sequence[Choice] | None, requests: int | None,
        repeats: int,
    ) -> Started:  # fmt: skip
        """Launch it, bound to `host`. `version` is that of lmms-fast elsewhere. Raises ServerError."""
        if version != __version__:
            raise ServerError(f"lmms-fast is {__version__} there and {version} here; install the same on all nodes.")
        self._raylet = asyncio.create_task(end_with_raylet())
        chosen = choices(spec, requests, repeats) if chosen is None else chosen
        self._server = await start(spec, chosen, _log_path(), lambda event: None, host=host)
        return self._started(tuple(chosen))

    def _started(self, chosen: tuple[Choice, ...]) -> Started:
        server = self._its()
        return Started(server.base_url, server.api_key, server.served_name, server.command, server.facts,
                       server.platform, chosen, str(server.log_path))  # fmt: skip

    async def ready(self) -> Mapping[str, Any]:
        """Wait until it answers; what is known of it then. Raises ServerError."""
        await self._its().ready()
        return self._its().facts

    async def died(self) -> str:
        """Wait for an end that nobody asked for, and say what it was."""
        return str(await self._its().died())

    async def log(self, since: int) -> tuple[bytes, int]:
        """Its log from a place on, or the end of that where it is long; and the place where that ends."""
        with self._its().log_path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since, size - _AT_ONCE))
            return file.read(), file.tell()

    async def stop(self) -> None:
        """End it and everything below it."""
        if self._server:
            await self._server.stop()

    def _its(self) -> Server:
        assert self._server, "it was started"
        return self._server


async def end_with_raylet() -> None:
    """End this actor's process when that of its node has ended."""
    await Elsewhere(os.getppid()).wait()
    os._exit(1)


def _log_path() -> Path:
    """Beside Ray's own logs, which stay for those who look for the cause of something."""
    from ray._private import worker  # noqa: PLC0415  (nothing public tells the folder)

    return Path(worker._global_node.get_logs_dir_path()) / f"lmms-fast-{os.getpid()}.log"
