"""One client before many servers: ``python -m bench.replicas [--runs 3] [--client-workers N] [--readme]``.

Mock servers of a set capacity, with work for some seconds each, the whole evaluation before them (journal, scores,
report). A replica answers 40 times a second: 16 slots of 0.4 s. A GPU with a vision-language model of some billion
parameters does 20 to 50 (the published work of LLaVA-1.5 takes 4 to 6 a second and GPU, newer engines on newer GPUs
several times that; vLLM prepares the pictures of one API process at 14 to 90 a second). With more slots of longer
answers the rate is the same and the client holds more requests; ``--slots 128 --latency 3.2`` tries that.

A share is of what all slots can do. The time is from the first request to the last reply, by the servers' clocks, so
the client's start-up and its report are not in it, but the filling of the slots and the emptying are: the work is whole
rounds of all slots, whose time is then exactly linear, and what is lost at either end counts against us. How much that
is tells the second column, which is of the replies between the first tenth and the last. Beyond the client's limit,
which shares this machine's cores with the servers, neither is near 1; the client's cores tell that.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from statistics import median
from typing import Any

from bench import work
from bench.measure import machine, mock_servers, publish, run

COUNTS = (1, 2, 4, 8, 16, 32, 64)
ENOUGH = 0.95
"""Of linear."""
IN_FLIGHT = 2
"""Requests for each slot, as many as for a vLLM of ours, so that the next is there when a slot is free."""


@dataclass(frozen=True, slots=True)
class Result:
    """One evaluation."""

    rate: float
    """Answers a second, from the first request to the last reply."""
    middle: float
    """The same of the replies between the first tenth and the last."""
    cpu_ms: float
    """Of the client's whole process, an answer."""
    cores: float
    """The same over its wall time."""
    peak_bytes: int
    begun_s: float
    """From the beginning of the session, when the servers are looked for, to the first request."""


def evaluate(count: int, task: Path, options: argparse.Namespace) -> Result:
    """Raises SystemExit when the servers were not asked every sample once."""
    samples = count * options.slots * round(options.seconds / options.latency)
    with contextlib.ExitStack() as stack:
        words = ("--slots", str(options.slots), "--latency", str(options.latency))
        servers = stack.enter_context(mock_servers(count, *words))
        endpoints = [word for server in servers for word in ("--endpoint", server.url)]
        workers = ["--client-workers", str(options.client_workers)]
        out = stack.enter_context(tempfile.TemporaryDirectory())
        used = run([sys.executable, "-m", "lmms_fast.cli.app", "eval", "--tasks", str(task), *endpoints, *workers,
                    "--limit", str(samples), "--concurrency", str(count * options.slots * IN_FLIGHT),
                    "-o", f"{out}/run"])  # fmt: skip
        stats = [server.stats() for server in servers]
        timing = json.loads(Path(f"{out}/run/manifest.json").read_text())["sessions"][-1]["timing"]
    if (asked := sum(one["requests"] for one in stats)) != samples:
        raise SystemExit(f"{asked} requests instead of {samples} with {count} servers")
    rate, middle = rates(stats)
    return Result(rate, middle, 1000 * used.cpu_s / samples, used.cpu_s / used.wall_s, used.peak_bytes,
                  timing["start_up_s"] + timing["first_request_s"])  # fmt: skip


def rates(stats: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Answers a second of all servers together: from the first request to the last reply, and in the middle."""
    replies = sorted(one["first_s"] + at for one in stats
                     for (_, before), (at, now) in pairwise(one["changes"]) if now < before)  # fmt: skip
    tenth = len(replies) // 10
    begun = min(one["first_s"] for one in stats)
    middle = (len(replies) - 2 * tenth) / (replies[-tenth - 1] - replies[tenth - 1])
    return len(replies) / (replies[-1] - begun), middle


def main() -> None:
    """Print a table; with --readme also write it into docs/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="of servers")
    parser.add_argument("--slots", type=int, default=16, help="of a server")
    parser.add_argument("--latency", type=float, default=0.4, help="of an answer, in seconds")
    parser.add_argument("--seconds", type=float, default=20, help="of work for each server")
    parser.add_argument("--client-workers", type=int, default=1, help="handed to `lmms-fast eval`")
    parser.add_argument("--readme", action="store_true", help="write the table into docs/")
    options = parser.parse_args()
    found: dict[int, list[Result]] = {count: [] for count in options.counts}
    with tempfile.TemporaryDirectory() as scratch:
        samples = max(options.counts) * options.slots * round(options.seconds / options.latency)
        task = work.write_many(Path(scratch), samples)
        for number in range(options.runs):
            for count in options.counts:
                found[count].append(evaluate(count, task, options))
                print(f"run {number}, {count} servers: {found[count][-1]}", file=sys.stderr, flush=True)
    capacity = options.slots / options.latency
    publish("replicas", [
        "| replicas | answers/s | linear | share of it | in the middle | client's CPU an answer | its cores "
        "| peak memory | until the first request |",
        f"|{'---|' * 9}", *(row(count, capacity * count, results) for count, results in found.items()), "",
        f"{limit(capacity, found)} Mock servers with {options.slots} slots of {options.latency:g} s, in one process, "
        f"pictures of 90 kB, {options.client_workers} client process{'es' * (options.client_workers > 1)}, "
        f"{options.seconds:g} s of work for each server; {machine()}, median of {options.runs} interleaved runs.",
    ], options.readme)  # fmt: skip


def row(count: int, linear: float, results: Sequence[Result]) -> str:
    """One line of the table."""
    whole, middle = (median(getattr(one, name) for one in results) for name in ("rate", "middle"))
    cpu, cores = (median(getattr(one, name) for one in results) for name in ("cpu_ms", "cores"))
    peak = max(one.peak_bytes for one in results)
    return (f"| {count} | {whole:,.0f} | {linear:,.0f} | {whole / linear:.2f} | {middle / linear:.2f} "
            f"| {cpu:.2f} ms | {cores:.2f} | {peak / 1e6:.0f} MB "
            f"| {median(one.begun_s for one in results):.1f} s |")  # fmt: skip


def limit(capacity: float, found: Mapping[int, Sequence[Result]]) -> str:
    """Up to where it is linear, and what the client does at most; what is beyond that is its limit."""
    medians = {count: median(one.rate for one in results) for count, results in found.items()}
    linear = list(takewhile(lambda count: medians[count] >= ENOUGH * capacity * count, sorted(medians)))
    most = max(medians, key=lambda count: medians[count])
    at_least = f"At least {ENOUGH:.0%} of linear up to {linear[-1]} replicas" if linear else "Nowhere near linear"
    return (f"{at_least}; the most that the client did were {medians[most]:,.0f} answers/s, with "
            f"{median(one.cores for one in found[most]):.2f} cores.")  # fmt: skip


if __name__ == "__main__":
    main()
