"""The door to the servers of one stage. What passes through it are the turns of its pool. Several streams may use one
door, and then share its limits; several processes may ask the same servers, each through a door of its own, and then
each has its share of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from aiolimiter import AsyncLimiter

from lmms_fast.endpoints.limit import Adaptive, Fixed, Limit
from lmms_fast.endpoints.pool import Closed, Member, Pool
from lmms_fast.endpoints.presets import Profile
from lmms_fast.endpoints.transport import Transport
from lmms_fast.errors import ServerError
from lmms_fast.events import EndpointState, Event, LimitChanged, Notify
from lmms_fast.pipeline.dispatch import Dispatcher
from lmms_fast.pipeline.servers import Back, Change, Gone, Joined, Out, Reached, Read
from lmms_fast.pipeline.stop import Stop
from lmms_fast.pipeline.watch import mind, revive


@dataclass(frozen=True, slots=True)
class Share:
    """The part of every limit that one of several processes has."""

    number: int = 1
    """From 1."""
    of: int = 1

    def part(self, limit: int) -> int:
        """Its part; all parts together are the limit, where that is enough for one each."""
        return max(1, limit // self.of + (self.number <= limit % self.of))


WHOLE = Share()


@dataclass(frozen=True, slots=True)
class Terms:
    """How servers are asked."""

    profile: Profile
    """Decides the form of requests, whichever server they go to."""
    only_ours: bool
    """Whether all that is asked are vLLMs of ours, which keep media."""
    first_limit: int
    """Requests that may be out at the start, of all processes."""
    adaptive: bool
    """Whether limits are found out."""
    patience_s: float
    request_timeout_s: float
    max_attempts: int
    rpm: float | None = None
    """A minute, for each server, of all processes; and tokens:"""
    tpm: float | None = None
    share: Share = WHOLE


class Keeper(Protocol):
    """Who reaches the servers and looks after them."""

    async def reach(self) -> Sequence[Reached]:
        """Wait for those that can be asked. Raises EndpointError or ServerError when there is none."""
        ...

    def kept(self, pool: Pool, changed: Callable[[Change], None]) -> contextlib.AbstractAsyncContextManager[None]:
        """Look after them for the block, and tell what changes."""
        ...


class Door:
    """Made by `opened`; `passed` waits for the servers."""

    def __init__(self, keeper: Keeper, terms: Terms, stop: Stop, notify: Notify) -> None:
        self.terms = terms
        self._keeper, self._stop, self._notify = keeper, stop, notify
        self.limit = terms.share.part(terms.first_limit)
        """Requests that may be out now, at all servers."""
        self.resized: list[Callable[[int], None]] = []
        """Told of every other limit."""
        self.serving: dict[str, Reached] = {}
        """The servers there are; some may be out."""
        self.followers: list[Callable[[Change], None]] = []
        """Told of every change among them."""
        self._limits: dict[str, int] = {}
        self._members: dict[str, Member] = {}
        self._opened: asyncio.Future[tuple[Pool, Transport]] = asyncio.get_running_loop().create_future()
        self.done = asyncio.Event()
        """Set when nothing more will be asked."""

    async def run(self) -> None:
        """Open, look after the servers, close. Raises EndpointError or ServerError when they cannot be asked."""
        reached = await self._keeper.reach()
        async with asyncio.TaskGroup() as group:
            helpers: list[asyncio.Task[None]] = []

            def down(member: Member, why: str) -> None:
                self._tell(EndpointState(member.endpoint.name, False, why))
                helpers.append(group.create_task(revive(member, pool, self._tell)))

            pool = Pool([self._member(one) for one in reached], down)
            helpers.append(group.create_task(mind(pool, self.terms.patience_s, self._stop)))

            def changed(change: Change) -> None:
                self._change(change, pool)
                for follower in self.followers:
                    follower(change)

            async with self._keeper.kept(pool, changed), Transport(self.terms.request_timeout_s) as transport:
                if not self._opened.done():  # it may have been closed
                    self._opened.set_result((pool, transport))
                await self.done.wait()
            for helper in helpers:
                helper.cancel()

    @property
    def is_open(self) -> bool:
        """Whether the servers can be asked."""
        return self._opened.done() and not self._opened.exception()

    async def passed(self, notify: Notify) -> Dispatcher:
        """What sends requests, once the servers can be asked; it tells `notify` of them. Raises pool.Closed."""
        pool, transport = await asyncio.shield(self._opened)
        return Dispatcher(pool, transport, max_attempts=self.terms.max_attempts, notify=notify)

    @property
    def out(self) -> int:
        """Requests out at this moment."""
        return self._opened.result()[0].out if self.is_open else 0

    def close(self, reason: str) -> None:
        """No more turns; those that have one keep it."""
        if self.is_open:
            self._opened.result()[0].close(reason)
        elif not self._opened.done():
            self._opened.set_exception(Closed(reason))

    def _tell(self, event: Event) -> None:
        if isinstance(event, LimitChanged):
            self._limits[event.endpoint] = event.limit
            self.limit = sum(self._limits.values())
            for told in self.resized:
                told(self.limit)
        self._notify(event)

    def _change(self, change: Change, pool: Pool) -> None:
        """Raises ServerError when the last server is gone."""
        match change:
            case Joined(reached):
                pool.add(self._member(reached))
            case Out(name, why):
                self.serving[name] = replace(self.serving[name], up=False)
                pool.take_out(self._members[name], why)
            case Back(name, endpoint):
                self.serving[name] = replace(self.serving[name], endpoint=endpoint, up=True)
                self._members[name].endpoint = endpoint
                pool.bring_back(self._members[name], on_trial=False)
            case Gone(name, error):
                del self.serving[name]
                if not pool.drop(self._members[name]):
                    raise ServerError(error)
            case Read(name, load):
                self._members[name].limit.read(load)

    def _member(self, reached: Reached) -> Member:
        terms, share, endpoint = self.terms, self.terms.share, reached.endpoint

        def changed(limit: int, why: str, *, paced: bool) -> None:
            self._tell(LimitChanged(endpoint.name, limit, why, paced))

        start, most = share.part(reached.start), share.part(reached.most)
        limit: Limit = Adaptive(start, most, changed) if terms.adaptive else Fixed(start)
        changed(limit.now, "start", paced=False)
        member = Member(endpoint, limit, _each_minute(terms.rpm, share), _each_minute(terms.tpm, share),
                        reached.managed, up=reached.up)  # fmt: skip
        self.serving[endpoint.name], self._members[endpoint.name] = reached, member
        return member


def _each_minute(rate: float | None, share: Share) -> AsyncLimiter | None:
    return AsyncLimiter(rate / share.of, 60) if rate else None


@contextlib.asynccontextmanager
async def opened(keeper: Keeper, terms: Terms, stop: Stop, notify: Notify) -> AsyncIterator[Door]:
    """A door, for the block. It is there at once, and lets through when the servers can be asked; when they never can,
    the block is cancelled. Raises EndpointError or ServerError."""
    async with asyncio.TaskGroup() as group:
        door = Door(keeper, terms, stop, notify)
        running = group.create_task(door.run())
        yield door
        door.done.set()
        if not door.is_open:
            running.cancel()
