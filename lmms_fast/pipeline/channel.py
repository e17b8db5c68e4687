"""Bounded hand-over from the feed's thread to the event loop.

`put` blocks the thread while the budget of items or bytes is spent; that is the whole back-pressure. The budget is
given back when an item is finished, not when it is taken, so it bounds everything between dataset and journal.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
_GATHER_S = 0.001


class Closed(Exception):
    """The reader has gone; the feeding thread should end."""


class Channel(Generic[T]):
    """One producing thread, one consuming event loop."""

    def __init__(self, max_items: int, max_bytes: int, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: deque[tuple[T, int] | None] = deque()
        self._news = asyncio.Event()
        self._asleep = False
        self._room = threading.Condition()
        self._items_left, self._bytes_left = max_items, max_bytes
        self._max_items, self._max_bytes = max_items, max_bytes
        self._closed = False
        self.byte_bound_s = 0.0
        """Time that `put` waited for bytes while there was room for another item."""

    def put(self, item: T, size: int) -> None:
        """Hand over an item of `size` bytes. One larger than the whole budget passes alone. Raises Closed."""
        size = min(size, self._max_bytes)
        with self._room:
            self._room.wait_for(lambda: self._closed or self._items_left > 0)
            waiting_since = time.monotonic()
            self._room.wait_for(lambda: self._closed or (self._items_left > 0 and self._bytes_left >= size))
            self.byte_bound_s += time.monotonic() - waiting_since
            if self._closed:
                raise Closed
            self._items_left -= 1
            self._bytes_left -= size
        self._hand_over((item, size))

    def resize(self, max_items: int, max_bytes: int) -> None:
        """Another budget from now on; what is out of a smaller one comes back as items are finished."""
        with self._room:
            self._items_left += max_items - self._max_items
            self._bytes_left += max_bytes - self._max_bytes
            self._max_items, self._max_bytes = max_items, max_bytes
            self._room.notify()

    def finish(self) -> None:
        """No more items will come."""
        with self._room:
            if not self._closed:
                self._hand_over(None)

    def give_back(self, size: int) -> None:
        """An item is finished; `size` as it came out of the channel."""
        with self._room:
            self._items_left += 1
            self._bytes_left += size
            self._room.notify()

    def close(self) -> None:
        """The reader stops, and a waiting `put` raises Closed. On the event loop's thread."""
        with self._room:
            self._closed = True
            self._room.notify_all()
        self._ready.clear()
        self._ready.append(None)
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[tuple[T, int]]:
        while True:
            while self._ready:
                item = self._ready.popleft()
                if item is None:
                    return
                yield item
            self._asleep = True
            if self._ready:  # came between the last look and the line above; its `put` may have seen us awake
                self._asleep = False
                continue
            await self._news.wait()
            self._news.clear()
            # Then more will come. Taken one by one, each item costs two changes of thread, as much as sending it.
            await asyncio.sleep(_GATHER_S)

    def _hand_over(self, item: tuple[T, int] | None) -> None:
        self._ready.append(item)
        # Waking the loop costs a system call, and while it is busy there is no need.
        if self._asleep:
            self._asleep = False
            self._loop.call_soon_threadsafe(self._news.set)


def feed_all(channel: Channel[T], items: Iterator[tuple[T, int]]) -> None:
    """Drain an iterator into the channel; the body of the feed's thread."""
    try:
        for item, size in items:
            channel.put(item, size)
    except Closed:
        return
    finally:
        channel.finish()
        if isinstance(items, Generator):
            items.close()  # and with it the data file, which would stay open until Python thinks of it
