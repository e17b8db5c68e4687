"""Shards put together: ``python -m bench.merge [--cases 8x16000 64x100000] [--readme]``.

So many shards with so many samples in all, each a whole run against a mock server, with questions of text alone, since
pictures are not in what is merged. Time and memory are of the whole process of ``lmms-fast merge``, which scores all
answers. The limit beside it is ``lmms-fast score`` on the same samples run in one piece; both results are compared.

Whose part a row is tells the row itself, so a shard reads the rows of all, pictures included. What that takes is
measured with one that has next to nothing to ask.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench import work
from bench.measure import MockServer, Usage, machine, mock_server, publish, run

TASK = """\
task: bench_text
benchmark: bench
about: Multiple choice without pictures.
source: bench/merge.py
licence: none
dataset: {files: rows.parquet}
id: "{{ id }}"
choices: options
prompt:
  user:
    - text: "{{ question }}\\n{{ choices_text }}\\nAnswer with the option's letter from the given choices directly."
target: "{{ answer }}"
generation: {max_tokens: 16}
score: {extract: letter}
"""
CONCURRENCY = 64


@dataclass(frozen=True, slots=True)
class Case:
    """What was merged, and what that took."""

    shards: int
    samples: int
    merged: Usage
    scored: Usage
    """The run in one piece, scored again."""
    shard_s: float
    """All shards, one after the other."""
    journal_bytes: int
    samples_bytes: int
    """Of the samples file."""


def write(folder: Path, count: int) -> Path:
    """The task's file, with its data beside it."""
    folder.mkdir(parents=True)
    rows = {"id": [str(number) for number in range(count)],
            "question": [f"Which of these describes number {number} best?" for number in range(count)],
            "options": [["a field of noise", "a red bus", "two dogs on a sofa", "a bowl of soup"]] * count,
            "answer": ["ABCD"[number % 4] for number in range(count)]}  # fmt: skip
    pq.write_table(pa.table(rows), folder / "rows.parquet")
    task = folder / "bench_text.yaml"
    task.write_text(TASK)
    return task


def evaluate(server: MockServer, task: Path, out: Path, *more: str) -> Usage:
    """A run, or a shard of one."""
    return run([*_ours("eval"), "--endpoint", server.url, "--tasks", str(task), "--concurrency", str(CONCURRENCY),
                "-o", str(out), *more])  # fmt: skip


def measure(server: MockServer, folder: Path, shards: int, samples: int) -> Case:
    """Make the shards and the whole, and merge. Raises SystemExit when the results differ."""
    task, whole, merged = write(folder, samples), folder / "whole", folder / "merged"
    parts = [folder / f"part-{number}" for number in range(1, shards + 1)]
    shard_s = sum(evaluate(server, task, part, "--shard", f"{number}/{shards}").wall_s
                  for number, part in enumerate(parts, start=1))  # fmt: skip
    evaluate(server, task, whole)
    used = run([*_ours("merge"), *map(str, parts), "-o", str(merged)])
    scored = run([*_ours("score"), str(whole)])
    if (merged / "results.json").read_bytes() != (whole / "results.json").read_bytes():
        raise SystemExit(f"{shards} shards of {samples} samples: results.json is not that of the run in one piece")
    return Case(shards, samples, used, scored, shard_s, (merged / "journal.jsonl").stat().st_size,
                (merged / "samples_bench_text.jsonl").stat().st_size)  # fmt: skip


def passed_over(server: MockServer, folder: Path) -> float:
    """Rows, with a picture each, that a shard reads and leaves to others in a second of CPU."""
    few, many = 2_000, 20_000
    taken = [evaluate(server, work.write_many(folder, count), folder / f"run-{count}", "--shard", "1/1000").cpu_s
             for count in (few, many)]  # fmt: skip
    return (many - few) / (taken[1] - taken[0])


def _ours(command: str) -> list[str]:
    return [sys.executable, "-m", "lmms_fast.cli.app", command]


def row(case: Case) -> str:
    """One line of the table."""
    sizes = (case.journal_bytes / case.samples, case.samples_bytes / case.samples)
    taken = " | ".join(f"{used.wall_s:.1f} s | {used.cpu_s:.1f} s | {used.peak_bytes / 1e6:.0f} MB"
                       for used in (case.merged, case.scored))  # fmt: skip
    return f"| {case.shards} | {case.samples:,} | {taken} | {sizes[0]:.0f} + {sizes[1]:.0f} B |"


def _case(text: str) -> tuple[int, int]:
    shards, _, samples = text.partition("x")
    return int(shards), int(samples)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Shards put together.")
    parser.add_argument("--cases", type=_case, nargs="+", default=[(8, 16_000), (64, 100_000)], help="SHARDSxSAMPLES")
    parser.add_argument("--readme", action="store_true", help="write the table into docs/")
    options = parser.parse_args()
    cases: Sequence[tuple[int, int]] = options.cases
    found = []
    with tempfile.TemporaryDirectory() as name, mock_server() as server:
        for shards, samples in cases:
            found.append(measure(server, Path(name) / f"{shards}x{samples}", shards, samples))
            print(found[-1], file=sys.stderr, flush=True)
        skipped = passed_over(server, Path(name) / "pictures")
    publish("merge", [
        "| shards | samples in all | `merge` | CPU | peak memory | `score` of the run in one piece | CPU | peak memory "
        "| journal + samples file, a sample |", f"|{'---|' * 9}", *map(row, found), "",
        f"Questions of text, answers of one letter; results.json is that of the run in one piece, byte for byte. A "
        f"shard passes over {skipped:,.0f} rows with pictures of 90 kB, which lie in memory, in a second of CPU. "
        f"{machine()}, one run.",
    ], options.readme)  # fmt: skip


if __name__ == "__main__":
    main()
