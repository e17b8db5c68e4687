"""`--mlflow`: metrics by answers, the settings as parameters, samples as a table file, files as artifacts."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import orjson
from PIL import Image

from lmms_fast.loggers.choice import COLUMNS, Shown, scores
from lmms_fast.loggers.settings import Settings
from lmms_fast.report.finished import FinishedRun
from lmms_fast.report.tables import markdown

_UNNAMEABLE = re.compile(r"[^\w\-. /]")
_PARAMETER = 500  # characters of a value, by older stores' limit


class MLflow:
    """One run there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def begin(self, run: Path, config: Mapping[str, Any], known: str | None) -> tuple[str, str | None]:
        """See `child.Tracker`."""
        options = self._settings.options
        if "tracking_uri" in options:
            mlflow.set_tracking_uri(options["tracking_uri"])
        mlflow.set_experiment(options.get("experiment", "lmms-fast"))
        made = mlflow.start_run(run_id=known) if known else mlflow.start_run(run_name=options.get("name", run.name))
        mlflow.set_tags(dict.fromkeys(self._settings.tags, "") | {"source": "lmms-fast"})
        if not known:  # parameters cannot change
            told = {name: value for name, value in config.items() if value not in (None, [], {})}
            mlflow.log_params({name: _parameter(value) for name, value in told.items()})
        return f"{mlflow.get_tracking_uri()}, run {made.info.run_id}", made.info.run_id

    def progress(self, numbers: Mapping[str, float], step: int) -> None:
        """See `child.Tracker`."""
        mlflow.log_metrics({_name(name): value for name, value in numbers.items()}, step=step)

    def finish(self, run: FinishedRun, samples: Mapping[str, list[Shown]], step: int) -> None:
        """See `child.Tracker`."""
        mlflow.log_metrics({_name(f"score/{name}"): value for name, value in scores(run).items()}, step=step)
        mlflow.log_artifact(str(run.path / "results.json"))
        for task, some in samples.items():
            mlflow.log_artifact(str(run.path / f"samples_{task}.jsonl"))
            rows = [[one.cells[name] for name in COLUMNS] for one in some]
            mlflow.log_dict({"columns": [*COLUMNS], "data": rows}, f"shown/{_name(task)}.json")
            for number, one in enumerate(some):
                if one.picture is not None:
                    picture = Image.open(io.BytesIO(one.picture))
                    mlflow.log_image(picture, f"shown/{_name(task)}/{number:05d}.jpg")
        mlflow.log_text(markdown([run]), "scores.md")

    def end(self, *, complete: bool) -> None:
        """See `child.Tracker`."""
        mlflow.end_run("FINISHED" if complete else "KILLED")


def _parameter(value: Any) -> str:
    return (value if isinstance(value, str) else orjson.dumps(value).decode())[:_PARAMETER]


def _name(name: str) -> str:
    return _UNNAMEABLE.sub("_", name)
