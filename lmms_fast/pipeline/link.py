"""What a run and its client processes say to each other: records of ours, pickled, in frames of several.

Both ends are this program, the one started by the other, so nobody else's bytes are unpickled.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lmms_fast.errors import LmmsFastError
from lmms_fast.pipeline.answers import Plan
from lmms_fast.pipeline.door import Terms
from lmms_fast.pipeline.servers import Reached

GATHER_S = 0.01
"""Frames are not sent sooner: one of fifty records costs little more than one of one."""
_ROOM_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """The first thing it is told."""

    plan: Plan
    """With its part."""
    terms: Terms
    """With its share."""
    done: frozenset[str]
    """Samples that are not asked."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The servers can be asked."""

    servers: Sequence[Reached]


@dataclass(frozen=True, slots=True)
class Closing:
    """No more requests; those that are out have some time left."""


@dataclass(frozen=True, slots=True)
class Dark:
    """It says: none of the servers answers."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """It says: all is asked, or it was closed. Nothing follows."""


@dataclass(frozen=True, slots=True)
class Broken:
    """It says: the run cannot go on. Nothing follows."""

    error: LmmsFastError


class Link(Protocol):
    """One end."""

    def put(self, *records: Any) -> None:
        """Say something. On the event loop's thread; harmless when nobody is there any more."""
        ...

    async def get(self) -> Any:
        """The next record; None when the other end is gone."""
        ...


class WorkersLink(Link, Protocol):
    """The worker's end."""

    room: threading.Event
    """Set while what was said is also being heard; whoever makes more of it may wait for that."""


class Frames:
    """Records gathered for frames, and taken out of them."""

    def __init__(self) -> None:
        self._gathered: list[Any] = []
        self._received: list[Any] = []

    def add(self, records: tuple[Any, ...]) -> bool:
        """Whether these are the first since the last frame."""
        first = not self._gathered
        self._gathered += records
        return first

    def frame(self) -> bytes:
        """All that was gathered."""
        records, self._gathered = self._gathered, []
        return pickle.dumps(records, protocol=pickle.HIGHEST_PROTOCOL)

    async def next(self, more: Callable[[], Awaitable[bytes | None]]) -> Any:
        """The next record received; `more` waits for another frame, and has None when there will be none."""
        while not self._received:
            frame = await more()
            if frame is None:
                return None
            self._received = pickle.loads(frame)[::-1]
        return self._received.pop()


class SocketLink:
    """Over a socket pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._frames = Frames()
        self._sending: asyncio.Task[None] | None = None
        self.room = threading.Event()
        self.room.set()

    @classmethod
    async def over(cls, end: socket.socket) -> SocketLink:
        """An end that is this process's alone."""
        return cls(*await asyncio.open_connection(sock=end))

    def put(self, *records: Any) -> None:
        """Sent with what follows in the next moment."""
        if self._frames.add(records):
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        await asyncio.sleep(GATHER_S)
        await self.flush()

    async def flush(self) -> None:
        """Send at once, and wait until it is on its way."""
        if self._writer.is_closing():
            return
        frame = self._frames.frame()
        self._writer.write(len(frame).to_bytes(4, "big") + frame)
        if self._writer.transport.get_write_buffer_size() < _ROOM_BYTES:
            return
        self.room.clear()
        try:
            await self._writer.drain()
        except OSError:
            pass  # nobody is there; `get` says so
        finally:
            self.room.set()

    async def get(self) -> Any:
        """The next record; None when the other end is gone."""
        return await self._frames.next(self._frame)

    async def _frame(self) -> bytes | None:
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "big")
            return await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, OSError):
            return None

    def close(self) -> None:
        """What was put is still sent."""
        self._writer.close()
