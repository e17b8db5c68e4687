"""By how many processes a model is asked: by more than one when that is at its limit while cores are idle."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lmms_fast.endpoints.limit import at_each

SECONDS = 5
MOST = 8
_AT_ITS_LIMIT = 0.9  # cores: one interpreter lock, and a little beside it that does not need the lock
_WORTH_S = 20.0  # of work left; others take a second or two to start


@dataclass(frozen=True, slots=True)
class Second:
    """What was seen in one."""

    used: float
    """Cores that this process took."""
    idle: float
    """Cores that nobody took."""
    left: float
    """Samples without an outcome at its end; infinite where that is not known."""


def processes(seen: Sequence[Second]) -> int:
    """How many there should be, by the last seconds."""
    last = seen[-SECONDS:]
    if len(last) < SECONDS or min(one.used for one in last) < _AT_ITS_LIMIT:
        return 1
    left, before = last[-1].left, last[0].left
    if math.isfinite(left) and left * (SECONDS - 1) < _WORTH_S * (before - left):
        return 1
    return min(MOST, 1 + int(min(one.idle for one in last)))


def allowed(
    asked_for: int | Literal["auto"], concurrency: int | Literal["auto"], servers: int, *, shared: bool
) -> tuple[int, int]:
    """How many there are at first, and at most: no more than requests that may be out at one server, of which one is a
    judge's where it is `shared`."""
    each = math.inf if concurrency == "auto" else max(1, at_each(concurrency, servers) - shared)
    if asked_for == "auto":  # where a judge has its share of a server, it has that from the start
        return 1, 1 if shared else int(min(MOST, each))
    count = int(min(asked_for, each))
    return count, count


async def wanted(left: Callable[[], float]) -> int:
    """Wait until there should be more than one process; how many. Where that cannot be told, it waits for ever."""
    seen: deque[Second] = deque(maxlen=SECONDS)
    at, used, idle = time.monotonic(), time.process_time(), idle_s()
    while (count := processes(tuple(seen))) == 1:
        await asyncio.sleep(1)
        before, at = at, time.monotonic()
        (used_before, used), (idle_before, idle) = (used, time.process_time()), (idle, idle_s())
        seen.append(Second((used - used_before) / (at - before), (idle - idle_before) / (at - before), left()))
    return count


def idle_s(stat: Path = Path("/proc/stat")) -> float:
    """Seconds that cores had nothing to do since the machine began, of those that may be used; 0 where nobody tells."""
    try:
        lines = stat.read_text(encoding="ascii").splitlines()
        ticks = {name: int(fields[3]) for name, *fields in map(str.split, lines) if name.startswith("cpu")}
        ours = [ticks[f"cpu{number}"] for number in os.sched_getaffinity(0)]
    except (OSError, ValueError, IndexError, KeyError):
        return 0.0
    return sum(ours) / os.sysconf("SC_CLK_TCK")
