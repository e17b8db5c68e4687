"""May two runs be compared? What differs in how they asked and scored. The model, where it ran and the seed may."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmms_fast.errors import LmmsFastError
from lmms_fast.journal.records import Record
from lmms_fast.journal.rundir import recorded_spec
from lmms_fast.report.compare_pairs import Pairs
from lmms_fast.report.finished import FinishedRun
from lmms_fast.report.verdict import judge, rules_of, value_of
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.foreign import BRIDGES
from lmms_fast.tasks.spec import DEFAULT, Task
from lmms_fast.types import Response, Usage

_MAY_DIFFER = frozenset({"model", "weights", "seed"})
_ELSEWHERE = frozenset({"tasks", "limit", "sample_ids", "imported", "columns", "rules"})
"""Looked at below: the samples themselves tell what was asked."""
_LIKELY: Mapping[str, Any] = {"image": None, "allow_media_urls": False}
"""Settings that a run which does not have them leaves out."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that two runs to be compared should share."""

    task: str | None
    """None: of the runs as a whole."""
    says: str

    def __str__(self) -> str:
        """With the task's name."""
        return self.says if self.task is None else f"{self.task}: {self.says}"


def of_runs(first: FinishedRun, second: FinishedRun) -> list[Difference]:
    """How the settings of two runs differ."""
    one, other = first.manifest.get("identity", {}), second.manifest.get("identity", {})
    found = []
    if ("imported" in one) != ("imported" in other):
        which = first if "imported" in one else second
        return [Difference(None, f"the answers of {which.path} were imported; how they were made is not recorded")]
    for key in sorted({*one, *other} - _MAY_DIFFER - _ELSEWHERE):
        before, after = (run.get(key, _LIKELY.get(key)) for run in (one, other))
        if before != after:
            found.append(Difference(None, f"{_NAMES.get(key, key)}: {_shown(before)} and {_shown(after)}"))
    return found


_NAMES = {"image": "media policy (--image)", "system_prompt": "system prompt", "gen": "--gen"}


def _shown(value: Any) -> str:
    text = "the default" if value in (None, {}, [], ()) else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def of_task(first: FinishedRun, second: FinishedRun, pairs: Pairs, task: Task | None) -> list[Difference]:
    """How a task was asked or scored otherwise. `task` is its file, where that is as it was in both runs."""
    name = pairs.task
    says = [*_samples(pairs), *_content(pairs)]
    digests = [_digest(run, name) for run in (first, second)]
    if digests[0] != digests[1]:
        variants = [run.results["tasks"][name].get("prompt_variant", DEFAULT) for run in (first, second)]
        if variants[0] != variants[1]:
            says.append(f"prompt variants '{variants[0]}' and '{variants[1]}'")
        else:
            says.append(f"its definition (prompt, generation settings, rules or metric) is another: digests "
                        f"{digests[0]} and {digests[1]}")  # fmt: skip
    versions = [_version(run) for run in (first, second)]
    if versions[0] != versions[1] and (moved := _scored_otherwise(pairs, task)):
        says.append(f"runs of lmms-fast {versions[0]} and {versions[1]}, and {moved}; score both again")
    return [Difference(name, one) for one in [*says, *_judges(first, second, pairs)]]


def _samples(pairs: Pairs) -> list[str]:
    """Sets of samples that differ, or how often each was asked."""
    found = []
    repeats = [len({repeat for _, repeat in lines}) for lines in (pairs.first, pairs.second)]
    if repeats[0] != repeats[1]:
        found.append(f"each sample was asked {repeats[0]} and {repeats[1]} times")
    for lines, other, which in ((pairs.first, pairs.second, "first"), (pairs.second, pairs.first, "second")):
        ids = {id for id, _ in other}
        if alone := [id for id, _ in lines if id not in ids]:
            found.append(f"{len(dict.fromkeys(alone))} samples are only in the {which} run, such as '{alone[0]}'")
    return found


def _content(pairs: Pairs) -> list[str]:
    """Samples that were asked otherwise under the same name."""
    found = []
    text = pictures = targets = 0
    example = ""
    for key in pairs.keys:
        one, other = pairs.first[key], pairs.second[key]
        if one["messages"] != other["messages"]:
            texts = [[part for message in line["messages"] for part in (message["role"], *message["parts"])
                      if isinstance(part, str)] for line in (one, other)]  # fmt: skip
            text += texts[0] != texts[1]
            pictures += texts[0] == texts[1]
            example = example or key[0]
        targets += (one["target"], one["choices"]) != (other["target"], other["choices"])
    if text:
        found.append(f"the prompts of {text} of {len(pairs.keys)} samples differ, such as that of '{example}'")
    if pictures:
        found.append(f"the pictures of {pictures} of {len(pairs.keys)} samples differ, or were sent otherwise")
    if targets:
        found.append(f"the accepted answers or choices of {targets} of {len(pairs.keys)} samples differ")
    return found


