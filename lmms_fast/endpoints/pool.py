"""Several servers of one model, and who may be sent next to which of them. No HTTP here.

A request takes a turn: a place at the server with the least to do for what it can take. A free place is never left
empty; but while others wait, a request whose picture another is just bringing to a server that keeps media lets them
pass, since after that one's answer it can be sent without the picture. A server in trouble is out until it was seen
well again, and what it had is asked elsewhere; then it is on trial, for its list of models says little of its answers:
one request at a time, until one is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from aiolimiter import AsyncLimiter
from blake3 import blake3

from lmms_fast.endpoints.limit import Limit
from lmms_fast.endpoints.presets import Endpoint

KNOWN_MAX = 65_536
"""Names of media remembered for a server, some 10 MB; its cache of prepared media holds fewer."""
PROBE_S = 0.5
"""From a server's going out to the first probe; twice as long with each, until it answers a request."""
_TROUBLES = 5  # in a row, until a server that can be connected to is taken out
_AFFINITY = 0.25  # of its limit that a server may have more to do and still be preferred for a picture it has seen
_FEW = 16  # servers that are all looked at for each request
_TOKENS_GUESS = 1500.0
_BREATH_S = 0.1


class Closed(Exception):
    """The run takes no more turns; the text says why."""


@dataclass(slots=True, eq=False)
class Member:
    """A server of the pool."""

    endpoint: Endpoint
    limit: Limit
    rpm: AsyncLimiter | None = None
    tpm: AsyncLimiter | None = None
    managed: bool = False
    """Started by this run, which starts it again should it die."""
    out: int = 0
    up: bool = True
    on_trial: bool = False
    """Back, and not yet seen to answer."""
    tried: Turn | None = field(default=None, repr=False)
    """The request it is tried with."""
    said: str = ""
    """Its last error."""
    probe_s: float = PROBE_S
    """Until the next probe."""
    paused_until: float = 0.0
    troubles: int = 0
    """In a row."""
    tokens: float = _TOKENS_GUESS
    """Mean of its requests', for `tpm`."""
    known: dict[str, None] = field(default_factory=dict)
    """Media it has, the latest last."""

    @property
    def share(self) -> float:
        """How full it is."""
        return self.out / self.limit.now

    @property
    def well(self) -> bool:
        """Whether it is known to answer, as far as that can be known."""
        return self.up and not self.on_trial

    @property
    def has_place(self) -> bool:
        """Whether it may be sent one more."""
        return self.up and (self.tried is None if self.on_trial else self.out < self.limit.now)


@dataclass(slots=True, eq=False)
class Turn:
    """A request's place."""

    media: Sequence[str]
    """Digests of what it shows."""
    member: Member = field(init=False)
    brings: tuple[str, ...] = ()
    """Media that the server keeps and does not have yet."""
    granted: asyncio.Future[None] | None = field(default=None, repr=False)
    """What it waits for."""

    @property
    def by_reference(self) -> bool:
        """Whether the server has all it shows."""
        return self.member.endpoint.keeps_media and bool(self.media) and not self.brings


