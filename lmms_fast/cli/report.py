"""`lmms-fast report` and `lmms-fast view`: looking at runs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from lmms_fast.errors import StorageError, UsageError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(k|m|g)?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_PICTURES = "Bytes of thumbnails in a page, such as 20MB; 0 for none."
_INCLUDE = "Folder with task YAMLs of your own; their hooks may run, to find pictures again."


def report(
    runs: Annotated[list[Path], typer.Argument(help="A run directory; in tables several stand side by side.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File. Default: report.html in the run directory; of "
                                             "the others, standard output.")] = None,
    form: Annotated[str, typer.Option("--format", help="html: one page that opens from disk, with every sample; md, "
                                      "latex, csv, json: the scores.")] = "html",
    pictures: Annotated[str, typer.Option(help=_PICTURES)] = "20MB",
    data_dir: Annotated[Path | None, typer.Option(help="Where the data are now. Default: where they were.")] = None,
    include_path: Annotated[list[Path] | None, typer.Option(help=_INCLUDE)] = None,
) -> None:  # fmt: skip
    """One page about a run: scores, distributions, time, and every sample with its picture. Or tables of several runs.

    Pictures come out of the data, which are read again where they are; nothing is fetched.

    lmms-fast report runs/mine

    lmms-fast report runs/mine runs/other --format md      # Markdown: headlines, a column each run

    lmms-fast report runs/mine --format latex -o scores.tex

    lmms-fast report runs/mine --format csv                # every number, those of categories too; json likewise
    """
    if form != "html":
        _table(runs, form, out)
        return
    if len(runs) > 1:
        raise UsageError("--format html: a page is of one run; `lmms-fast compare` has pages of two, `view` an index.")
    from lmms_fast.report.finished import open_run
    from lmms_fast.report.html import write_page

    _nothing_is_fetched()
    page = write_page(open_run(runs[0]), out or runs[0] / "report.html", pictures=_bytes(pictures), data_dir=data_dir,
                      include=include_path or ())  # fmt: skip
    print(f"{page.path}: {page.samples:,} samples, {page.thumbnails:,} of {page.pictures:,} pictures, "
          f"{page.size / 1e6:.1f} MB")  # fmt: skip
    for sentence in page.why:
        print(sentence)


def _table(runs: list[Path], form: str, out: Path | None) -> None:
    from lmms_fast.report.finished import open_run
    from lmms_fast.report.tables import FORMATS

    if form not in FORMATS:
        raise UsageError(f"--format {form}: there is none of that name; there are html, {', '.join(FORMATS)}.")
    text = FORMATS[form]([open_run(run) for run in runs])
    if out is None:
        print(text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{out}: cannot be written ({error.strerror}).") from None


def view(
    runs: Annotated[Path, typer.Argument(help="A run directory, or a folder of them.")] = Path("runs"),
    port: Annotated[int, typer.Option(help="Default: one that is free.", min=0, max=65535)] = 0,
    pictures: Annotated[str, typer.Option(help=_PICTURES)] = "20MB",
    include_path: Annotated[list[Path] | None, typer.Option(help=_INCLUDE)] = None,
) -> None:
    """Show runs in a browser, also while they are going on. For this machine only; ends with Ctrl-C."""
    from lmms_fast.report.serve import serve

    _nothing_is_fetched()
    serve(runs, port, _bytes(pictures), include_path or ())


def _nothing_is_fetched() -> None:
    """Data sets of the hub are read out of its cache; said before its library is imported."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"


def _bytes(written: str) -> int:
    found = _SIZE.fullmatch(written.strip())
    if found is None:
        raise UsageError(f"--pictures {written}: write bytes, such as 20MB, or 0.")
    return int(float(found[1]) * _UNITS[(found[2] or "").lower()])
