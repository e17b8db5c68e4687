"""Journal → scores, samples files and results.json. `eval`, `resume` and `score` all end here.

Nothing but the journal and the tasks' scoring rules go in, in dataset order, so the result of a run that was killed
and resumed is the same, byte for byte, as that of one that was not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import orjson

from lmms_fast.errors import StorageError, UsageError
from lmms_fast.journal.records import Record, sample_of
from lmms_fast.journal.rundir import RunDir, recorded_spec
from lmms_fast.journal.store import Journal
from lmms_fast.metrics import (
    AGGREGATORS,
    Judging,
    ScoringRules,
    Step,
    aggregate,
    check_aggregate,
    extracted,
    group_mean,
    judged,
    score,
)
from lmms_fast.report.submission import Written, submission
from lmms_fast.tasks.catalog import Catalog, Selection
from lmms_fast.tasks.foreign import Answer, Mark, Marks, bridge_of
from lmms_fast.tasks.spec import DEFAULT, Group, Rule, Task
from lmms_fast.types import Aggregate, Failure, Outcome, Prediction, Response, Score, Scored, Together, Undecided

_ANSWER_FIELDS = tuple(field.name for field in fields(Response) if field.name != "key")

@dataclass(frozen=True, slots=True)
class Withheld:
    """A response whose right answer the dataset does not tell; its benchmark's server does."""

    prediction: Prediction


Verdict = Score | Undecided | Withheld | Together | None
OutcomeName = Literal["correct", "wrong", "graded", "no_answer", "not_measured", "not_judged", "withheld", "together"]
"""`not_judged`: only a judge model can tell, and none was asked. `withheld`: the dataset has no answer for it.
`together`: answered, and only all answers together have a number."""
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
    prompt_variant: str
    scorings: Mapping[str, tuple[Aggregate, ...]]
    """The same responses by other rules that were asked for (`--scoring`)."""
    on_a_part: bool
    """The numbers mean what the benchmark says only over the complete set, and this is a part of it."""
    submission: Written | None
    """The file for the benchmark's server."""
    beside: Mapping[str, Any] = field(default_factory=dict)
    """What another evaluator's code gave beside numbers."""
    files: tuple[str, ...] = ()
    """What that code wrote, below the run directory."""


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


def rules_of(task: Task) -> ScoringRules:
    """The task's scoring, checked with that of its variants. Raises TaskError."""
    for name in task.scoring_variants:
        rules_of(task.scored_by(name))
    declared = task.score
    rules = ScoringRules(
        tuple(Step(rule.name, rule.options) for rule in declared.extract),
        Step(declared.match.name, declared.match.options),
        None if (judge := declared.judge) is None else Judging(Step(judge.read.name, judge.read.options), judge.when),
    )
    rules.check(task.facts)
    for report in task.report:
        check_aggregate(report.name, report.options, task.groups)
    return rules


