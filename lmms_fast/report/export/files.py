"""The samples of a run as Parquet and CSV, a row for each sample and repeat, a file for each task."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from lmms_fast.errors import StorageError
from lmms_fast.report.export.rows import columns, row
from lmms_fast.report.finished import FinishedRun
from lmms_fast.report.tables import in_csv

_ROWS = 2_000  # of a row group: what is held at a time


def parquet(run: FinishedRun, folder: Path) -> list[Path]:
    """`samples_TASK.parquet` in `folder`. Raises StorageError, UsageError."""
    return _each(run, folder, "parquet", _write_parquet)


def csv_files(run: FinishedRun, folder: Path) -> list[Path]:
    """`samples_TASK.csv` in `folder`: lists as JSON; a text that a spreadsheet would take for a formula begins with a
    quote, and control characters are replaced, so Parquet is the form to compute with. Raises StorageError, UsageError.
    """
    return _each(run, folder, "csv", _write_csv)


Write = Callable[[Path, Mapping[str, type], Iterator[dict[str, Any]]], None]


def _each(run: FinishedRun, folder: Path, suffix: str, write: Write) -> list[Path]:
    made = []
    for task in run.tasks:
        path = folder / f"samples_{task}.{suffix}"
        held = columns(run.samples(task))
        temporary = path.with_name(path.name + ".tmp")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write(temporary, held, map(row, run.samples(task)))
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StorageError(f"{path}: cannot be written ({error.strerror}).") from None
        made.append(path)
    return made


def _write_csv(path: Path, held: Mapping[str, type], rows: Iterator[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([in_csv(name) for name in held])
        for one in rows:
            writer.writerow([in_csv(_listed(one.get(name))) for name in held])


def _listed(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, list) else value


def _write_parquet(path: Path, held: Mapping[str, type], rows: Iterator[dict[str, Any]]) -> None:
    import pyarrow as pa  # noqa: PLC0415  (heavy, and only here)
    import pyarrow.parquet as pq  # noqa: PLC0415

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), list: pa.list_(pa.string())}
    schema = pa.schema([(name, kinds[kind]) for name, kind in held.items()])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while some := [*islice(rows, _ROWS)]:
            writer.write_table(pa.Table.from_pylist(some, schema))
