"""Our client against the least any client must do: ``python -m bench.client [--runs 3] [--readme]``.

Whole processes, interleaved, everything on (journal, scoring, progress). Requests a second are counted by the server,
from the first request to the last answer.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import work
from bench.measure import MockServer, Usage, machine, mock_server, publish, run

ZERO, FIXED, SPREAD = "0", "0.2", "lognormal:0.2:1"
CASES = ((ZERO, 64), (ZERO, 256), (FIXED, 64), (FIXED, 256), (SPREAD, 64), (SPREAD, 256))


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one client."""

    usage: Usage
    rate: float
    """Requests a second."""


def ours(server: MockServer, folder: Path, concurrency: int, scratch: Path) -> list[str]:
    """The command of an evaluation."""
    return [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--endpoint", server.url, "--tasks",
            str(folder / "bench_mc.yaml"), "--concurrency", str(concurrency), "--client-workers", "1",
            "-o", str(scratch)]  # fmt: skip


def limit(server: MockServer, folder: Path, concurrency: int, scratch: Path) -> list[str]:
    """The command of the bare loop."""
    return [sys.executable, "-m", "bench.bare", server.url, str(folder), "--concurrency", str(concurrency),
            "--out", str(scratch)]  # fmt: skip


def measure(server: MockServer, command: list[str], count: int) -> Result:
    """Run a client once. Raises SystemExit when it did not ask every sample."""
    server.reset()
    usage = run(command)
    stats = server.stats()
    if stats["requests"] != count:
        raise SystemExit(f"{stats['requests']} requests instead of {count}: {' '.join(command)}")
    return Result(usage, stats["requests"] / stats["span_s"])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Our client against a bare loop.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--counts", type=int, nargs=2, default=(1000, 5000))
    parser.add_argument("--readme", action="store_true", help="write the table into README.md or docs/")
    options = parser.parse_args()
    few, many = options.counts
    rows = ["| server latency, requests in flight | lmms-fast, requests/s | bare loop | ratio | ideal |",
            "|---|---|---|---|---|"]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        folders = {count: base / str(count) for count in (few, many)}
        for count, folder in folders.items():
            work.write(folder, count)
        cost: dict[int, list[Result]] = {few: [], many: []}
        for latency, concurrency in CASES:
            found: dict[str, list[Result]] = {"ours": [], "limit": []}
            with mock_server("--latency", latency) as server:
                for _ in range(options.runs):
                    for who, words in (("ours", ours), ("limit", limit)):
                        scratch = base / "scratch"
                        found[who].append(measure(server, words(server, folders[many], concurrency, scratch), many))
                        remove(scratch)
                    if (latency, concurrency) == (ZERO, 64):
                        cost[few].append(measure(server, ours(server, folders[few], 64, base / "few"), few))
                        remove(base / "few")
            if (latency, concurrency) == (ZERO, 64):
                cost[many] = found["ours"]
            rows.append(row(latency, concurrency, found))
            print(rows[-1], flush=True)
    marginal = (median(one.usage.cpu_s for one in cost[many]) - median(one.usage.cpu_s for one in cost[few])) / (
        many - few
    )
    publish("client", [
        *rows, "",
        f"Latency 0, 64 in flight: {few:,} samples take {median(one.usage.wall_s for one in cost[few]):.2f} s from "
        f"start to finished report, a further request costs {1000 * marginal:.2f} ms of CPU, and the peak memory is "
        f"{max(one.usage.peak_bytes for one in cost[many]) / 1e6:.0f} MB at {many:,} samples. {machine()}, median of "
        f"{options.runs} interleaved runs of {many:,} requests with pictures of 90 kB.",
    ], options.readme)  # fmt: skip


def row(latency: str, concurrency: int, found: dict[str, list[Result]]) -> str:
    """One line of the table; the ratio is the median of the pairs'."""
    ratio = median(one.rate / other.rate for one, other in zip(found["ours"], found["limit"], strict=True))
    ideal = f"{concurrency / 0.2:,.0f}" if latency == FIXED else "–"
    label = {ZERO: "none", FIXED: "200 ms", SPREAD: "lognormal, median 200 ms, sigma 1"}[latency]
    rates = {who: f"{median(one.rate for one in results):,.0f}" for who, results in found.items()}
    return f"| {label}, {concurrency} | {rates['ours']} | {rates['limit']} | {ratio:.2f} | {ideal} |"


def remove(path: Path) -> None:
    """A file or folder that may be there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
