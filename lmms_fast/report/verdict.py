"""What became of one sample: its score, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lmms_fast.journal.records import Record, sample_of
from lmms_fast.metrics import Judging, ScoringRules, Step, check_aggregate, extracted, judged, score
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Outcome, Prediction, Response, Score, Scored, Together, Undecided


@dataclass(frozen=True, slots=True)
class Withheld:
    """A response whose right answer the dataset does not tell; its benchmark's server does."""

    prediction: Prediction


Verdict = Score | Undecided | Withheld | Together | None
OutcomeName = Literal["correct", "wrong", "graded", "no_answer", "not_measured", "not_judged", "withheld", "together"]
"""`not_judged`: only a judge model can tell, and none was asked, or what it said is of no use. `withheld`: the dataset
has no answer for it. `together`: answered, and only all answers together have a number."""
NoAnswer = Literal["empty", "refused", "cut_off", "content_filter", "unparsable"]
_REFUSES = re.compile(
    r"\b(I'?m sorry|I apologi[sz]e|I (?:can'?t|cannot) (?:help|assist|answer|provide|see|view|determine)|I am unable"
    r"|I'm unable|as an AI)\b",
    re.IGNORECASE,
)


def rules_of(task: Task) -> ScoringRules:
    """The task's scoring, checked with that of its variants. Raises TaskError."""
    for name in task.scoring_variants:
        rules_of(task.scored_by(name))
    declared = task.score
    rules = ScoringRules(
        tuple(Step(rule.name, rule.options) for rule in declared.extract),
        Step(declared.match.name, declared.match.options),
        None if (judge := declared.judge) is None else Judging(
            Step(judge.read.name, judge.read.options), judge.when, judge.votes, judge.combine, judge.swap
        ),
    )
    rules.check(task.facts)
    for report in task.report:
        check_aggregate(report.name, report.options, task.groups)
    return rules


def cut_off(outcome: Outcome) -> bool:
    """Whether an answer was ended by its length."""
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


def judge(record: Record, outcome: Outcome, rules: ScoringRules, replies: Sequence[str | None] = ()) -> Verdict:
    """The score of a response, as far as rules can tell, and where they cannot, a judge's replies; None for a failure,
    which has no text."""
    if not isinstance(outcome, Response):
        return None
    sample = sample_of(record)
    if rules.judge is not None:
        return judged(sample, outcome.text, rules, *replies)
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
        pictures=tuple(dict.fromkeys(name for name in _pictures(record) if name != "?")),
    )


def _pictures(record: Record) -> Iterator[str]:
    for message in record.get("messages", ()):
        for part in message["parts"]:
            if isinstance(part, dict):
                yield part["image"]