class Pool:
    """`down` is told of a member that was taken out and should be seen to."""

    def __init__(self, members: Sequence[Member], down: Callable[[Member, str], None] = lambda *_: None) -> None:
        self.members = list(members)
        self.answers = 0
        """So far, of all."""
        self._down = down
        self._waiting: deque[Turn] = deque()
        self._on_their_way: Counter[str] = Counter()
        self._closed: Closed | None = None
        self._closing = asyncio.Event()
        self._wake: asyncio.TimerHandle | None = None
        self._turned = 0
        self._groups: list[list[Member]] = []

    @property
    def out(self) -> int:
        """Requests out at this moment."""
        return sum(member.out for member in self.members)

    @contextlib.asynccontextmanager
    async def turn(self, media: Sequence[str] = ()) -> AsyncIterator[Turn]:
        """Wait for a place and hold it for the block. Raises Closed."""
        if self._closed:
            raise self._closed
        turn = Turn(media)
        member = None if self._waiting else self._free(media)
        if member:
            self._grant(turn, member)
        else:
            await self._wait(turn)
        try:
            await self._in_its_time(turn.member.rpm, 1.0)
            await self._in_its_time(turn.member.tpm, turn.member.tokens)
            yield turn
        finally:
            self._give_back(turn)

    def answered(self, turn: Turn, tokens: int) -> None:
        """The server did what it was asked, so it has what the request brought."""
        member = turn.member
        self.answers += 1
        member.troubles, member.probe_s = 0, PROBE_S
        member.on_trial = False
        member.limit.answered(_now(), member.out)
        member.tokens += (tokens - member.tokens) / 20
        if member.endpoint.keeps_media:
            for name in turn.media:
                member.known.pop(name, None)
                member.known[name] = None
            while len(member.known) > KNOWN_MAX:
                del member.known[next(iter(member.known))]

    def forget(self, turn: Turn) -> None:
        """The server does not have these media any more."""
        for name in turn.media:
            turn.member.known.pop(name, None)

    def refused(self, turn: Turn, pause_s: float | None) -> None:
        """The server is asked too much; it may have said for how long."""
        turn.member.limit.refused(_now())
        if pause_s is not None:
            self.pause(turn, pause_s)
        elif turn.member.limit.pace is None:
            self.pause(turn, _BREATH_S)  # refusals are quick: without it all that wait would be refused in a moment

    def pause(self, turn: Turn, pause_s: float) -> None:
        """Nothing more for this server for a while."""
        turn.member.paused_until = max(turn.member.paused_until, _now() + pause_s)

    def troubled(self, turn: Turn, why: str, *, unreachable: bool) -> bool:
        """The server failed, by itself and not for what it was asked. True: on trial, while another is well."""
        member, tried = turn.member, turn.member.on_trial and turn.member.tried is turn
        member.troubles += 1
        member.said = why
        # While on trial it is not judged by requests that it was sent before.
        if member.up and (tried if member.on_trial else unreachable or member.troubles >= _TROUBLES):
            self.take_out(member, why)
        return tried and any(one.well for one in self.members)

    def take_out(self, member: Member, why: str) -> None:
        """Until `bring_back`, others get its work."""
        if member.up:
            member.up = False
            self._down(member, why)

    def bring_back(self, member: Member, *, on_trial: bool) -> None:
        """It seems well again, or is another in its place, which need not be tried. What it was sent before may be
        gone."""
        member.up, member.on_trial, member.troubles = True, on_trial, 0
        member.known.clear()
        self._next()

    def add(self, member: Member) -> None:
        """One more; it takes its share at once."""
        self.members.append(member)
        self._groups = []
        self._next()

    def drop(self, member: Member) -> bool:
        """For good: it cannot serve this run. False when it was the last."""
        member.up = False
        if member in self.members:
            self.members.remove(member)
            self._groups = []
        return bool(self.members)

    async def back_off(self, seconds: float) -> None:
        """Wait without a place. Raises Closed when the run stops meanwhile."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
        if self._closed:
            raise self._closed

    def close(self, why: str) -> None:
        """No more turns; those that have one keep it."""
        self._closed = Closed(why)
        self._closing.set()
        for turn in self._waiting:
            if turn.granted is not None and not turn.granted.done():
                turn.granted.set_exception(self._closed)
        self._waiting.clear()

    async def _in_its_time(self, rate: AsyncLimiter | None, amount: float) -> None:
        """When the user's rate allows it. Raises Closed."""
        if rate is None:
            return
        amount = min(amount, rate.max_rate)
        if rate.has_capacity(amount):
            await rate.acquire(amount)
            return
        allowed, closing = asyncio.ensure_future(rate.acquire(amount)), asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait((allowed, closing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            allowed.cancel()
            closing.cancel()
        if self._closed:
            raise self._closed

    async def _wait(self, turn: Turn) -> None:
        turn.granted = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        if _gave_up(self._waiting[0]) or len(self._waiting) == 1:
            self._wake_in_time()
        try:
            await turn.granted
        except asyncio.CancelledError:
            if not turn.granted.cancelled() and turn.granted.exception() is None:
                self._give_back(turn)  # granted and cancelled in one moment: pass it on
            raise

    def _next(self, returned: Member | None = None) -> None:
        """Places for those that wait. While somebody waits no server has one, but for pauses, which end by themselves;
        so when a place was given back it is enough to look at that server, however many there are."""
        while True:
            while self._waiting and _gave_up(self._waiting[0]):
                self._waiting.popleft()
            if not self._waiting or not (self._free(()) if returned is None else _usable(returned, _now())):
                break
            ready = (turn for turn in self._waiting if not (_gave_up(turn) or self._held_up(turn)))
            chosen = next(ready, self._waiting[0])
            member = returned or self._free(chosen.media)
            assert member is not None
            self._waiting.remove(chosen)
            self._grant(chosen, member)
        if returned is None or returned.has_place:
            self._wake_in_time()

    def _held_up(self, turn: Turn) -> bool:
        return any(name in self._on_their_way for name in turn.media)

    def _free(self, media: Sequence[str]) -> Member | None:
        """The server for a request; None when none has a place now."""
        now = _now()
        free = [member for member in self._some() if _usable(member, now)] or [
            member for member in self.members if _usable(member, now)
        ]
        if not free:
            return None
        least = min(free, key=lambda member: member.share)
        if media and len(free) > 1:
            # The same server for the same picture, whichever that is: its caches are warm. ("Rendezvous hashing".)
            favoured = _favourite(media[0], free) if len(self.members) <= _FEW else self._favourite_of_many(media[0])
            if _usable(favoured, now) and favoured.share <= least.share + _AFFINITY:
                return favoured
        return least

    def _some(self) -> Sequence[Member]:
        """Where to look for the least busy one: everywhere, or, of many, at some in turn, which is nearly as good."""
        if len(self.members) <= _FEW:
            return self.members
        begin, self._turned = self._turned, (self._turned + _FEW) % len(self.members)
        return (self.members[begin:] + self.members[:begin])[:_FEW]

    def _favourite_of_many(self, name: str) -> Member:
        """In two steps, first a group of them."""
        if not self._groups:
            count = math.isqrt(len(self.members))
            self._groups = [self.members[first::count] for first in range(count)]
        number = max(range(len(self._groups)), key=lambda number: _affinity(name, str(number)))
        return _favourite(name, self._groups[number])

    def _wake_in_time(self) -> None:
        """Look again when the first pause or pace is over; nothing else would."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if not self._waiting:
            return
        now = _now()
        waits = [max(one.paused_until - now, one.limit.wait_s(now)) for one in self.members if one.has_place]
        if waits:
            self._wake = asyncio.get_running_loop().call_later(max(0.001, min(waits)), self._next)

    def _grant(self, turn: Turn, member: Member) -> None:
        turn.member = member
        member.out += 1
        if member.on_trial:
            member.tried = turn
        member.limit.sent(_now())
        if member.endpoint.keeps_media:
            turn.brings = tuple(name for name in turn.media if name not in member.known)
            self._on_their_way.update(turn.brings)
        if turn.granted is not None:
            turn.granted.set_result(None)

    def _give_back(self, turn: Turn) -> None:
        turn.member.out -= 1
        if turn.member.tried is turn:
            turn.member.tried = None
        for name in turn.brings:
            self._on_their_way[name] -= 1
            if not self._on_their_way[name]:
                del self._on_their_way[name]
        self._next(turn.member)


def _gave_up(turn: Turn) -> bool:
    return turn.granted is not None and turn.granted.cancelled()


def _usable(member: Member, now: float) -> bool:
    """Whether it may be sent one more at this moment."""
    return member.has_place and member.paused_until <= now and member.limit.wait_s(now) <= 0


def _favourite(name: str, members: Sequence[Member]) -> Member:
    return max(members, key=lambda member: _affinity(name, member.endpoint.name))


def _affinity(name: str, endpoint: str) -> bytes:
    return blake3(f"{name} {endpoint}".encode()).digest(length=8)


def _now() -> float:
    return asyncio.get_running_loop().time()

