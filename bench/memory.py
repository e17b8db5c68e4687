"""Memory against the number and size of samples: ``python -m bench.memory [--counts 1000 10000 100000] [--readme]``.

Peak resident memory of the whole process. The limit beside it is what importing the client's libraries takes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench import work
from bench.client import measure, ours
from bench.measure import machine, mock_server, publish, run

BIG_PICTURES, BIG_SAMPLES = 20, 24
BIG_TASK = """\
task: bench_mc
benchmark: bench
about: Twenty large pictures a question.
source: bench/memory.py
licence: none
dataset: {files: test.parquet}
prompt:
  user:
    - image: images
    - text: "Answer with A or B."
choices: options
target: A
score: {extract: letter}
"""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Peak memory.")
    parser.add_argument("--counts", type=int, nargs="+", default=(1_000, 10_000, 100_000))
    parser.add_argument("--readme", action="store_true", help="write the table into README.md or docs/")
    options = parser.parse_args()
    imports = "import aiohttp, pyarrow.parquet, orjson, PIL.Image, pydantic, typer, rich.console, yaml, jinja2"
    rows = [f"| importing the libraries | {_megabytes(run([sys.executable, '-c', imports]).peak_bytes)} |"]
    with tempfile.TemporaryDirectory() as name, mock_server() as server:
        base = Path(name)
        for count in options.counts:
            work.write_many(base / "many", count)
            used = measure(server, ours(server, base / "many", 64, base / f"run-{count}"), count).usage
            rows.append(f"| {count:,} samples, a picture of 90 kB each | {_megabytes(used.peak_bytes)} |")
            print(rows[-1], flush=True)
        size = _write_big(base / "big")
        used = measure(server, ours(server, base / "big", 64, base / "run-big"), BIG_SAMPLES).usage
        rows.append(f"| {BIG_SAMPLES} samples, {BIG_PICTURES} pictures of 4 megapixels each ({size / 1e6:.0f} MB a "
                    f"request) | {_megabytes(used.peak_bytes)} |")  # fmt: skip
    publish("memory", ["| what | peak memory |", "|---|---|", *rows, "", f"{machine()}."], options.readme)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


def _write_big(folder: Path) -> int:
    """Samples of many large pictures; returns the bytes of one request, roughly."""
    folder.mkdir()
    (folder / "bench_mc.yaml").write_text(BIG_TASK)
    pictures = work.jpegs(BIG_PICTURES, 2400, 1700)
    picture = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    schema = pa.schema({"images": pa.list_(picture), "options": pa.list_(pa.string())})
    rows = [{"images": [{"bytes": work.distinct(one, str(number)), "path": ""} for one in pictures],
             "options": ["one", "two"]} for number in range(BIG_SAMPLES)]  # fmt: skip
    # A group a row: a reader needs a group's pictures whole, however large the writer made it.
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "test.parquet", compression="none", row_group_size=1)
    return sum(map(len, pictures)) * 4 // 3


if __name__ == "__main__":
    main()
