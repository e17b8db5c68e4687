"""The Python API: ``from lmms_fast import evaluate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmms_fast.config.spec import make_spec
from lmms_fast.events import Event, Notify
from lmms_fast.journal.store import Journal
from lmms_fast.loggers.feed import loggers
from lmms_fast.parity.importing import import_file, rules_given
from lmms_fast.pipeline.run import run, run_to_end
from lmms_fast.report.export.formats import export
from lmms_fast.report.result import RunResult, check_scorings, finish, load, recorded_tasks


def _silent(_: Event) -> None:
    return None


def evaluate(
    tasks: Sequence[str] | str,
    endpoint: Sequence[str] | str = "local",
    model: str | None = None,
    *,
    notify: Notify = _silent,
    **options: Any,
) -> RunResult:
    """Evaluate a model and return the scores; the run directory is `RunResult.path`.

    `options` are the long flags of ``lmms-fast eval`` with underscores (``limit=20``, ``max_tokens=64``, ``tp=2``).
    Raises LmmsFastError with one sentence: UsageError, ServerError or StorageError.
    """
    spec = make_spec({"tasks": tasks, "endpoint": endpoint, "model": model, **options})
    with loggers(spec, notify) as trackers:
        result = run_to_end(run(spec, trackers))
        trackers.results(result)
    for name in spec.output_format:
        export(result.path, name)
    return result


def rescore(path: Path | str, include_path: Sequence[Path] = (), scorings: Sequence[str] = ()) -> RunResult:
    """Score a run's stored responses again, with the task files as they are now; no model, no dataset.

    `scorings` names variants to be reported too. Raises UsageError.
    """
    with load(Path(path)) as directory, Journal(directory.journal) as journal:
        chosen = recorded_tasks(directory, include_path)
        check_scorings(chosen.tasks, scorings)
        return finish(directory, journal, chosen.tasks, chosen.groups, scorings)


def import_responses(
    path: Path | str,
    task: str | None = None,
    *,
    extract: Sequence[str | Mapping[str, Any]] | str | None = None,
    match: str | Mapping[str, Any] = "exact",
    report: Sequence[str | Mapping[str, Any]] | str = "mean",
    columns: Mapping[str, str] | None = None,
    out: Path | str | None = None,
    model: str | None = None,
    data_dir: Path | None = None,
    include_path: Sequence[Path] = (),
    fresh: bool = False,
) -> RunResult:
    """Take answers made elsewhere into a run directory, and score them: by a `task`'s rules, or by those named.

    A rule is a name, or ``{"name": …, "options": {…}}``. `columns` map our names (id, response, target, choices,
    groups.NAME, facts.NAME) to the file's. Raises LmmsFastError with one sentence.
    """
    return import_file(
        Path(path), task=task, rules=None if extract is None else rules_given(extract, match, report),
        columns=columns or {}, out=None if out is None else Path(out), model=model, data_dir=data_dir,
        include_path=include_path, fresh=fresh,
    )  # fmt: skip
