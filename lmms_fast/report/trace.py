"""A run as a trace for Perfetto (https://ui.perfetto.dev) or Chrome: every request on a lane, in flight over time.

The format is Chrome's "JSON array": https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
Events are written as they end, so memory does not grow with the run, and a run that is killed leaves a readable trace.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from lmms_fast.errors import StorageError
from lmms_fast.events import (
    Event,
    FeedDone,
    LimitChanged,
    LoadRead,
    Ready,
    RequestRetried,
    RequestStarted,
    SampleDone,
    ServerPhase,
)


class Trace:
    """A listener that writes `path`. Use as a context manager; raises StorageError when the file cannot be made."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock, self._begun = path, clock, clock()
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise self._refused(error) from None
        self._put(b"[\n")
        self._lanes: dict[str, tuple[int, float]] = {}
        self._free: list[int] = []
        self._phase = ""

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case RequestStarted():
                lane = heapq.heappop(self._free) if self._free else len(self._lanes) + 1
                self._lanes[event.key] = lane, self._now()
                self._count()
            case RequestRetried():
                self._end(event.key, f"{event.kind}: {event.detail}")
            case SampleDone():
                self._end(event.key, event.failure or "")
            case ServerPhase() if event.phase != self._phase:
                self._phase = event.phase
                self._mark(f"server {event.phase}")
            case LimitChanged():
                self._write(ph="C", name=f"limit of {event.endpoint}", ts=self._now(), args={"requests": event.limit})
            case LoadRead():
                self._write(ph="C", name=f"load of {event.endpoint}", ts=self._now(),
                            args={"running": event.load.running, "waiting": event.load.waiting})  # fmt: skip
            case Ready():
                self._mark("ready")
            case FeedDone():
                self._mark("all fed")
            case _:
                pass

    def _end(self, key: str, failure: str) -> None:
        if key not in self._lanes:
            return
        lane, started = self._lanes.pop(key)
        heapq.heappush(self._free, lane)
        self._write(ph="X", name=key, cat="failed" if failure else "request", tid=lane, ts=started,
                    dur=self._now() - started, args={"failure": failure} if failure else {})  # fmt: skip
        self._count()

    def _count(self) -> None:
        self._write(ph="C", name="in flight", ts=self._now(), args={"requests": len(self._lanes)})

    def _mark(self, name: str) -> None:
        self._write(ph="i", s="g", name=name, tid=0, ts=self._now())

    def _now(self) -> float:
        return (self._clock() - self._begun) * 1e6

    def _write(self, **fields: Any) -> None:
        self._put(orjson.dumps({"pid": 1, **fields}) + b",\n")

    def _put(self, line: bytes) -> None:
        try:
            self._file.write(line)
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(f"--profile: {self._path} cannot be written ({error.strerror}).")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The array may not end in a comma; an event without meaning closes it.
        end = {"pid": 1, "ph": "M", "name": "process_name", "args": {"name": "lmms-fast"}}
        self._put(orjson.dumps(end) + b"\n]\n")
        try:
            self._file.close()
        except OSError as failure:
            raise self._refused(failure) from None
