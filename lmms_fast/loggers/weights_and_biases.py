"""`--wandb`: numbers by answers, scores in the summary, a table of samples for each task, files as an artifact."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb
from PIL import Image

from lmms_fast.loggers.choice import COLUMNS, Shown, scores
from lmms_fast.loggers.settings import Settings
from lmms_fast.report.finished import FinishedRun

_STEP = "progress/answers"


class WeightsAndBiases:
    """One run there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._run: Any = None

    def begin(self, run: Path, config: Mapping[str, Any], known: str | None) -> tuple[str, str | None]:
        """See `child.Tracker`."""
        options = self._settings.options
        self._run = wandb.init(
            project=options["project"], entity=options.get("entity"), name=options.get("name", run.name),
            group=options.get("group"), tags=self._settings.tags or None, dir=options.get("dir"), config=dict(config),
            mode=options.get("mode"), job_type="eval", id=known, resume="allow" if known else None,
            settings=wandb.Settings(console="off", save_code=False, disable_git=True, disable_code=True,
                                    x_disable_meta=True, x_disable_stats=True),
        )  # fmt: skip
        self._run.define_metric(_STEP)
        self._run.define_metric("*", step_metric=_STEP)
        at = self._run.url or f"{Path(self._run.dir).parent} (`wandb sync` uploads it)"
        return at, str(self._run.id)

    def progress(self, numbers: Mapping[str, float], step: int) -> None:
        """See `child.Tracker`."""
        self._run.log({**numbers, _STEP: step})

    def finish(self, run: FinishedRun, samples: Mapping[str, list[Shown]], step: int) -> None:
        """See `child.Tracker`."""
        tables = {f"samples/{task}": _table(some) for task, some in samples.items()}
        found = {f"score/{name}": value for name, value in scores(run).items()}
        self._run.log({**found, **tables, _STEP: step})
        self._run.summary.update({**found, "samples": run.results["samples"],
                                  "not_measured": run.results["not_measured"]})  # fmt: skip
        artifact = wandb.Artifact(f"run-{self._run.id}", type="evaluation")
        artifact.add_file(str(run.path / "results.json"))
        for task in run.tasks:
            artifact.add_file(str(run.path / f"samples_{task}.jsonl"))
        self._run.log_artifact(artifact)

    def end(self, *, complete: bool) -> None:
        """See `child.Tracker`."""
        self._run.finish(exit_code=0 if complete else os.EX_TEMPFAIL)


def _table(samples: list[Shown]) -> Any:
    table = wandb.Table(columns=["picture", *COLUMNS])
    for one in samples:
        picture = None if one.picture is None else wandb.Image(Image.open(io.BytesIO(one.picture)), file_type="jpg")
        table.add_data(picture, *(one.cells[name] for name in COLUMNS))
    return table
