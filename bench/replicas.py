"""One client before many servers: ``python -m bench.replicas [--runs 3] [--readme]``.

Mock servers of a set capacity (so many slots of such a latency), with work for some seconds each. Linear is what all
slots can do; where the client falls behind is its limit on this machine, which the servers share with it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench import work
from bench.measure import MockServer, machine, mock_server, publish, run

SLOTS, LATENCY_S = 20, 0.2
CAPACITY = SLOTS / LATENCY_S
SECONDS = 4
COUNTS = (1, 2, 4, 8, 16)
AHEAD = 4
"""Requests more than slots at each server, so that the next is there when a slot is free."""


def rate(count: int, folder: Path, samples: int) -> float:
    """Answers a second, by the servers' clocks: all requests between the first and the last reply."""
    with contextlib.ExitStack() as stack:
        options = ("--slots", str(SLOTS), "--latency", str(LATENCY_S))
        servers: list[MockServer] = [stack.enter_context(mock_server(*options)) for _ in range(count)]
        endpoints = [word for server in servers for word in ("--endpoint", server.url)]
        out = stack.enter_context(tempfile.TemporaryDirectory())
        run([sys.executable, "-m", "lmms_fast.cli.app", "eval", "--tasks", str(folder / "bench_mc.yaml"), *endpoints,
             "--limit", str(samples), "--concurrency", str(count * (SLOTS + AHEAD)), "-o", f"{out}/run"])  # fmt: skip
        stats = [server.stats() for server in servers]
    if sum(one["requests"] for one in stats) != samples:
        raise SystemExit(f"{stats}: other requests than the {samples} samples")
    begun = min(one["first_s"] for one in stats)
    return samples / (max(one["first_s"] + one["span_s"] for one in stats) - begun)


def main() -> None:
    """Print a table; with --readme also write it into README.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--readme", action="store_true")
    options = parser.parse_args()
    found: dict[int, list[float]] = {count: [] for count in COUNTS}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        work.write(folder, int(CAPACITY * SECONDS) * max(COUNTS))
        for _ in range(options.runs):
            for count in COUNTS:
                found[count].append(rate(count, folder, int(CAPACITY * SECONDS) * count))
    lines = ["| replicas | answers/s | linear | share of it |", "|---|---|---|---|"]
    for count, rates in found.items():
        linear = CAPACITY * count
        lines.append(f"| {count} | {median(rates):,.0f} | {linear:,.0f} | {median(rates) / linear:.2f} |")
    publish("replicas", [
        *lines, "",
        f"Mock servers with {SLOTS} slots of {LATENCY_S} s, pictures of 90 kB, one client process, {SECONDS} s of work "
        f"for each; {machine()}, median of {options.runs} interleaved runs.",
    ], options.readme)  # fmt: skip


if __name__ == "__main__":
    main()
