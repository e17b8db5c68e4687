"""Where a run's wall time went, added up from its events. Says nothing about results."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Literal

from lmms_fast.events import (
    Event,
    FeedDone,
    Judged,
    LimitChanged,
    LoadRead,
    Ready,
    RequestRetried,
    RequestStarted,
    SampleDone,
)
from lmms_fast.types import Load

Binding = Literal["server", "server's front end", "server's engine", "rate limit", "byte budget", "client", "back-off"]
MOMENTS = 200
_FULL = 0.9  # of the limit, on average; a slot is empty for a moment between two requests


@dataclass(frozen=True, slots=True)
class ServerUse:
    """What the servers said of themselves (``/metrics``) while requests were sent; sums over the servers. Others who
    use the same server are in the figures."""

    running_mean: float
    """Requests in the engines' batches."""
    waiting_mean: float
    """Requests the engines have and do not work on."""
    front_end_mean: float
    """Requests of ours that no engine has yet: their media are being decoded and prepared."""
    kv_cache_max: float
    """Share in use, of the fullest."""
    preemptions: int
    prefix_hit_share: float | None
    """Of the prompt tokens looked up in the prefix cache; None where none was."""
    media_hit_share: float | None
    """Of the media looked up in the cache of prepared media; None where none was."""
    front_end_cores: float
    """CPU seconds a second of the API processes: one that is near 1 is at its limit."""


@dataclass(frozen=True, slots=True)
class Moment:
    """How busy the servers were; sums over them."""

    at_s: float
    """Since the session began."""
    in_flight: float
    """Requests of ours that are out."""
    running: float
    waiting: float
    kv_cache: float
    """Share in use, of the fullest."""


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
    samples: int
    tokens: int
    """Generated."""
    requests_per_s: float | None
    """Over sending and tail, as the two below; None where nothing was sent."""
    samples_per_s: float | None
    tokens_per_s: float | None
    in_flight_mean: float
    """While sending; the limit is the most it can be."""
    binding: Binding | None
    """What kept the sending phase from being shorter. server: the slots were full; where it tells its load, also which
    part of it, the front end that prepares media or the engine. Otherwise they were not full, since: rate limit: the
    server allows only so many a second; back-off: requests waited to be tried again; byte budget: bodies were too large
    for more of them at once; client: requests were not made fast enough. None: nothing was sent."""
    latency_s: tuple[float, float, float] | None
    """Median, 90th and 99th percentile of the answers' latency."""
    server: ServerUse | None
    """None where no server tells its load."""
    judging_s: float = 0.0
    """From the last answer to the last judgement; before it, judging goes on beside the answering."""
    judgements: int = 0
    """Replies of judges."""
    load: tuple[Moment, ...] = ()
    """The servers over time, where they tell their load; at most `MOMENTS`, each the mean of as many readings."""

    def sentence(self) -> str:
        """One line for people."""
        parts = [("start-up", self.start_up_s), ("waiting", self.first_request_s), ("sending", self.sending_s),
                 ("tail", self.tail_s), ("judging", self.judging_s), ("scoring", self.scoring_s)]  # fmt: skip
        where = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts if seconds >= 0.05) or "under 0.1 s"
        if self.latency_s is None:
            return f"Time: {where}."
        median, _, slow = self.latency_s
        return (
            f"Time: {where}. {self.requests_per_s or 0:.1f} requests/s, {self.tokens_per_s or 0:.0f} tokens/s, "
            f"{self.in_flight_mean:.1f} in flight, latency {median:.2f} s (99 %: {slow:.2f} s); bound by the "
            f"{self.binding}."
        )


