"""The answers' stream as several client processes, for when one core is not enough to make, send and read requests.
Each asks a part of the samples; all that they say comes together here, so the run is the same as by one.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Set
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from lmms_fast.data.feed import Part
from lmms_fast.endpoints.pool import Closed
from lmms_fast.errors import DataError, LmmsFastError
from lmms_fast.events import (
    EndpointState,
    Event,
    FeedDone,
    LimitChanged,
    Notice,
    Notify,
    Ready,
    RequestRetried,
    RequestStarted,
)
from lmms_fast.pipeline.answers import Plan, Settled
from lmms_fast.pipeline.door import Door, Share
from lmms_fast.pipeline.link import Broken, Closing, Dark, Ended, Job, Link, Opening, SocketLink
from lmms_fast.pipeline.stop import Stop

_RESTARTS = 2

Start = Callable[[], AbstractAsyncContextManager[Link]]
"""Makes a client process, which is gone when the block ends."""


@contextlib.asynccontextmanager
async def process() -> AsyncIterator[Link]:
    """One on this machine."""
    ours, theirs = socket.socketpair()
    with theirs:
        child = _started(theirs.fileno())
    link = await SocketLink.over(ours)
    try:
        yield link
    finally:
        link.close()
        child.kill()
        child.wait()


def _started(fd: int) -> subprocess.Popen[bytes]:
    """Signals to the whole group, from a terminal or a scheduler, are for the run, which tells the others; so they are
    blocked there, from its first moment. Its output is no place for ours: standard output may be the events of --json.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        return subprocess.Popen([sys.executable, "-P", "-m", "lmms_fast.pipeline.worker", str(fd)], pass_fds=(fd,),
                                stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno())  # fmt: skip
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Spread:
    """Asks what a `Stream` would. `take` gets each outcome with the number of requests out; `done` are samples that are
    not asked, `before` of them by this session."""

    def __init__(
        self, plan: Plan, count: int, door: Door, take: Callable[[Settled, int], None], done: Set[str],
        stop: Stop, notify: Notify, before: int = 0, start: Start = process,
    ) -> None:  # fmt: skip
        self._plan, self._count, self._door, self._take = plan, count, door, take
        self._done, self._settled = frozenset(done), set[str]()
        self._stop, self._notify, self._start = stop, notify, start
        self._links: set[Link] = set()
        self._out: dict[int, set[str]] = {number: set() for number in range(1, count + 1)}
        self._told = _Together(notify, count, before)
        self._ended = False

    async def run(self) -> bool:
        """Ask everything; False when it was ended before. Raises LmmsFastError when that cannot go on; what was
        answered until then is taken."""
        async with asyncio.TaskGroup() as parts:
            for number in self._out:
                parts.create_task(self._part(number))
            parts.create_task(self._ready())
        return not self._ended

    def end(self) -> None:
        """No new requests; those that are out have some time left."""
        self._ended = True
        for link in self._links:
            link.put(Closing())

    async def _ready(self) -> None:
        with contextlib.suppress(Closed):
            await self._door.passed(self._notify)
            self._notify(Ready())

    async def _part(self, number: int) -> None:
        """One part, by as many processes as it takes, within reason."""
        for again in range(_RESTARTS + 1):
            if self._ended:
                return
            async with self._start() as link:
                if await self._hear(number, link):
                    return
            for key in self._out[number]:
                self._notify(RequestRetried(key, "worker", "its client process ended", 0.0))
            self._out[number].clear()
            if again < _RESTARTS:
                self._notify(Notice(f"Client process {number} of {self._count} ended; another goes on with its part."))
        raise LmmsFastError(f"Client process {number} of {self._count} ended {_RESTARTS + 1} times; what it said of "
                            "the reason stands above. --client-workers 1 does without.")  # fmt: skip

    async def _hear(self, number: int, link: Link) -> bool:
        """Everything that a process says; whether it came to an end of its own."""
        share = Share(number, max(self._count, self._door.terms.share.of))
        plan = replace(self._plan, part=Part(number, self._count))
        link.put(Job(plan, replace(self._door.terms, share=share), self._done | self._settled))
        self._links.add(link)
        opening = asyncio.create_task(self._open(link))
        try:
            while (record := await link.get()) is not None:
                match record:
                    case Settled():
                        self._settle(number, record)
                    case Ended():
                        return True
                    case Broken(error):
                        raise error
                    case Dark(reason):
                        self._stop.request(reason)
                    case _:
                        self._relay(number, record)
            return False
        finally:
            opening.cancel()
            self._links.discard(link)
            with contextlib.suppress(ValueError):
                self._door.followers.remove(link.put)

    async def _open(self, link: Link) -> None:
        try:
            await self._door.passed(self._notify)
        except Closed:
            link.put(Closing())
            return
        link.put(Opening(list(self._door.serving.values())))
        self._door.followers.append(link.put)

    def _settle(self, number: int, settled: Settled) -> None:
        key, task = settled.line.key, settled.line.entry.task
        if key in self._settled:
            file = next(one.file for one in self._plan.tasks if one.task == task)
            name = key.removeprefix(f"{task}/").rpartition("#")[0]
            raise DataError(f"{file}: id '{name}' occurs twice; make `id` unique, e.g. add row.")
        self._settled.add(key)
        self._out[number].discard(key)
        self._take(settled, sum(map(len, self._out.values())))

    def _relay(self, number: int, event: Event) -> None:
        match event:
            case RequestStarted():
                self._out[number].add(event.key)
            case RequestRetried():
                self._out[number].discard(event.key)
            case _:
                pass
        self._told(number, event)


class _Together:
    """What several processes tell, as if one did."""

    def __init__(self, notify: Notify, count: int, asked: int) -> None:
        self._notify, self._count, self._asked = notify, count, asked
        self._limits: dict[str, dict[int, int]] = {}
        self._down: dict[str, set[int]] = {}
        self._noticed: set[str] = set()
        self._fed: dict[int, FeedDone] = {}

    def __call__(self, number: int, event: Event) -> None:
        """An event of one of them."""
        match event:
            case Notice():
                if event.text in self._noticed:
                    return
                self._noticed.add(event.text)
            case LimitChanged():
                limits = self._limits.setdefault(event.endpoint, {})
                limits[number] = event.limit
                event = replace(event, limit=sum(limits.values()))
            case EndpointState():
                down = self._down.setdefault(event.endpoint, set())
                before = bool(down)
                (down.discard if event.up else down.add)(number)
                if bool(down) == before:
                    return
            case FeedDone():
                self._fed[number] = event
                if len(self._fed) < self._count:
                    return
                event = FeedDone(self._asked + sum(one.requests for one in self._fed.values()),
                                 max(one.byte_bound_s for one in self._fed.values()))  # fmt: skip
            case Ready():
                return
            case _:
                pass
        self._notify(event)
