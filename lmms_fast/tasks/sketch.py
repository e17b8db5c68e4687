"""A data file's rows with a mark instead of each picture: what a guess looks at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lmms_fast.errors import TaskError
from lmms_fast.media.encode import from_base64
from lmms_fast.tasks.catalog import task_name
from lmms_fast.tasks.files import PICTURES, read_rows
from lmms_fast.types import Doc

ROWS_MAX = 20_000
_TEXT_MAX, _HEAD = 10_000, 128  # characters; a base64 picture is known by its first ones
_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_SPLITS = frozenset({"train", "test", "validation", "val", "dev"})


class Seen(Enum):
    """A picture whose bytes are in the row."""

    BYTES = "bytes"
    BASE64 = "base64"


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a file holds."""

    path: Path
    """The file with the rows, or the folder of pictures."""
    name: str
    """Of the task that it would be."""
    rows: Sequence[Doc]
    """At most `ROWS_MAX`, from the first one."""
    absent: Mapping[str, str]
    """By column, a picture that a cell names and that is not beside the file."""


def sketch(path: Path) -> Sketch:
    """Look through a file, or a folder of pictures. Raises TaskError with one sentence."""
    source = _inside(path) if path.is_dir() else path
    if not source.exists():
        raise TaskError(f"{path}: no such file.")
    try:
        rows = [_light(row) for row in islice(_rows(source), ROWS_MAX)]
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TaskError(f"{path}: cannot be read as {source.suffix or 'a folder of pictures'} ({detail}).") from None
    odd = next((number for number, row in enumerate(rows) if not isinstance(row, dict)), None)
    if odd is not None:
        raise TaskError(f"{path}: row {odd} is no object with columns.")
    if not rows:
        raise TaskError(f"{path}: has no rows.")
    folder = source if source.is_dir() else source.parent
    return Sketch(source, task_name(path), rows, {} if source.is_dir() else _absent(rows, folder))


def _inside(folder: Path) -> Path:
    """What in a folder holds the rows: its metadata file, or the folder itself."""
    if found := next((folder / name for name in _METADATA if (folder / name).is_file()), None):
        return found
    subfolders = [path for path in folder.iterdir() if path.is_dir()]
    if subfolders and {path.name for path in subfolders} <= _SPLITS:
        raise TaskError(f"{folder}: holds the splits {', '.join(sorted(path.name for path in subfolders))}; name the "
                        "folder of one of them.")  # fmt: skip
    if next(iter(read_rows(folder)), None) is None:
        raise TaskError(f"{folder}: is no folder of pictures: those are in class/picture.jpg, or named by a "
                        "metadata.jsonl with the column file_name.")  # fmt: skip
    return folder


def _rows(path: Path) -> Iterator[Doc]:
    """All rows; columns of pictures in a parquet file are not read, but marked as filled as often as they are."""
    if path.suffix != ".parquet":
        yield from read_rows(path)
        return
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        heavy = {field.name: _filled(file, field) for field in schema if "binary" in str(field.type)}
        total = file.metadata.num_rows
    light = frozenset(schema.names) - heavy.keys()
    for number, row in enumerate(read_rows(path, light) if light else ({} for _ in range(total))):
        marks = {name: mark if number < count else None for name, (mark, count) in heavy.items()}
        yield {name: row[name] if name in row else marks[name] for name in schema.names}


def _filled(file: pq.ParquetFile, field: pa.Field) -> tuple[Any, int]:
    """What stands for a picture of the column, and how many rows have one."""
    total: int = file.metadata.num_rows
    if pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
        return [Seen.BYTES], total
    nulls = 0
    for group in range(file.num_row_groups):
        columns = file.metadata.row_group(group)
        leaves = [columns.column(index) for index in range(columns.num_columns)]
        mine = [leaf for leaf in leaves if leaf.path_in_schema in (field.name, f"{field.name}.bytes")]
        nulls += sum(leaf.statistics.null_count for leaf in mine if leaf.statistics and leaf.statistics.has_null_count)
    return Seen.BYTES, total - nulls


def _light(value: Any) -> Any:
    """The value with a mark for each picture, and long texts cut."""
    match value:
        case bytes():
            return Seen.BYTES
        case {"bytes": bytes()}:
            return Seen.BYTES
        case {"bytes": None, "path": str() as path}:
            return path
        case dict():
            return {name: _light(one) for name, one in value.items()}
        case list():
            return [_light(one) for one in value]
        case str() if value.startswith("[") and _is_base64(_first_of_list(value)):
            return [Seen.BASE64]
        case str() if _is_base64(value):
            return Seen.BASE64
        case str():
            try:
                value[:_TEXT_MAX].encode()
            except UnicodeEncodeError:
                raise ValueError(f"{value[:40]!r} holds half of a character") from None
            return value[:_TEXT_MAX]
    return value


def _first_of_list(text: str) -> str:
    """Its beginning, of a list that is spelled as text."""
    head = text[1 : 2 * _HEAD].lstrip()
    return head[1:].partition(head[:1] or "'")[0]


def _is_base64(text: str) -> bool:
    head = text[: _HEAD + 100]
    if head.startswith("data:"):
        head = head.partition(",")[2]
    return from_base64(head[: min(_HEAD, len(head) // 4 * 4)]) is not None


def _absent(rows: Sequence[Doc], folder: Path) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for row in rows[:20]:
        for name, value in row.items():
            for one in value if isinstance(value, list) else [value]:
                if is_path(one) and (Path(one).is_absolute() or not (folder / one).is_file()):
                    found.setdefault(name, one)
    return found


def is_path(value: Any) -> bool:
    """Whether a cell looks like the path of a picture."""
    return isinstance(value, str) and value.lower().endswith(PICTURES) and "://" not in value and len(value) < 1000
