"""How long a rule takes."""

from __future__ import annotations

import time
from collections.abc import Callable


def cpu_s(run: Callable[[], object], enough: float = 0.05) -> float:
    """CPU of a call, of three the least unless the first is fast: garbage may be collected in one of them."""
    least = float("inf")
    for _ in range(3):
        started = time.process_time()
        run()
        least = min(least, time.process_time() - started)
        if least < enough:
            break
    return least
