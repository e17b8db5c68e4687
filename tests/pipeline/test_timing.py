"""Where the time went, on a clock that the test moves."""

from __future__ import annotations

import pytest

from lmms_fast.events import FeedDone, LimitChanged, LoadRead, Ready, RequestRetried, RequestStarted, SampleDone
from lmms_fast.pipeline.timing import MOMENTS, Meter
from lmms_fast.types import Load


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _meter(limit: int, clock: Clock) -> Meter:
    meter = Meter(clock)
    meter(LimitChanged("a", limit, "start", paced=False))
    return meter


def _done(key: str, latency_s: float = 1.0) -> SampleDone:
    return SampleDone("t", key, 1.0, None, 3, 1, latency_s)


def test_phases_add_up_to_the_wall_time() -> None:
    """Start-up, wait, sending until nothing is left for a free slot, tail."""
    clock = Clock()
    meter = _meter(2, clock)
    clock.now += 30
    meter(Ready())
    clock.now += 0.5
    meter(RequestStarted("a", 1))
    meter(RequestStarted("b", 1))
    clock.now += 4
    meter(_done("a", 4.0))
    meter(RequestStarted("c", 1))
    meter(FeedDone(3, 0.0))
    clock.now += 1
    meter(_done("b", 5.0))
    clock.now += 2
    meter(_done("c", 3.0))
    timing = meter.timing(0.25)
    assert (timing.start_up_s, timing.first_request_s, timing.sending_s, timing.tail_s) == (30.0, 0.5, 5.0, 2.0)
    assert timing.in_flight_mean == 2.0
    assert timing.binding == "server"
    assert timing.requests == 3
    assert timing.tokens == 9
    assert (timing.requests_per_s, timing.samples_per_s, timing.tokens_per_s) == (3 / 7, 3 / 7, 9 / 7)
    assert timing.latency_s == (4.0, 5.0, 5.0)
    assert "sending 5.0 s, tail 2.0 s" in timing.sentence()


def test_a_feed_that_cannot_keep_up_is_named() -> None:
    """One request out of four allowed, most of the time."""
    clock = Clock()
    meter = _meter(4, clock)
    meter(Ready())
    for number in range(5):
        meter(RequestStarted(str(number), 1))
        clock.now += 1
        meter(_done(str(number)))
    meter(FeedDone(5, 0.0))
    assert meter.timing(0.0).binding == "client"


def test_requests_that_wait_for_a_slot_are_no_tail() -> None:
    """All is fed, but one still waits: a slot that is empty for a moment between two requests does not count."""
    clock = Clock()
    meter = _meter(1, clock)
    meter(Ready())
    meter(RequestStarted("a", 1))
    meter(FeedDone(2, 0.0))
    clock.now += 3
    meter(_done("a"))
    meter(RequestStarted("b", 1))
    clock.now += 1
    meter(_done("b"))
    timing = meter.timing(0.0)
    assert (timing.sending_s, timing.tail_s) == (4.0, 0.0)


def test_waiting_to_try_again_is_named() -> None:
    """Slots are free because the server refuses."""
    clock = Clock()
    meter = _meter(1, clock)
    meter(Ready())
    meter(RequestStarted("a", 1))
    clock.now += 1
    meter(RequestRetried("a", "rate_limit", "HTTP 429", 9.0))
    clock.now += 9
    meter(RequestStarted("a", 2))
    clock.now += 1
    meter(_done("a"))
    timing = meter.timing(0.0)
    assert timing.binding == "back-off"
    assert timing.requests == 2


def test_nothing_sent() -> None:
    """Samples that could not be sent at all give no rate and no percentile."""
    meter = _meter(4, Clock())
    meter(Ready())
    meter(SampleDone("t", "a", None, "media", 0, 0, None))
    timing = meter.timing(0.0)
    assert timing.binding is None
    assert timing.requests_per_s is None
    assert timing.sentence() == "Time: under 0.1 s."


def _load(running: float, waiting: float, **counters: float) -> Load:
    names = ("preemptions", "prefix_queries", "prefix_hits", "media_queries", "media_hits", "front_end_cpu_s")
    return Load(running, waiting, 0.5, **{name: counters.get(name, 0.0) for name in names})


@pytest.mark.parametrize(("running", "waiting", "binding"), [(1, 0, "server's front end"), (3, 1, "server's engine")])
def test_the_part_of_the_server_that_binds_is_named(running: float, waiting: float, binding: str) -> None:
    """Requests that the engine does not know of yet are in the front end."""
    clock = Clock()
    meter = _meter(4, clock)
    meter(Ready())
    meter(LoadRead("a", _load(0, 0, media_queries=10, media_hits=10, front_end_cpu_s=5)))
    for number in range(4):
        meter(RequestStarted(str(number), 1))
    clock.now += 10
    meter(LoadRead("a", _load(running, waiting, media_queries=14, media_hits=11, front_end_cpu_s=14)))
    meter(FeedDone(4, 0.0))
    for number in range(4):
        meter(_done(str(number)))
    meter(LoadRead("a", _load(0, 0, media_queries=14, media_hits=11, front_end_cpu_s=14)))
    timing = meter.timing(0.0)
    assert timing.binding == binding
    assert timing.server is not None
    assert (timing.server.running_mean, timing.server.waiting_mean) == (running, waiting)
    assert timing.server.front_end_mean == 4 - running - waiting
    assert (timing.server.media_hit_share, timing.server.prefix_hit_share) == (0.25, None)
    assert timing.server.front_end_cores == 0.9


def test_a_restarted_servers_counters_start_from_zero() -> None:
    """What it counted since then is what it counted."""
    clock = Clock()
    meter = _meter(1, clock)
    meter(LoadRead("a", _load(0, 0, preemptions=50)))
    meter(RequestStarted("x", 1))
    meter(LoadRead("a", _load(1, 0, preemptions=3)))
    meter(_done("x"))
    server = meter.timing(0.0).server
    assert server is not None
    assert server.preemptions == 3


@pytest.mark.parametrize("readings", [3, 199, 200, 1000, 12345])
def test_the_course_of_a_session_is_bounded(readings: int) -> None:
    """However long it is: from the first to the last, at most so many points, means of the readings."""
    clock = Clock()
    meter = _meter(4, clock)
    for number in range(readings):
        clock.now += 1
        meter(LoadRead("a", _load(number % 2, 1)))
    load = meter.timing(0.0).load
    assert min(readings, MOMENTS // 2) <= len(load) <= MOMENTS
    assert [one.at_s for one in load] == sorted(one.at_s for one in load)
    assert load[0].at_s < readings / 50 + 2
    assert load[-1].at_s > readings * 0.98 - 1
    assert {one.waiting for one in load} == {1.0}
    assert sum(one.running for one in load) / len(load) == pytest.approx(0.5, abs=0.2)
