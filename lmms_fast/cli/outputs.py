"""`lmms-fast export`, `push` and `show`: what a finished run gives to others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    format: Annotated[str, typer.Option("--format", help="lmms-eval, parquet or csv.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder. Default: RUN/export/FORMAT.")] = None,
) -> None:
    """Write a run's results and samples in a form that other programs read.

    lmms-fast export runs/mine --format lmms-eval     # MODEL/DATE_results.json, MODEL/DATE_samples_TASK.jsonl

    lmms-fast export runs/mine --format parquet       # samples_TASK.parquet: a row for each sample and repeat

    lmms-fast export runs/mine --format csv           # the same; text that a spreadsheet would take for a formula
    gets a quote before it, so compute with Parquet.

    Samples that were not measured have no line in lmms-eval's form, which would score them as answers.
    """
    from lmms_fast.report.export.formats import export as write

    for path in write(run, format, out):
        print(path)


def push(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    repo: Annotated[str, typer.Option("--repo", help="Dataset on the hub that takes the run: user/name; made if there "
                                      "is none.")],
    private: Annotated[bool, typer.Option("--private", help="Make it private, if it is made.")] = False,
    model_card: Annotated[
        str | None, typer.Option("--model-card", help="Model whose card gets the scores (model-index), as a pull "
                                 "request: user/model; or a README.md on this machine.")
    ] = None,
) -> None:
    """Put a run on the Hugging Face hub: results, samples as Parquet, a card with the score table.

    lmms-fast push runs/mine --repo me/scores --private --model-card me/model

    The token is that of the environment (HF_TOKEN). Pictures are not pushed: they belong to their data sets. Questions
    and accepted answers are in the samples, so mind the licence of the data, and whether answers should be public.
    """
    from lmms_fast.report.export.hub import push as to_hub

    for sentence in to_hub(run, repo, private=private, model_card=model_card):
        print(sentence)


def show(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    id: Annotated[str, typer.Argument(help="A sample's id; TASK/ID#REPEAT where several have it.")],
    pictures: Annotated[
        str, typer.Option("--pictures", help="auto (where the terminal can, by its environment), kitty, iterm2, sixel "
                          "or none.")
    ] = "auto",
    data_dir: Annotated[Path | None, typer.Option(help="Where the data are now. Default: where they were.")] = None,
    include_path: Annotated[
        list[Path] | None, typer.Option(help="Folder with task YAMLs whose hooks may run, to make the pictures again.")
    ] = None,
) -> None:
    """Print one sample: what was asked, with its pictures, what was answered, and what became of it.

    lmms-fast show runs/mine 17
    """
    import os

    from lmms_fast.cli.show import shown
    from lmms_fast.report.terminal import protocol

    how = protocol(pictures, os.environ, sys.stdout.isatty())
    for piece in shown(run, id, how, data_dir, include_path or ()):
        sys.stdout.write(piece)
    sys.stdout.flush()
