"""The forms by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lmms_fast.errors import UsageError
from lmms_fast.report.export.files import csv_files, parquet
from lmms_fast.report.export.lmms_eval import lmms_eval
from lmms_fast.report.finished import FinishedRun, open_run

FORMATS: Mapping[str, Callable[[FinishedRun, Path], list[Path]]] = {
    "lmms-eval": lmms_eval, "parquet": parquet, "csv": csv_files
}  # fmt: skip


def export(path: Path, name: str, folder: Path | None = None) -> list[Path]:
    """A run in a form, in `folder` or the run's `export/FORM`. Raises UsageError, StorageError."""
    if name not in FORMATS:
        raise UsageError(f"--format {name}: there is none of that name; there are {', '.join(FORMATS)}.")
    return FORMATS[name](open_run(path), folder or path / "export" / name)
