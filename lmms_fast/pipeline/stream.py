"""One stream of requests: made ahead in a thread of its own, sent as the door lets them, settled as they are answered.

Rendering and encoding go on while a server starts, so its first request is ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lmms_fast.endpoints.pool import Closed
from lmms_fast.endpoints.wire import Body
from lmms_fast.events import FeedDone, Notify, Ready
from lmms_fast.journal.records import Record
from lmms_fast.pipeline.channel import Channel, feed_all
from lmms_fast.pipeline.dispatch import Dispatcher
from lmms_fast.pipeline.door import Door
from lmms_fast.pipeline.stop import GRACE_S
from lmms_fast.types import Failure, Outcome

# Encoded bodies between dataset and journal: half a megabyte for each request in flight, and some ahead of them.
_BUDGET_BYTES, _BUDGET_BYTES_EACH = 64 << 20, 512 << 10


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sample ready to send, or what is known of it without asking."""

    key: str
    task: str
    record: Record
    body: Body | None
    known: Outcome | None = None
    """Why it cannot be sent, or an answer that is at hand."""
    otherwise: Callable[[], Body] | None = None
    """Another body, for a server that does not understand the first."""


Settle = Callable[[Prepared, Outcome], None]


class Stream:
    """Requests from a feed through a door. `settle` takes in each outcome; `left` is called when no more are wanted,
    for a feed that may be waiting for something."""

    def __init__(
        self, feed: Iterator[tuple[Prepared, int]], door: Door, settle: Settle, notify: Notify,
        left: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._feed, self._door, self._settle, self._notify, self._left = feed, door, settle, notify, left
        self._channel: Channel[Prepared] = Channel(*self._room(door.limit), asyncio.get_running_loop())
        self._asked: set[asyncio.Task[None]] = set()
        self._ended = False

    async def run(self) -> bool:
        """Ask everything; False when it was ended before. Raises LmmsFastError when that cannot go on; what was
        answered until then is settled."""
        self._door.resized.append(self._resize)
        try:
            async with asyncio.TaskGroup() as stages:
                feeding = stages.create_task(asyncio.to_thread(feed_all, self._channel, self._feed))
                try:
                    dispatcher = await self._door.passed(self._notify)
                except Closed:
                    feeding.cancel()
                    return False
                self._notify(Ready())
                async with asyncio.TaskGroup() as requests:
                    sendable = 0
                    async for item, size in self._channel:
                        if item.body is None:
                            assert item.known is not None, "a prepared sample has a body, or its outcome is known"
                            self._settled(item, item.known, size)
                            continue
                        sendable += 1
                        task = requests.create_task(self._ask(item, item.body, size, dispatcher))
                        self._asked.add(task)
                        task.add_done_callback(self._asked.discard)
                    if not self._ended:
                        self._notify(FeedDone(sendable, self._channel.byte_bound_s))
                await feeding
            return not self._ended
        finally:
            self._channel.close()
            self._door.resized.remove(self._resize)

    def drain(self) -> None:
        """No new requests; those that are out go on to their end."""
        self._ended = True
        self._channel.close()
        self._left()

    def end(self) -> None:
        """No new requests; those that are out have some time left."""
        self.drain()
        asyncio.get_running_loop().call_later(GRACE_S, lambda: [task.cancel() for task in self._asked])

    async def _ask(self, item: Prepared, body: Body, size: int, dispatcher: Dispatcher) -> None:
        try:
            outcome = await dispatcher.ask(item.key, body)
            if item.otherwise and isinstance(outcome, Failure) and outcome.kind == "bad_request":
                outcome = await dispatcher.ask(item.key, item.otherwise())
        except Closed:
            return
        self._settled(item, outcome, size)

    def _settled(self, item: Prepared, outcome: Outcome, size: int) -> None:
        self._settle(item, outcome)
        self._channel.give_back(size)

    def _resize(self, limit: int) -> None:
        self._channel.resize(*self._room(limit))

    def _room(self, limit: int) -> tuple[int, int]:
        """Items and bytes between dataset and journal. With a server that keeps media a request may wait for the one
        that brings its picture, so there must be others to send."""
        ahead = 8 if self._door.terms.only_ours else 2
        return ahead * limit + 16, _BUDGET_BYTES + limit * _BUDGET_BYTES_EACH
