"""`lmms_fast.testing`: a test asserts on a score, and what fails says why."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
from aiohttp import web

from lmms_fast.errors import UsageError
from lmms_fast.testing import lmms_fast_score
from tests.report.runs import asked
from tests.servers.stand_in import StandIn

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _runs_go_with_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes into the temporary directory goes into the test's own, here and in processes below."""
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "runs"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "runs"))


def _first_wrong(id: str, gold: str) -> str | None:
    return "9" if id < "count-020" else None


def test_a_score_is_a_number_with_an_interval(tmp_path: Path, stand_in: StandIn) -> None:
    """60 of 80; every call asks again."""
    asked(stand_in, tmp_path / "first", _first_wrong)
    score = lmms_fast_score("smoke_count", stand_in.url)
    assert float(score) == 0.75
    assert score >= 0.75
    assert score > 0.7
    assert score <= 0.8
    assert score < 0.8
    assert not score >= 0.76
    assert (score.low, score.high) == pytest.approx((0.6466, 0.8356), abs=1e-4)
    assert len(stand_in.asked) == 160
    assert len(score.worst) == 5
    assert "count-000: 0, accepted" in score.worst[0]
    part = lmms_fast_score("smoke_count", stand_in.url, limit=40, output_dir=tmp_path / "r")
    assert (part.n, float(part), part.path) == (40, 0.5, tmp_path / "r")
    one = lmms_fast_score("smoke_count", stand_in.url, limit=1)
    assert (float(one), one.low) == (0.0, None)


def test_what_was_not_measured_fails(stand_in: StandIn, tmp_path: Path) -> None:
    """However few it is measured on, a high score is not enough; a group of tasks has no single one."""
    asked(stand_in, tmp_path / "first",
          lambda id, gold: web.Response(status=400, text="no") if id < "count-020" else gold)  # fmt: skip
    with pytest.raises(AssertionError, match="20 of 80 samples could not be measured"):
        lmms_fast_score("smoke_count", stand_in.url)
    assert lmms_fast_score("smoke_count", stand_in.url, max_failures=0.5) >= 1.0
    asked(stand_in, tmp_path / "second", lambda id, gold: web.Response(status=400, text="no"))
    with pytest.raises(AssertionError, match="none of 80 samples"):
        lmms_fast_score("smoke_count", stand_in.url, max_failures=1.0)
    with pytest.raises(UsageError, match="name one of them"):
        lmms_fast_score("smoke", stand_in.url, limit=1)


def test_pytest_shows_why(tmp_path: Path, stand_in: StandIn) -> None:
    """In a session of its own, as it would be with the plugin installed."""
    asked(stand_in, tmp_path / "first", _first_wrong)
    (tmp_path / "test_it.py").write_text(
        "from lmms_fast.testing import lmms_fast_score\n\n\ndef test_it() -> None:\n"
        f"    assert lmms_fast_score('smoke_count', endpoint={stand_in.url!r}) >= 0.9\n"
    )
    words = ["-m", "pytest", "-p", "lmms_fast.testing", "-q", str(tmp_path / "test_it.py"), "--rootdir", str(tmp_path)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "smoke_count accuracy 0.7500 (95 %: 0.6466 … 0.8356, n = 80) >= 0.9" in done.stdout
    assert "count-000: 0, accepted '4', said '9'" in done.stdout


def test_pytest_finds_it_by_itself() -> None:
    """The entry point has the module's name; loading it costs no heavy import."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"lmms_fast.testing": "lmms_fast.testing"}
    code = "import sys, lmms_fast.testing; print([m for m in ('pydantic', 'rich', 'aiohttp') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
