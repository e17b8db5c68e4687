"""The first stage: every sample that is still to be asked, of all tasks, as one feed; and what becomes of the answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lmms_fast.config.spec import RunSpec
from lmms_fast.data.feed import Fed, Part, Selection, feed_task, longest_first, parse_limit, parse_shard, rows_wanted
from lmms_fast.data.source import Source
from lmms_fast.endpoints.presets import Profile
from lmms_fast.endpoints.wire import build
from lmms_fast.events import Notify, SampleDone, TaskSized
from lmms_fast.journal.records import sample_record
from lmms_fast.journal.store import Journal, Line
from lmms_fast.media.encode import BadMedia
from lmms_fast.media.policy import Policy, parse_policy
from lmms_fast.pipeline.door import Terms
from lmms_fast.pipeline.stream import Prepared
from lmms_fast.report.verdict import judge, rules_of, value_of
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Failure, Outcome, Response, Usage


@dataclass(frozen=True, slots=True)
class Longer:
    """A second pass: answers that were cut off, asked again with room for more."""

    keys: frozenset[str]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked."""

    spec: RunSpec
    tasks: Sequence[Task]
    longer: Longer | None = None
    part: Part | None = None
    """Of it, for one of several processes."""

    def selection(self) -> Selection:
        """The part of every task that is asked."""
        return replace(selection_of(self.spec), part=self.part)


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of an outcome: a line of the journal, and what those who watch are told."""

    line: Line
    done: SampleDone
    usage: Usage | None
    """None where there is no answer."""


def selection_of(spec: RunSpec) -> Selection:
    """The part of every task that a run asks."""
    return Selection(parse_limit(spec.limit), frozenset(spec.sample_ids), spec.repeats, spec.system_prompt,
                     spec.allow_media_urls, parse_shard(spec.shard))  # fmt: skip


def settler(plan: Plan) -> Callable[[Prepared, Outcome], Settled]:
    """What settles outcomes, with a score where a rule tells it soon."""
    rules = {task.task: rules_of(task) for task in plan.tasks if task.foreign is None}
    quick = {name: one for name, one in rules.items() if not one.slow}
    room = plan.longer.max_tokens if plan.longer else None

    def settled(item: Prepared, outcome: Outcome) -> Settled:
        line = Line.of(item.record, outcome, room)
        value = value_of(judge(item.record, outcome, quick[item.task])) if item.task in quick else None
        if isinstance(outcome, Failure):
            return Settled(line, SampleDone(item.task, item.key, value, outcome.kind, 0, outcome.attempts, None), None)
        tokens = outcome.usage.completion_tokens or 0
        done = SampleDone(item.task, item.key, value, None, tokens, outcome.attempts, outcome.latency_s)
        return Settled(line, done, outcome.usage)

    return settled


def announce(plan: Plan, sizes: Mapping[str, int | None], journal: Journal, notify: Notify) -> None:
    """How large the tasks are, and how far."""
    done = Counter(entry.task for entry in journal.index.values() if not entry.failure)
    for task in plan.tasks:
        notify(TaskSized(task.task, None if plan.spec.shard else sizes[task.task], done[task.task]))


def prepare(
    plan: Plan, sources: Mapping[str, Source], terms: Terms, done: Callable[[str], bool]
) -> Iterator[tuple[Prepared, int]]:
    """Samples that are not done, with their bodies built; runs in the feed's thread."""
    spec, tasks, longer, profile = plan.spec, plan.tasks, plan.longer, terms.profile

    def skip(key: str) -> bool:
        return done(key) or (longer is not None and key not in longer.keys)

    settings = {task.task: partial(parameters, spec, task, profile) for task in tasks}
    streams = [feed_task(task, sources[task.task], plan.selection(), skip) for task in tasks]
    lengths = [spec.max_tokens or task.generation.max_tokens for task in tasks]
    policy = parse_policy(spec.image)
    for fed in longest_first(streams, lengths):
        request = settings[fed.sample.task](fed.sample.repeat)
        if longer:
            request[profile.tokens_field] = longer.max_tokens
        yield _prepare(fed, request, policy, named=terms.only_ours)


def task_size(spec: RunSpec, task: Task, source: Source) -> int | None:
    """How many samples a task has in this run, all shards together; None where the data do not tell."""
    limit = parse_limit(spec.limit)
    dynamic = task.where or isinstance(task.each, str)
    if spec.sample_ids or source.count is None or dynamic or (limit is not None and task.keep_together):
        return None
    rows = rows_wanted(limit, source.count, task.task) or source.count
    return min(rows, source.count) * max(1, len(task.each)) * max(spec.repeats, task.repeats)


def parameters(spec: RunSpec, task: Task, profile: Profile, repeat: int) -> dict[str, Any]:
    """Request settings: the task's, then the flags', then --gen and --extra-body."""
    generation = task.generation
    temperature = generation.temperature if spec.temperature is None else spec.temperature
    top_p = generation.top_p if spec.top_p is None else spec.top_p
    settings: dict[str, Any] = {profile.tokens_field: spec.max_tokens or generation.max_tokens,
                                "temperature": temperature}  # fmt: skip
    if top_p is not None:
        settings["top_p"] = top_p
    if generation.stop:
        settings["stop"] = list(generation.stop)
    if temperature > 0 and profile.sends_seed:
        # Per request, or else what a sample draws would depend on the order of arrival.
        settings["seed"] = spec.seed + repeat
    return {**settings, **generation.extra, **spec.gen, **spec.extra_body}


def _prepare(fed: Fed, settings: Mapping[str, Any], policy: Policy, *, named: bool) -> tuple[Prepared, int]:
    sample, failure = fed.sample, fed.failure
    if failure is None:
        try:
            body = build(sample.messages, settings, named=named, policy=policy)
        except (BadMedia, OSError) as error:
            failure = Failure(sample.key, "media", str(error), attempts=0)
        else:
            record = sample_record(sample, fed.row, body.digests, body.changes)
            return Prepared(sample.key, sample.task, record, body, None), body.size
    return Prepared(sample.key, sample.task, sample_record(sample, fed.row, ()), None, failure), 0


def cut_off_keys(journal: Journal, max_tokens: int) -> frozenset[str]:
    """Samples whose answer was cut by its length, and is again or was not asked with so much room."""
    longer = {key for key, entry in journal.longer.items() if entry.max_tokens == max_tokens and not entry.failure}
    return frozenset(
        outcome.key for _, outcome, _ in journal.read()
        if isinstance(outcome, Response) and outcome.finish_reason == "length" and outcome.key not in longer
    )  # fmt: skip
