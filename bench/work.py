"""The standard work: four-option multiple choice on distinct 640 × 480 JPEGs of about 90 kB, from parquet.

``python -m bench.work FOLDER COUNT`` writes it, as the hub stores such a set (an ``Image`` column, 100 rows a group),
with the task file for lmms-fast beside it.
"""

from __future__ import annotations

import functools
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

BASES = 150
"""Pictures that differ to the eye; beyond them they are copies in files of their own."""
ROWS_A_FILE = 1000
TASK = """\
task: bench_mc
benchmark: bench
about: Multiple choice on noisy pictures.
source: bench/work.py
licence: none
dataset: {files: test.parquet}
id: "{{ id }}"
choices: options
prompt:
  user:
    - image: image
    - text: "{{ question }}\\n{{ choices_text }}\\nAnswer with the option's letter from the given choices directly."
target: "{{ answer }}"
generation: {max_tokens: 16}
score: {extract: letter}
"""
_FEATURES = {
    "id": {"dtype": "string", "_type": "Value"},
    "image": {"_type": "Image"},
    "question": {"dtype": "string", "_type": "Value"},
    "options": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
    "answer": {"dtype": "string", "_type": "Value"},
}


@functools.cache
def jpegs(count: int, width: int = 640, height: int = 480, seed: int = 1) -> list[bytes]:
    """Pictures of noise over a gradient, as heavy as photographs."""
    noise = np.random.default_rng(seed)
    found = []
    ramp = np.linspace(0, 160, width, dtype=np.float32)[None, :, None]
    for _ in range(count):
        grain = noise.normal(0, 18, (height, width, 3)).astype(np.float32)
        pixels = np.clip(ramp + grain + noise.uniform(20, 80, 3), 0, 255).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=80)
        found.append(out.getvalue())
    return found


def distinct(jpeg: bytes, name: str) -> bytes:
    """The same picture in a file of its own: a comment segment after the first marker."""
    text = name.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


def write(folder: Path, count: int, *, per_picture: int = 1, seed: int = 1) -> Path:
    """Write `count` samples once; a second call finds them. Returns the task file. `per_picture` samples ask about one
    picture; another `seed` gives other pictures, for a server that remembers them."""
    task, data = folder / "bench_mc.yaml", folder / "test.parquet"
    task.parent.mkdir(parents=True, exist_ok=True)
    task.write_text(TASK)
    if data.exists() and pq.ParquetFile(data).metadata.num_rows == count:
        return task
    bases = jpegs(min(BASES, count // per_picture), seed=seed)
    picture = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    schema = pa.schema(
        {"id": pa.string(), "image": picture, "question": pa.string(), "options": pa.list_(pa.string()),
         "answer": pa.string()},
        metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
    )  # fmt: skip
    with pq.ParquetWriter(data, schema, compression="none") as writer:
        for start in range(0, count, 100):
            numbers = range(start, min(start + 100, count))
            rows = [_row(number, _picture(number // per_picture, bases)) for number in numbers]
            writer.write_table(pa.Table.from_pylist(rows, schema))
    return task


def write_many(folder: Path, count: int) -> Path:
    """`count` samples or, beyond a thousand, up to the next thousand, in little room: one file of a thousand rows is
    named as often as needed, and rows are told apart by their number."""
    task = write(folder, min(count, ROWS_A_FILE))
    files = ", ".join(["test.parquet"] * -(-count // ROWS_A_FILE))
    task.write_text(TASK.replace("{files: test.parquet}", f"{{files: [{files}]}}").replace("{{ id }}", "{{ row }}"))
    return task


def prompt(row: Mapping[str, Any]) -> str:
    """What the task file makes of a row, for clients that know no task files."""
    lines = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", row["options"], strict=True))
    return f"{row['question']}\n{lines}\nAnswer with the option's letter from the given choices directly."


def _picture(number: int, bases: list[bytes]) -> bytes:
    return distinct(bases[number % len(bases)], str(number))


def _row(number: int, picture: bytes) -> dict[str, object]:
    return {
        "id": str(number),
        "image": {"bytes": picture, "path": f"{number}.jpg"},
        "question": f"Which of these describes picture {number} best?",
        "options": ["a field of noise", "a red bus", "two dogs on a sofa", "a bowl of soup"],
        "answer": "ABCD"[number % 4],
    }


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), int(sys.argv[2])))
