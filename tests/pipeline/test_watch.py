"""Servers that are out, probed and tried, on a clock that jumps to the next event."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from lmms_fast.endpoints.limit import Fixed
from lmms_fast.endpoints.pool import Closed, Member, Pool
from lmms_fast.endpoints.presets import Endpoint, Profile
from lmms_fast.pipeline import watch
from lmms_fast.pipeline.stop import Stop


class _Jump(selectors.SelectSelector):
    """Waits for nothing; what it would have waited is `passed`."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.passed += timeout or 0.0
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    """Seconds cost nothing."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.passed


def _play(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(main)


class World:
    """Servers that list their models; who is in `sick` answers no request. Requests come without end."""

    def __init__(self, *names: str, patience_s: float = 300.0) -> None:
        self.members = [Member(Endpoint(name, Profile(name, "", ()), "m"), Fixed(8)) for name in names]
        self.pool = Pool(self.members, self._down)
        self.stop = Stop()
        self.sick: set[str] = set()
        self.answers: Callable[[str], bool] = lambda name: name not in self.sick
        self.takes_s = 0.01
        self.failed_at: list[float] = []
        self._patience_s = patience_s
        self._tasks: list[asyncio.Task[None]] = []

    async def live(self, seconds: float) -> None:
        """For so long, or until the run is told to end."""
        if not self._tasks:
            self._tasks.append(asyncio.create_task(watch.mind(self.pool, self._patience_s, self.stop)))
            self._tasks += [asyncio.create_task(self._ask()) for _ in range(20)]
        ended = asyncio.Event()
        self.stop.how = lambda reason: ended.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), seconds)

    def close(self) -> None:
        """Nothing is left."""
        self.pool.close("over")
        for task in self._tasks:
            task.cancel()

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return asyncio.get_running_loop().time()

    def _down(self, member: Member, why: str) -> None:
        self._tasks.append(asyncio.create_task(watch.revive(member, self.pool, lambda event: None)))

    async def _ask(self) -> None:
        while True:
            try:
                async with self.pool.turn() as turn:
                    await asyncio.sleep(self.takes_s)
                    if self.answers(turn.member.endpoint.name):
                        self.pool.answered(turn, 1)
                    else:
                        self.failed_at.append(self.now)
                        self.pool.troubled(turn, "HTTP 500: it is sick", unreachable=False)
            except Closed:
                return


@pytest.fixture(autouse=True)
def _models_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def listed(profile: Profile, api_key: str | None) -> dict[str, str]:
        return {"m": "m"}

    monkeypatch.setattr(watch, "served_models", listed)


def test_trials_become_rare_and_the_run_ends() -> None:
    """One request after 0.5 s, one a second after that, two after that … half a minute; the end says what it says."""

    async def main() -> None:
        world = World("a")
        world.sick.add("a")
        await world.live(1000)
        assert world.now == pytest.approx(301, abs=1)
        assert world.stop.reason == "no endpoint has answered for 300 s (last from a: HTTP 500: it is sick)"
        trials = world.failed_at[12:]  # the first eight, and those that were sent until the fifth had failed
        assert trials[:8] == pytest.approx([0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5], abs=0.1)
        assert len(trials) == 14
        world.close()

    _play(main())


def test_an_answer_makes_it_a_server_like_any_other() -> None:
    """All its places are used again, and should it fail later the first probe comes soon."""

    async def main() -> None:
        world = World("a")
        world.sick.add("a")
        await world.live(20)
        world.sick.clear()
        await world.live(20)
        [member] = world.members
        assert (member.well, member.out, world.stop.reason) == (True, 8, None)
        world.sick.add("a")
        world.failed_at.clear()
        await world.live(1)
        assert world.failed_at[12] - world.failed_at[11] == pytest.approx(0.5, abs=0.02)
        world.close()

    _play(main())


def test_a_healthy_one_keeps_the_run_going() -> None:
    """However long the other is on trial, once in half a minute."""

    async def main() -> None:
        world = World("a", "b", patience_s=20)
        world.sick.add("a")
        await world.live(200)
        assert world.stop.reason is None
        assert len(world.failed_at[12:]) == 6 + 5  # half a minute apart from the sixth on
        assert world.pool.answers > 100_000
        world.close()

    _play(main())


def test_a_trial_without_an_end_is_no_answer() -> None:
    """Nor is it waited for."""

    async def main() -> None:
        world = World("a", patience_s=20)
        world.sick.add("a")
        await world.live(0.3)
        world.takes_s = 3600.0
        await world.live(100)
        assert (world.members[0].up, world.members[0].out) == (True, 1)
        assert world.now == pytest.approx(21, abs=1)
        world.close()

    _play(main())


def test_answers_that_are_few_are_answers() -> None:
    """A server that answers a trial and fails again at once is bad, and not silent."""

    async def main() -> None:
        world = World("a", patience_s=10)
        answers = itertools.cycle([True] + [False] * 12)
        world.answers = lambda name: next(answers)
        await world.live(60)
        assert world.stop.reason is None
        assert 100 < world.pool.answers < 120
        world.close()

    _play(main())
