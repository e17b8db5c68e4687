"""What judges were asked about a run's responses and what they said → verdicts. Nothing is asked here."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmms_fast.journal.records import Record
from lmms_fast.journal.rundir import RunDir
from lmms_fast.journal.store import Journal
from lmms_fast.metrics import strip_reasoning
from lmms_fast.report.family import same_family
from lmms_fast.report.verdict import Verdict, judge, rules_of
from lmms_fast.tasks.rubric import Asker, Question
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Failure, Outcome, Response, Sample, Score, Undecided, Usage

Judgement = Mapping[str, Any]
"""A judge's reply as the samples file has it."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Who judges."""

    model: str
    """By the name it is asked for."""
    seed: int = 0
    """Of what it draws."""
    gen: Mapping[str, Any] = field(default_factory=dict)
    """Request fields beside the rubric's."""

    @classmethod
    def recorded(cls, content: Mapping[str, Any]) -> Judge:
        """As `asdict` gives it."""
        return cls(content["model"], content["seed"], content["gen"])


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its place in the journal of judgements."""

    key: str
    digest: str
    question: Question
    record: Record


class Referee:
    """A task's rules and rubric, with one judge."""

    def __init__(self, task: Task, who: Judge) -> None:
        rubric = task.score.judge
        assert rubric is not None, f"{task.task} has no rubric"
        self.task, self._who = task, who
        self._rules, self._asker = rules_of(task), Asker(task)
        self._facts = {"judge": who.model, "rubric": rubric.version, "temperature": str(rubric.temperature)}
        assert self._rules.judge is not None
        self.replies = self._rules.judge.replies
        """That a response takes."""

    def questions(self, record: Record, outcome: Outcome) -> tuple[Asked, ...]:
        """What has to be asked about a response; nothing where the rules can tell, or of a failure."""
        return self._questions(record, outcome, judge(record, outcome, self._rules))

    def _questions(self, record: Record, outcome: Outcome, verdict: Verdict) -> tuple[Asked, ...]:
        """Where the verdict by the rules alone leaves it open."""
        if not isinstance(verdict, Undecided) or not isinstance(outcome, Response):
            return ()
        asked = self._asker.questions(record, strip_reasoning(outcome.text), verdict.prediction)
        return tuple(self._asked(record, question) for question in asked)

    def _asked(self, record: Record, question: Question) -> Asked:
        task, vote, who = self.task.task, question.vote, self._who
        digest = question.digest(who.model, who.gen, who.seed if question.settings["temperature"] else None)
        content = {"task": task, "id": digest, "repeat": vote, "row": record["row"], "messages": question.messages,
                   "target": (), "choices": (), "groups": {}, "facts": self._facts}  # fmt: skip
        return Asked(Sample(task, digest, (), (), repeat=vote).key, digest, question, content)

    def verdict(
        self, record: Record, outcome: Outcome, replies: Callable[[str], Outcome | None]
    ) -> tuple[Verdict, Sequence[Judgement]]:
        """The verdict on a response, with the judgements that it rests on, or should. `replies` has what came of a
        question, by its key."""
        by_rules = judge(record, outcome, self._rules)
        questions = self._questions(record, outcome, by_rules)
        if not questions:
            return by_rules, ()
        said = [replies(asked.key) for asked in questions]
        texts = [one.text if isinstance(one, Response) else None for one in said]
        lines = [{**asked.record["facts"], "question": asked.key, **_said(one)}
                 for asked, one in zip(questions, said, strict=True)]  # fmt: skip
        return self.decided(record, outcome, texts), lines

    def decided(self, record: Record, outcome: Outcome, texts: Sequence[str | None]) -> Verdict:
        """The verdict on a response by what was replied to each of its questions, which are not made again. A judge's
        thinking is no part of its reply."""
        replies = [None if text is None else strip_reasoning(text) for text in texts]
        return judge(record, outcome, self._rules, replies)


def _said(outcome: Outcome | None) -> Judgement:
    match outcome:
        case Response(text=text, reasoning=reasoning, served_by=served_by):
            return {"reply": text, **({"reasoning": reasoning} if reasoning else {}), "served_by": served_by}
        case Failure(kind=kind, detail=detail):
            return {"reply": None, "failure": kind, "detail": detail}
        case None:
            return {"reply": None}


def what_became(verdict: Verdict, judgements: Sequence[Judgement]) -> str:
    """Of a response that a judge was to score: judged, failed, not_asked, or unreadable."""
    if isinstance(verdict, Score):
        return "judged"
    if any("failure" in one for one in judgements):
        return "failed"
    return "not_asked" if any(one["reply"] is None for one in judgements) else "unreadable"


@dataclass(frozen=True, slots=True)
class JudgedBy:
    """Who judged a run's answers, and what that took."""

    model: str
    same_family: str | None
    """The family that judge and candidate are of: a judge is known to favour its own."""
    questions: int
    """Different ones that were answered."""
    prompt_tokens: int
    completion_tokens: int
    published: Mapping[str, str]
    """By task, the judge that published numbers rest on, where that is another one."""


@dataclass(slots=True)
class Seat:
    """A judge with the replies of a run's journal."""

    who: Judge
    journal: Journal
    used: dict[str, Usage] = field(default_factory=dict)
    """What the replies took that were looked up."""

    def marking(self, task: Task) -> Callable[[Record, Outcome], tuple[Verdict, Sequence[Judgement]]]:
        """A task's verdicts by this judge."""
        referee = Referee(task, self.who)
        return lambda record, outcome: referee.verdict(record, outcome, self._reply)

    def _reply(self, key: str) -> Outcome | None:
        outcome = self.journal.outcome(key)
        if isinstance(outcome, Response):
            self.used[key] = outcome.usage
        return outcome


@dataclass(frozen=True, slots=True)
class Judges:
    """Those of a run: the judge, and one that looks at a random slice of what the first has judged."""

    candidate: str = ""
    first: Seat | None = None
    second: Seat | None = None
    share: float = 0.0

    def told(self, tasks: Sequence[Task]) -> JudgedBy | None:
        """What the judging took."""
        if self.first is None:
            return None
        used = self.first.used.values()
        return JudgedBy(
            self.first.who.model, same_family(self.first.who.model, self.candidate), len(used),
            sum(one.prompt_tokens or 0 for one in used), sum(one.completion_tokens or 0 for one in used),
            {task.task: task.score.judge.model for task in tasks
             if task.score.judge and task.score.judge.model not in (None, self.first.who.model)},
        )  # fmt: skip


@contextlib.contextmanager
def judges_of(run: RunDir) -> Iterator[Judges]:
    """The judges that a run's manifest names."""
    manifest = run.manifest() or {}
    recorded = manifest.get("judge")
    if recorded is None:
        yield Judges()
        return
    with Journal(run.judgements) as journal:
        audit = recorded.get("audit")
        yield Judges(
            str(manifest["identity"].get("model")), Seat(Judge.recorded(recorded), journal),
            Seat(Judge.recorded(audit), journal) if audit else None, recorded["share"],
        )  # fmt: skip


def audited(key: str, share: float) -> bool:
    """Whether a sample is in the random slice that a second judge looks at: the same one for the same share."""
    drawn = int.from_bytes(hashlib.blake2b(f"audit {key}".encode(), digest_size=8).digest(), "big")
    return drawn < share * 2**64
