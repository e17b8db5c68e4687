"""The hand-over from the feed's thread: nothing lost, nothing out of order, never more than the budget outside."""

from __future__ import annotations

import asyncio
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from lmms_fast.pipeline.channel import Channel, feed_all


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 120), max_size=80), st.integers(1, 5), st.integers(0, 3))
def test_every_item_arrives_once_in_order_within_the_budget(sizes: list[int], max_items: int, turns: int) -> None:
    """Whatever the sizes, one larger than the whole budget among them, and however late an item is finished."""
    held: list[int] = []
    most_items = most_bytes = 0

    async def finish(channel: Channel[int], size: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        held.remove(size)
        channel.give_back(size)

    async def read() -> list[int]:
        nonlocal most_items, most_bytes
        channel: Channel[int] = Channel(max_items, 100, asyncio.get_running_loop())
        feeding = asyncio.create_task(asyncio.to_thread(feed_all, channel, list(enumerate(sizes))))
        got = []
        async with asyncio.TaskGroup() as handling:
            async for item, size in channel:
                got.append(item)
                held.append(size)
                most_items, most_bytes = max(most_items, len(held)), max(most_bytes, sum(held))
                handling.create_task(finish(channel, size))
        await feeding
        return got

    assert asyncio.run(read()) == list(range(len(sizes)))
    assert most_items <= max_items
    assert most_bytes <= 100


def test_a_reader_that_leaves_ends_the_feed() -> None:
    """The feeding thread does not wait for ever on a full channel."""

    async def main() -> threading.Thread:
        channel: Channel[int] = Channel(2, 100, asyncio.get_running_loop())
        thread = threading.Thread(target=feed_all, args=(channel, ((number, 1) for number in range(1000))))
        thread.start()
        async for item, _ in channel:
            if item == 1:
                break
        channel.close()
        return thread

    thread = asyncio.run(main())
    thread.join(10)
    assert not thread.is_alive()
