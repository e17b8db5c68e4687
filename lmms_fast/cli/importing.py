"""`lmms-fast import`: answers made elsewhere become an ordinary run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lmms_fast.errors import UsageError


def import_answers(
    file: Annotated[Path, typer.Argument(help="JSONL, JSON, CSV, TSV, XLSX or Parquet, a row an answer; or lmms-eval's "
                                               "…_samples_TASK.jsonl.")],
    task: Annotated[
        str | None, typer.Option(help="Score as this task does. Without targets in the file, rows are joined to the "
                                 "task's data by id.")
    ] = None,
    extract: Annotated[
        str | None, typer.Option(help="Rule, or chain RULE,RULE. With options: '{name: regex, options: {pattern: …}}'.")
    ] = None,
    match: Annotated[str, typer.Option(help="Rule that compares with the targets, written likewise.")] = "exact",
    report: Annotated[str, typer.Option(help="Aggregations, written likewise.")] = "mean",
    column: Annotated[
        list[str] | None, typer.Option(help="OURS=THEIRS, such as response=prediction or groups.kind=category; repeat. "
                                       "Ours: id, response, target, choices, prompt, groups.NAME, facts.NAME.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run directory. Default: runs/imported_…")] = None,
    model: Annotated[str | None, typer.Option(help="Who answered, for the record.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Local copies of datasets, instead of the hub.")] = None,
    include_path: Annotated[list[Path] | None, typer.Option(help="Folder with task YAMLs of your own.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Set an existing run directory aside.")] = False,
) -> None:  # fmt: skip
    """Take in answers made elsewhere, and score them.

    lmms-fast import answers.jsonl --extract letter --column response=prediction

    lmms-fast import 20260101_120000_samples_mmmu_val.jsonl --task mmmu_val     # a samples file of lmms-eval

    lmms-fast import answers.xlsx --extract letter                              # of VLMEvalKit

    Columns are found by their usual names: id, response or prediction, target or answer (a list: several accepted),
    choices (a list, or columns A, B, C, …), groups.NAME and facts.NAME.
    A samples file of lmms-eval is known by its fields (doc_id, resps, filtered_resps): what the model said is scored,
    every repeat of it; --task finds options and groups in the task's data by the documents' numbers, and refuses where
    the targets do not agree. A request that failed there is an empty answer in it, and counts as one.
    """
    from lmms_fast.api import import_responses
    from lmms_fast.cli import execute

    execute.print_result(import_responses(
        file, task, extract=None if extract is None else rules(extract), match=rules(match)[0], report=rules(report),
        columns=dict(_pair(one) for one in column or ()), out=out, model=model, data_dir=data_dir,
        include_path=include_path or (), fresh=fresh,
    ))  # fmt: skip


def rules(written: str) -> list[Any]:
    """``RULE,RULE``, or YAML for rules with options. Raises UsageError."""
    import yaml

    if not written.lstrip().startswith(("{", "[")):
        return [name.strip() for name in written.split(",") if name.strip()] or [""]
    try:
        found = yaml.safe_load(written)
    except yaml.YAMLError as error:
        raise UsageError(f"'{written}' is no rule: {str(error).splitlines()[0]}.") from None
    return found if isinstance(found, list) else [found]


def _pair(written: str) -> tuple[str, str]:
    name, sign, column = written.partition("=")
    if not sign or not name or not column:
        raise UsageError(f"--column {written}: write OURS=THEIRS, such as response=prediction.")
    return name, column
