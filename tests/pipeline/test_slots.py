"""Slots: the limit, the order that sends each medium once, and nothing lost when a waiting request gives up."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from lmms_fast.pipeline import slots as module
from lmms_fast.pipeline.slots import Slots


class Asker:
    """Requests that hold their slot until they are told to answer."""

    def __init__(self, limit: int) -> None:
        self.slots = Slots(limit)
        self.out: list[str] = []
        self.by_reference: dict[str, bool] = {}
        self.answers: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str, *media: str) -> None:
        """Start one, named ``name``."""
        self.answers[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._hold(name, media))
        await _settle()

    async def answer(self, name: str) -> None:
        """Let one end well."""
        self.answers[name].set()
        await _settle()

    async def _hold(self, name: str, media: tuple[str, ...]) -> None:
        async with self.slots.turn(media) as turn:
            self.out.append(name)
            self.by_reference[name] = turn.by_reference
            await self.answers[name].wait()
            self.slots.arrived(turn)
            self.out.remove(name)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_picture_is_brought_once() -> None:
    """Siblings let others pass while their picture is on its way, and follow without it."""
    asker = Asker(2)
    await asker.ask("a1", "a")
    await asker.ask("b1", "b")
    for name in ("a2", "a3", "c1"):
        await asker.ask(name, name[0])
    await asker.answer("b1")
    assert asker.out == ["a1", "c1"]
    await asker.answer("a1")
    assert asker.out == ["c1", "a2"]
    await asker.answer("c1")
    assert asker.out == ["a2", "a3"]
    assert asker.by_reference == {"a1": False, "b1": False, "c1": False, "a2": True, "a3": True}


async def test_a_slot_is_never_left_empty() -> None:
    """With nothing else to send, a sibling goes with its picture rather than wait."""
    asker = Asker(2)
    for name in ("a1", "b1", "a2"):
        await asker.ask(name, name[0])
    await asker.answer("b1")
    assert asker.out == ["a1", "a2"]
    assert not asker.by_reference["a2"]


async def test_only_with_all_its_media_there_a_request_goes_by_reference() -> None:
    """One of two pictures is not enough; a request without media has nothing to refer to."""
    asker = Asker(4)
    await asker.ask("a", "a")
    await asker.answer("a")
    await asker.ask("ab", "a", "b")
    await asker.ask("none")
    assert not asker.by_reference["ab"]
    assert not asker.by_reference["none"]
    await asker.answer("ab")
    await asker.ask("ba", "b", "a")
    assert asker.by_reference["ba"]


async def test_what_the_server_dropped_is_brought_again() -> None:
    """And names beyond the number remembered are forgotten, the longest unused first."""
    asker = Asker(4)
    await asker.ask("a1", "a")
    await asker.answer("a1")
    asker.slots.forget(["a"])
    await asker.ask("a2", "a")
    assert not asker.by_reference["a2"]


async def test_memory_of_names_is_bounded() -> None:
    """The one used last stays."""
    limit, module.KNOWN_MAX = module.KNOWN_MAX, 2
    try:
        asker = Asker(1)
        for name in ("a1", "b1", "a2", "c1", "a3", "b2"):
            await asker.ask(name, name[0])
            await asker.answer(name)
    finally:
        module.KNOWN_MAX = limit
    assert asker.by_reference == {"a1": False, "b1": False, "a2": True, "c1": False, "a3": True, "b2": False}


@given(st.lists(st.tuples(st.sampled_from(["ask", "answer", "cancel"]), st.integers(0, 7)), max_size=40))
def test_slots_survive_any_order_of_events(steps: list[tuple[str, int]]) -> None:
    """Never more out than the limit; when some wait, all slots are taken; at the end everything has run."""

    async def play() -> None:
        asker = Asker(3)
        for number, (step, which) in enumerate(steps):
            names = list(asker.tasks)
            if step == "ask":
                await asker.ask(f"{number}", *"abcd"[: which % 3])
            elif names and step == "answer":
                await asker.answer(names[which % len(names)])
            elif names:
                asker.tasks[names[which % len(names)]].cancel()
                asker.out = [name for name in asker.out if name != names[which % len(names)]]
                await _settle()
            alive = [name for name, task in asker.tasks.items() if not task.done()]
            assert len(asker.out) == min(3, len(alive))
        for event in asker.answers.values():
            event.set()
        done = await asyncio.wait_for(asyncio.gather(*asker.tasks.values(), return_exceptions=True), 5)
        assert all(one is None or isinstance(one, asyncio.CancelledError) for one in done)

    asyncio.run(play())
