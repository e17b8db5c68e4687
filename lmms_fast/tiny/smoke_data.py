"""Write the held-out questions of the smoke tasks: ``python -m lmms_fast.tiny.smoke_data``."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lmms_fast.tasks.catalog import bundled_dir
from lmms_fast.tiny.pictures import KINDS, Kind, ask, png

SEED = 8_000_000  # held out: training draws from another seed
PER_KIND = 80


def rows(kind: Kind) -> list[dict[str, Any]]:
    """The questions of a kind, pictures as the Hugging Face `Image` feature stores them."""
    rng = random.Random(SEED + KINDS.index(kind))
    found = []
    for number in range(PER_KIND):
        question = ask(kind, rng)
        row: dict[str, Any] = {
            "id": f"{kind}-{number:03d}",
            "image": {"bytes": png(question), "path": f"{kind}-{number:03d}.png"},
            "question": question.question,
            "answer": question.answer,
        }
        if kind == "choice":
            row["options"] = list(question.options)
        if kind == "short":
            row["kind"] = question.about
        found.append(row)
    return found


def write(folder: Path) -> None:
    """One parquet file per kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        pq.write_table(pa.Table.from_pylist(rows(kind)), folder / f"smoke_{kind}.parquet", compression="zstd")


if __name__ == "__main__":
    write(bundled_dir() / "smoke")
