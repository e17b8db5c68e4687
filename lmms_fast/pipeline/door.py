"""The door to the servers of one stage: reached, watched, brought back when they were out, started again when ours die.

What passes through it are the turns of its pool. Several streams may use one door, and then share its limits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aiolimiter import AsyncLimiter

from lmms_fast.endpoints.limit import Adaptive, Fixed, Limit
from lmms_fast.endpoints.pool import Closed, Member, Pool
from lmms_fast.endpoints.presets import LOCAL, Endpoint, Profile, find_key
from lmms_fast.endpoints.probe import connect
from lmms_fast.endpoints.transport import Transport
from lmms_fast.errors import EndpointError, ServerError, Unreachable
from lmms_fast.events import EndpointState, Event, LimitChanged, LoadRead, Notice, Notify
from lmms_fast.pipeline.dispatch import Dispatcher
from lmms_fast.pipeline.stop import Stop
from lmms_fast.pipeline.watch import mind, revive, watched
from lmms_fast.server.fleet import Launched
from lmms_fast.server.hints import tail
from lmms_fast.server.spec import ServerSpec
from lmms_fast.server.tune import in_flight, keeps_media
from lmms_fast.types import Load

_RESTARTS = 2
_JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Ours:
    """A vLLM that this run launches."""

    spec: ServerSpec
    server: Launched
    again: Callable[[int], Awaitable[Launched]]
    """Another one in place of one that died; the argument counts them."""
    keep: bool = False
    """Whether it outlives the run."""

    @property
    def name(self) -> str:
        """What it is called in the pool."""
        return f"{LOCAL}-{self.spec.replica}" if self.spec.replicas > 1 else LOCAL


@dataclass(frozen=True, slots=True)
class Where:
    """Which servers a stage asks, and how much of them."""

    profiles: Sequence[Profile]
    model: str | None
    """What endpoints other than ours are asked for; None: the only one that each serves."""
    key_env: str | None
    concurrency: int | Literal["auto"]
    patience_s: float
    request_timeout_s: float
    max_attempts: int
    rpm: float | None = None
    tpm: float | None = None
    ours: Sequence[Ours] = ()

    @property
    def only_ours(self) -> bool:
        """Whether all that is asked is on this machine and keeps media."""
        return all(profile.name == LOCAL for profile in self.profiles)

    @property
    def first_limit(self) -> int:
        """Requests that may be out at the start."""
        if isinstance(self.concurrency, int):
            return self.concurrency
        theirs = sum(profile.first_limit for profile in self.profiles if profile.name != LOCAL)
        return theirs + sum(self.most_of(one) for one in self.ours)

    @property
    def servers(self) -> int:
        """How many there are to be."""
        return sum(profile.name != LOCAL for profile in self.profiles) + len(self.ours)

    def most_of(self, ours: Ours) -> int:
        """Requests that may be out at one of ours: its batch has a known size."""
        return in_flight(ours.spec, ours.server.platform)


class Door:
    """Made by `opened`; `passed` waits for the servers."""

    def __init__(self, where: Where, facts: dict[str, Any], stop: Stop, notify: Notify) -> None:
        self.where, self._facts, self._stop, self._notify = where, facts, stop, notify
        self.limit = where.first_limit
        """Requests that may be out now, at all servers."""
        self.resized: list[Callable[[int], None]] = []
        """Told of every other limit."""
        self._limits: dict[str, int] = {}
        self._loads: dict[str, Load] = {}
        self._helpers: list[asyncio.Task[None]] = []
        self._opened: asyncio.Future[tuple[Pool, Transport]] = asyncio.get_running_loop().create_future()
        self.done = asyncio.Event()
        """Set when nothing more will be asked."""

    async def run(self) -> None:
        """Open, look after the servers, close. Raises EndpointError or ServerError when they cannot be asked."""
        late: list[Profile] = []
        starting = [asyncio.ensure_future(one.server.ready()) for one in self.where.ours]
        try:
            await self._serve(await self._reach(starting, late), starting, late)
        finally:
            for one in starting:
                one.cancel()

    async def _serve(self, members: list[Member], starting: Sequence[asyncio.Task[None]], late: list[Profile]) -> None:
        async with asyncio.TaskGroup() as helpers:

            def help(task: Any) -> None:
                self._helpers.append(helpers.create_task(task))

            def down(member: Member, why: str) -> None:
                self._tell(EndpointState(member.endpoint.name, False, why))
                help(revive(member, pool, self._tell))

            pool = Pool(members, down)
            help(mind(pool, self.where.patience_s, self._stop))
            for profile in late:
                help(self._join(profile, pool))
            for member, ours, ready in zip(members, self.where.ours, starting, strict=False):  # ours come first
                help(self._keep_serving(member, ours, ready, pool))
            async with watched(pool, self._tell), Transport(self.where.request_timeout_s) as transport:
                if not self._opened.done():  # it may have been closed
                    self._opened.set_result((pool, transport))
                await self.done.wait()
            for helper in self._helpers:
                helper.cancel()

    @property
    def is_open(self) -> bool:
        """Whether the servers can be asked."""
        return self._opened.done() and not self._opened.exception()

    async def passed(self, notify: Notify) -> Dispatcher:
        """What sends requests, once the servers can be asked; it tells `notify` of them. Raises pool.Closed."""
        pool, transport = await asyncio.shield(self._opened)
        return Dispatcher(pool, transport, max_attempts=self.where.max_attempts, notify=notify)

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
        if isinstance(event, LoadRead):
            self._loads[event.endpoint] = event.load
        elif isinstance(event, LimitChanged):
            self._limits[event.endpoint] = event.limit
            self.limit = sum(self._limits.values())
            for told in self.resized:
                told(self.limit)
        self._notify(event)

    async def _reach(self, starting: Sequence[asyncio.Task[None]], late: list[Profile]) -> list[Member]:
        """Ours, of which at least one is ready, then the other endpoints that answer, in the order named. Those that do
        not are put into `late`, if another one does. Raises EndpointError, ServerError."""
        where = self.where
        members: list[Member] = []
        missing: list[Unreachable] = []
        await _one_of(starting)
        members += [self._our_member(one, ready) for one, ready in zip(where.ours, starting, strict=True)]
        for profile in where.profiles:
            if profile.name == LOCAL:
                continue
            try:
                endpoint = await connect(profile, where.model, find_key(profile, where.key_env))
            except Unreachable as error:
                missing.append(error)
                late.append(profile)
            else:
                members.append(self._member(endpoint))
        if not members:
            raise missing[0]
        for absence in missing:
            self._tell(Notice(f"{absence} Going on without it; it may join later."))
        self._facts["endpoints"] = [{"name": one.endpoint.name, "url": one.endpoint.profile.base_url,
                                     "model": one.endpoint.model} for one in members if one.up]  # fmt: skip
        return members

    async def _join(self, profile: Profile, pool: Pool) -> None:
        """Try again and again to reach an endpoint that was not there at the start."""
        while True:
            await asyncio.sleep(_JOIN_S)
            try:
                endpoint = await connect(profile, self.where.model, find_key(profile, self.where.key_env))
            except Unreachable:
                continue
            except EndpointError as error:
                self._tell(Notice(f"{error} Going on without it."))
                return
            pool.add(self._member(endpoint))
            self._tell(EndpointState(profile.name, True, "it joined"))
            return

    async def _keep_serving(self, member: Member, ours: Ours, ready: Awaitable[None], pool: Pool) -> None:
        """Start our server again when it dies or does not start, a bounded number of times. Raises ServerError after
        that, unless there are others."""
        server = ours.server
        for number in range(1, _RESTARTS + 2):
            error = await self._ended(member, ours, server, ready, pool)
            pool.take_out(member, "it died")
            self._facts.setdefault("deaths", []).append({
                "error": str(error), "log": str(server.log_path), "log_tail": tail(server.log()),
                "load": self._loads.get(member.endpoint.name),
            })  # fmt: skip
            if number > _RESTARTS:
                if not pool.drop(member):
                    raise error
                self._tell(Notice(f"{str(error).splitlines()[0]} Going on without it."))
                return
            self._tell(Notice(f"{str(error).splitlines()[0]} Starting it again ({number} of {_RESTARTS})."))
            server = await ours.again(number)
            ready = server.ready()

    async def _ended(
        self, member: Member, ours: Ours, server: Launched, ready: Awaitable[None], pool: Pool
    ) -> ServerError:
        """Why our server ended, which was of use from when it was ready."""
        try:
            await ready
        except ServerError as error:
            return error
        again = server is not ours.server
        if again or not member.up:
            member.endpoint = self._our_endpoint(ours, server)
            pool.bring_back(member, on_trial=False)
            self._tell(EndpointState(member.endpoint.name, True, "it was started again" if again else "it is ready"))
        return await server.died()

    def _our_endpoint(self, ours: Ours, server: Launched) -> Endpoint:
        if ours.keep:
            server.keep()
        name, told = ours.name, {**server.facts, "command": server.command}
        if ours.spec.replicas > 1:
            self._facts.setdefault("servers", {})[name] = told
        else:
            self._facts["server"] = told
        return Endpoint(name, local_profile(server.base_url), server.served_name, server.api_key,
                        keeps_media(server.command))  # fmt: skip

    def _our_member(self, ours: Ours, ready: asyncio.Task[None]) -> Member:
        """Out, while it is on its way."""
        most, up = self.where.most_of(ours), ready.done() and not ready.exception()
        on_its_way = Endpoint(ours.name, local_profile(), ours.spec.model)
        member = self._member(self._our_endpoint(ours, ours.server) if up else on_its_way, (most, most), managed=True)
        member.up = up
        return member

    def _member(self, endpoint: Endpoint, bounds: tuple[int, int] | None = None, *, managed: bool = False) -> Member:
        """`bounds`: where `--concurrency auto` starts, and the most it goes to."""
        where = self.where

        def changed(limit: int, why: str, *, paced: bool) -> None:
            self._tell(LimitChanged(endpoint.name, limit, why, paced))

        limit: Limit
        if isinstance(where.concurrency, int):
            limit = Fixed(-(-where.concurrency // where.servers))
        else:
            limit = Adaptive(*(bounds or (endpoint.profile.first_limit, endpoint.profile.most)), changed)
        changed(limit.now, "start", paced=False)
        return Member(endpoint, limit, AsyncLimiter(where.rpm, 60) if where.rpm else None,
                      AsyncLimiter(where.tpm, 60) if where.tpm else None, managed)  # fmt: skip


@contextlib.asynccontextmanager
async def opened(where: Where, facts: dict[str, Any], stop: Stop, notify: Notify) -> AsyncIterator[Door]:
    """A door, for the block. It is there at once, and lets through when the servers can be asked; when they never can,
    the block is cancelled. `facts` takes what is to be known of them later. Raises EndpointError or ServerError."""
    async with asyncio.TaskGroup() as group:
        door = Door(where, facts, stop, notify)
        running = group.create_task(door.run())
        yield door
        door.done.set()
        if not door.is_open:
            running.cancel()


async def _one_of(starting: Sequence[asyncio.Task[None]]) -> None:
    """Until one of them is ready, if there are any. Raises ServerError when none will be."""
    left = set(starting)
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        if any(one.exception() is None for one in done):
            return
    if starting:
        await starting[0]


def local_profile(base_url: str = "") -> Profile:
    """The profile of a server of ours; its address is known once it is launched."""
    return Profile(LOCAL, base_url, ())

