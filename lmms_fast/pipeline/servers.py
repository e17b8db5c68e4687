"""The servers of a stage: reached, started again when ours die, joined when they were late. What changes among them is
told to whoever sends them requests, in this process or in others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lmms_fast.endpoints.limit import at_each
from lmms_fast.endpoints.pool import Pool
from lmms_fast.endpoints.presets import LOCAL, Endpoint, Profile, find_key
from lmms_fast.endpoints.probe import connect, connect_all
from lmms_fast.errors import EndpointError, ServerError, Unreachable
from lmms_fast.events import EndpointState, Event, LoadRead, Notice, Notify
from lmms_fast.pipeline.watch import watched
from lmms_fast.server.fleet import Launched
from lmms_fast.server.hints import tail
from lmms_fast.server.spec import ServerSpec
from lmms_fast.server.tune import in_flight, keeps_media
from lmms_fast.types import Load

_RESTARTS = 2
_JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Reached:
    """A server that can be asked, and how much at once, by all processes together."""

    endpoint: Endpoint
    start: int
    """Requests that may be out at first …"""
    most: int
    """… and at most; where the user gave a number, both are that."""
    managed: bool = False
    """Started by this run, which starts it again should it die."""
    up: bool = True
    """Or it is on its way."""


@dataclass(frozen=True, slots=True)
class Joined:
    """One more."""

    reached: Reached


@dataclass(frozen=True, slots=True)
class Out:
    """It ended; there may be another in its place soon."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Back:
    """It is there now, or another in its place."""

    name: str
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Gone:
    """For good."""

    name: str
    error: str


@dataclass(frozen=True, slots=True)
class Read:
    """It told its load."""

    name: str
    load: Load


Change = Joined | Out | Back | Gone | Read


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
        """As an endpoint."""
        return f"{LOCAL}-{self.spec.replica}" if self.spec.replicas > 1 else LOCAL

    @property
    def most(self) -> int:
        """Requests that may be out at it: its batch has a known size."""
        return in_flight(self.spec, self.server.platform)


@dataclass(frozen=True, slots=True)
class Where:
    """Which servers a stage asks, and how much of them."""

    profiles: Sequence[Profile]
    model: str | None
    """What endpoints other than ours are asked for; None: the only one that each serves."""
    key_env: str | None
    concurrency: int | Literal["auto"]
    ours: Sequence[Ours] = ()

    @property
    def only_ours(self) -> bool:
        """Whether all that is asked is on this machine and keeps media."""
        return all(profile.name == LOCAL for profile in self.profiles)

    @property
    def others(self) -> Sequence[Profile]:
        """Those that this run does not launch."""
        return [profile for profile in self.profiles if profile.name != LOCAL]

    @property
    def first_limit(self) -> int:
        """Requests that may be out at the start."""
        if isinstance(self.concurrency, int):
            return self.concurrency
        return sum(profile.first_limit for profile in self.others) + sum(one.most for one in self.ours)

    def reached(self, endpoint: Endpoint, ours: Ours | None = None, *, up: bool = True) -> Reached:
        """A server with its limits."""
        if isinstance(self.concurrency, int):
            each = at_each(self.concurrency, len(self.others) + len(self.ours))
            return Reached(endpoint, each, each, ours is not None, up)
        if ours is not None:
            return Reached(endpoint, ours.most, ours.most, True, up)
        return Reached(endpoint, endpoint.profile.first_limit, endpoint.profile.most)


