"""The job that docs/ci.md offers: valid YAML whose steps do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmms_fast.report.gate import load_policy
from tests.report.runs import asked
from tests.servers.stand_in import StandIn

DOCS = Path(__file__).parents[2] / "docs"


def _job() -> dict[str, Any]:
    content = yaml.safe_load((DOCS / "github-actions.yml").read_text())
    assert content[True] == {"push": {"branches": ["main"]}, "pull_request": None}  # YAML takes `on` for true
    assert content["permissions"] == {"contents": "read"}
    job: dict[str, Any] = content["jobs"]["smoke"]
    assert job["runs-on"] == "ubuntu-latest"
    return job


def test_every_step_is_one() -> None:
    """An action at a version, or a script; names are told apart."""
    steps = _job()["steps"]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    assert all("@v" in step["uses"] for step in steps if "uses" in step)
    names = [step["name"] for step in steps if "name" in step]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("wrong", "code"), [(0, 0), (5, 0), (40, 3)], ids=["same", "cannot tell", "worse"])
def test_the_scripts_run(tmp_path: Path, stand_in: StandIn, wrong: int, code: int) -> None:
    """Gate, comparison and the next baseline, by bash as the runner calls it."""
    program = tmp_path / ".venv" / "bin" / "lmms-fast"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lmms_fast.cli.app "$@"\n')
    program.chmod(0o755)
    asked(stand_in, tmp_path / "runs" / "main")
    asked(stand_in, tmp_path / "runs" / "now", lambda id, gold: "9" if int(id[-3:]) < wrong else None)
    steps = {step["name"]: step["run"] for step in _job()["steps"] if "name" in step and "run" in step}

    def bash(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-e", "-o", "pipefail", "-c", steps[name]], cwd=tmp_path, capture_output=True,
                              text=True, check=False)  # fmt: skip

    done = bash("Gate")
    assert done.returncode == code, done.stdout + done.stderr
    assert (tmp_path / "gate.xml").is_file()
    assert ("::warning::" in done.stdout) == (wrong == 5)
    if code:
        assert bash("What changed").returncode == 0
        assert (tmp_path / "compare.html").is_file()
    else:
        assert bash("Keep it as the next run to compare with").returncode == 0
        now, kept = (tmp_path / "runs" / name / "results.json" for name in ("now", "main"))
        assert now.read_bytes() == kept.read_bytes()


def test_the_policy_in_the_documentation_can_be_read(tmp_path: Path) -> None:
    """It is the example that people copy."""
    text = (DOCS / "ci.md").read_text().split("```yaml\n")[1].split("```")[0]
    (tmp_path / "policy.yaml").write_text(text)
    policy = load_policy(tmp_path / "policy.yaml")
    assert policy.tasks["mmmu_val"].min == 0.5