def finish(
    run: RunDir, journal: Journal, tasks: Sequence[Task], groups: Sequence[Group], scorings: Sequence[str] = ()
) -> RunResult:
    """Score what the journal holds and write samples, submissions and results.json. Raises StorageError.

    `scorings` names variants to be reported beside the tasks' own rules, where a task has them.
    """
    count = _Count()
    sizes, part = _sizes(run), _asked_for_a_part(run)
    results = {task.task: _finish_task(run, journal, task, sizes.get(task.task), part, scorings, count)
               for task in tasks}  # fmt: skip
    result = RunResult(
        run.path, results, _group_results(groups, results), dict(sorted(count.failures.items())), count.samples,
        count.tokens["prompt"], count.tokens["completion"], count.examples, dict(sorted(count.changed.items())),
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
    return spec.get("limit") is not None or bool(spec.get("sample_ids"))


def _finish_task(
    run: RunDir, journal: Journal, task: Task, size: int | None, part: bool, scorings: Sequence[str], count: _Count
) -> TaskResult:
    scored: list[Scored] = []
    longer: list[Scored] = []
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    truncated = asked = again = 0
    rules = rules_of(task)
    others = {name: task.scored_by(name) for name in scorings if name in task.scoring_variants}
    other_rules = {name: rules_of(other) for name, other in others.items()}
    other_scored: dict[str, list[Scored]] = {name: [] for name in others}
    marked = None if task.foreign is None else _marked(run, journal, task)
    target = run.samples(task.task)
    temporary = target.with_name(target.name + ".tmp")
    try:
        with temporary.open("wb") as file, submission(task, run.path / "submissions") as hand_in:
            for record, outcome, second in journal.read([task.task]):
                verdict = judge(record, outcome, rules) if marked is None else _mark_of(marked.marks, record, outcome)
                name = outcome_name(verdict)
                outcomes[name] += 1
                if name == "no_answer" and isinstance(outcome, Response):
                    reasons[no_answer_reason(outcome)] += 1
                truncated += _cut_off(outcome)
                count.add(record, outcome)
                hand_in.add(record, outcome, None if verdict is None else verdict.prediction)
                line = _sample_line(record, outcome, verdict, name)
                for other, its in other_rules.items():
                    its_verdict = judge(record, outcome, its)
                    line.setdefault("scorings", {})[other] = _verdict_line(its_verdict)
                    other_scored[other].append(as_scored(record, its_verdict))
                if name != "withheld":
                    scored.append(as_scored(record, verdict))
                    longer.append(scored[-1])
                if second is not None:
                    verdict = (judge(record, second, rules) if marked is None
                               else _mark_of(marked.longer, record, second))  # fmt: skip
                    if name != "withheld":
                        longer[-1] = as_scored(record, verdict)
                    asked, again = asked + 1, again + _cut_off(second)
                    line["longer"] = _sample_line({}, second, verdict, outcome_name(verdict))
                file.write(orjson.dumps(line) + b"\n")
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{target}: cannot be written ({error.strerror}); make room, run it again.") from None
    total = outcomes.total()
    missing = None if size is None else max(0, size - total)
    whole = not part and not missing and all(one.value is not None for one in scored)
    return TaskResult(
        _aggregates(task, scored) if marked is None else marked.marks.aggregates,
        dict(sorted(outcomes.items())),
        dict(sorted(reasons.items())),
        truncated,
        missing,
        Longer(asked, again, _aggregates(task, longer) if marked is None else marked.longer.aggregates)
        if asked else None,
        task.prompt_variant,
        {name: _aggregates(other, other_scored[name]) for name, other in others.items()},
        not whole and bool(scored) and any(AGGREGATORS[report.name].whole for report in task.report),
        hand_in.written,
        *(() if marked is None else (marked.marks.beside, marked.marks.files)),
    )


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
                answers.append(Answer(record["row"], record["repeat"], one.text))
    where = _last_session(run).get("spec", {}).get("data_dir")
    score_all = partial(bridge_of(task).score, task, asked=asked, data_dir=None if where is None else Path(where))
    marks = score_all(first, folder=run.path)
    return _Marked(marks, marks if again == first else score_all(again, folder=run.path / "longer"))


def _mark_of(marks: Marks, record: Record, outcome: Outcome) -> Verdict:
    mark: Mark | None = marks.each.get((record["row"], record["repeat"]))
    if mark is None or not isinstance(outcome, Response):
        return None
    if mark.value is None and mark.prediction.answer is not None:
        return Together(mark.prediction)
    return Score(mark.value or 0.0, mark.prediction)


def _aggregates(task: Task, scored: Sequence[Scored]) -> tuple[Aggregate, ...]:
    """With bounds where something was not measured: the same sums with all of it wrong, and with all of it right."""
    if not scored:
        return ()
    return tuple(one for report in task.report for one in _bounded(report, scored))


def _bounded(report: Rule, scored: Sequence[Scored]) -> Sequence[Aggregate]:
    found = aggregate(report.name, scored, report.options)
    measured = sum(one.value is not None for one in scored)
    if measured in (0, len(scored)) or not AGGREGATORS[report.name].bounded:
        return found
    low, high = (
        aggregate(report.name, [one if one.value is not None else _as_if(one, right) for one in scored], report.options)
        for right in (False, True)
    )
    return [replace(one, low=worst.value, high=best.value) for one, worst, best in zip(found, low, high, strict=True)]


def _as_if(one: Scored, right: bool) -> Scored:
    return replace(one, value=float(right), answered=right, answer=one.target[0] if right and one.target else None)


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


def judge(record: Record, outcome: Outcome, rules: ScoringRules) -> Verdict:
    """The score of a response, as far as rules can tell; None for a failure, which has no text."""
    if not isinstance(outcome, Response):
        return None
    sample = sample_of(record)
    if rules.judge is not None:
        return judged(sample, outcome.text, rules)
    if not sample.target:
        return Withheld(extracted(sample, outcome.text, rules.extract))
    return score(sample, outcome.text, rules)


def value_of(verdict: Verdict) -> float | None:
    """The number of a sample that has one."""
    return verdict.value if isinstance(verdict, Score) else None


def outcome_name(verdict: Verdict) -> OutcomeName:
    """What became of a sample."""
    match verdict:
        case None:
            return "not_measured"
        case Undecided():
            return "not_judged"
        case Withheld():
            return "withheld"
        case Together():
            return "together"
        case Score(prediction=Prediction(answer=None)):
            return "no_answer"
        case Score(value=value):
            return {1.0: "correct", 0.0: "wrong"}.get(value, "graded")  # type: ignore[return-value]


def as_scored(record: Record, verdict: Verdict) -> Scored:
    """A sample as the aggregations see it."""
    found = verdict if isinstance(verdict, Score) else None
    return Scored(
        id=record["id"],
        repeat=record["repeat"],
        groups=record["groups"],
        value=None if found is None else found.value,
        answered=found is not None and found.prediction.answer is not None,
        parts={} if found is None else found.parts,
        answer=None if found is None else found.prediction.answer,
        target=tuple(record["target"]),
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
                "prompt_variant": task.prompt_variant,
                "scorings": {name: [asdict(one) for one in found] for name, found in task.scorings.items()},
                "on_a_part": task.on_a_part,
                "submission": None if task.submission is None else asdict(task.submission),
                **({"beside": dict(task.beside)} if task.beside else {}),
                **({"files": task.files} if task.files else {}),
            }
            for name, task in result.tasks.items()
        },
        "samples": result.samples,
        "not_measured": dict(result.failures),
        "pictures_changed": dict(result.changed),
        "usage": {"prompt_tokens": result.prompt_tokens, "completion_tokens": result.completion_tokens},
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


def _verdict_line(verdict: Verdict) -> dict[str, Any]:
    if verdict is None:
        return {"score": None}
    prediction = {"answer": verdict.prediction.answer, "rule": verdict.prediction.rule}
    parts = {"parts": verdict.parts} if isinstance(verdict, Score) and verdict.parts else {}
    return {"score": value_of(verdict), **parts, "prediction": prediction}


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
    """The tasks a run was made with, as their files are now; none of their hooks is run. Raises TaskError when one is
    gone.

    A run of imported answers, or of a data file without a task file, holds the definition of its task itself.
    """
    manifest = directory.manifest()
    spec = recorded_spec(directory.path, manifest)
    variants = (manifest or {})["sessions"][-1].get("prompt_variants", {})
    # The code of another evaluator's tasks runs only from folders that this command was given.
    catalog = Catalog([*include, directory.path, *map(Path, spec["include_path"])], foreign=include)
    named = [catalog.kept(name, directory.definition) for name in spec["tasks"]]
    return catalog.select(named).prompted(lambda task: variants.get(task.task, DEFAULT))
