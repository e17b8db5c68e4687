"""Rows of a data file, whatever its format: parquet, JSON lines, JSON, CSV, TSV, or a folder of pictures.

Pictures are never decoded here, and rows are read in small batches, so memory does not grow with the file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from io import BufferedReader
from itertools import chain, zip_longest
from pathlib import Path

import pyarrow.json as pa_json
import pyarrow.parquet as pq

from lmms_fast.types import Doc

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".tga")
Columns = frozenset[str] | None
_BATCH_ROWS, _BATCH_BYTES = 16, 4 << 20
_READ_BYTES = 1 << 20


def count_rows(path: Path) -> int | None:
    """Rows of a file, where that can be told without reading it."""
    if path.is_dir():
        return len(_pictures_in(path))
    return pq.ParquetFile(path).metadata.num_rows if path.suffix == ".parquet" else None


def read_rows(path: Path, columns: Columns = None) -> Iterator[Doc]:
    """Rows in order; with columns named, only those, where the format can leave out the others.

    A folder has a row for each picture in its subfolders: `image`, the path inside it, and `label`, the subfolder's
    name. Raises OSError, ValueError, pyarrow.ArrowInvalid.
    """
    if path.is_dir():
        yield from ({"image": str(file.relative_to(path)), "label": file.parent.name} for file in _pictures_in(path))
        return
    match path.suffix:
        case ".parquet":
            # Both against memory growing with the file: one reader over all row groups keeps every group it has read,
            # and without a buffer size a group's columns are read whole.
            with pq.ParquetFile(path, buffer_size=_READ_BYTES) as file:
                named = None if columns is None else [name for name in file.schema_arrow.names if name in columns]
                for group in range(file.num_row_groups):
                    size = _batch_rows(file.metadata.row_group(group))
                    for batch in file.iter_batches(size, row_groups=[group], columns=named):
                        rows = batch.to_pylist()
                        del batch  # or rows of large pictures are in memory twice while they are asked
                        yield from rows
        case ".jsonl":
            with path.open(encoding="utf-8-sig") as lines:
                yield from (json.loads(line) for line in lines if line.strip())
        case ".json":
            yield from _read_json(path)
        case _:
            with path.open("rb") as lines:
                yield from (row for _, row in _placed(lines, path))


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/*") if path.suffix.lower() in PICTURES)


def _batch_rows(group: pq.RowGroupMetaData) -> int:
    """As many rows as hold some megabytes: a row may have a caption, or twenty pictures of four megapixels."""
    fitting: int = _BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)
    return max(1, min(_BATCH_ROWS, fitting))


def _read_json(path: Path) -> Iterator[Doc]:
    with path.open("rb") as file:
        is_array = file.read(1) == b"["
    if is_array:
        yield from json.loads(path.read_bytes())
    else:
        yield from pa_json.read_json(path).to_pylist()


class _Lines:
    """Decoded lines of a file, and the byte at which the next one starts."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.place, self.number, self.quotes = file.tell(), 0, 0

    def ended(self) -> bool:
        """Whether nothing follows."""
        return not self._file.peek(1)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline()
        if not line:
            raise StopIteration
        start, self.place = self.place, self.place + len(line)
        self.number += 1
        self.quotes += line.count(b'"')
        return line.decode("utf-8-sig" if start == 0 else "utf-8")  # Excel marks its CSV files


def _placed(file: BufferedReader, path: Path) -> Iterator[tuple[int, Doc]]:
    """Rows of a CSV or TSV file, each with the byte at which it starts. Raises ValueError for one that is too long."""
    lines = _Lines(file)
    names = _cells(lines, path) or []
    place = lines.place
    while (cells := _cells(lines, path)) is not None:
        if len(cells) > len(names):
            raise ValueError(f"line {lines.number} has {len(cells)} cells, the first line {len(names)}")
        if cells:
            yield place, dict(zip_longest(names, cells))
        place = lines.place


def _cells(lines: _Lines, path: Path) -> list[str] | None:
    """Of the next row, which may be several lines; None at the end. Raises ValueError."""
    delimiter = "\t" if path.suffix == ".tsv" else ","
    first, lines.quotes = lines.number + 1, 0
    line = next(lines, None)
    if line is None:
        return None
    if not lines.quotes:  # a fifth of the reader's time, where a cell is a picture in base64
        line = line.rstrip("\r\n")
        return line.split(delimiter) if line else []
    csv.field_size_limit(1 << 30)  # benchmarks ship such pictures
    try:
        cells = next(csv.reader(chain([line], lines), delimiter=delimiter))
    except csv.Error as error:
        raise ValueError(f"line {first}: {error}") from None
    if lines.number > first and lines.quotes % 2 and lines.ended():  # all to the end in one cell
        raise ValueError(f"a quotation mark in line {first} is not closed")
    return cells


class Lookup:
    """Cells of one column by the value of another, read from the file when asked for: only places are in memory.

    For CSV, TSV and JSON lines. Raises ValueError for other formats.
    """

    def __init__(self, path: Path, key: str, column: str) -> None:
        if path.suffix not in (".csv", ".tsv", ".jsonl"):
            raise ValueError(f"rows of {path.suffix} cannot be looked up; write it as .tsv, .csv or .jsonl")
        self._path, self._column = path, column
        self._names: list[str] = []
        with path.open("rb") as file:
            self._places = {str(row.get(key)): place for place, row in self._rows(file)}

    def _rows(self, file: BufferedReader) -> Iterator[tuple[int, Doc]]:
        if self._path.suffix == ".jsonl":
            lines = _Lines(file)
            place = 0
            for line in lines:
                if line.strip():
                    yield place, json.loads(line)
                place = lines.place
            return
        for place, row in _placed(file, self._path):
            self._names = self._names or list(row)
            yield place, row

    def __contains__(self, value: str) -> bool:
        return value in self._places

    def __getitem__(self, value: str) -> object:
        with self._path.open("rb") as file:
            file.seek(self._places[value])
            if self._path.suffix == ".jsonl":
                return json.loads(file.readline()).get(self._column)
            cells = _cells(_Lines(file), self._path) or []
            return dict(zip(self._names, cells, strict=False)).get(self._column)