class Meter:
    """A listener. One per session; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limit = 0
        self._limits: dict[str, int] = {}
        self._paced = False
        self._byte_bound_s = 0.0
        self._begun = self._now = clock()
        self._ready: float | None = None
        self._first: float | None = None
        self._tail: float | None = None
        self._last = self._begun
        self._fed: int | None = None
        self._asked = 0
        self._out = self._backing_off = 0
        self._area = self._area_possible = self._area_backing_off = 0.0
        self._latencies = array("d")
        self._requests = self._samples = self._tokens = 0
        self._judged: tuple[float, float] | None = None
        self._judgements = 0
        self._use = _Use()
        self._course = _Course()

    def __call__(self, event: Event) -> None:
        """Take an event in. On the event loop's thread only."""
        match event:
            case Ready() if self._ready is None:
                self._ready = self._clock()
            case FeedDone():
                self._fed, self._byte_bound_s = event.requests, event.byte_bound_s
            case LimitChanged():
                self._move(0, 0)
                self._limits[event.endpoint] = event.limit
                self._limit = sum(self._limits.values())
                self._paced = self._paced or event.paced
            case RequestStarted():
                self._asked += event.attempt == 1
                self._requests += 1
                self._move(1, -1 if event.attempt > 1 else 0)
            case RequestRetried():
                self._move(-1, 1)
            case SampleDone() if event.attempts:
                self._move(-1, 0)
                self._samples += 1
                self._tokens += event.completion_tokens
                if event.latency_s is not None:
                    self._latencies.append(event.latency_s)
            case Judged():
                self._judgement(event)
            case LoadRead():
                now, sending = self._clock(), self._first is not None and self._tail is None
                self._use.read(event.endpoint, event.load, now, self._out if sending else None)
                self._course.add(self._use.moment(now - self._begun, self._out))
            case _:
                pass

    def _judgement(self, event: Judged) -> None:
        now = self._clock()
        self._judged = self._judged[0] if self._judged else now, now
        self._judgements += event.failure is None
        if self._tail is None and self._first is not None:
            self._area += event.occupied_s

    def _move(self, out: int, backing_off: int) -> None:
        now = self._clock()
        if self._first is None:
            if not out:
                return
            self._first = self._now = now
        if self._tail is None:
            span = now - self._now
            self._area += span * self._out
            self._area_possible += span * self._limit
            self._area_backing_off += span * max(0, min(self._backing_off, self._limit - self._out))
        self._now = self._last = now
        self._out += out
        self._backing_off += backing_off
        if self._tail is None and self._asked == self._fed and self._out < self._limit:
            self._tail = now

    def timing(self, scoring_s: float) -> Timing:
        """The sums, at the end."""
        end = self._clock()
        first, last = self._judged or (end, end)
        ready = first if self._ready is None else self._ready
        if self._first is None:
            rates = None, None, None
            return Timing(ready - self._begun, 0.0, 0.0, 0.0, scoring_s, 0, 0, 0, *rates, 0.0, None, None, None,
                          max(0.0, last - ready) if self._judged else 0.0, self._judgements,
                          self._course.moments())  # fmt: skip
        tail = self._last if self._tail is None else self._tail
        sending, span = tail - self._first, self._last - self._first
        counts = (self._requests, self._samples, self._tokens)
        requests_per_s, samples_per_s, tokens_per_s = (count / span if span else None for count in counts)
        server = self._use.sums()
        return Timing(
            ready - self._begun, self._first - ready, sending, self._last - tail, scoring_s, self._requests,
            self._samples, self._tokens, requests_per_s, samples_per_s, tokens_per_s,
            self._area / sending if sending else float(self._out), self._binding(sending, self._last - tail, server),
            _percentiles(self._latencies) if self._latencies else None, server,
            max(0.0, last - self._last) if self._judged else 0.0, self._judgements, self._course.moments(),
        )  # fmt: skip

    def _binding(self, sending: float, tail: float, server: ServerUse | None) -> Binding:
        short = self._area_possible - self._area
        # With fewer samples than the limit there is hardly a sending phase, and no one to blame for empty slots.
        if short > (1 - _FULL) * self._area_possible and sending > tail:
            if self._paced:
                return "rate limit"
            if self._area_backing_off > short / 2:
                return "back-off"
            return "byte budget" if self._byte_bound_s > sending / 2 else "client"
        if server is None:
            return "server"
        return "server's front end" if 2 * server.front_end_mean * sending > self._area else "server's engine"


class _Use:
    """Readings of all servers, added up."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[float, Load]] = {}
        self._last: dict[str, tuple[float, Load]] = {}
        self._readings = 0
        self._running = self._waiting = self._front_end = self._kv_cache = 0.0

    def read(self, endpoint: str, load: Load, now: float, in_flight: int | None) -> None:
        """`in_flight` of ours at all servers; None outside the sending phase, whose means are wanted."""
        self._first.setdefault(endpoint, (now, load))
        self._last[endpoint] = now, load
        self._kv_cache = max(self._kv_cache, load.kv_cache)
        if in_flight is None:
            return
        moment = self.moment(now, in_flight)
        self._readings += 1
        self._running += moment.running
        self._waiting += moment.waiting
        self._front_end += max(0.0, in_flight - moment.running - moment.waiting)

    def moment(self, at_s: float, in_flight: int) -> Moment:
        """By the newest reading of each server."""
        loads = [load for _, load in self._last.values()]
        return Moment(at_s, in_flight, sum(one.running for one in loads), sum(one.waiting for one in loads),
                      max(one.kv_cache for one in loads))  # fmt: skip

    def sums(self) -> ServerUse | None:
        """None without a reading while requests were sent."""
        if not self._readings:
            return None
        names = ("preemptions", "prefix_queries", "prefix_hits", "media_queries", "media_hits")
        grown = {name: sum(self._grown(endpoint, name) for endpoint in self._last) for name in names}
        cores = 0.0
        for endpoint, (until, _) in self._last.items():
            span = until - self._first[endpoint][0]
            cores += self._grown(endpoint, "front_end_cpu_s") / span if span else 0.0
        return ServerUse(
            self._running / self._readings, self._waiting / self._readings, self._front_end / self._readings,
            self._kv_cache, int(grown["preemptions"]), _share(grown["prefix_hits"], grown["prefix_queries"]),
            _share(grown["media_hits"], grown["media_queries"]), cores,
        )  # fmt: skip

    def _grown(self, endpoint: str, counter: str) -> float:
        """A counter that got smaller was zeroed by a restart."""
        first, last = (float(getattr(side[endpoint][1], counter)) for side in (self._first, self._last))
        return last - first if last >= first else last


class _Course:
    """Moments of a session, however long it is: when there are too many, each two become one."""

    def __init__(self) -> None:
        self._whole: list[Moment] = []
        self._new: list[Moment] = []
        self._width = 1

    def add(self, moment: Moment) -> None:
        """In the order of time."""
        self._new.append(moment)
        if len(self._new) < self._width:
            return
        self._whole.append(_mean(self._new))
        self._new = []
        if len(self._whole) == MOMENTS:
            self._whole = [_mean(pair) for pair in zip(self._whole[::2], self._whole[1::2], strict=True)]
            self._width *= 2

    def moments(self) -> tuple[Moment, ...]:
        """Those of equal width, and what is left."""
        return (*self._whole, _mean(self._new)) if self._new else tuple(self._whole)


def _mean(moments: Sequence[Moment]) -> Moment:
    columns = zip(*(astuple(one) for one in moments), strict=True)
    return Moment(*(round(sum(column) / len(moments), 4) for column in columns))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    middle, high, highest = (round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4)
                             for share in (0.5, 0.9, 0.99))  # fmt: skip
    return middle, high, highest
