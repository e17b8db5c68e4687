"""Journal → scores, samples files and results.json. `eval`, `resume` and `score` all end here.

Nothing but the journal and the tasks' scoring rules go in, in dataset order, so the result of a run that was killed
and resumed is the same, byte for byte, as that of one that was not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import orjson

from lmms_fast.errors import StorageError, UsageError
from lmms_fast.journal.records import Record, sample_of
from lmms_fast.journal.rundir import RunDir
from lmms_fast.journal.store import Journal
from lmms_fast.metrics.aggregate import aggregate, check_aggregate, group_mean
from lmms_fast.metrics.score import ScoringRules, score
from lmms_fast.tasks.catalog import Catalog, Selection
from lmms_fast.tasks.spec import Group, Task
from lmms_fast.types import Aggregate, Failure, Outcome, Response, Score, Scored

_ANSWER_FIELDS = tuple(field.name for field in fields(Response) if field.name != "key")

OutcomeName = Literal["correct", "wrong", "graded", "no_answer", "not_measured"]


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task's numbers."""

    aggregates: tuple[Aggregate, ...]
    """The headline first."""
    outcomes: Mapping[str, int]
    truncated: int
    """Answers cut off by the token limit."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run measured."""

    path: Path
    tasks: Mapping[str, TaskResult]
    groups: Mapping[str, Aggregate]
    failures: Mapping[str, int]
    """Samples not measured, by kind of failure."""
    samples: int
    prompt_tokens: int
    completion_tokens: int
    examples: Mapping[str, str] = field(default_factory=dict)
    """One failure's detail per kind."""

    @property
    def failed(self) -> int:
        """Samples that could not be measured."""
        return sum(self.failures.values())

    def score(self, name: str, metric: str | None = None) -> float | None:
        """A task's headline (or the named metric), or a group's mean. Raises KeyError for a name not in the run."""
        if name in self.groups:
            return self.groups[name].value
        found = self.tasks[name].aggregates
        return next(one.value for one in found if one.group is None and metric in (None, one.metric))


def rules_of(task: Task) -> ScoringRules:
    """The task's scoring, checked. Raises TaskError."""
    rules = ScoringRules(
        task.score.extract.name, task.score.extract.options, task.score.match.name, task.score.match.options
    )
    rules.check()
    for report in task.report:
        check_aggregate(report.name, report.options)
    return rules


def finish(run: RunDir, journal: Journal, tasks: Sequence[Task], groups: Sequence[Group]) -> RunResult:
    """Score what the journal holds and write samples files and results.json. Raises StorageError."""
    results: dict[str, TaskResult] = {}
    failures: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    examples: dict[str, str] = {}
    samples = 0
    for task in tasks:
        scored: list[Scored] = []
        outcomes: Counter[str] = Counter()
        truncated = 0
        rules = rules_of(task)
        target = run.samples(task.task)
        temporary = target.with_name(target.name + ".tmp")
        try:
            with temporary.open("wb") as file:
                for record, outcome in journal.read([task.task]):
                    verdict = judge(record, outcome, rules)
                    scored.append(as_scored(record, verdict))
                    name = outcome_name(verdict)
                    outcomes[name] += 1
                    truncated += isinstance(outcome, Response) and outcome.finish_reason == "length"
                    _count(outcome, failures, tokens, examples)
                    file.write(orjson.dumps(_sample_line(record, outcome, verdict, name)) + b"\n")
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StorageError(f"{target}: cannot be written ({error.strerror}); make room, run it again.") from None
        aggregates = [one for report in task.report for one in aggregate(report.name, scored, report.options)]
        results[task.task] = TaskResult(tuple(aggregates), dict(sorted(outcomes.items())), truncated)
        samples += len(scored)
    result = RunResult(
        run.path, results, _group_results(groups, results), dict(sorted(failures.items())), samples,
        tokens["prompt"], tokens["completion"], examples,
    )  # fmt: skip
    run.write("results.json", as_json(result))
    return result


def judge(record: Record, outcome: Outcome, rules: ScoringRules) -> Score | None:
    """The score of a response; None for a failure, which has no text that could be scored."""
    return score(sample_of(record), outcome.text, rules) if isinstance(outcome, Response) else None


def outcome_name(verdict: Score | None) -> OutcomeName:
    """What became of a sample."""
    if verdict is None:
        return "not_measured"
    if verdict.prediction.answer is None:
        return "no_answer"
    return {1.0: "correct", 0.0: "wrong"}.get(verdict.value, "graded")  # type: ignore[return-value]


def as_scored(record: Record, verdict: Score | None) -> Scored:
    """A sample as the aggregations see it."""
    return Scored(
        id=record["id"],
        repeat=record["repeat"],
        groups=record["groups"],
        value=None if verdict is None else verdict.value,
        answered=verdict is not None and verdict.prediction.answer is not None,
    )


def as_json(result: RunResult) -> dict[str, Any]:
    """The content of results.json: scores and accounting, no times, so equal runs give equal files."""
    return {
        "groups": {name: asdict(one) for name, one in result.groups.items()},
        "tasks": {
            name: {
                "aggregates": [asdict(one) for one in task.aggregates],
                "outcomes": task.outcomes,
                "truncated": task.truncated,
            }
            for name, task in result.tasks.items()
        },
        "samples": result.samples,
        "not_measured": dict(result.failures),
        "usage": {"prompt_tokens": result.prompt_tokens, "completion_tokens": result.completion_tokens},
    }


def load(path: Path) -> RunDir:
    """Open an existing run's directory. Raises UsageError if there is none."""
    if not (path / "manifest.json").is_file():
        raise UsageError(f"{path}: not a run directory (it has no manifest.json).")
    return RunDir(path)


def _sample_line(record: Record, outcome: Outcome, verdict: Score | None, name: OutcomeName) -> dict[str, Any]:
    line: dict[str, Any] = {**record, "outcome": name}
    if isinstance(outcome, Response) and verdict is not None:
        answer = {name: getattr(outcome, name) for name in _ANSWER_FIELDS}
        prediction = {"answer": verdict.prediction.answer, "rule": verdict.prediction.rule}
        return {**line, "score": verdict.value, "prediction": prediction, "response": answer}
    return {**line, "score": None, "failure": outcome}


def _count(outcome: Outcome, failures: Counter[str], tokens: Counter[str], examples: dict[str, str]) -> None:
    if isinstance(outcome, Failure):
        failures[outcome.kind] += 1
        examples.setdefault(outcome.kind, outcome.detail)
        return
    tokens["prompt"] += outcome.usage.prompt_tokens or 0
    tokens["completion"] += outcome.usage.completion_tokens or 0


def _group_results(groups: Sequence[Group], results: Mapping[str, TaskResult]) -> dict[str, Aggregate]:
    """Headline per group; inner groups first would need a second pass, so groups of groups average their tasks."""
    found: dict[str, Aggregate] = {}
    for group in groups:
        headlines = [results[name].aggregates[0] for name in group.tasks if name in results]
        if group.weight != "none" and len(headlines) > 1:
            found[group.group] = group_mean("mean", headlines, group.weight)
    return found


def recorded_tasks(directory: RunDir, include: Sequence[Path] = ()) -> Selection:
    """The tasks a run was made with, as their files are now. Raises TaskError when one is gone."""
    manifest = directory.manifest() or {}
    spec = manifest["sessions"][-1]["spec"]
    return Catalog([*include, *map(Path, spec["include_path"])]).select(spec["tasks"])
