"""``--concurrency auto`` against the best fixed number: ``python -m bench.concurrency [--runs 3] [--readme]``.

On four kinds of server: the real CPU vLLM with the bundled model, one with a fixed number of slots, one that allows so
many requests a second, and one that does less the more it is asked beyond a number. Whole evaluations in turns; answers
a second from the first request to the last answer, the search for the number included.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import work
from bench.measure import machine, mock_server, publish, run
from bench.saturation import NO_CACHES
from lmms_fast.server.launch import launch
from lmms_fast.server.spec import ServerSpec
from lmms_fast.tiny import MODEL_DIR


@dataclass(frozen=True, slots=True)
class Server:
    """A kind of server and the numbers that may be best there."""

    label: str
    options: tuple[str, ...] | None
    """Of the mock; None for vLLM."""
    candidates: tuple[int, ...]
    samples: int


SERVERS = (
    Server("48 slots, 0.3 s each", ("--latency", "lognormal:0.3:0.4", "--slots", "48"), (32, 48, 64, 128), 3000),
    Server("120 requests a second, 0.3 s each", ("--latency", "0.3", "--rate", "120"), (32, 40, 64), 3000),
    Server("best at 60 requests, 0.2 s when idle", ("--latency", "0.2", "--congested", "60"), (40, 60, 80), 3000),
    Server("vLLM on CPU", None, (16, 32, 64, 128), 2000),
)


@contextlib.contextmanager
def serving(server: Server, log: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Its URL, and the environment that a client needs."""
    if server.options is not None:
        with mock_server(*server.options) as mock:
            yield mock.url, {}
        return
    with asyncio.Runner() as runner:
        spec = ServerSpec(str(MODEL_DIR), extra_args=NO_CACHES)
        ours = runner.run(launch(spec, log_path=log, notify=lambda _: None))
        try:
            runner.run(ours.ready())
            yield ours.base_url, {"LMMS_FAST_API_KEY": ours.api_key}
        finally:
            runner.run(ours.stop())


def ask(url: str, environment: Mapping[str, str], task: Path, concurrency: str, out: Path) -> tuple[float, str, int]:
    """Answers a second, what was binding, and the number in flight on average."""
    run([sys.executable, "-m", "lmms_fast.cli.app", "eval", "--endpoint", url, "--tasks", str(task), "--concurrency",
         concurrency, "-o", str(out)], environment)  # fmt: skip
    timing = json.loads((out / "manifest.json").read_text())["sessions"][-1]["timing"]
    return timing["samples_per_s"], timing["binding"], round(timing["in_flight_mean"])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Adaptive concurrency.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md or docs/")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        for index, server in enumerate(SERVERS):
            task = work.write(base / str(server.samples), server.samples)
            found: dict[str, list[tuple[float, str, int]]] = {}
            with serving(server, base / "server.log") as (url, environment):
                for number in range(options.runs):
                    for way in ("auto", *map(str, server.candidates)):
                        out = base / f"{index}-{way}-{number}"
                        found.setdefault(way, []).append(ask(url, environment, task, way, out))
            rates = {way: median(rate for rate, _, _ in results) for way, results in found.items()}
            best = max(server.candidates, key=lambda one: rates[str(one)])
            _, binding, in_flight = found["auto"][-1]
            auto, fixed = rates["auto"], rates[str(best)]
            rows.append(f"| {server.label} | {fixed:.1f} at {best} | {auto:.1f}, {in_flight} in flight | "
                        f"{auto / fixed:.2f} | {binding} |")  # fmt: skip
            print(rows[-1], flush=True)
    publish("concurrency", [
        "| server | best fixed, answers/s | auto | ratio | bound by, as the run says |", "|---|---|---|---|---|",
        *rows, "",
        f"{machine()}, median of {options.runs} interleaved runs of {SERVERS[0].samples:,} samples "
        f"({SERVERS[-1].samples:,} on vLLM), pictures of 90 kB.",
    ], options.readme)  # fmt: skip


if __name__ == "__main__":
    main()
