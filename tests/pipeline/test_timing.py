"""Where the time went, on a clock that the test moves."""

from __future__ import annotations

from lmms_fast.events import FeedDone, Ready, RequestRetried, RequestStarted, SampleDone
from lmms_fast.pipeline.timing import Meter


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _done(key: str, latency_s: float = 1.0) -> SampleDone:
    return SampleDone("t", key, 1.0, None, 3, 1, latency_s)


def test_phases_add_up_to_the_wall_time() -> None:
    """Start-up, wait, sending until nothing is left for a free slot, tail."""
    clock = Clock()
    meter = Meter(2, clock)
    clock.now += 30
    meter(Ready())
    clock.now += 0.5
    meter(RequestStarted("a", 1))
    meter(RequestStarted("b", 1))
    clock.now += 4
    meter(_done("a", 4.0))
    meter(RequestStarted("c", 1))
    meter(FeedDone())
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
    assert timing.requests_per_s == 3 / 7
    assert timing.latency_s == (4.0, 5.0, 5.0)
    assert "sending 5.0 s, tail 2.0 s" in timing.sentence()


def test_a_feed_that_cannot_keep_up_is_named() -> None:
    """One request out of four allowed, most of the time."""
    clock = Clock()
    meter = Meter(4, clock)
    meter(Ready())
    for number in range(5):
        meter(RequestStarted(str(number), 1))
        clock.now += 1
        meter(_done(str(number)))
    meter(FeedDone())
    assert meter.timing(0.0).binding == "client"


def test_waiting_to_try_again_is_named() -> None:
    """Slots are free because the server refuses."""
    clock = Clock()
    meter = Meter(1, clock)
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
    meter = Meter(4, Clock())
    meter(Ready())
    meter(SampleDone("t", "a", None, "media", 0, 0, None))
    timing = meter.timing(0.0)
    assert timing.binding is None
    assert timing.requests_per_s is None
    assert timing.sentence() == "Time: none."
