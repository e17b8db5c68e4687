"""Small text-only work, runs on it that must not leak, and what they wrote."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lmms_fast.config.spec import make_spec
from lmms_fast.errors import LmmsFastError
from lmms_fast.events import Event, Notify
from lmms_fast.pipeline.run import run, run_to_end
from lmms_fast.report.result import RunResult
from tests.servers.faulty import answer_to

TASK = """\
task: faults
benchmark: faults
about: Multiple choice without pictures.
source: tests/faults/work.py
licence: none
dataset: {files: rows.parquet}
id: "{{ number }}"
choices: [a, b, c, d]
prompt:
  user:
    - text: "This is row {{ number }} of the work.\\n{{ choices_text }}\\nAnswer with the option's letter."
target: "{{ answer }}"
generation: {max_tokens: 16}
score: {extract: letter}
"""


def write(folder: Path, count: int) -> Path:
    """A task of so many samples; its file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"number": number, "a": "one", "b": "two", "c": "three", "d": "four", "answer": "ABCD"[number % 4]}
            for number in range(count)]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    task = folder / "faults.yaml"
    task.write_text(TASK)
    return task


def right(number: int) -> str:
    """What the server answers to a row when nothing is wrong."""
    return answer_to(f"This is row {number} of the work.\nA. one\nB. two\nC. three\nD. four\n"
                     "Answer with the option's letter.")  # fmt: skip


def evaluate(task: Path, endpoint: Sequence[str] | str, out: Path, notify: Notify | None = None,
             **options: Any) -> RunResult:  # fmt: skip
    """As `lmms_fast.evaluate`, and no task, socket or file is left behind (some of before may be gone)."""
    spec = make_spec({"tasks": str(task), "endpoint": endpoint, "output_dir": out, "request_timeout": 10,
                      "max_attempts": 2, "concurrency": 4, **options})  # fmt: skip

    def silent(_: Event) -> None:
        return None

    async def main() -> RunResult:
        try:
            return await run(spec, notify or silent)
        finally:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left

    before = descriptors()
    failed: LmmsFastError | None = None
    try:
        return run_to_end(main())
    except LmmsFastError as error:
        failed = error
        error.__context__ = error.__traceback__ = None
        gc.collect()  # the dataset's file is closed with the traceback's frames, which are a cycle
        raise
    finally:
        assert not descriptors() - before, failed


def descriptors() -> Counter[str]:
    """Open files and sockets of this process; not pipes, since libraries and tests make some that stay."""
    found: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of listdir itself
            found[os.readlink(f"/proc/self/fd/{name}").partition(":[")[0]] += 1
    del found["pipe"]
    return found


def command(task: Path, endpoint: Sequence[str] | str, out: Path, *more: str) -> list[str]:
    """The same in a process of its own."""
    urls = [endpoint] if isinstance(endpoint, str) else endpoint
    named = [word for url in urls for word in ("--endpoint", url)]
    return [sys.executable, "-m", "lmms_fast.cli.app", "eval", *named, "--tasks", str(task), "-o", str(out), "-q",
            *more]  # fmt: skip


def journal(out: Path) -> list[dict[str, Any]]:
    """Its lines."""
    return [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]


def samples(out: Path) -> list[dict[str, Any]]:
    """Lines of the samples file; sound ones."""
    lines = [json.loads(line) for line in (out / "samples_faults.jsonl").read_text().splitlines()]
    for line in lines:
        assert ("failure" in line) == (line["outcome"] == "not_measured")
        assert ("response" in line) != ("failure" in line)
        assert "text" not in line.get("failure", {})
        assert line["score"] is None or "response" in line
    return lines


def check_sound(out: Path, result: RunResult) -> None:
    """Every key once; the score is the mean of what was measured, and what was answered is the right answer."""
    keys = [line["key"] for line in journal(out)]
    assert len(keys) == len(set(keys))
    lines = samples(out)
    assert result.samples == len(lines)
    scores = [line["score"] for line in lines if line["outcome"] != "not_measured"]
    headline = result.tasks["faults"].aggregates[0]
    assert headline.n == len(scores)
    assert headline.value == (sum(scores) / len(scores) if scores else None)
    for line in lines:
        if line["outcome"] in ("correct", "wrong"):
            assert line["response"]["text"] == right(int(line["id"]))
