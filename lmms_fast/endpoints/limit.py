"""How many requests may be out at a server at once, and how soon the next may follow: a fixed number, or one that is
found. Arithmetic on signals, no clock of its own, no waiting.

The found one climbs: it doubles while that brings more answers a second, settles at the least number that brought the
most, and from time to time tries a little more and a little less. A server that drops work out of its batch for want of
memory (preemptions) is given less at once. One that refuses (429, 503) has a rate of its own, which is the rate of its
answers while it refuses: from then on requests follow each other at that pace, a little faster while none is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from lmms_fast.types import Load

_GAIN = 1.04  # more answers a second than noise
_CLEAR_GAIN = 1.25  # shows in half a window
_WINDOW_ANSWERS, _WINDOW_S = 24, 0.25
_STEP = 1.25
_REFUSED_SHARE = 0.05
_FASTER, _FASTER_AT_FIRST, _FASTER_MOST = 0.02, 0.16, 1.0  # of the pace, a window; doubled from window to window
_PACED_WINDOW_S = 1.0
_REST_WINDOWS = 4  # between two tries; doubled when a try brought nothing, up to 32


class Limit(Protocol):
    """A number that may change."""

    @property
    def now(self) -> int:
        """Requests that may be out."""
        ...

    @property
    def pace(self) -> float | None:
        """Requests a second, where that is known to be what the server allows."""
        ...

    def wait_s(self, at: float) -> float:
        """Seconds until the next may be sent; 0 for at once."""
        ...

    def sent(self, at: float) -> None:
        """A request was sent."""
        ...

    def answered(self, at: float, out: int) -> None:
        """A request was answered, with `out` out at that moment, itself included."""
        ...

    def refused(self, at: float) -> None:
        """The server said that it is asked too much."""
        ...

    def read(self, load: Load) -> None:
        """The server told its load."""
        ...


def at_each(total: int, servers: int) -> int:
    """Of a number that the user gave for all servers together, those at each."""
    return -(-total // servers)


@dataclass(slots=True)
class Fixed:
    """A number the user gave."""

    now: int
    pace: None = None

    def wait_s(self, at: float) -> float:
        """Never."""
        return 0.0

    def sent(self, at: float) -> None:
        """Changes nothing."""

    def answered(self, at: float, out: int) -> None:
        """Changes nothing."""

    def refused(self, at: float) -> None:
        """Changes nothing."""

    def read(self, load: Load) -> None:
        """Changes nothing."""


class Changed(Protocol):
    """Who wants to know of a new number."""

    def __call__(self, limit: int, why: str, *, paced: bool) -> None:
        """`paced`: the server also allows only so many a second."""
        ...


Phase = Literal["climb", "rest", "more", "less"]


class Adaptive:
    """Starts at `start` and stays at or below `most`. `changed` hears of every new number, with the reason."""

    def __init__(self, start: int, most: int, changed: Changed | None = None) -> None:
        self._limit = float(min(start, most))
        self._most = most
        self._hear = changed
        self._phase: Phase = "climb"
        self._settled, self._best = self._limit, 0.0
        self._rest, self._rested = _REST_WINDOWS, 0
        self._begun: float | None = None
        self._answers = self._refusals = self._skip = 0
        self._always_full = True
        self._preemptions: float | None = None
        self._pace: float | None = None
        self._faster, self._raised = _FASTER_AT_FIRST, False
        self._next = 0.0

    @property
    def now(self) -> int:
        """Requests that may be out."""
        return max(1, round(self._limit))

    @property
    def pace(self) -> float | None:
        """Requests a second, where that is known to be what the server allows."""
        return self._pace

    def wait_s(self, at: float) -> float:
        """Seconds until the pace allows the next."""
        return max(0.0, self._next - at) if self._pace else 0.0

    def sent(self, at: float) -> None:
        """Moves the next one on; what was late does not let others follow at once."""
        if self._pace:
            self._next = max(self._next + 1 / self._pace, at)

    def answered(self, at: float, out: int) -> None:
        """Counts towards the present window, which ends after enough answers and time."""
        if self._skip > 0:  # sent before the last change, so they tell of the number before
            self._skip -= 1
            return
        self._answers += 1
        # One slot is being refilled at any moment; fewer than that and it is not the limit that binds.
        self._always_full = self._always_full and out >= self.now - 1
        self._count(at)

    def refused(self, at: float) -> None:
        """Counts against it, and with it all answers: they show what the server does allow."""
        self._refusals += 1
        self._skip = 0
        self._count(at)

    def _count(self, at: float) -> None:
        if self._begun is None:
            self._open(at)
            return
        span, count = at - self._begun, self._answers + self._refusals
        window = max(_WINDOW_ANSWERS, self.now)
        long_enough = self._pace is not None and span >= _PACED_WINDOW_S
        if span < _WINDOW_S or (count < window // 2 and not long_enough):
            return
        share, rate = self._refusals / count, self._answers / span
        climbs = self._phase == "climb" and not self._refusals and self._always_full and rate > self._best * _CLEAR_GAIN
        if count < window and not climbs and not long_enough:
            return
        if not self._answers:  # nothing to tell a rate from: it may be down, or start again in a moment
            self._best = 0.0
            self._set(self._limit / 2, "climb", "the server refuses everything")
        elif share > _REFUSED_SHARE:
            # Refusals come back sooner than answers to requests of the same moment, so each alone says too little; and
            # from above the right pace is found sooner than from below.
            self._paced(max(rate, self._best / 2 if self._pace is None else self._pace * (1 - share)))
        elif self._pace is not None:
            if not self._refusals:
                self._pace, self._raised = self._pace * (1 + self._faster), True
                self._faster = min(2 * self._faster, _FASTER_MOST)
                if self._always_full:  # then it is this number that holds them back, not the pace
                    self._set(min(self._limit * _STEP, self._most), "rest", "no more refusals")
        elif self._always_full:
            self._judge(rate)
        self._open(None if self._skip else at)

    def read(self, load: Load) -> None:
        """A batch that does not fit the server's memory is worked on twice. One that takes all at once, with memory to
        spare, can have more without waiting for answers, which may take minutes."""
        if self._preemptions is not None and load.preemptions > self._preemptions:
            self._settle(self._limit * 0.8, "the server's memory is full (preemptions)")
            self._open(None)
        elif self._phase == "climb" and load.waiting == 0 and load.running >= 0.8 * self.now and load.kv_cache < 0.5:
            self._set(min(2 * self._limit, self._most), "climb", "the server's batch takes all at once")
            self._open(None)
        self._preemptions = load.preemptions

    def _open(self, at: float | None) -> None:
        self._begun, self._answers, self._refusals, self._always_full = at, 0, 0, True

    def _paced(self, rate: float) -> None:
        first = self._pace is None
        self._pace = rate
        if first:
            self._phase = "rest"
            self._tell(f"the server refuses requests beyond {rate:.3g} a second")
        if self._raised:  # so this is its rate; before, a burst may have been too much for it
            self._faster, self._raised = _FASTER, False

    def _judge(self, rate: float) -> None:
        """What a full window at the present number showed."""
        match self._phase:
            case "climb":
                if rate > self._best * _GAIN:
                    self._settled, self._best = self._limit, rate
                    if self._limit < self._most:
                        self._set(min(2 * self._limit, self._most), "climb", "more answers a second")
                        return
                if rate > self._best:  # a little more may be there, and more in flight costs little
                    self._settled, self._best = self._limit, rate
                self._settle(self._settled, "no more answers a second")
            case "rest":
                self._best += (rate - self._best) / 4  # servers change, and one window is a guess
                self._rested += 1
                if self._rested >= self._rest:
                    self._rested = 0
                    more = min(self._limit * _STEP + 1, self._most)
                    phase: Phase = "more" if more > self._limit else "less"
                    self._set(more if phase == "more" else self._limit / _STEP, phase, "a try")
            case "more":
                if rate > self._best * _GAIN:
                    self._rest = _REST_WINDOWS
                    self._best, self._settled = rate, self._limit
                    self._set(min(self._limit * _STEP + 1, self._most), "more", "more answers a second")
                else:
                    self._set(self._settled / _STEP, "less", "a try")
            case "less":
                if rate > self._best * _GAIN:
                    self._rest, self._best, self._settled = _REST_WINDOWS, rate, self._limit
                    self._set(self._limit / _STEP, "less", "more answers a second with fewer")
                else:
                    self._rest = min(2 * self._rest, 32)
                    self._settle(self._settled, "as before")

    def _settle(self, limit: float, why: str) -> None:
        self._settled = max(1.0, limit)
        self._set(self._settled, "rest", why)

    def _set(self, limit: float, phase: Phase, why: str) -> None:
        before, self._limit, self._phase = self.now, max(1.0, limit), phase
        if self.now != before:
            self._skip = before
            self._tell(why)

    def _tell(self, why: str) -> None:
        if self._hear:
            self._hear(self.now, why, paced=self._pace is not None)
