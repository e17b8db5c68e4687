"""The scripts in docs/clusters.md do what they say, as far as can be seen without a cluster."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmms_fast.config.spec import RunSpec
from lmms_fast.data.feed import parse_shard

DOCS = Path(__file__).parents[2] / "docs"


def words_of(script: str, tmp_path: Path, **environment: str) -> list[str]:
    """What a script runs in the end, found by putting others in the place of `srun` and `lmms-fast`."""
    for name, content in (("srun", 'exec "$@"'), ("lmms-fast", 'printf "%s\\n" "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{content}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    said = subprocess.run(["bash", "-c", script], env={**environment, "PATH": path}, capture_output=True, text=True,
                          check=True)  # fmt: skip
    return said.stdout.splitlines()


def check(words: list[str], shard: str) -> None:
    """A command line of `eval` for one of eight parts."""
    flags = dict(zip(words[1::2], words[2::2], strict=True))
    assert words[0] == "eval"
    assert {name.removeprefix("--").replace("-", "_") for name in flags} - {"_o"} <= set(RunSpec.model_fields)
    assert flags["--shard"] == shard
    assert parse_shard(flags["--shard"])


def test_the_array_script(tmp_path: Path) -> None:
    """It parses, and each task of the array asks its part."""
    text = (DOCS / "clusters.md").read_text(encoding="utf-8")
    script = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)[0]
    assert "--array=1-8" in script
    for number in ("1", "8"):
        words = words_of(script, tmp_path, SLURM_ARRAY_TASK_ID=number, SLURM_SUBMIT_DIR="/home/me")
        check(words, f"{number}/8")
        assert words[-1] == f"/home/me/runs/mine-{number}"


@pytest.fixture
def job() -> dict[str, Any]:
    """The manifest."""
    content: dict[str, Any] = yaml.safe_load((DOCS / "kubernetes-job.yaml").read_text(encoding="utf-8"))
    return content


def test_the_job_has_all_parts(tmp_path: Path, job: dict[str, Any]) -> None:
    """As many pods as parts; indices count from 0, parts from 1."""
    spec = job["spec"]
    assert (job["apiVersion"], job["kind"], spec["completionMode"]) == ("batch/v1", "Job", "Indexed")
    assert spec["completions"] == spec["parallelism"] == 8
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    assert pod["terminationGracePeriodSeconds"] > 30  # the grace of `pipeline.stop`
    for index in ("0", "7"):
        script = shlex.join([*container["command"], *container["args"]])
        check(words_of(script, tmp_path, JOB_COMPLETION_INDEX=index), f"{int(index) + 1}/8")
