"""One client process against several: ``python -m bench.workers [--runs 3] [--readme]``.

The same work at a server that answers at once, so the client is the limit. The server takes a core of its own for a
part of the time, so on few cores several client processes cannot have all that they could use; what each request costs
in CPU tells what more cores would give, and what the run's own process takes of it where that ends.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from bench import work
from bench.measure import MockServer, machine, mock_server, publish

COUNT, CONCURRENCY = 20_000, 256
PROCESSES = (1, 2, 3)
LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Result:
    """One run."""

    rate: float
    """Requests a second, by the server."""
    cpu_s: float
    """Of all client processes."""
    own_s: float
    """Of the run's own."""


def measure(server: MockServer, folder: Path, processes: int) -> Result:
    """Raises SystemExit when a sample was not asked."""
    server.reset()
    with tempfile.TemporaryDirectory() as out:
        words = [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--endpoint", server.url, "--tasks",
                 str(folder / "bench_mc.yaml"), "--concurrency", str(CONCURRENCY), "--client-workers", str(processes),
                 "-o", f"{out}/run", "--quiet"]  # fmt: skip
        with subprocess.Popen(words, stdout=subprocess.DEVNULL) as run:
            cpu_s: dict[int, float] = {}
            while run.poll() is None:
                look(psutil.Process(run.pid), cpu_s)
                try:
                    run.wait(LOOK_S)
                except subprocess.TimeoutExpired:
                    continue
        stats = server.stats()
    if run.returncode or stats["requests"] != COUNT:
        raise SystemExit(f"exit code {run.returncode}, {stats['requests']} requests instead of {COUNT}")
    return Result(stats["requests"] / stats["span_s"], sum(cpu_s.values()), cpu_s[run.pid])


def look(run: psutil.Process, cpu_s: dict[int, float]) -> None:
    """What each process has taken so far; those that have ended keep what they had."""
    try:
        alive = [run, *run.children(recursive=True)]
    except psutil.Error:
        return
    for one in alive:
        try:
            times = one.cpu_times()
        except psutil.Error:
            continue
        cpu_s[one.pid] = times.user + times.system


def main() -> None:
    """Print a table; with --readme also write it into README.md or docs/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--readme", action="store_true")
    options = parser.parse_args()
    found: dict[int, list[Result]] = {processes: [] for processes in PROCESSES}
    with tempfile.TemporaryDirectory() as scratch, mock_server("--latency", "0") as server:
        folder = Path(scratch)
        work.write(folder, COUNT)
        for _ in range(options.runs):
            for processes in PROCESSES:
                found[processes].append(measure(server, folder, processes))
    one = median(result.rate for result in found[1])
    lines = ["| client processes | requests/s | of one | CPU a request, ms | of the run's own process, ms |",
             "|---|---|---|---|---|"]  # fmt: skip
    for processes, results in found.items():
        rate = median(result.rate for result in results)
        cpu_ms, own_ms = (1000 * median(values) / COUNT
                          for values in zip(*((one.cpu_s, one.own_s) for one in results), strict=True))
        lines.append(f"| {processes} | {rate:,.0f} | {rate / one:.2f} | {cpu_ms:.2f} | {own_ms:.2f} |")
    publish("workers", [
        *lines, "",
        f"{COUNT:,} questions with a picture of 90 kB each, {CONCURRENCY} in flight, a server that answers at once and "
        f"shares the cores; whole runs, scoring and start included in CPU. {machine()}, median of {options.runs} "
        "interleaved runs.",
    ], options.readme)  # fmt: skip


if __name__ == "__main__":
    main()
