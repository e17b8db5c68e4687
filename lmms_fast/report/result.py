"""Journal → scores, samples files and results.json. `eval`, `resume` and `score` all end here.

Nothing but the journal and the tasks' scoring rules go in, in dataset order, so the result of a run that was killed
and resumed is the same, byte for byte, as that of one that was not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import orjson

from lmms_fast.errors import StorageError, UsageError
from lmms_fast.journal.records import Record, sample_of
from lmms_fast.journal.rundir import RunDir, recorded_spec
from lmms_fast.journal.store import Journal
from lmms_fast.metrics.aggregate import aggregate, check_aggregate, group_mean
from lmms_fast.metrics.score import ScoringRules, score
from lmms_fast.tasks.catalog import Catalog, Selection
from lmms_fast.tasks.spec import Group, Task
from lmms_fast.types import Aggregate, Failure, Outcome, Response, Score, Scored

_ANSWER_FIELDS = tuple(field.name for field in fields(Response) if field.name != "key")

OutcomeName = Literal["correct", "wrong", "graded", "no_answer", "not_measured"]
NoAnswer = Literal["empty", "refused", "cut_off", "content_filter", "unparsable"]
_REFUSES = re.compile(
    r"\b(I'?m sorry|I apologi[sz]e|I (?:can'?t|cannot) (?:help|assist|answer|provide|see|view|determine)|I am unable"
    r"|I'm unable|as an AI)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Longer:
    """A task's numbers with answers that had been cut off replaced by those to a second question with more room."""

    asked: int
    truncated: int
    """Of them cut off again."""
    aggregates: tuple[Aggregate, ...]


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task's numbers."""

    aggregates: tuple[Aggregate, ...]
    """The headline first."""
    outcomes: Mapping[str, int]
    no_answer: Mapping[str, int]
    """Of the samples without an answer, why there is none."""
    truncated: int
    """Answers cut off by the token limit."""
    not_asked: int | None
    """Samples that the run ended without asking; None where the data do not tell how many there are."""
    longer: Longer | None
    """The same with the cut-off answers asked again."""


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
    def not_asked(self) -> int:
        """Samples that the run ended without asking, as far as is known."""
        return sum(task.not_asked or 0 for task in self.tasks.values())

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
    count = _Count()
    sizes = _sizes(run)
    results = {task.task: _finish_task(run, journal, task, sizes.get(task.task), count) for task in tasks}
    result = RunResult(
        run.path, results, _group_results(groups, results), dict(sorted(count.failures.items())), count.samples,
        count.tokens["prompt"], count.tokens["completion"], count.examples,
    )  # fmt: skip
    run.write("results.json", as_json(result))
    return result


@dataclass(slots=True)
class _Count:
    """What adds up over the tasks of a run."""

    samples: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        self.samples += 1
        if isinstance(outcome, Failure):
            self.failures[outcome.kind] += 1
            self.examples.setdefault(outcome.kind, outcome.detail)
            return
        self.tokens["prompt"] += outcome.usage.prompt_tokens or 0
        self.tokens["completion"] += outcome.usage.completion_tokens or 0


def _sizes(run: RunDir) -> Mapping[str, int | None]:
    """How many samples each task has, as the last session that opened the data found."""
    sessions = (run.manifest() or {}).get("sessions", [])
    return next((session["samples"] for session in reversed(sessions) if "samples" in session), {})


def _finish_task(run: RunDir, journal: Journal, task: Task, size: int | None, count: _Count) -> TaskResult:
    scored: list[Scored] = []
    longer: list[Scored] = []
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    truncated = asked = again = 0
    rules = rules_of(task)
    target = run.samples(task.task)
    temporary = target.with_name(target.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            for record, outcome, second in journal.read([task.task]):
                verdict = judge(record, outcome, rules)
                scored.append(as_scored(record, verdict))
                name = outcome_name(verdict)
                outcomes[name] += 1
                if name == "no_answer" and isinstance(outcome, Response):
                    reasons[no_answer_reason(outcome)] += 1
                truncated += _cut_off(outcome)
                count.add(outcome)
                line = _sample_line(record, outcome, verdict, name)
                longer.append(scored[-1])
                if second is not None:
                    verdict = judge(record, second, rules)
                    longer[-1] = as_scored(record, verdict)
                    asked, again = asked + 1, again + _cut_off(second)
                    line["longer"] = _sample_line({}, second, verdict, outcome_name(verdict))
                file.write(orjson.dumps(line) + b"\n")
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{target}: cannot be written ({error.strerror}); make room, run it again.") from None
    return TaskResult(
        _aggregates(task, scored), dict(sorted(outcomes.items())), dict(sorted(reasons.items())), truncated,
        None if size is None else max(0, size - len(scored)),
        Longer(asked, again, _aggregates(task, longer)) if asked else None,
    )  # fmt: skip


def _aggregates(task: Task, scored: Sequence[Scored]) -> tuple[Aggregate, ...]:
    """With bounds where something was not measured: the same sums with all of it wrong, and with all of it right."""
    found = _aggregated(task, scored)
    if all(one.value is not None for one in scored):
        return found
    low, high = (
        _aggregated(task, [replace(one, value=value) if one.value is None else one for one in scored])
        for value in (0.0, 1.0)
    )
    return tuple(replace(one, low=worst.value, high=best.value)
                 for one, worst, best in zip(found, low, high, strict=True))  # fmt: skip


def _aggregated(task: Task, scored: Sequence[Scored]) -> tuple[Aggregate, ...]:
    return tuple(one for report in task.report for one in aggregate(report.name, scored, report.options))


def _cut_off(outcome: Outcome) -> bool:
    return isinstance(outcome, Response) and outcome.finish_reason == "length"


def no_answer_reason(response: Response) -> NoAnswer:
    """Why a response has no answer in it."""
    if response.finish_reason == "content_filter":
        return "content_filter"
    if response.refusal is not None:
        return "refused"
    if response.finish_reason == "length":
        return "cut_off"
    if not response.text.strip():
        return "empty"
    return "refused" if _REFUSES.search(response.text) else "unparsable"


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
                "no_answer": task.no_answer,
                "truncated": task.truncated,
                "not_asked": task.not_asked,
                "longer": None if task.longer is None else asdict(task.longer),
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


def _group_results(groups: Sequence[Group], results: Mapping[str, TaskResult]) -> dict[str, Aggregate]:
    """Headline per group; inner groups first would need a second pass, so groups of groups average their tasks."""
    found: dict[str, Aggregate] = {}
    for group in groups:
        headlines = [results[name].aggregates[0] for name in group.tasks if name in results]
        if group.weight != "none" and len(headlines) > 1:
            found[group.group] = group_mean("mean", headlines, group.weight)
    return found


def recorded_tasks(directory: RunDir, include: Sequence[Path] = ()) -> Selection:
    """The tasks a run was made with, as their files are now; none of their hooks is run. Raises TaskError when one is
    gone."""
    spec = recorded_spec(directory.path, directory.manifest())
    return Catalog([*include, *map(Path, spec["include_path"])]).select(spec["tasks"])
