"""The pictures of a run that was made before, out of its data, which are read again for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lmms_fast.config.spec import make_spec
from lmms_fast.data.again import Sight
from lmms_fast.data.source import open_source
from lmms_fast.errors import DataError, LmmsFastError, UsageError
from lmms_fast.journal.rundir import recorded_spec
from lmms_fast.media.policy import ORIGINAL
from lmms_fast.pipeline.answers import selection_of
from lmms_fast.report.finished import FinishedRun, tasks_of
from lmms_fast.tasks.catalog import may_run_hooks
from lmms_fast.types import Media


class Pictures:
    """Those of one run. Its directory may be someone else's, so hooks run only from the folders of `include`.

    Nothing is fetched from addresses that rows name.
    """

    def __init__(self, run: FinishedRun, include: Iterable[Path] = (), data_dir: Path | None = None) -> None:
        """Raises UsageError where a task is gone."""
        recorded = make_spec(recorded_spec(run.path, run.manifest))
        folders = tuple(include)
        tasks = tasks_of(run.path, run.manifest, folders).tasks
        self._tasks = {task.task for task in tasks}
        self._barred = {task.task for task in tasks if not may_run_hooks(task, folders)}
        selection = selection_of(recorded.model_copy(update={"allow_media_urls": False}))
        self._sight = Sight(tasks, lambda task: open_source(task, data_dir or recorded.data_dir), selection, ORIGINAL)

    def of(self, line: Mapping[str, Any]) -> tuple[Media, ...]:
        """A sample's, by its line in the samples file; in data order this reads the data once. Raises UsageError."""
        if line["task"] not in self._tasks:
            raise UsageError(f"{line['task']}: is none of the run's tasks.")
        if line["task"] in self._barred:
            raise UsageError(f"{line['task']}: its pictures are made by hooks; if you trust them, add --include-path.")
        try:
            return self._sight.pictures(dict(line))
        except LmmsFastError:
            raise
        except Exception as error:  # the code that reads a data set raises what it likes
            raise DataError(f"{line['task']}: {type(error).__name__}: {str(error)[:300]}") from None
