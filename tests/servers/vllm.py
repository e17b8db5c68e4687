"""Marks of tests that need the real vLLM."""

from __future__ import annotations

import pytest

from lmms_fast.errors import ServerError
from lmms_fast.server.command import installed


def _is_there() -> bool:
    try:
        installed()
    except ServerError:
        return False
    return True


NEEDS_VLLM = [
    pytest.mark.vllm,
    pytest.mark.skipif(not _is_there(), reason="vLLM is not installed; `python -m lmms_fast.bootstrap` installs it"),
]
