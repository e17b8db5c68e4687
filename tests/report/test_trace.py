"""The trace is JSON that a viewer reads: each attempt a slice on a lane of its own, in flight as a counter."""

from __future__ import annotations

import json
from pathlib import Path

from lmms_fast.events import FeedDone, Ready, RequestRetried, RequestStarted, SampleDone
from lmms_fast.report.trace import Trace


def test_requests_on_lanes(tmp_path: Path) -> None:
    """A lane is taken again only when it is free; a failed attempt says why."""
    now = 0.0
    with Trace(tmp_path / "trace.json", lambda: now) as trace:
        trace(Ready())
        trace(RequestStarted("a", 1))
        trace(RequestStarted("b", 1))
        now = 1.0
        trace(RequestRetried("a", "server", "HTTP 500", 0.1))
        trace(RequestStarted("c", 1))
        trace(FeedDone(3, 0.0))
        now = 3.0
        for key in ("b", "c"):
            trace(SampleDone("t", key, 1.0, None, 1, 1, 2.0))
    lines = json.loads((tmp_path / "trace.json").read_text())
    slices = {line["name"]: (line["tid"], line["ts"], line["dur"]) for line in lines if line["ph"] == "X"}
    assert slices == {"a": (1, 0, 1e6), "b": (2, 0, 3e6), "c": (1, 1e6, 2e6)}
    assert next(line for line in lines if line["name"] == "a")["args"] == {"failure": "server: HTTP 500"}
    assert [line["args"]["requests"] for line in lines if line["ph"] == "C"] == [1, 2, 1, 2, 1, 0]