def _judges(first: FinishedRun, second: FinishedRun, pairs: Pairs) -> list[str]:
    """Judges or rubrics that differ, where the task has something judged."""
    judged = [[one for line in lines.values() for one in line.get("judgements", ())]
              for lines in (pairs.first, pairs.second)]  # fmt: skip
    if not any(judged):
        return []
    who = [{key: value for key, value in (run.manifest.get("judge") or {}).items() if key not in ("audit", "share")}
           for run in (first, second)]  # fmt: skip
    if who[0] != who[1]:
        names = [one.get("model", "none") for one in who]
        return [f"judges {names[0]} and {names[1]}" if names[0] != names[1] else
                f"the judge's settings: {_shown(who[0])} and {_shown(who[1])}"]  # fmt: skip
    model = who[0].get("model")
    rubrics = [{one["rubric"] for one in found if one.get("judge") == model} for found in judged]
    return ["the judge was given another rubric"] if all(rubrics) and rubrics[0] != rubrics[1] else []


def _digest(run: FinishedRun, task: str) -> str | None:
    """Of a task's definition; that of imported answers is in the rules they were imported with."""
    identity = run.manifest.get("identity", {})
    tasks = identity.get("tasks")
    return str(tasks.get(task)) if isinstance(tasks, dict) else str(identity.get("rules"))


def _version(run: FinishedRun) -> str:
    sessions = run.manifest.get("sessions") or [{}]
    return str(sessions[-1].get("versions", {}).get("lmms-fast", "?"))


def _scored_otherwise(pairs: Pairs, task: Task | None) -> str | None:
    """What is known of scores that the rules of today do not give, in words; None where they give all of them."""
    if task is None or task.score.judge is not None or task.foreign is not None:
        return "whether their rules are the same cannot be told here"
    rules = rules_of(task)
    moved = 0
    for line in (*pairs.first.values(), *pairs.second.values()):
        if line["score"] is not None:
            moved += value_of(judge(Record(line), _response(line), rules)) != line["score"]
    return f"the rules of today give {moved} of their samples another score" if moved else None


def _response(line: Mapping[str, Any]) -> Response:
    return Response(f"{line['task']}/{line['id']}#{line['repeat']}",
                    **{**line["response"], "usage": Usage(**line["response"]["usage"])})  # fmt: skip


def definitions(run: FinishedRun, include: Sequence[Path] = ()) -> dict[str, Task]:
    """A run's tasks whose files are still what they were when it asked; no hook runs, and nothing is fetched."""
    spec = recorded_spec(run.path, run.manifest)
    variants = run.manifest["sessions"][-1].get("prompt_variants", {})
    folders = [*include, run.path, *(path for path in map(Path, spec["include_path"]) if path.is_dir())]
    catalog = Catalog(folders, foreign=())
    found: dict[str, Task] = {}
    for name in spec["tasks"]:
        if name.startswith(tuple(BRIDGES)):
            continue
        with contextlib.suppress(LmmsFastError):  # a file that is gone or broken is one that is not as it was
            kept = catalog.kept(name, lambda task: run.path / f"{task}.yaml")
            chosen = catalog.select([kept]).prompted(lambda task: variants.get(task.task, DEFAULT))
            found |= {task.task: task for task in chosen.tasks if _unchanged(run, task)}
    return found


def _unchanged(run: FinishedRun, task: Task) -> bool:
    recorded = run.manifest.get("identity", {}).get("tasks", {})
    if not isinstance(recorded, dict):  # of imported answers, which carry their rules or name a task
        return task.task in recorded
    try:
        return bool(recorded.get(task.task) == task.digest())
    except OSError:  # its hooks are gone
        return False


def only_in(first: FinishedRun, second: FinishedRun, chosen: Collection[str]) -> list[Difference]:
    """Tasks that one of the runs lacks."""
    return [
        Difference(None, f"task {name} is only in {run.path}")
        for run, other in ((first, second), (second, first))
        for name in run.tasks
        if name not in other.tasks and (not chosen or name in chosen)
    ]