class Servers:
    """All of one stage. `facts` takes what is to be known of them later."""

    def __init__(self, where: Where, facts: dict[str, Any], notify: Notify) -> None:
        self.where, self._facts, self._notify = where, facts, notify
        self._late: list[Profile] = []
        self._loads: dict[str, Load] = {}
        self._starting: list[asyncio.Future[None]] = []
        self._at_once: set[str] = set()

    async def reach(self) -> list[Reached]:
        """Ours, of which at least one is ready, then the others that answer, in the order named. Those that do not may
        join later. Raises EndpointError or ServerError when there is none."""
        self._starting = [asyncio.ensure_future(one.server.ready()) for one in self.where.ours]
        try:
            await _one_of(self._starting)
            reached = [self._ours(one, ready) for one, ready in zip(self.where.ours, self._starting, strict=True)]
            reached += await self._others(alone=not reached)
        except BaseException:
            self._give_up()
            raise
        self._at_once = {one.endpoint.name for one in reached if one.up}
        self._facts["endpoints"] = [
            {"name": one.endpoint.name, "url": one.endpoint.profile.base_url, "model": one.endpoint.model}
            for one in reached if one.up
        ]  # fmt: skip
        return reached

    async def _others(self, *, alone: bool) -> list[Reached]:
        where = self.where
        found, missing = await connect_all(where.others, where.model, where.key_env)
        if alone and not found:
            raise missing[0][1]
        for profile, absence in missing:
            self._late.append(profile)
            self._notify(Notice(f"{absence} Going on without it; it may join later."))
        return [where.reached(endpoint) for endpoint in found]

    def _ours(self, ours: Ours, ready: asyncio.Future[None]) -> Reached:
        """One of ours, which may be on its way."""
        if ready.done() and not ready.exception():
            return self.where.reached(self._endpoint(ours, ours.server), ours)
        return self.where.reached(Endpoint(ours.name, local_profile(), ours.spec.model), ours, up=False)

    def _give_up(self) -> None:
        for one in self._starting:
            one.cancel()

    @contextlib.asynccontextmanager
    async def kept(self, pool: Pool, changed: Callable[[Change], None]) -> AsyncIterator[None]:
        """Look after them for the block. Raises what `changed` does when the last is gone."""

        def tell(event: Event) -> None:
            if isinstance(event, LoadRead):
                self._loads[event.endpoint] = event.load
                changed(Read(event.endpoint, event.load))
            self._notify(event)

        ours = zip(self.where.ours, self._starting, strict=True)
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [
                    *(group.create_task(self._join(profile, changed)) for profile in self._late),
                    *(group.create_task(self._keep_serving(one, ready, changed)) for one, ready in ours),
                ]
                async with watched(pool, tell):
                    yield
                for helper in helpers:
                    helper.cancel()
        finally:
            self._give_up()

    async def _join(self, profile: Profile, changed: Callable[[Change], None]) -> None:
        """Try again and again to reach an endpoint that was not there at the start."""
        while True:
            await asyncio.sleep(_JOIN_S)
            try:
                endpoint = await connect(profile, self.where.model, find_key(profile, self.where.key_env))
            except Unreachable:
                continue
            except EndpointError as error:
                self._notify(Notice(f"{error} Going on without it."))
                return
            changed(Joined(self.where.reached(endpoint)))
            self._notify(EndpointState(profile.name, True, "it joined"))
            return

    async def _keep_serving(self, ours: Ours, ready: Awaitable[None], changed: Callable[[Change], None]) -> None:
        """Start our server again when it dies or does not start, a bounded number of times."""
        server = ours.server
        for number in range(1, _RESTARTS + 2):
            error = await self._ended(ours, server, ready, changed)
            changed(Out(ours.name, "it died"))
            self._facts.setdefault("deaths", []).append({
                "error": str(error), "log": str(server.log_path), "log_tail": tail(server.log()),
                "load": self._loads.get(ours.name),
            })  # fmt: skip
            said = str(error).splitlines()[0]
            if number > _RESTARTS:
                changed(Gone(ours.name, str(error)))
                self._notify(Notice(f"{said} Going on without it."))
                return
            self._notify(Notice(f"{said} Starting it again ({number} of {_RESTARTS})."))
            server = await ours.again(number)
            ready = server.ready()

    async def _ended(
        self, ours: Ours, server: Launched, ready: Awaitable[None], changed: Callable[[Change], None]
    ) -> ServerError:
        """Why it ended. From when it is ready, it is of use."""
        try:
            await ready
        except ServerError as error:
            return error
        again = server is not ours.server
        if again or ours.name not in self._at_once:
            changed(Back(ours.name, self._endpoint(ours, server)))
            self._notify(EndpointState(ours.name, True, "it was started again" if again else "it is ready"))
        return await server.died()

    def _endpoint(self, ours: Ours, server: Launched) -> Endpoint:
        if ours.keep:
            server.keep()
        told = {**server.facts, "command": server.command}
        if ours.spec.replicas > 1:
            self._facts.setdefault("servers", {})[ours.name] = told
        else:
            self._facts["server"] = told
        return Endpoint(ours.name, local_profile(server.base_url), server.served_name, server.api_key,
                        keeps_media(server.command))  # fmt: skip


async def _one_of(starting: Sequence[asyncio.Future[None]]) -> None:
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
