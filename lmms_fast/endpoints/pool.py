"""Several servers of one model: the one with the least outstanding work is next; one that fails rests a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lmms_fast.endpoints.presets import Endpoint

_REST_S = 5.0


class Pool:
    """Endpoints that serve the same model."""

    def __init__(self, endpoints: Sequence[Endpoint], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_flight = dict.fromkeys(endpoints, 0)
        self._resting: dict[Endpoint, float] = {}

    @property
    def in_flight(self) -> int:
        """Requests out at this moment."""
        return sum(self._in_flight.values())

    @property
    def keeps_media(self) -> bool:
        """Whether what one request brought can be named by the next, wherever that goes."""
        return len(self._in_flight) == 1 and all(endpoint.keeps_media for endpoint in self._in_flight)

    @contextmanager
    def borrow(self) -> Iterator[Endpoint]:
        """The endpoint for one attempt. Rested ones are used only while all rest."""
        endpoint = self._next()
        self._in_flight[endpoint] += 1
        try:
            yield endpoint
        finally:
            self._in_flight[endpoint] -= 1

    def rest(self, endpoint: Endpoint) -> None:
        """Prefer the others for a few seconds: its connection failed."""
        self._resting[endpoint] = self._clock() + _REST_S

    def _next(self) -> Endpoint:
        now = self._clock()
        awake = [endpoint for endpoint in self._in_flight if self._resting.get(endpoint, 0.0) <= now]
        return min(awake or self._in_flight, key=self._in_flight.__getitem__)
