"""What this machine allows at all: ``python -m bench.limit [--runs 3] [--readme]``.

Bare loops (`bench.bare`) with ready-made bodies, in one process and in two, with aiohttp and without an HTTP library;
`wrk`, where it is installed, as the outer limit; and our client beside them. Requests a second as the server counts.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bench import work
from bench.bare import bodies
from bench.client import ours, remove
from bench.measure import MockServer, Usage, machine, mock_server, publish, run

CONCURRENCY = 64
WRK_S = 4


def bare(server: MockServer, folder: Path, scratch: Path, processes: int, *options: str) -> float:
    """CPU seconds of a loop with ready-made bodies, spread over processes."""

    def one(number: int) -> Usage:
        return run([sys.executable, "-m", "bench.bare", server.url, str(folder), "--ready", *options,
                    "--concurrency", str(CONCURRENCY // processes), "--part", f"{number}/{processes}",
                    "--out", str(scratch / str(number))])  # fmt: skip

    with ThreadPoolExecutor(processes) as pool:
        return sum(used.cpu_s for used in pool.map(one, range(processes)))


def evaluation(server: MockServer, folder: Path, scratch: Path) -> float:
    """CPU seconds of an evaluation."""
    return run(ours(server, folder, CONCURRENCY, scratch / "run")).cpu_s


def wrk(server: MockServer, folder: Path, scratch: Path) -> float:
    """CPU seconds of the C program, which sends one body again and again for a few seconds."""
    body = next(bodies(folder / "test.parquet"))
    (scratch / "body").write_bytes(body)
    (scratch / "post.lua").write_text(
        f'local file = io.open("{scratch / "body"}", "rb")\nwrk.method = "POST"\nwrk.body = file:read("*a")\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
    )
    return run(["wrk", "-t1", f"-c{CONCURRENCY}", f"-d{WRK_S}s", "-s", str(scratch / "post.lua"),
                f"{server.url}/chat/completions"]).cpu_s  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="The limits of this machine.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md or docs/")
    options = parser.parse_args()
    ways: dict[str, Callable[[MockServer, Path, Path], float]] = {
        "lmms-fast, everything on": evaluation,
        "aiohttp, ready-made bodies": lambda *where: bare(*where, 1),
        "the same in two processes": lambda *where: bare(*where, 2),
        "no HTTP library, uvloop": lambda *where: bare(*where, 1, "--raw"),
        "the same in two processes ": lambda *where: bare(*where, 2, "--raw"),
    }
    if shutil.which("wrk"):
        ways["wrk (C), one body"] = wrk
    else:
        print("wrk is not installed; the outer limit is left out", file=sys.stderr)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as name, mock_server() as server:
        folder, scratch = Path(name) / "work", Path(name) / "scratch"
        work.write(folder, options.count)
        for _, (label, way) in itertools.product(range(options.runs), ways.items()):
            scratch.mkdir()
            server.reset()
            cpu_s = way(server, folder, scratch)
            stats = server.stats()
            rates[label].append(stats["requests"] / stats["span_s"])
            costs[label].append(1000 * cpu_s / stats["requests"])
            remove(scratch)
    publish("limit", [
        "| client | requests/s | CPU of the whole process, ms a request |", "|---|---|---|",
        *(f"| {label.strip()} | {median(rates[label]):,.0f} | {median(costs[label]):.2f} |" for label in ways), "",
        f"{options.count:,} requests with pictures of 90 kB, {CONCURRENCY} in flight, a server that answers at once; "
        f"{machine()}, median of {options.runs} interleaved runs.",
    ], options.readme)  # fmt: skip


if __name__ == "__main__":
    main()
