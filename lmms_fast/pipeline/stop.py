"""Ending a run early: no new requests, those that are out may finish, what is answered is scored."""

from __future__ import annotations

import re
from collections.abc import Callable

from lmms_fast.errors import UsageError

GRACE_S = 30.0
"""For requests that are out; then they are given up."""
_TIME = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)?")
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Stop:
    """A request to end that anyone may make once: a signal, a deadline, a budget that is spent."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.how: Callable[[str], None] = lambda reason: None
        """What ending means at present; the run sets it as it goes on."""

    def request(self, reason: str) -> None:
        """Only the first reason counts."""
        if self.reason is None:
            self.reason = reason
            self.how(reason)


def parse_time_s(text: str) -> float:
    """``90``, ``90s``, ``30m``, ``2h`` in seconds. Raises UsageError."""
    found = _TIME.fullmatch(text.strip())
    if not found or float(found[1]) <= 0:
        raise UsageError(f"--max-time {text}: write seconds (90) or a number with s, m, h or d (30m).")
    return float(found[1]) * _UNIT_S[found[2] or "s"]
