"""Who may be sent next: a limit on requests out at once, and the order that lets a server be sent each medium once.

No input or output here. A free slot is never left empty; but while others wait, a request whose picture another one is
just bringing lets them pass, since after that one's answer it can be sent without the picture.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field

KNOWN_MAX = 65_536
"""Names remembered, some 10 MB; a server's cache of prepared media holds fewer."""


@dataclass(slots=True, eq=False)
class Turn:
    """A request's slot."""

    media: Sequence[str]
    """Digests of what it shows, if the server keeps media."""
    brings: tuple[str, ...] = ()
    """Those the server does not have. With media and none to bring, it may be sent by reference."""
    granted: asyncio.Future[None] | None = field(default=None, repr=False)
    """What it waits for."""

    @property
    def by_reference(self) -> bool:
        """Whether the server has all it shows."""
        return bool(self.media) and not self.brings


class Slots:
    """At most `limit` turns at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._out = 0
        self._waiting: deque[Turn] = deque()
        self._on_their_way: Counter[str] = Counter()
        self._known: dict[str, None] = {}

    @contextlib.asynccontextmanager
    async def turn(self, media: Sequence[str] = ()) -> AsyncIterator[Turn]:
        """Wait for a slot and hold it for the block."""
        turn = Turn(media)
        if self._out < self._limit:
            self._grant(turn)
        else:
            await self._wait(turn)
        try:
            yield turn
        finally:
            self._give_back(turn)

    def arrived(self, turn: Turn) -> None:
        """The server has answered, so it has what the request brought."""
        for name in turn.media:
            self._known.pop(name, None)
            self._known[name] = None  # the latest last, so the first is the one to forget
        while len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]

    def forget(self, media: Iterable[str]) -> None:
        """The server does not have them any more."""
        for name in media:
            self._known.pop(name, None)

    async def _wait(self, turn: Turn) -> None:
        turn.granted = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn.granted
        except asyncio.CancelledError:
            if not turn.granted.cancelled():  # granted and cancelled in one moment: pass it on
                self._give_back(turn)
            raise

    def _give_back(self, turn: Turn) -> None:
        self._out -= 1
        for name in turn.brings:
            self._on_their_way[name] -= 1
            if not self._on_their_way[name]:
                del self._on_their_way[name]
        self._next()

    def _next(self) -> None:
        while self._out < self._limit:
            while self._waiting and self._gave_up(self._waiting[0]):
                self._waiting.popleft()
            if not self._waiting:
                return
            ready = (turn for turn in self._waiting if not (self._gave_up(turn) or self._held_up(turn)))
            chosen = next(ready, self._waiting[0])
            self._waiting.remove(chosen)
            self._grant(chosen)

    @staticmethod
    def _gave_up(turn: Turn) -> bool:
        return turn.granted is not None and turn.granted.cancelled()

    def _held_up(self, turn: Turn) -> bool:
        return any(name in self._on_their_way for name in turn.media)

    def _grant(self, turn: Turn) -> None:
        self._out += 1
        turn.brings = tuple(name for name in turn.media if name not in self._known)
        self._on_their_way.update(turn.brings)
        if turn.granted is not None:
            turn.granted.set_result(None)
