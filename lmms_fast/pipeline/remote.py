"""Client processes on the nodes of a Ray cluster, near the servers. Imported only when one is named."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lmms_fast.limits import set_limits
from lmms_fast.pipeline.link import GATHER_S, Broken, Frames, Link
from lmms_fast.pipeline.spread import Start
from lmms_fast.pipeline.worker import work
from lmms_fast.server.node import end_with_raylet


def on_nodes(nodes: Sequence[str]) -> Start:
    """One after the other on the nodes of these ids, as long as they are there."""
    made = 0

    @contextlib.asynccontextmanager
    async def start() -> AsyncIterator[Link]:
        nonlocal made
        alive = {node["NodeID"] for node in await asyncio.to_thread(ray.nodes) if node["Alive"]}
        left = [node for node in nodes if node in alive] or nodes
        # Not where Ray likes better: it fills one node with what takes nothing, and all would have the same core.
        there = NodeAffinitySchedulingStrategy(left[made % len(left)], soft=False)
        made += 1
        # It has no CPU of its own: where replicas take all of them, it would wait for ever.
        client = ray.remote(Client).options(num_cpus=0, scheduling_strategy=there).remote(os.getcwd())
        try:
            yield _ToClient(client)
        finally:
            ray.kill(client)

    return start


class Client:
    """The actor: a worker that is talked to by calls."""

    def __init__(self, folder: str) -> None:
        """`folder` is where paths of the run begin, if it is there, too."""
        set_limits()
        with contextlib.suppress(OSError):
            os.chdir(folder)
        self._link = _OfClient()
        self._tasks: list[asyncio.Task[None]] = []
        self._heard, self._early = 0, dict[int, bytes]()

    async def hear(self, number: int, frame: bytes) -> None:
        """What the run says. Calls may overtake each other."""
        self._early[number] = frame
        while (following := self._early.pop(self._heard, None)) is not None:
            self._heard += 1
            self._link.heard.put_nowait(following)

    async def say(self) -> AsyncIterator[bytes]:
        """What is to be said to the run, until all is."""
        working = asyncio.create_task(work(self._link))
        self._tasks += [working, asyncio.create_task(end_with_raylet())]
        working.add_done_callback(lambda _: self._link.news.set())
        while not working.done():
            await self._link.news.wait()
            await asyncio.sleep(GATHER_S)
            self._link.news.clear()
            yield self._link.frames.frame()
        yield self._link.frames.frame()  # what came while the one before was taken
        await working


class _OfClient:
    """The client's end."""

    def __init__(self) -> None:
        self.frames, self.heard = Frames(), asyncio.Queue[bytes]()
        self.news = asyncio.Event()
        self.room = threading.Event()
        self.room.set()  # Ray keeps what was said and not yet heard

    def put(self, *records: Any) -> None:
        """Said with what follows in the next moment."""
        self.frames.add(tuple(map(_told, records)))
        self.news.set()

    async def get(self) -> Any:
        """The next record."""
        return await self.frames.next(self.heard.get)


class _ToClient:
    """The run's end."""

    def __init__(self, client: Any) -> None:
        self._client, self._frames, self._put = client, Frames(), 0
        self._said = client.say.options(num_returns="streaming").remote()

    def put(self, *records: Any) -> None:
        """At once."""
        self._frames.add(records)
        self._client.hear.remote(self._put, self._frames.frame())
        self._put += 1

    async def get(self) -> Any:
        """The next record; None when the actor is gone."""
        return await self._frames.next(self._frame)

    async def _frame(self) -> bytes | None:
        try:
            frame: bytes = await (await anext(self._said))
        except RayTaskError as error:  # what should never be
            print(error, file=sys.stderr)
            return None
        except (StopAsyncIteration, RayError):
            return None
        return frame


def _told(record: Any) -> Any:
    """Errors say where they were met."""
    if not isinstance(record, Broken):
        return record
    return Broken(type(record.error)(f"On {ray.util.get_node_ip_address()}: {record.error}"))
