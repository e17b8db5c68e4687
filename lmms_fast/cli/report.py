"""`lmms-fast report`: the scores of finished runs for a page, a paper, a spreadsheet or a program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmms_fast.errors import StorageError, UsageError


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories; several stand side by side.")],
    format: Annotated[str, typer.Option("--format", help="md, latex, csv or json.")] = "md",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File. Default: standard output.")] = None,
) -> None:
    """Show the scores of one run or several.

    lmms-fast report runs/mine runs/other --format md      # Markdown: headlines, a column each run

    lmms-fast report runs/mine --format latex -o scores.tex

    lmms-fast report runs/mine --format csv                # every number, those of categories too; json likewise
    """
    from lmms_fast.report.finished import open_run
    from lmms_fast.report.tables import FORMATS

    if format not in FORMATS:
        raise UsageError(f"--format {format}: there is none of that name; there are {', '.join(FORMATS)}.")
    text = FORMATS[format]([open_run(run) for run in runs])
    if out is None:
        print(text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{out}: cannot be written ({error.strerror}).") from None
