"""How soon it answers and asks: ``python -m bench.startup [--runs 5] [--readme]``.

The limit beside it is the interpreter alone (``python -c pass``), in the same rounds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench import work
from bench.client import ours
from bench.measure import MockServer, machine, mock_server, publish, run


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Start-up times.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md or docs/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, mock_server() as server:
        folder = Path(scratch)
        work.write(folder, 200)
        ways: dict[str, Callable[[int], float]] = {
            "the interpreter alone": lambda _: run([sys.executable, "-c", "pass"]).wall_s,
            "`lmms-fast --help`": lambda _: run(_ours("--help")).wall_s,
            "`lmms-fast tasks list`": lambda _: run(_ours("tasks", "list")).wall_s,
            "`lmms-fast eval`, until its first request": lambda n: _first_request(server, folder, n),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(options.runs):
            for label, way in ways.items():
                found[label].append(way(number))
    rows = [f"| {name} | {median(times):.2f} s |" for name, times in found.items()]
    publish("startup", ["| what | time |", "|---|---|", *rows, "", f"{machine()}, median of {options.runs} runs."],
            options.readme)  # fmt: skip


def _ours(*words: str) -> list[str]:
    return [sys.executable, "-m", "lmms_fast.cli.app", *words]


def _first_request(server: MockServer, folder: Path, number: int) -> float:
    server.reset()
    started = time.perf_counter()
    run(ours(server, folder, 64, folder / f"run-{number}"))
    return float(server.stats()["first_s"]) - started


if __name__ == "__main__":
    main()
