"""The second stage: what a judge has to be asked about answers, as they come into the journal, and what becomes of its
replies.

The judge reads the journal behind the stage that writes it. So it begins with the first answer and holds up nobody,
however slow it is; and a run that is resumed, or judged again by another, is judged in the same way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmms_fast.data.again import Sight
from lmms_fast.endpoints.presets import Profile
from lmms_fast.endpoints.wire import build
from lmms_fast.events import EndpointState, Event, Judged, Notice, Notify
from lmms_fast.journal.cache import ReplyCache
from lmms_fast.journal.records import Record
from lmms_fast.journal.store import Journal
from lmms_fast.media.encode import BadMedia
from lmms_fast.pipeline.door import Door
from lmms_fast.pipeline.stream import Prepared, Stream
from lmms_fast.report.judgements import Asked, Judge, Referee, audited
from lmms_fast.report.verdict import value_of
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Failure, Message, Outcome, Response, Usage


@dataclass(frozen=True, slots=True)
class Bench:
    """A judge, and what it judges."""

    who: Judge
    tasks: Sequence[Task]
    scorings: Sequence[str] = ()
    """Variants of the tasks whose rubrics are asked, too."""
    share: float | None = None
    """Only a random slice of the samples, and by the tasks' own rules: a second judge's."""


def to_judge(tasks: Sequence[Task], scorings: Sequence[str]) -> bool:
    """Whether any of the tasks has something for a judge."""
    return any(one.score.judge for task in tasks for one in _variants(task, scorings))


def _variants(task: Task, scorings: Sequence[str]) -> list[Task]:
    return [task, *(task.scored_by(name) for name in scorings if name in task.scoring_variants)]


@dataclass(slots=True)
class Judging:
    """What one judge is asked in one session."""

    bench: Bench
    answers: Journal
    journal: Journal
    cache: ReplyCache | None
    sight: Sight
    spend: Callable[[Usage, int], None]
    """Takes what a reply took, with the number of requests that are out."""
    notify: Notify
    retry_final: bool
    at_the_models: bool
    """Whether it is asked at the servers of the model that is evaluated, and takes its places."""
    ended_early: bool = True
    """Until it was asked everything."""
    _structured: bool = True
    _left: bool = False
    _asked: dict[str, tuple[Referee, Record, Outcome] | None] = field(default_factory=dict)
    """Every question so far; until it is answered, with what it is about."""

    def stream(self, door: Door) -> Stream:
        """The stream that asks it."""
        return Stream(self._feed(door.terms.profile), door, functools.partial(self._settle, door), self.quiet,
                      self._leave)  # fmt: skip

    def _leave(self) -> None:
        self._left = True
        self.answers.wake()

    @property
    def complete(self) -> bool:
        """Whether a further session has nothing to ask."""
        asked = (self.journal.index.get(key) for key in self._asked)
        return not self.ended_early and all(one is None or not one.failure or one.final for one in asked)

    @property
    def name(self) -> str:
        """For sentences."""
        return f"The {'judge' if self.bench.share is None else 'second judge'} {self.bench.who.model}"

    def quiet(self, event: Event) -> None:
        """Most events of requests are for those who watch the model that is evaluated."""
        if isinstance(event, Notice | Judged | EndpointState):
            self.notify(event)

    def _feed(self, profile: Profile) -> Iterator[tuple[Prepared, int]]:
        """Questions about every answer; runs in the feed's thread."""
        bench = self.bench
        scorings = bench.scorings if bench.share is None else ()
        referees = {
            task.task: [Referee(one, bench.who) for one in _variants(task, scorings) if one.score.judge is not None]
            for task in bench.tasks
        }
        for record, outcome in self.answers.follow(lambda: self._left):
            if bench.share is not None and not audited(outcome.key, bench.share):
                continue
            for referee in referees.get(record["task"], ()):
                for asked in referee.questions(record, outcome):
                    if asked.key in self._asked or self.journal.finished(asked.key, retry_final=self.retry_final):
                        continue
                    alone = referee.replies == 1
                    self._asked[asked.key] = (referee, record, outcome) if alone else None
                    yield self._prepare(asked, record, profile)

    def _prepare(self, asked: Asked, record: Record, profile: Profile) -> tuple[Prepared, int]:
        task, question = record["task"], asked.question
        if self.cache and (known := self.cache.get(asked.digest, question.vote, asked.key)):
            return Prepared(asked.key, task, asked.record, None, known), 0
        settings = {
            profile.tokens_field: question.settings["max_tokens"], "temperature": question.settings["temperature"],
            **self._drawn(asked, profile), **self.bench.who.gen,
        }  # fmt: skip
        form = question.settings["form"]
        try:
            messages = self._messages(asked, record)
            plain = functools.partial(build, messages, settings, policy=self.sight.policy)
            if form is None or not self._structured:
                body = plain()
                return Prepared(asked.key, task, asked.record, body), body.size
            body = build(messages, {**settings, "response_format": _held_to(form)}, policy=self.sight.policy)
        except (BadMedia, OSError) as error:
            return Prepared(asked.key, task, asked.record, None, Failure(asked.key, "media", str(error), attempts=0)), 0

        def otherwise() -> Any:
            self._structured = False
            return plain()

        return Prepared(asked.key, task, asked.record, body, otherwise=otherwise), body.size

    def _drawn(self, asked: Asked, profile: Profile) -> Mapping[str, int]:
        draws = asked.question.settings["temperature"] > 0 and profile.sends_seed
        return {"seed": self.bench.who.seed + asked.question.vote} if draws else {}

    def _messages(self, asked: Asked, record: Record) -> list[Message]:
        pictures = iter(self.sight.pictures(record) if _shows_pictures(asked.record) else ())
        turns = [(turn["role"], turn["parts"]) for turn in asked.record["messages"]]
        return [Message(role, tuple(part if isinstance(part, str) else next(pictures) for part in parts))
                for role, parts in turns]  # fmt: skip

    def _settle(self, door: Door, item: Prepared, outcome: Outcome) -> None:
        """Into the journal of judgements, and what was new into the cache."""
        self.journal.append(item.record, outcome)
        about = self._asked[item.key]
        self._asked[item.key] = None
        if not isinstance(outcome, Response):
            self.notify(Judged(item.task, item.key, None, outcome.kind, outcome.attempts))
            return
        if outcome.attempts:
            self.spend(outcome.usage, door.out)
            if self.cache:
                self.cache.put(item.record["id"], item.record["repeat"], outcome)
        value = None
        if about and self.bench.share is None:
            referee, record, answer = about
            value = value_of(referee.decided(record, answer, [outcome.text]))
        shared = outcome.latency_s if self.at_the_models and outcome.attempts else 0.0
        self.notify(Judged(item.task, item.key, value, None, outcome.attempts, shared))


def _shows_pictures(record: Record) -> bool:
    return any(not isinstance(part, str) for message in record["messages"] for part in message["parts"])


def _held_to(form: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "judgement", "strict": True, "schema": form}}
