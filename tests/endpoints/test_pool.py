"""The pool: limits, the order that sends each medium once, servers that come and go, nothing lost when one gives up."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from aiolimiter import AsyncLimiter
from hypothesis import given
from hypothesis import strategies as st

from lmms_fast.endpoints import pool as module
from lmms_fast.endpoints.limit import Fixed
from lmms_fast.endpoints.pool import Closed, Member, Pool
from lmms_fast.endpoints.presets import Endpoint, Profile


def _member(limit: int, name: str = "a", *, keeps_media: bool = True) -> Member:
    return Member(Endpoint(name, Profile(name, "", ()), "m", keeps_media=keeps_media), Fixed(limit))


class Asker:
    """Requests that hold their slot until they are told to answer."""

    def __init__(self, *members: Member) -> None:
        self.pool = Pool(members)
        self.out: list[str] = []
        self.by_reference: dict[str, bool] = {}
        self.served_by: dict[str, str] = {}
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
        async with self.pool.turn(media) as turn:
            self.out.append(name)
            self.by_reference[name] = turn.by_reference
            self.served_by[name] = turn.member.endpoint.name
            await self.answers[name].wait()
            self.pool.answered(turn, 10)
            self.out.remove(name)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_picture_is_brought_once() -> None:
    """Siblings let others pass while their picture is on its way, and follow without it."""
    asker = Asker(_member(2))
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
    asker = Asker(_member(2))
    for name in ("a1", "b1", "a2"):
        await asker.ask(name, name[0])
    await asker.answer("b1")
    assert asker.out == ["a1", "a2"]
    assert not asker.by_reference["a2"]


async def test_only_with_all_its_media_there_a_request_goes_by_reference() -> None:
    """One of two pictures is not enough; a request without media has nothing to refer to."""
    asker = Asker(_member(4))
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
    asker = Asker(_member(4))
    await asker.ask("a1", "a")
    await asker.answer("a1")
    asker.pool.members[0].known.clear()
    await asker.ask("a2", "a")
    assert not asker.by_reference["a2"]


async def test_memory_of_names_is_bounded() -> None:
    """The one used last stays."""
    limit, module.KNOWN_MAX = module.KNOWN_MAX, 2
    try:
        asker = Asker(_member(1))
        for name in ("a1", "b1", "a2", "c1", "a3", "b2"):
            await asker.ask(name, name[0])
            await asker.answer(name)
    finally:
        module.KNOWN_MAX = limit
    assert asker.by_reference == {"a1": False, "b1": False, "a2": True, "c1": False, "a3": True, "b2": False}


async def test_the_server_with_the_least_to_do_for_its_size_is_next() -> None:
    """One that takes twice as much gets twice as much."""
    asker = Asker(_member(2, "small"), _member(4, "large"))
    for number in range(6):
        await asker.ask(str(number))
    assert sorted(asker.served_by.values()) == ["large"] * 4 + ["small"] * 2


async def test_the_same_picture_goes_to_the_same_server_while_that_costs_nothing() -> None:
    """But not when that server is much fuller than another."""
    asker = Asker(_member(8, "a", keeps_media=False), _member(8, "b", keeps_media=False))
    for number in range(8):
        await asker.ask(str(number), "picture")
    found = [asker.served_by[str(number)] for number in range(8)]
    assert found[0] == found[1] == found[2]
    assert len(set(found)) == 2


async def test_what_a_server_that_is_out_would_get_goes_to_the_others() -> None:
    """Until it is brought back; with none up requests wait."""
    told: list[str] = []
    members = [_member(1, "a"), _member(1, "b")]
    asker = Asker(*members)
    asker.pool = Pool(members, lambda member, why: told.append(f"{member.endpoint.name} {why}"))
    asker.pool.take_out(members[0], "gone")
    await asker.ask("1")
    await asker.ask("2")
    assert asker.out == ["1"]
    assert asker.served_by == {"1": "b"}
    asker.pool.take_out(members[1], "gone too")
    await asker.answer("1")
    assert asker.out == []
    asker.pool.bring_back(members[0], on_trial=False)
    await _settle()
    assert asker.served_by == {"1": "b", "2": "a"}
    assert told == ["a gone", "b gone too"]


async def test_a_server_in_trouble_is_taken_out() -> None:
    """At once when it cannot be reached; else after five failures in a row, and an answer starts the count anew."""
    member = _member(9)
    pool = Pool([member])

    async def meet(trouble: str) -> bool:
        async with pool.turn() as turn:
            if trouble == "none":
                pool.answered(turn, 1)
            else:
                pool.troubled(turn, trouble, unreachable=trouble == "refused")
        return member.up

    assert [await meet(trouble) for trouble in ["500"] * 4 + ["none"] + ["500"] * 5] == [True] * 9 + [False]
    pool.bring_back(member, on_trial=False)
    assert not await meet("refused")


async def test_a_server_on_trial_gets_one_request_at_a_time() -> None:
    """Until one is answered; what it was sent before it went out is no judge of it, unless it is answered."""
    asker = Asker(_member(3))
    [member] = asker.pool.members
    await asker.ask("old")
    asker.pool.take_out(member, "gone")
    asker.pool.bring_back(member, on_trial=True)
    for name in "123":
        await asker.ask(name)
    assert asker.out == ["old", "1"]
    await asker.answer("1")
    assert member.well
    assert asker.out == ["old", "2", "3"]


async def test_a_failure_on_trial_takes_it_out_at_once() -> None:
    """And says nothing of the request, if another server is known to answer; one from before changes nothing."""
    first, second = _member(2, "a"), _member(2, "b")
    pool = Pool([first])
    async with pool.turn() as old:
        pool.take_out(first, "gone")
        pool.bring_back(first, on_trial=True)
        assert not pool.troubled(old, "500", unreachable=True)
        assert first.up
        async with pool.turn() as turn:
            assert not pool.troubled(turn, "500", unreachable=False)
        assert not first.up
    pool.add(second)
    pool.bring_back(first, on_trial=True)
    async with pool.turn() as turn:
        assert turn.member is first
        assert pool.troubled(turn, "500", unreachable=False)
    assert (first.up, second.well) == (False, True)


async def test_a_server_that_joins_takes_its_share_at_once() -> None:
    """Waiting requests go there."""
    asker = Asker(_member(1, "a"))
    await asker.ask("1")
    await asker.ask("2")
    asker.pool.add(_member(1, "b"))
    await _settle()
    assert asker.served_by == {"1": "a", "2": "b"}


async def test_a_pause_holds_all_and_ends_by_itself() -> None:
    """What ``Retry-After`` asks for, of everyone."""
    asker = Asker(_member(2, "a"))
    async with asker.pool.turn() as turn:
        asker.pool.refused(turn, 0.05)
    await asker.ask("1")
    assert asker.out == []
    await asyncio.sleep(0.08)
    assert asker.out == ["1"]


@pytest.mark.parametrize("rates", [{"rpm": AsyncLimiter(2, 60)}, {"tpm": AsyncLimiter(20, 60)}], ids=["rpm", "tpm"])
async def test_the_users_rate_holds_requests_back(rates: dict[str, AsyncLimiter]) -> None:
    """Requests or tokens a minute, the latter by the mean of what requests took."""
    member = _member(9)
    member.rpm, member.tpm, member.tokens = rates.get("rpm"), rates.get("tpm"), 10.0
    asker = Asker(member)
    for name in "123":
        await asker.ask(name)
    assert asker.out == ["1", "2"]
    asker.pool.close("over")
    await _settle()
    assert isinstance(asker.tasks["3"].exception(), Closed)
    await asker.answer("1")
    await asker.answer("2")
    assert member.out == 0


async def test_a_closed_pool_gives_no_turns() -> None:
    """Those that wait are told, those that have one keep it, back-off ends."""
    asker = Asker(_member(1))
    await asker.ask("1")
    await asker.ask("2")
    backing_off = asyncio.create_task(asker.pool.back_off(60))
    await _settle()
    asker.pool.close("over")
    await _settle()
    assert asker.out == ["1"]
    assert isinstance(asker.tasks["2"].exception(), Closed)
    assert isinstance(backing_off.exception(), Closed)
    await asker.answer("1")
    assert asker.tasks["1"].exception() is None


async def test_a_request_cancelled_as_the_pool_closes_is_only_cancelled() -> None:
    """In one moment, so that it was told of both."""
    asker = Asker(_member(1))
    await asker.ask("1")
    await asker.ask("2")
    asker.pool.close("over")
    asker.tasks["2"].cancel()
    await _settle()
    assert asker.tasks["2"].cancelled() or isinstance(asker.tasks["2"].exception(), Closed)
    await asker.answer("1")


@given(st.lists(st.tuples(st.sampled_from(["ask", "answer", "cancel"]), st.integers(0, 7)), max_size=40))
def test_slots_survive_any_order_of_events(steps: list[tuple[str, int]]) -> None:
    """Never more out than the limit; when some wait, all slots are taken; at the end everything has run."""

    async def play() -> None:
        asker = Asker(_member(3))
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


async def test_many_servers() -> None:
    """Of hundreds not all are looked at for each request, and still each is about as busy as the others, never more so
    than it may be, and all that wait have their turn."""
    members = [_member(4, f"s{number}", keeps_media=False) for number in range(200)]
    asker = Asker(*members)
    for number in range(400):
        await asker.ask(f"r{number}", f"p{number}")
    assert max(member.out for member in members) <= 4
    busy = sorted(member.out for member in members)
    assert busy[20] >= 1
    assert busy[-20] <= 3
    for number in range(400, 1000):
        await asker.ask(f"r{number}", f"p{number}")
    assert [member.out for member in members] == [4] * 200
    for number in range(1000):
        await asker.answer(f"r{number}")
    assert len(asker.served_by) == 1000
    assert not asker.out


async def test_a_picture_has_its_server_among_many() -> None:
    """The same one again, and each has about as many; one that is gone leaves its pictures to others."""
    members = [_member(4, f"s{number}") for number in range(40)]
    asker = Asker(*members)
    for number in range(1200):
        for again in "ab":
            await asker.ask(f"{number}{again}", f"p{number}")
            await asker.answer(f"{number}{again}")
    assert all(asker.served_by[f"{number}a"] == asker.served_by[f"{number}b"] for number in range(1200))
    sizes = Counter(asker.served_by.values())
    assert len(sizes) == 40
    assert max(sizes.values()) < 2 * 2 * 1200 / 40
    asker.pool.drop(members[0])
    for number in range(50):
        await asker.ask(f"{number}c", f"p{number}")
        await asker.answer(f"{number}c")
        assert asker.served_by[f"{number}c"] != "s0"
