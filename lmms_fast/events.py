"""Small records of what happened, for the live view and `--json`. Nothing depends on anyone listening."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lmms_fast.types import Load


@dataclass(frozen=True, slots=True)
class Opened:
    """The run has its directory."""

    path: str
    model: str | None


@dataclass(frozen=True, slots=True)
class ServerPhase:
    """A server we launch is on its way up (or down)."""

    phase: str
    """waiting (for room on a cluster) | starting | importing | loading | warming | ready | reused | stopping"""
    line: str
    """The last line of its log."""
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class TaskSized:
    """How many samples a task will ask, once known; `done` of them were answered by an earlier session."""

    task: str
    total: int | None
    done: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The endpoints can be asked."""


@dataclass(frozen=True, slots=True)
class FeedDone:
    """Nothing more will come from the datasets."""

    requests: int
    """Samples that can be asked; some of them may still wait to be sent."""
    byte_bound_s: float
    """Time that the next body waited for memory that earlier ones still held."""


@dataclass(frozen=True, slots=True)
class LimitChanged:
    """So many requests may be out at an endpoint from now on."""

    endpoint: str
    limit: int
    why: str
    paced: bool
    """The server allows only so many a second."""


@dataclass(frozen=True, slots=True)
class EndpointState:
    """An endpoint was taken out, or is back."""

    endpoint: str
    up: bool
    why: str


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """A request left."""

    key: str
    attempt: int
    """1, or more when it is tried again."""


@dataclass(frozen=True, slots=True)
class RequestRetried:
    """An attempt failed and will be made again."""

    key: str
    kind: str
    detail: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class SampleDone:
    """A sample has its outcome."""

    task: str
    key: str
    value: float | None
    """Its score so far; None: not measured."""
    failure: str | None
    completion_tokens: int
    attempts: int
    """Requests made for it; 0 for one that could not be sent."""
    latency_s: float | None
    """Of its answer."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A judge's reply to a question about an answer is there, or will not come."""

    task: str
    key: str
    value: float | None
    """The answer's score, where this reply alone decides it."""
    failure: str | None
    attempts: int
    """Requests made for it; 0 for one that was known, or could not be sent."""
    occupied_s: float = 0.0
    """Time that it took a place at the model's own servers."""


@dataclass(frozen=True, slots=True)
class LoadRead:
    """A server said how busy it is."""

    endpoint: str
    load: Load


@dataclass(frozen=True, slots=True)
class Timed:
    """Where a session's time went, at its end."""

    sentence: str
    timing: Mapping[str, Any]
    """As in the manifest."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence the user should see."""

    text: str


Event = (
    Opened | ServerPhase | TaskSized | Ready | FeedDone | LimitChanged | EndpointState | RequestStarted
    | RequestRetried | SampleDone | Judged | LoadRead | Timed | Notice
)
Notify = Callable[[Event], None]
