"""`lmms-fast parity`: published outputs of real models, scored again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmms_fast.errors import EXIT_ERROR, EXIT_OK, UsageError

if TYPE_CHECKING:
    from lmms_fast.parity.compare import Comparison

_SHOWN = 10


def parity(
    names: Annotated[list[str] | None, typer.Argument(help="Sets, or patterns such as 'mmmu*'. Default: all.")] = None,
    list_sets: Annotated[bool, typer.Option("--list", help="Only list the sets.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", envvar="LMMS_FAST_PARITY_DIR", help="Folder that has the files as OWNER+NAME/PATH; what "
                     "it lacks is fetched from the public repositories into the cache."),
    ] = None,
    manifest: Annotated[
        list[Path] | None, typer.Option(help="Sets of your own, in the form of lmms_fast/parity/sets.yaml, or as JSON.")
    ] = None,
    show: Annotated[int, typer.Option(help="Samples shown of a set that differs.")] = _SHOWN,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Of the figures only those that differ.")] = False,
) -> None:  # fmt: skip
    """Score published outputs of real models again, and compare with the figures published for them.

    Exit code 0 when every set asked for is reproduced, 1 otherwise.
    """
    from fnmatch import fnmatchcase

    from lmms_fast.parity.compare import compare
    from lmms_fast.parity.entries import OURS, load

    if folder is not None and not folder.is_dir():
        raise UsageError(f"--dir {folder}: no such folder.")
    known = {name: entry for path in manifest or [OURS] for name, entry in load(path).items()}
    chosen = [name for name in known if not names or any(fnmatchcase(name, pattern) for pattern in names)]
    for pattern in names or ():
        if not any(fnmatchcase(name, pattern) for name in known):
            raise UsageError(f"no set is called '{pattern}'; `lmms-fast parity --list` shows all.")
    if list_sets:
        for name in chosen:
            print(f"{name}  {known[name].metric}  https://github.com/{known[name].repo}  {known[name].licence}")
        return
    agreed = 0
    for name in chosen:
        found = compare(known[name], folder)
        agreed += found.reproduced
        print(*report(found, show=show, quiet=quiet), sep="\n", flush=True)
    print(f"{agreed} of {len(chosen)} sets reproduced.")
    raise typer.Exit(EXIT_OK if agreed == len(chosen) else EXIT_ERROR)


def report(found: Comparison, *, show: int, quiet: bool) -> list[str]:
    """A set's lines: its verdict, then what differs."""
    entry = found.entry
    if found.problem is not None:
        return [f"NOT SCORED  {entry.name}: {found.problem}"]
    verdict = "reproduced" if found.reproduced else "DIFFERS   "
    same = sum(figure.agrees for figure in found.figures)
    lines = [f"{verdict}  {entry.name}: {same} of {len(found.figures)} figures; {found.items} items, {found.undecided} "
             f"undecided, {len(found.differences)} judged otherwise than in the published files"]  # fmt: skip
    for figure in found.figures:
        if figure.why:
            lines.append(f"    {figure.name}: expected {figure.expected!r}; not computed: {figure.why}")
        elif not (quiet and figure.agrees):
            ours = "none" if figure.ours is None else f"{figure.ours:.16g}"
            lines.append(f"    {figure.name}: ours {ours}, expected {figure.expected:.16g}"
                         f"{'' if figure.agrees else '  ← differs'}")  # fmt: skip
    if found.more:
        same = sum(figure.agrees for figure in found.more)
        lines.append(f"    {same} of {len(found.more)} further figures in the score files published beside the outputs")
        lines += [f"    {figure.name}: ours {figure.ours:.16g}, in the score file {figure.expected:.16g}  ← differs"
                  for figure in found.more if not figure.agrees]  # fmt: skip
    lines += [f"    {note}" for note in (*found.notes, *([entry.note] if entry.note else []))]
    if not found.reproduced:
        lines += [f"    {one.id}: {one.response!r} → ours {one.ours} by '{one.rule}', theirs {one.theirs}"
                  for one in found.differences[:show]]  # fmt: skip
    return lines
