"""The work whose times the reference system published, on GPUs: ``python -m bench.gpu [--tp 1] [--dp 1] [--readme]``.

A model of LLaVA-1.5-7B's size, made from the bundled one without weights (vLLM fills in random numbers), is asked as
many requests as the benchmarks have samples, with pictures, prompts and answers as large as theirs. No hub, no network.
What it answers means nothing. It has 8 key and value heads, LLaVA 32: that matters little to answers of a few tokens.

Each time is of a whole process of ``lmms-fast eval`` on a server that is ready and warm. ``--layers 1 --share 0.01``
tries the script on a small machine, also without a GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench import work
from bench.measure import machine, publish, run
from lmms_fast.server import kept, tune
from lmms_fast.server.command import installed
from lmms_fast.server.launch import launch
from lmms_fast.server.spec import ServerSpec
from lmms_fast.tiny import MODEL_DIR

LAYERS = 32
TEXT = {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8,
        "head_dim": 128, "max_position_embeddings": 4096, "vocab_size": 32_000}  # fmt: skip
VISION = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
          "image_size": 336, "patch_size": 14}  # fmt: skip
IMAGE_TOKENS = (VISION["image_size"] // VISION["patch_size"]) ** 2
SERVER_ARGS = ("--load-format", "dummy")
# One token each in the bundled tokenizer, which would cut other words into letters.
WORDS = ("red", "green", "blue", "black", "square", "circle", "triangle", "cross", "shape", "picture", "question")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What a benchmark asks of a server, and the published time. The words before the closing line make up for LLaVA's
    system turn, which is forty tokens."""

    samples: int
    published_s: int
    size: tuple[int, int]
    words: int
    closing: str
    answer_tokens: int
    per_picture: int = 1


_LETTER = "Answer with the option's letter from the given choices directly."
_CAPTION = "Provide a one-sentence caption for the provided image."
BENCHMARKS: Mapping[str, Benchmark] = {
    "mme": Benchmark(2_374, 163, (640, 480), 60, "Answer the question using a single word or phrase.", 2, 2),
    "ai2d": Benchmark(3_088, 197, (480, 360), 85, _LETTER, 2),
    "scienceqa_img": Benchmark(2_017, 118, (320, 240), 140, _LETTER, 2),
    "coco_cap": Benchmark(5_000, 853, (640, 480), 15, _CAPTION, 15),
}
WARM_UP = Benchmark(256, 0, (640, 480), 15, _CAPTION, 15)


def write_model(folder: Path, layers: int) -> int:
    """A model folder without weights; returns about how many parameters it describes."""
    shutil.copytree(MODEL_DIR, folder, ignore=shutil.ignore_patterns("*.safetensors", "README.md"))
    _change(folder / "config.json", {"scale_factor": 1, "text_config": {**TEXT, "num_hidden_layers": layers},
                                     "vision_config": VISION})  # fmt: skip
    edge = {"longest_edge": VISION["image_size"]}
    _change(folder / "preprocessor_config.json", {"size": edge, "max_image_size": edge})
    _change(folder / "processor_config.json", {"image_seq_len": IMAGE_TOKENS})
    wide, seen, heads = TEXT["hidden_size"], VISION["hidden_size"], TEXT["num_attention_heads"]
    text_layer = wide * (2 * (heads + TEXT["num_key_value_heads"]) * TEXT["head_dim"] + 3 * TEXT["intermediate_size"])
    vision_layer = 4 * seen * seen + 2 * seen * VISION["intermediate_size"]
    ends = TEXT["vocab_size"] * wide + seen * (wide + IMAGE_TOKENS + 3 * VISION["patch_size"] ** 2)
    return layers * text_layer + VISION["num_hidden_layers"] * vision_layer + ends


def _change(path: Path, values: Mapping[str, Any]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, value in values.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def write_task(folder: Path, name: str, benchmark: Benchmark, count: int) -> Path:
    """The data set as the hub stores one, and the task file beside it, which is returned."""
    folder.mkdir(exist_ok=True)
    picture = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    schema = pa.schema({"id": pa.string(), "image": picture, "question": pa.string()})
    with pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="none") as writer:
        for start in range(0, count, 100):
            rows = [_row(name, benchmark, number) for number in range(start, min(start + 100, count))]
            writer.write_table(pa.Table.from_pylist(rows, schema))
    task = folder / f"{name}.yaml"  # JSON is YAML
    task.write_text(json.dumps({
        "task": name, "benchmark": "bench", "about": f"As much work as {name}.", "source": "bench/gpu.py",
        "licence": "none", "dataset": {"files": f"{name}.parquet"}, "id": "{{ id }}", "target": "yes",
        "prompt": {"user": [{"image": "image"}, {"text": "{{ question }}"}]}, "score": {"extract": "text"},
        "generation": {"max_tokens": benchmark.answer_tokens, "extra": {"ignore_eos": True}},
    }))  # fmt: skip
    return task


