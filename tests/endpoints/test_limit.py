"""The number of requests in flight that is found, against servers simulated event by event."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Literal

import pytest

from lmms_fast.endpoints.limit import Adaptive, Fixed, Limit
from lmms_fast.types import Load

Answer = tuple[Literal["answer", "refusal"], float]
Server = Callable[[float, int, random.Random], Answer]
"""(now, requests out, dice) → what becomes of a request, and when."""


def slots(count: int, seconds: float) -> Server:
    """Works on so many at once; the others wait."""
    free = [0.0] * count

    def serve(now: float, out: int, rng: random.Random) -> Answer:
        ends = max(now, heapq.heappop(free)) + seconds * rng.lognormvariate(0, 0.4)
        heapq.heappush(free, ends)
        return "answer", ends

    return serve


def rate_limited(per_s: float, burst: float, seconds: float) -> Server:
    """Allows so many a second and refuses the others at once."""
    level, last = 0.0, 0.0

    def serve(now: float, out: int, rng: random.Random) -> Answer:
        nonlocal level, last
        level, last = max(0.0, level - (now - last) * per_s), now
        if level + 1 > burst:
            return "refusal", now + 0.001
        level += 1
        return "answer", now + seconds * rng.lognormvariate(0, 0.3)

    return serve


def congested(best: int, seconds: float) -> Server:
    """Gets slower with every request, and beyond `best` of them does less in all."""
    return lambda now, out, rng: ("answer", now + seconds * (1 + (out / best) ** 2) * rng.lognormvariate(0, 0.2))


def answers_per_s(limit: Limit, server: Server, count: int, seed: int) -> float:
    """Of a run that always has more to send, with the pauses and the back-off that the pool and the dispatcher make."""
    rng = random.Random(seed)
    events: list[tuple[float, int, str]] = []
    now, out, left, number, waking, paused_until = 0.0, 0, count, 0, False, 0.0
    again: list[int] = []  # how often each request that waits to be sent was refused

    def push(at: float, kind: str) -> None:
        nonlocal number
        number += 1
        heapq.heappush(events, (at, number, kind))

    def send() -> None:
        nonlocal out, left, waking
        while left and out < limit.now:
            if (wait_s := max(limit.wait_s(now), paused_until - now)) > 1e-9:
                if not waking:
                    waking = True
                    push(now + wait_s, "wake")
                return
            limit.sent(now)
            left, out = left - 1, out + 1
            kind, at = server(now, out, rng)
            push(at, f"{kind} {again.pop() if again else 0}")

    send()
    while events:
        now, _, what = heapq.heappop(events)
        kind, _, times = what.partition(" ")
        if kind == "answer":
            limit.answered(now, out)
            out -= 1
        elif kind == "refusal":
            limit.refused(now)
            out -= 1
            if limit.pace is None:
                paused_until = now + 0.1
            most_s = min(30.0, 2.0 ** int(times)) if limit.pace is None else 1.0
            push(now + rng.uniform(0, most_s), f"again {int(times) + 1}")
        elif kind == "again":
            left += 1
            again.append(int(times))
        else:
            waking = False
        send()
    return count / now


@pytest.mark.parametrize(
    ("make", "candidates"),
    [(lambda: slots(6, 0.2), (6, 12)), (lambda: slots(48, 0.5), (48, 96, 192)), (lambda: slots(200, 0.2), (200, 400)),
     (lambda: rate_limited(50, 50, 0.4), (20, 40)), (lambda: rate_limited(120, 120, 0.3), (36, 60)),
     (lambda: rate_limited(200, 20, 0.4), (80, 128, 256)),
     (lambda: congested(40, 0.2), (32, 40, 48)), (lambda: congested(100, 0.3), (80, 100, 120))],
    ids=["6 slots", "48 slots", "200 slots", "50 a second", "120 a second", "200 a second", "congested at 40",
         "congested at 100"],
)  # fmt: skip
def test_it_comes_near_the_best_fixed_number(make: Callable[[], Server], candidates: tuple[int, ...]) -> None:
    """At least 95 % of its answers a second over a long run, the search included."""
    count = 30_000  # some minutes of a real run; the search takes seconds of it
    best = max(answers_per_s(Fixed(number), make(), count, seed=1) for number in candidates)
    found = answers_per_s(Adaptive(16, 512), make(), count, seed=2)
    assert found >= 0.95 * best


def test_it_does_not_grow_where_nothing_more_is_to_be_had() -> None:
    """With a server of twelve slots it ends far from the five hundred it might take."""
    limit = Adaptive(16, 512)
    answers_per_s(limit, slots(12, 0.3), 5_000, seed=1)
    assert limit.now <= 64


def test_it_does_not_grow_when_the_client_is_what_binds() -> None:
    """Answers that come while places are empty say nothing about the limit."""
    limit = Adaptive(16, 512)
    for number in range(1_000):
        limit.answered(number * 0.01, 3)
    assert limit.now == 16


def test_preemptions_lower_it_at_once() -> None:
    """The server worked on something twice."""
    limit = Adaptive(64, 512)
    limit.read(_load(preemptions=7))
    assert limit.now == 64
    limit.read(_load(preemptions=8))
    assert limit.now == 51


def test_a_batch_that_takes_all_at_once_can_have_more() -> None:
    """Without waiting for answers that may take minutes; but not when requests wait or memory runs short."""
    limit = Adaptive(16, 64)
    limit.read(_load(running=16))
    assert limit.now == 32
    limit.read(_load(running=32, waiting=1))
    limit.read(_load(running=32, kv_cache=0.6))
    limit.read(_load(running=8))
    assert limit.now == 32
    for _ in range(5):
        limit.read(_load(running=limit.now))
    assert limit.now == 64


def _load(running: float = 0, waiting: float = 0, kv_cache: float = 0, preemptions: float = 0) -> Load:
    return Load(running, waiting, kv_cache, preemptions, 0, 0, 0, 0, 0)
