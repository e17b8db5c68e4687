"""All tasks of a run as one stream: ``python -m bench.stream [--runs 3] [--readme]``.

Three tasks, the short ones named first, against a server whose answers take as long as they may be. It counts requests
in flight at every change, so gaps between tasks and the tail can be read off. The limit beside the tail is the longest
single answer: no order can end sooner after the last slot was filled.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import work
from bench.client import ours
from bench.measure import machine, mock_server, publish, run

CONCURRENCY = 64
TASKS = {"bench_a": (600, 16), "bench_b": (300, 16), "bench_long": (150, 512)}
PER_TOKEN_S = 0.004


def write_tasks(folder: Path) -> str:
    """Task files with their pictures, as names for ``--tasks``."""
    paths = []
    for name, (count, tokens) in TASKS.items():
        work.write(folder / name, count)
        text = work.TASK.replace("bench_mc", name).replace("max_tokens: 16", f"max_tokens: {tokens}")
        paths.append(folder / name / f"{name}.yaml")
        paths[-1].write_text(text)
    return ",".join(map(str, paths))


@dataclass(frozen=True, slots=True)
class Load:
    """What the server saw, from the first time all slots were in use."""

    share: float
    """Mean share of the slots in use before the tail."""
    longest_gap_s: float
    """The longest time with less than 90 % of them in use."""
    tail_s: float
    """From the last time all were in use to the last answer."""


def load(changes: list[tuple[float, int]]) -> Load:
    """From (seconds, requests in the server) at each change."""
    full = [index for index, (_, count) in enumerate(changes) if count >= CONCURRENCY]
    first, last = full[0], full[-1]
    area = gap = longest = 0.0
    for (at, count), (until, _) in zip(changes[first:last], changes[first + 1 : last + 1], strict=True):
        area += (until - at) * count
        gap = gap + until - at if count < 0.9 * CONCURRENCY else 0.0
        longest = max(longest, gap)
    span = changes[last][0] - changes[first][0]
    return Load(area / span / CONCURRENCY, longest, changes[-1][0] - changes[last][0])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Gaps between tasks, and the tail.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md or docs/")
    options = parser.parse_args()
    longest_s = PER_TOKEN_S * max(tokens for _, tokens in TASKS.values())
    found = []
    with tempfile.TemporaryDirectory() as name, mock_server("--per-token", str(PER_TOKEN_S)) as server:
        folder = Path(name)
        names = write_tasks(folder)
        for number in range(options.runs):
            server.reset()
            command = ours(server, folder, CONCURRENCY, folder / f"run-{number}")
            command[command.index("--tasks") + 1] = names
            run(command)
            found.append(load(server.stats()["changes"]))
    publish("stream", [
        "| three tasks, the longest named last | |", "|---|---|",
        f"| slots in use before the tail, mean | {median(one.share for one in found):.1%} |",
        f"| longest time with less than 90 % in use | {1000 * median(one.longest_gap_s for one in found):.0f} ms |",
        f"| tail | {median(one.tail_s for one in found):.2f} s (the longest single answer takes {longest_s:.2f} s) |",
        "", f"{CONCURRENCY} in flight; {machine()}, median of {options.runs} runs.",
    ], options.readme)  # fmt: skip


if __name__ == "__main__":
    main()
