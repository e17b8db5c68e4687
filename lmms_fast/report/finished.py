"""A run as those look at it who did not make it: what its directory says. Needs no lock and no task files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from lmms_fast.errors import UsageError
from lmms_fast.journal.rundir import read_json, recorded_spec
from lmms_fast.tasks.catalog import Catalog, Selection
from lmms_fast.tasks.spec import DEFAULT


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """Its files, read. `results` is that of `report.result.as_json`; `manifest` says what was run, when, on what."""

    path: Path
    manifest: Mapping[str, Any]
    results: Mapping[str, Any]

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.manifest.get("identity", {}).get("model", "?"))

    @property
    def tasks(self) -> tuple[str, ...]:
        """In the order they were named."""
        return tuple(self.results["tasks"])

    def samples(self, task: str) -> Iterator[dict[str, Any]]:
        """The lines of a task's samples file, in the order of the data. Raises UsageError for a file that is none, or
        that lies elsewhere."""
        path = self.path / f"samples_{task}.jsonl"
        if path.resolve().parent != self.path.resolve():  # a run may be someone else's
            raise UsageError(f"{path}: leads out of the run's directory.")
        try:
            with path.open("rb") as file:
                for line in file:
                    yield orjson.loads(line)
        except (OSError, orjson.JSONDecodeError) as error:
            how = f"`lmms-fast score {self.path}` writes it again"
            raise UsageError(f"{path}: cannot be read ({error}); {how}.") from None


def open_run(path: Path) -> FinishedRun:
    """Raises UsageError for a directory that holds no run with results."""
    manifest, results = read_json(path / "manifest.json"), read_json(path / "results.json")
    if manifest is None:
        raise UsageError(f"{path}: not a run directory (it has no manifest.json).")
    if results is None or not isinstance(results.get("tasks"), dict):
        raise UsageError(f"{path}: the run has no results yet; `lmms-fast score {path}` makes them of the answers.")
    return FinishedRun(path, manifest, results)


def tasks_of(path: Path, manifest: Mapping[str, Any] | None, include: Sequence[Path] = ()) -> Selection:
    """The tasks a run was made with, as their files are now; none of their hooks is run. Raises TaskError when one is
    gone.

    A run of imported answers, or of a data file without a task file, holds the definition of its task itself.
    """
    spec = recorded_spec(path, manifest)
    variants = (manifest or {})["sessions"][-1].get("prompt_variants", {})
    # The code of another evaluator's tasks runs only from folders that this command was given.
    catalog = Catalog([*include, path, *map(Path, spec["include_path"])], foreign=include)
    named = [catalog.kept(name, lambda task: path / f"{task}.yaml") for name in spec["tasks"]]
    return catalog.select(named).prompted(lambda task: variants.get(task.task, DEFAULT))
