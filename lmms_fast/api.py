"""The Python API: ``from lmms_fast import evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmms_fast.config.spec import make_spec
from lmms_fast.events import Event, Notify
from lmms_fast.journal.store import Journal
from lmms_fast.pipeline.run import run, run_to_end
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
    return run_to_end(run(spec, notify))


def rescore(path: Path | str, include_path: Sequence[Path] = (), scorings: Sequence[str] = ()) -> RunResult:
    """Score a run's stored responses again, with the task files as they are now; no model, no dataset.

    `scorings` names variants to be reported too. Raises UsageError.
    """
    with load(Path(path)) as directory, Journal(directory.journal) as journal:
        chosen = recorded_tasks(directory, include_path)
        check_scorings(chosen.tasks, scorings)
        return finish(directory, journal, chosen.tasks, chosen.groups, scorings)
