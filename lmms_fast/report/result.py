"""Journal → scores, samples files and results.json. `eval`, `resume` and `score` all end here.

Nothing but the journal and the tasks' scoring rules go in, in dataset order, so the result of a run that was killed
and resumed is the same, byte for byte, as that of one that was not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from lmms_fast.errors import StorageError, UsageError
from lmms_fast.journal.records import Record
from lmms_fast.journal.rundir import RunDir
from lmms_fast.journal.store import Journal
from lmms_fast.metrics import AGGREGATORS, aggregate_with_bounds, group_mean
from lmms_fast.metrics.agreement import Agreement, agreement
from lmms_fast.metrics.mmmu import RANDOM
from lmms_fast.report.finished import tasks_of
from lmms_fast.report.judgements import JudgedBy, Judgement, Judges, audited, judges_of, what_became
from lmms_fast.report.submission import Written, submission
from lmms_fast.report.verdict import (
    OutcomeName,
    Verdict,
    Withheld,
    as_scored,
    cut_off,
    judge,
    no_answer_reason,
    outcome_name,
    rules_of,
    value_of,
)
from lmms_fast.tasks.catalog import Selection
from lmms_fast.tasks.foreign import Answer, Mark, Marks, bridge_of
from lmms_fast.tasks.spec import DEFAULT, Group, Task
from lmms_fast.types import Aggregate, Failure, Outcome, Response, Score, Scored, Together

_ANSWER_FIELDS = tuple(field.name for field in fields(Response) if field.name != "key")


@dataclass(frozen=True, slots=True)
class Longer:
    """A task's numbers with answers that had been cut off replaced by those to a second question with more room."""

    asked: int
    truncated: int
    """Of them cut off again."""
    aggregates: tuple[Aggregate, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """A second judge's scores beside the first one's, over the samples of a random slice that both have scored."""

    judge: str
    agreement: Agreement
    disagreements: tuple[tuple[str, float, float], ...]
    """(sample, the judge's score, the second one's)."""


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
    prompt_variant: str
    scorings: Mapping[str, tuple[Aggregate, ...]]
    """The same responses by other rules that were asked for (`--scoring`)."""
    drawn: Mapping[str, int]
    """Answers that dice decided, by scoring (`default` is the task's own): under rules whose name says that they do."""
    on_a_part: bool
    """The numbers mean what the benchmark says only over the complete set, and this is a part of it."""
    submission: Written | None
    """The file for the benchmark's server."""
    judging: Mapping[str, int] = field(default_factory=dict)
    """What became of the questions to the judge: answered, not_asked, or the kind of failure."""
    audit: Audit | None = None
    """How far a second judge agrees."""
    beside: Mapping[str, Any] = field(default_factory=dict)
    """What another evaluator's code gave beside numbers."""
    files: tuple[str, ...] = ()
    """What that code wrote, below the run directory."""
    repeats: tuple[Aggregate, ...] = ()
    """What several answers to each question say: mean, pass@k, maj@k, flip rate; empty where each was asked once."""


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
    changed: Mapping[str, int] = field(default_factory=dict)
    """Pictures that were not sent as they are stored, by what was done to them; counted for each sample they are in."""
    judged: JudgedBy | None = None
    """None: no judge was asked."""

    @property
    def not_judged(self) -> int:
        """Answers that the judge should have given a score, and did not."""
        return sum(task.outcomes.get("not_judged", 0) for task in self.tasks.values()) if self.judged else 0

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
        found = self.tasks[name].aggregates  # empty where the answers are withheld
        return next(one.value for one in found if one.group is None and metric in (None, one.metric))


def finish(
    run: RunDir, journal: Journal, tasks: Sequence[Task], groups: Sequence[Group], scorings: Sequence[str] = ()
) -> RunResult:
    """Score what the journal holds and write samples, submissions and results.json. Raises StorageError.

    `scorings` names variants to be reported beside the tasks' own rules, where a task has them.
    """
    count = _Count()
    sizes, part = _sizes(run), _asked_for_a_part(run)
    with judges_of(run) as judges:
        results = {task.task: _finish_task(run, journal, task, sizes.get(task.task), part, scorings, count, judges)
                   for task in tasks}  # fmt: skip
    result = RunResult(
        run.path, results, _group_results(groups, results), dict(sorted(count.failures.items())), count.samples,
        count.tokens["prompt"], count.tokens["completion"], count.examples, dict(sorted(count.changed.items())),
        judges.told(tasks),
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
    changed: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record, outcome: Outcome) -> None:
        self.samples += 1
        parts = (part for message in record.get("messages", ()) for part in message["parts"])
        self.changed.update(why for part in parts if isinstance(part, dict) for why in part.get("changed", ()))
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


def _last_session(run: RunDir) -> Mapping[str, Any]:
    sessions = (run.manifest() or {}).get("sessions", [])
    return sessions[-1] if sessions else {}


def _asked_for_a_part(run: RunDir) -> bool:
    """Whether the last session was told to ask some of the samples only."""
    spec = _last_session(run).get("spec", {})
    return spec.get("limit") is not None or bool(spec.get("sample_ids") or spec.get("shard"))


Marking = Callable[[Record, Outcome], tuple[Verdict, Sequence[Judgement]]]


@dataclass(slots=True)
class _Scoring:
    """A task's samples by one set of rules."""

    task: Task
    mark: Marking
    scored: list[Scored] = field(default_factory=list)
    drawn: int = 0

    def add(self, record: Record, outcome: Outcome) -> tuple[Verdict, Sequence[Judgement]]:
        """Take in what became of a sample; what a judge said of it beside the verdict."""
        verdict, judgements = self.mark(record, outcome)
        if not isinstance(verdict, Withheld):
            self.scored.append(as_scored(record, verdict))
        if isinstance(verdict, Score):
            self.drawn += verdict.prediction.rule.endswith(RANDOM)
        return verdict, judgements

    def aggregates(self) -> tuple[Aggregate, ...]:
        """Its numbers."""
        return _aggregates(self.task, self.scored)


def _by_rules(task: Task, judges: Judges) -> _Scoring:
    if task.score.judge is not None and judges.first is not None:
        return _Scoring(task, judges.first.marking(task))
    rules = rules_of(task)
    return _Scoring(task, lambda record, outcome: (judge(record, outcome, rules), ()))


def _by_marks(task: Task, marks: Marks) -> _Scoring:
    return _Scoring(task, lambda record, outcome: (_mark_of(marks, record, outcome), ()))


class _Audit:
    """A second judge's scores beside the first one's, over a random slice."""

    def __init__(self, task: Task, judges: Judges) -> None:
        asked = task.score.judge is not None and judges.second is not None
        self._mark = judges.second.marking(task) if judges.second is not None and asked else None
        self._share, self._judge = judges.share, judges.second.who.model if judges.second is not None else ""
        self._pairs: list[tuple[str, float, float]] = []

    def add(self, record: Record, outcome: Outcome, verdict: Verdict) -> Sequence[Judgement]:
        """What the second judge said of a sample that the first has scored."""
        if self._mark is None or not audited(outcome.key, self._share):
            return ()
        second, judgements = self._mark(record, outcome)
        if judgements and isinstance(verdict, Score) and isinstance(second, Score):
            self._pairs.append((outcome.key, verdict.value, second.value))
        return judgements

    def result(self) -> Audit | None:
        """None where there was no second judge."""
        if self._mark is None:
            return None
        found = agreement([(one, other) for _, one, other in self._pairs])
        differ = tuple(pair for pair in self._pairs if round(pair[1], 1) != round(pair[2], 1))
        return Audit(self._judge, found, differ)


@dataclass(slots=True)
class _Told:
    """What became of a task's samples, counted."""

    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    judging: Counter[str] = field(default_factory=Counter)
    truncated: int = 0
    asked_again: int = 0
    truncated_again: int = 0

    def add(self, verdict: Verdict, outcome: Outcome, judgements: Sequence[Judgement]) -> OutcomeName:
        """Count a sample; the name of what became of it."""
        if judgements:
            self.judging[what_became(verdict, judgements)] += 1
        name = outcome_name(verdict)
        self.outcomes[name] += 1
        if name == "no_answer" and isinstance(outcome, Response):
            self.reasons[no_answer_reason(outcome)] += 1
        self.truncated += cut_off(outcome)
        return name

    def add_again(self, second: Outcome) -> None:
        """Count a sample that was asked again with more room."""
        self.asked_again += 1
        self.truncated_again += cut_off(second)


def _finish_task(
    run: RunDir, journal: Journal, task: Task, size: int | None, part: bool, scorings: Sequence[str], count: _Count,
    judges: Judges,
) -> TaskResult:  # fmt: skip
    marked = None if task.foreign is None else _marked(run, journal, task)
    own = _by_rules(task, judges) if marked is None else _by_marks(task, marked.marks)
    longer = _by_rules(task, judges) if marked is None else _by_marks(task, marked.longer)
    others = {name: _by_rules(task.scored_by(name), judges) for name in scorings if name in task.scoring_variants}
    audit = _Audit(task, judges)
    told = _Told()
    target = run.samples(task.task)
    temporary = target.with_name(target.name + ".tmp")
    try:
        with temporary.open("wb") as file, submission(task, run.path / "submissions") as hand_in:
            for record, outcome, second in journal.read([task.task]):
                verdict, judgements = own.add(record, outcome)
                line = _sample_line(record, outcome, verdict, told.add(verdict, outcome, judgements))
                if judgements := [*judgements, *audit.add(record, outcome, verdict)]:
                    line["judgements"] = judgements
                count.add(record, outcome)
                hand_in.add(record, outcome, None if verdict is None else verdict.prediction)
                if others:
                    line["scorings"] = {name: _verdict_line(*by.add(record, outcome)) for name, by in others.items()}
                if second is not None:
                    told.add_again(second)
                    verdict, judgements = longer.add(record, second)
                    line["longer"] = _sample_line({}, second, verdict, outcome_name(verdict))
                    if judgements:
                        line["longer"]["judgements"] = judgements
                elif not isinstance(verdict, Withheld):
                    longer.scored.append(own.scored[-1])
                file.write(orjson.dumps(line) + b"\n")
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{target}: cannot be written ({error.strerror}); make room, run it again.") from None
    missing = None if size is None else max(0, size - told.outcomes.total())
    whole = not part and not missing and all(one.value is not None for one in own.scored)
    return TaskResult(
        own.aggregates() if marked is None else marked.marks.aggregates,
        dict(sorted(told.outcomes.items())),
        dict(sorted(told.reasons.items())),
        told.truncated,
        missing,
        _longer(told, longer, marked) if told.asked_again else None,
        task.prompt_variant,
        {name: other.aggregates() for name, other in others.items()},
        {name: one.drawn for name, one in {DEFAULT: own, **others}.items() if one.drawn},
        not whole and bool(own.scored) and any(AGGREGATORS[report.name].whole for report in task.report),
        hand_in.written,
        dict(sorted(told.judging.items())),
        audit.result(),
        {} if marked is None else marked.marks.beside,
        () if marked is None else marked.marks.files,
        _repeats(own.scored),
    )


def _longer(told: _Told, scoring: _Scoring, marked: _Marked | None) -> Longer:
    numbers = scoring.aggregates() if marked is None else marked.longer.aggregates
    return Longer(told.asked_again, told.truncated_again, numbers)


@dataclass(frozen=True, slots=True)
class _Marked:
    """What another evaluator's code makes of a task's answers; and of those where cut-off ones were asked again."""

    marks: Marks
    longer: Marks


def _marked(run: RunDir, journal: Journal, task: Task) -> _Marked:
    first: list[Answer] = []
    again: list[Answer] = []
    asked = 0
    for record, outcome, second in journal.read([task.task]):
        asked += 1
        for answers, one in ((first, outcome), (again, second or outcome)):
            if isinstance(one, Response):
                answers.append(Answer(record["id"], record["repeat"], one.text))
    where = _last_session(run).get("spec", {}).get("data_dir")
    score_all = partial(bridge_of(task).score, task, asked=asked, data_dir=None if where is None else Path(where))
    marks = score_all(first, folder=run.path)
    return _Marked(marks, marks if again == first else score_all(again, folder=run.path / "longer"))


def _mark_of(marks: Marks, record: Record, outcome: Outcome) -> Verdict:
    mark: Mark | None = marks.each.get((record["id"], record["repeat"]))
    if mark is None or not isinstance(outcome, Response):
        return None
    if mark.value is None and mark.prediction.answer is not None:
        return Together(mark.prediction)
    return Score(mark.value or 0.0, mark.prediction)


def _aggregates(task: Task, scored: Sequence[Scored]) -> tuple[Aggregate, ...]:
    """With bounds where something was not measured."""
    if not scored:
        return ()
    return tuple(
        one for report in task.report for one in aggregate_with_bounds(report.name, scored, report.options)
    )


def _repeats(scored: Sequence[Scored]) -> tuple[Aggregate, ...]:
    if len({one.id for one in scored}) == len(scored) or all(one.value is None for one in scored):
        return ()
    return tuple(aggregate_with_bounds("repeats", scored))


def as_json(result: RunResult) -> dict[str, Any]:
    """The content of results.json: scores and accounting, no times, so equal runs give equal files."""
    return {
        "groups": {name: asdict(one) for name, one in result.groups.items()},
        "tasks": {
            name: {
                "aggregates": [asdict(one) for one in task.aggregates],
                **({"repeats": [asdict(one) for one in task.repeats]} if task.repeats else {}),
                "outcomes": task.outcomes,
                "no_answer": task.no_answer,
                "truncated": task.truncated,
                "not_asked": task.not_asked,
                "longer": None if task.longer is None else asdict(task.longer),
                "prompt_variant": task.prompt_variant,
                "scorings": {name: [asdict(one) for one in found] for name, found in task.scorings.items()},
                "drawn": task.drawn,
                "on_a_part": task.on_a_part,
                "submission": None if task.submission is None else asdict(task.submission),
                **({"judging": task.judging} if task.judging else {}),
                **({"audit": asdict(task.audit)} if task.audit else {}),
                **({"beside": dict(task.beside)} if task.beside else {}),
                **({"files": task.files} if task.files else {}),
            }
            for name, task in result.tasks.items()
        },
        "samples": result.samples,
        "not_measured": dict(result.failures),
        "pictures_changed": dict(result.changed),
        "usage": {"prompt_tokens": result.prompt_tokens, "completion_tokens": result.completion_tokens},
        **({"judged": asdict(result.judged)} if result.judged else {}),
    }


def check_scorings(tasks: Sequence[Task], scorings: Sequence[str]) -> None:
    """Raise UsageError for a scoring variant that none of the tasks has."""
    known = sorted({name for task in tasks for name in task.scoring_variants})
    for name in scorings:
        if name not in known:
            allowed = f"they have: {', '.join(known)}" if known else "they have none"
            raise UsageError(f"--scoring {name}: none of the tasks has rules of that name; {allowed}.")


def load(path: Path) -> RunDir:
    """Open an existing run's directory. Raises UsageError if there is none."""
    if not (path / "manifest.json").is_file():
        raise UsageError(f"{path}: not a run directory (it has no manifest.json).")
    return RunDir(path)


def _verdict_line(verdict: Verdict, judgements: Sequence[Judgement] = ()) -> dict[str, Any]:
    said = {"judgements": judgements} if judgements else {}
    if verdict is None:
        return {"score": None}
    prediction = {"answer": verdict.prediction.answer, "rule": verdict.prediction.rule}
    parts = {"parts": verdict.parts} if isinstance(verdict, Score) and verdict.parts else {}
    return {"score": value_of(verdict), **parts, "prediction": prediction, **said}


def _sample_line(record: Record, outcome: Outcome, verdict: Verdict, name: OutcomeName) -> dict[str, Any]:
    line: dict[str, Any] = {**record, "outcome": name, **_verdict_line(verdict)}
    if isinstance(outcome, Response):
        return {**line, "response": {name: getattr(outcome, name) for name in _ANSWER_FIELDS}}
    return {**line, "failure": outcome}


def _group_results(groups: Sequence[Group], results: Mapping[str, TaskResult]) -> dict[str, Aggregate]:
    """Headline per group; inner groups first would need a second pass, so groups of groups average their tasks."""
    means: dict[str, Aggregate] = {}
    for group in groups:
        members = [results[name].aggregates for name in group.tasks if name in results]
        for number, metric in enumerate(group.metrics or (None,)):
            chosen = [found[0] if metric is None else _named(found, metric) for found in members if found]
            headlines = [one for one in chosen if one is not None]
            if group.weight != "none" and len(headlines) > 1:
                name = group.group if number == 0 else f"{group.group} {metric}"
                means[name] = group_mean(metric or "mean", headlines, group.weight)
    return means


def _named(found: Sequence[Aggregate], metric: str) -> Aggregate | None:
    return next((one for one in found if one.group is None and one.metric == metric), None)


def recorded_tasks(directory: RunDir, include: Sequence[Path] = ()) -> Selection:
    """As `finished.tasks_of`, of a run that is opened for writing."""
    return tasks_of(directory.path, directory.manifest(), include)
