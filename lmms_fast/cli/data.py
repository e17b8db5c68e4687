"""`lmms-fast tasks data`: pull, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmms_fast.errors import DataError

EXIT_DIFFERS = 2
_Folder = Path("lmms-fast-data")
app = typer.Typer(help="Datasets on disk, for machines without a network.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def pull(
    tasks: Annotated[list[str], typer.Argument(help="Tasks, groups, wildcards or YAML paths; commas do as well.")],
    to: Annotated[
        Path, typer.Option("--to", help="Folder, for --data-dir later.", envvar="LMMS_FAST_DATA_DIR")
    ] = _Folder,
    include_path: Annotated[
        list[Path] | None, typer.Option("--include-path", help="Folder with task YAMLs of your own.")
    ] = None,
) -> None:
    """Fetch what `lmms-fast eval --data-dir DIR` needs for the tasks, and record revisions and checksums.

    Only the splits that the tasks read, from the first of their sources that has them. Files that are
    there already are not fetched again. Pictures that rows name by address are not fetched.
    """
    from lmms_fast.data.pull import pull as fetch
    from lmms_fast.tasks.catalog import Catalog

    chosen = Catalog(include_path or ()).select([name for word in tasks for name in word.split(",") if name])
    fetch(chosen.tasks, to, print)
    print(f"All there; evaluate with --data-dir {to} (and LMMS_FAST_DATA_DIR={to} does the same).")


@app.command()
def verify(
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="What `pull` fetched.", envvar="LMMS_FAST_DATA_DIR")
    ] = _Folder,
) -> None:
    """Compare every fetched file with its recorded checksum.

    Exit codes: 0 all as recorded · 1 there is no record · 2 a file is missing or differs.
    """
    from lmms_fast.data.copies import RECORD, differences, read_record

    copies = read_record(data_dir)
    if copies is None:
        raise DataError(f"{data_dir}: holds no {RECORD}; `lmms-fast tasks data pull TASKS --to {data_dir}` writes it.")
    files = wrong = 0
    for name, difference in differences(data_dir, copies):
        files += 1
        if difference:
            wrong += 1
            print(f"{name}: {difference}")
    for name, repository in copies.repositories.items():
        print(f"{name} at {repository.revision[:12]}: {len(repository.files)} files")
    print(f"{wrong} of {files} files are missing or differ; the same `tasks data pull` fetches them again." if wrong
          else f"{files} files, all as recorded.")  # fmt: skip
    if wrong:
        raise typer.Exit(EXIT_DIFFERS)
