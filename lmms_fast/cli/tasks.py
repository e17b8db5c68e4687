"""`lmms-fast tasks`: list, show, new, check, data."""

from __future__ import annotations

import shutil
import sys
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from lmms_fast.cli import data
from lmms_fast.errors import UsageError

app = typer.Typer(help="What can be evaluated.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data.app, name="data")
_Include = Annotated[list[Path] | None, typer.Option("--include-path", help="Folder with task YAMLs of your own.")]


@app.command("list")
def list_tasks(
    pattern: Annotated[str, typer.Argument(help="Only names that match, such as 'doc*'.")] = "*",
    include_path: _Include = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As the table of tasks/README.md.")] = False,
    into: Annotated[Path | None, typer.Option(help="With --markdown: write it between the marks of this file.")] = None,
) -> None:
    """All tasks and groups: samples, what is shown to the model, how it is scored."""
    from lmms_fast.tasks.catalog import Catalog
    from lmms_fast.tasks.page import COLUMNS, line_of, markdown_table, write_table

    found = Catalog(include_path or ()).listed(pattern)
    if not found:
        raise UsageError(f"no task matches '{pattern}'; `lmms-fast tasks list` shows all.")
    if into and markdown:
        write_table(into, markdown_table(found))
        return
    if markdown:
        print(markdown_table(found))
        return
    rows = [(*COLUMNS[:-1], "about"), *((*line_of(one)[:-1], one.about) for one in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for number, row in enumerate(rows):
        cells = [cell.rjust(width) if name == "samples" else cell.ljust(width)
                 for name, cell, width in zip(rows[0], row, widths, strict=True)]  # fmt: skip
        line = "  ".join(cells)[:room].rstrip()
        is_head = number == 0 or not (row[1] or row[2])  # of the table, or of a group's tasks
        print(f"\033[1m{line}\033[0m" if is_head and room else line)


@app.command()
def show(name: str, include_path: _Include = None) -> None:
    """A task's definition as its file and those it extends make it, or as a data file is taken for; what is left out
    has its default.
    """
    from lmms_fast.tasks.catalog import Catalog
    from lmms_fast.tasks.draft import dumped

    catalog = Catalog(include_path or ())
    found = catalog.load(name)
    if catalog.is_data(name):
        print("# " + catalog.guess(name).told().replace("\n", "\n# "))
    content = found.model_dump(mode="json", exclude_defaults=True)
    print(dumped(content).rstrip())
    print(f"# {found.file}")


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="DATA", help="A file of rows, or a folder of pictures.")],
    out: Annotated[Path | None, typer.Option(help="The file to write. Default: beside the data.")] = None,
) -> None:
    """Write a commented task file for a data file, to be changed where the guess is wrong."""
    from lmms_fast.tasks.catalog import Catalog, task_name
    from lmms_fast.tasks.draft import draft

    path = out or file.absolute().parent / f"{task_name(file.absolute())}.yaml"
    if path.suffix != ".yaml":
        raise UsageError(f"--out {path}: a task file's name ends in .yaml.")
    guess = Catalog().guess(str(file))
    try:
        with path.open("x", encoding="utf-8") as written:
            written.write(draft(guess, path.absolute()))
    except FileExistsError:
        raise UsageError(f"{path}: exists, and is not overwritten; give another --out.") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}).") from None
    print(guess.told())
    print(f"Written to {path}; `lmms-fast tasks check {path}` shows what would be sent.")


@app.command()
def check(
    name: str,
    limit: Annotated[int, typer.Option(help="Samples to render.")] = 3,
    data_dir: Annotated[Path | None, typer.Option(help="Local copies of datasets.")] = None,
    include_path: _Include = None,
    allow_media_urls: Annotated[
        bool, typer.Option("--allow-media-urls", help="Fetch pictures that rows name by http(s) address.")
    ] = False,
    image: Annotated[str | None, typer.Option("--image", help="As of `lmms-fast eval`.")] = None,
) -> None:
    """Check a task's file and data, and show exactly what would be sent."""
    from lmms_fast.data.feed import Selection, feed_task
    from lmms_fast.data.source import open_source
    from lmms_fast.media.encode import BadMedia, to_send
    from lmms_fast.media.header import read_header
    from lmms_fast.media.policy import parse_policy
    from lmms_fast.report.verdict import rules_of
    from lmms_fast.tasks.catalog import Catalog
    from lmms_fast.types import Media

    selection, policy = Selection(allow_media_urls=allow_media_urls), parse_policy(image)
    chosen = Catalog(include_path or ()).select([name])
    for guess in chosen.guessed:
        print(f"{guess.told()}\n")
    for task in chosen.tasks:
        rules_of(task)
        source = open_source(task, data_dir)
        print(f"{task.task}: {source.count if source.count is not None else '?'} rows from {source.origin}")
        for fed in islice(feed_task(task, source, selection, lambda _: False), limit):
            print(f"\n--- {fed.sample.key}   target: {', '.join(fed.sample.target)}")
            if fed.failure is not None:
                print(f"cannot be asked: {fed.failure.detail}")
            for message in fed.sample.messages:
                print(f"[{message.role}]")
                for part in message.parts:
                    if isinstance(part, Media):
                        try:
                            sent = to_send(part.read(), policy)
                        except (BadMedia, OSError) as error:
                            print(f"<picture that cannot be sent: {error}>")
                            continue
                        header = read_header(sent.data)
                        size = f"{header.width}×{header.height}, " if header else ""
                        changed = f"; changed: {', '.join(sent.changes)}" if sent.changes else ""
                        print(f"<picture: {sent.mime} {size}{len(sent.data)} bytes{changed}>")
                    else:
                        print(part)
        print()
