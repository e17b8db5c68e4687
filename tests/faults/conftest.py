"""A server that misbehaves, shared by the tests of a module, and back-off that does not take its time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.work import write
from tests.servers.faulty import Faulty


@pytest.fixture(scope="session")
def shared_faulty() -> Iterator[Faulty]:
    """One process for all tests that do not kill it."""
    with Faulty() as server:
        yield server


@pytest.fixture
def faulty(shared_faulty: Faulty) -> Faulty:
    """It, with an empty plan."""
    shared_faulty.plan()
    return shared_faulty


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """Two samples."""
    return write(tmp_path / "task", 2)


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited between attempts is tested as arithmetic (tests/endpoints)."""
    monkeypatch.setattr("lmms_fast.pipeline.dispatch.backoff_s", lambda attempt, rng: 0.01)