def _row(name: str, benchmark: Benchmark, number: int) -> dict[str, object]:
    picture = number // benchmark.per_picture
    jpeg = work.distinct(work.jpegs(work.BASES, *benchmark.size)[picture % work.BASES], f"{name} {picture}")
    words = " ".join(random.Random(number).choices(WORDS, k=benchmark.words))
    return {"id": str(number), "image": {"bytes": jpeg, "path": ""}, "question": f"{words}?\n{benchmark.closing}"}


def evaluate(task: Path, model: Path, options: argparse.Namespace, tokens: int) -> float:
    """Seconds of a whole evaluation on the kept server. Raises SystemExit when it did other work than was meant."""
    out = task.with_suffix("")
    used = run([sys.executable, "-m", "lmms_fast.cli.app", "eval", "--endpoint", "local", "--model", str(model),
                "--tp", str(options.tp), "--dp", str(options.dp), "--keep-server", "--tasks", str(task),
                "-o", str(out), "--", *SERVER_ARGS])  # fmt: skip
    session = json.loads((out / "manifest.json").read_text())["sessions"][-1]
    timing = session["timing"]
    if not session["server"].get("reused"):
        raise SystemExit(f"{task.stem} was asked on a server of its own")
    if timing["tokens"] != tokens:
        raise SystemExit(f"{task.stem}: {timing['tokens']:,} tokens were generated instead of {tokens:,}")
    print(f"{task.stem}: {used.wall_s:.1f} s, {timing['requests_per_s']:.1f} requests/s, bound by the "
          f"{timing['binding']}", file=sys.stderr, flush=True)  # fmt: skip
    return used.wall_s


def devices(used: int) -> str:
    """The GPUs by name."""
    if installed()[0] == "cpu":
        return "no GPU"
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    names = set(subprocess.check_output(asked, text=True).splitlines())
    return f"{used} × {' or '.join(sorted(names))}"


def row(name: str, count: int, seconds: float, compare: bool) -> str:
    """One line of the table."""
    published = BENCHMARKS[name].published_s
    ratio = f"{published / seconds:.1f}" if compare else "–"
    return f"| {name} | {count:,} | {seconds:.1f} s | {count / seconds:.1f} | {published} s | {ratio} |"


async def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="The published work of the reference system.")
    parser.add_argument("--layers", type=int, default=LAYERS, help="of the text part (default: %(default)s)")
    parser.add_argument("--tp", type=int, default=1)
    parser.add_argument("--dp", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="of the samples, for trying (default: all)")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--readme", action="store_true", help="write the table into README.md or docs/")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the server outlives us
    asked = {"warm_up": WARM_UP, **{name: BENCHMARKS[name] for name in options.only}}
    counts = {name: max(1, round(one.samples * options.share)) for name, one in asked.items()}
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        base = Path(scratch)
        os.environ["XDG_STATE_HOME"] = scratch  # the kept server of this measurement is its own
        size = write_model(base / "model", options.layers)
        tasks = {name: write_task(base / "tasks", name, one, counts[name]) for name, one in asked.items()}
        print(f"a model of {size / 1e9:.2f} billion parameters is starting", file=sys.stderr, flush=True)
        stack.callback(lambda: [kept.stop(one) for one in kept.running()])
        one = ServerSpec(str(base / "model"), tp=options.tp, extra_args=SERVER_ARGS)
        specs = tune.replicas(one, options.dp, installed()[0], tune.devices())
        started = time.monotonic()
        async with contextlib.AsyncExitStack() as servers:
            launched = [
                await servers.enter_async_context(await launch(
                    spec, log_path=base / f"server{spec.replica}.log", notify=lambda _: None,
                    requests=sum(counts.values()) // options.dp,
                )) for spec in specs
            ]  # fmt: skip
            for server in launched:
                await server.ready()
                server.keep()
            start_s = time.monotonic() - started
            found = {name: evaluate(tasks[name], base / "model", options, counts[name] * one.answer_tokens)
                     for name, one in asked.items()}  # fmt: skip
    compare = options.share == 1 and options.layers == LAYERS
    part = "" if compare else f"A trial: {options.share:.1%} of the samples, {options.layers} of {LAYERS} layers. "
    publish("gpu", [
        "| the work of | samples | time | samples/s | published, 4 × A100 | times as fast |", f"|{'---|' * 6}",
        *(row(name, counts[name], found[name], compare) for name in options.only), "",
        f"{part}A model of {size / 1e9:.1f} billion parameters with random weights, {IMAGE_TOKENS} tokens a picture; "
        f"vLLM {installed()[1]}, {devices(options.tp * options.dp)}, --tp {options.tp} --dp {options.dp}. Each time is "
        f"one run of the whole process on a ready server, which took {start_s:.0f} s to start. {machine()}.",
    ], options.readme)  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main())
