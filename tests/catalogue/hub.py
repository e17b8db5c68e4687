"""Small datasets in exactly the schema that the hub has, laid out as a download of it; and what would be right answers.

One module per family of benchmarks (`rows_*.py`) says: `DATASETS` (rows by repository, configuration and split),
`PROMPTS` (parts of the first sample's user turn, pictures as ``<name>``), `RIGHT` (how to answer right where that is
not the first accepted answer), `BEST` and `WORST` (headline of a model that is always right, or always wrong, where it
is not 1 and 0).
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from lmms_fast.types import Sample

Rows = list[dict[str, Any]]
Datasets = Mapping[tuple[str, str | None, str], Rows]


@dataclass(frozen=True)
class Family:
    """What a `rows_*.py` says."""

    datasets: dict[tuple[str, str | None, str], Rows] = field(default_factory=dict)
    prompts: dict[str, list[str]] = field(default_factory=dict)
    right: dict[str, Callable[[Sample], str]] = field(default_factory=dict)
    best: dict[str, float | None] = field(default_factory=dict)
    worst: dict[str, float | None] = field(default_factory=dict)


@functools.cache
def everything() -> Family:
    """All families together."""
    found = Family()
    for path in sorted(Path(__file__).parent.glob("rows_*.py")):
        module = importlib.import_module(f"tests.catalogue.{path.stem}")
        for name in ("datasets", "prompts", "right", "best", "worst"):
            mine: dict[Any, Any] = getattr(module, name.upper(), {})
            together = getattr(found, name)
            assert not together.keys() & mine.keys(), f"{path.stem}: {together.keys() & mine.keys()}"
            together.update(mine)
    return found


@functools.cache
def picture(name: str, size: tuple[int, int] = (16, 12)) -> dict[str, Any]:
    """A picture as the hub stores it, of a colour that belongs to its name; PNG with the name inside."""
    out = io.BytesIO()
    shade = tuple(hashlib.sha256(name.encode()).digest()[:3])
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("name", name)
    Image.new("RGB", size, shade).save(out, "PNG", pnginfo=info)
    return {"bytes": out.getvalue(), "path": f"{name}.png"}


def name_of(data: bytes) -> str:
    """The name that `picture` was given; "?" for another picture."""
    return str(Image.open(io.BytesIO(data)).info.get("name", "?"))


def write(folder: Path, datasets: Datasets) -> None:
    """The datasets as `--data-dir` takes them."""
    for (repository, config, split), rows in datasets.items():
        where = folder / repository / (config or "data")
        where.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), where / f"{split}-00000-of-00001.parquet")
