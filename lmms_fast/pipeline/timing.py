"""Where a run's wall time went, added up from its events. Says nothing about results."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lmms_fast.events import Event, FeedDone, Ready, RequestRetried, RequestStarted, SampleDone

Binding = Literal["server", "client", "back-off"]
_FULL = 0.9  # of the limit; a slot is empty for a moment between two requests


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one session, in order, and what its requests took."""

    start_up_s: float
    """Until the endpoints could be asked."""
    first_request_s: float
    """From there to the first request."""
    sending_s: float
    """While there was more to send than the limit let out."""
    tail_s: float
    """From the first slot that stayed empty, because nothing was left, to the last answer."""
    scoring_s: float
    requests: int
    tokens: int
    """Generated."""
    in_flight_mean: float
    """While sending; the limit is the most it can be."""
    binding: Binding | None
    """What kept the sending phase from being shorter. server: the slots were full. client: they were not, since
    requests were not made fast enough. back-off: they were not, since requests waited to be tried again. None: nothing
    was sent."""
    latency_s: tuple[float, float, float] | None
    """Median, 90th and 99th percentile of the answers' latency."""

    @property
    def requests_per_s(self) -> float | None:
        """Over sending and tail; None where nothing was sent."""
        span = self.sending_s + self.tail_s
        return self.requests / span if span else None

    def sentence(self) -> str:
        """One line for people."""
        parts = [("start-up", self.start_up_s), ("waiting", self.first_request_s), ("sending", self.sending_s),
                 ("tail", self.tail_s), ("scoring", self.scoring_s)]  # fmt: skip
        where = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts if seconds >= 0.05)
        if self.latency_s is None:
            return f"Time: {where or 'none'}."
        rate, (median, _, slow) = self.requests_per_s or 0.0, self.latency_s
        return (
            f"Time: {where}. {rate:.1f} requests/s, {self.in_flight_mean:.1f} in flight, latency {median:.2f} s "
            f"(99 %: {slow:.2f} s); bound by {self.binding}."
        )


class Meter:
    """A listener. One per session; `clock` gives seconds."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._begun = self._now = clock()
        self._ready: float | None = None
        self._first: float | None = None
        self._tail: float | None = None
        self._last = self._begun
        self._all_fed = False
        self._out = self._backing_off = 0
        self._area = self._full = self._short_by_back_off = 0.0
        self._latencies = array("d")
        self._requests = self._tokens = 0

    def __call__(self, event: Event) -> None:
        """Take an event in. On the event loop's thread only."""
        match event:
            case Ready():
                self._ready = self._clock()
            case FeedDone():
                self._all_fed = True
            case RequestStarted():
                self._move(1, -1 if event.attempt > 1 else 0)
                self._requests += 1
            case RequestRetried():
                self._move(-1, 1)
            case SampleDone() if event.attempts:
                self._move(-1, 0)
                self._tokens += event.completion_tokens
                if event.latency_s is not None:
                    self._latencies.append(event.latency_s)
            case _:
                pass

    def _move(self, out: int, backing_off: int) -> None:
        now = self._clock()
        if self._first is None:
            self._first = self._now = now
        if self._tail is None:
            span = now - self._now
            self._area += span * self._out
            if self._out >= _FULL * self._limit:
                self._full += span
            elif self._out + self._backing_off >= _FULL * self._limit:
                self._short_by_back_off += span
        self._now = self._last = now
        self._out += out
        self._backing_off += backing_off
        if self._tail is None and self._all_fed and self._out < self._limit:
            self._tail = now

    def timing(self, scoring_s: float) -> Timing:
        """The sums, at the end."""
        end = self._clock()
        ready = end if self._ready is None else self._ready
        if self._first is None:
            return Timing(ready - self._begun, 0.0, 0.0, 0.0, scoring_s, 0, 0, 0.0, None, None)
        tail = self._last if self._tail is None else self._tail
        sending = tail - self._first
        return Timing(
            ready - self._begun, self._first - ready, sending, self._last - tail, scoring_s, self._requests,
            self._tokens, self._area / sending if sending else float(self._out), self._binding(sending),
            _percentiles(self._latencies) if self._latencies else None,
        )  # fmt: skip

    def _binding(self, sending: float) -> Binding:
        idle = sending - self._full
        if idle <= 0.2 * sending:
            return "server"
        return "back-off" if self._short_by_back_off > idle / 2 else "client"


def _percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    middle, high, highest = (round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4)
                             for share in (0.5, 0.9, 0.99))  # fmt: skip
    return middle, high, highest
