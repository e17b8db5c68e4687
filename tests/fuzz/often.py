"""How many examples: few and always the same in a test run; with LMMS_FAST_FUZZ=N N times as many, and new ones."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_TIMES = int(os.environ.get("LMMS_FAST_FUZZ", "0"))


def often(examples: int) -> settings:
    """Settings for a test that tries `examples` in an ordinary run."""
    return settings(max_examples=examples * max(1, _TIMES), deadline=None, derandomize=not _TIMES,
                    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])  # fmt: skip
