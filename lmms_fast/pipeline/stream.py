"""Feed and respond: every sample that is still to be asked, of all tasks, as one stream.

Rendering and encoding go on while a server starts, so its first request is ready.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiolimiter import AsyncLimiter

from lmms_fast.config.spec import RunSpec
from lmms_fast.data.feed import Fed, Selection, feed_task, longest_first, parse_limit, rows_wanted
from lmms_fast.data.source import Source
from lmms_fast.endpoints.limit import Adaptive, Fixed, Limit
from lmms_fast.endpoints.pool import Closed, Member, Pool
from lmms_fast.endpoints.presets import LOCAL, Endpoint, Profile, find_key
from lmms_fast.endpoints.probe import connect
from lmms_fast.endpoints.transport import Transport
from lmms_fast.endpoints.wire import Body, build
from lmms_fast.errors import EndpointError, Unreachable
from lmms_fast.events import (
    EndpointState,
    Event,
    FeedDone,
    LimitChanged,
    LoadRead,
    Notice,
    Notify,
    Ready,
    SampleDone,
    TaskSized,
)
from lmms_fast.journal.records import Record, sample_record
from lmms_fast.journal.store import Journal
from lmms_fast.media.encode import BadMedia
from lmms_fast.media.policy import Policy, parse_policy
from lmms_fast.pipeline.budget import Budget
from lmms_fast.pipeline.channel import Channel, feed_all
from lmms_fast.pipeline.dispatch import Dispatcher
from lmms_fast.pipeline.stop import GRACE_S, Stop
from lmms_fast.pipeline.watch import mind, revive, watched
from lmms_fast.report.verdict import judge, rules_of, value_of
from lmms_fast.server.command import installed
from lmms_fast.server.hints import tail
from lmms_fast.server.launch import Server
from lmms_fast.server.spec import ServerSpec
from lmms_fast.server.tune import in_flight, keeps_media
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Failure, Load, Outcome

# Encoded bodies between dataset and journal: half a megabyte for each request in flight, and some ahead of them.
_BUDGET_BYTES, _BUDGET_BYTES_EACH = 64 << 20, 512 << 10
_RESTARTS = 2
_JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sample ready to send, or the reason why it cannot be."""

    key: str
    task: str
    record: Record
    body: Body | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Longer:
    """A second pass: answers that were cut off, asked again with room for more."""

    keys: frozenset[str]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a session asks, and where."""

    spec: RunSpec
    tasks: Sequence[Task]
    sources: Mapping[str, Source]
    profiles: Sequence[Profile]
    model: str | None
    """What endpoints other than ours are asked for; None: the only one that each serves."""
    server: Server | None
    launch: Callable[[int], Awaitable[Server]]
    """Another server in place of one that died; the argument counts them."""
    budget: Budget | None
    longer: Longer | None = None


async def stream(plan: Plan, journal: Journal, session: dict[str, Any], stop: Stop, notify: Notify) -> None:
    """Ask everything. Raises LmmsFastError when that cannot go on; what was answered until then is kept."""
    await _Stream(plan, journal, session, stop, notify).run()


class _Stream:
    """What the stages of one stream share."""

    def __init__(self, plan: Plan, journal: Journal, session: dict[str, Any], stop: Stop, notify: Notify) -> None:
        self._plan, self._journal, self._session, self._stop, self._notify = plan, journal, session, stop, notify
        self._ahead = 8 if _only_local(plan.profiles) else 2
        self._channel: Channel[Prepared] = Channel(*_room(self._ahead, _first_limit(plan)), asyncio.get_running_loop())
        rules = {task.task: rules_of(task) for task in plan.tasks if task.foreign is None}
        self._rules = {name: one for name, one in rules.items() if not one.slow}  # those for a score while it goes on
        self._limits: dict[str, int] = {}
        self._loads: dict[str, Load] = {}
        self._late: list[Profile] = []
        self._helpers: list[asyncio.Task[None]] = []
        self._asked: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Feed and respond, with those who look after the servers beside them."""
        try:
            async with asyncio.TaskGroup() as stages:
                feed = prepare(self._plan, self._journal, self._tell)
                feeding = stages.create_task(asyncio.to_thread(feed_all, self._channel, feed))
                await self._respond(stages)
                await feeding
                for helper in self._helpers:
                    helper.cancel()
        finally:
            self._channel.close()

    async def _respond(self, stages: asyncio.TaskGroup) -> None:
        plan = self._plan
        members = await _reach(plan, self._session, self._late, self._tell)

        def down(member: Member, why: str) -> None:
            self._tell(EndpointState(member.endpoint.name, False, why))
            self._helpers.append(stages.create_task(revive(member, pool, self._tell)))

        pool = Pool(members, down)
        self._helpers.append(stages.create_task(mind(pool, plan.spec.patience, self._stop)))
        self._helpers += [stages.create_task(_join(plan, profile, pool, self._tell)) for profile in self._late]
        self._helpers += [stages.create_task(self._keep_serving(member, pool)) for member in members if member.managed]
        self._tell(Ready())
        async with (
            watched(pool, self._tell),
            Transport(plan.spec.request_timeout) as transport,
            asyncio.TaskGroup() as requests,
        ):
            dispatcher = Dispatcher(pool, transport, max_attempts=plan.spec.max_attempts, notify=self._tell)
            self._stop.how = functools.partial(self._end, pool)
            sendable = 0
            async for item, size in self._channel:
                sendable += item.body is not None
                task = requests.create_task(self._handle(item, size, dispatcher, pool))
                self._asked.add(task)
                task.add_done_callback(self._asked.discard)
            if self._stop.reason is None:
                self._tell(FeedDone(sendable, self._channel.byte_bound_s))

    async def _handle(self, item: Prepared, size: int, dispatcher: Dispatcher, pool: Pool) -> None:
        """One sample from its turn to the journal."""
        outcome: Outcome | None = item.failure
        if item.body is not None:
            try:
                outcome = await dispatcher.ask(item.key, item.body)
            except Closed:
                return
        if outcome is None:
            raise AssertionError("a prepared sample has a body or a failure")
        self._journal.append(item.record, outcome, self._plan.longer.max_tokens if self._plan.longer else None)
        self._channel.give_back(size)
        rules = self._rules.get(item.task)
        value = None if rules is None else value_of(judge(item.record, outcome, rules))
        if isinstance(outcome, Failure):
            self._tell(SampleDone(item.task, item.key, value, outcome.kind, 0, outcome.attempts, None))
            return
        tokens = outcome.usage.completion_tokens or 0
        self._tell(SampleDone(item.task, item.key, value, None, tokens, outcome.attempts, outcome.latency_s))
        if self._plan.budget and not self._plan.budget.spend(outcome.usage, pool.out):
            self._stop.request("the budget is spent")

    def _end(self, pool: Pool, reason: str) -> None:
        """No new requests; those that are out have some time left."""
        waiting = f": waiting up to {GRACE_S:.0f} s for the {pool.out} requests that are out" if pool.out else ""
        self._tell(Notice(f"Stopping, since {reason}{waiting}."))
        pool.close(reason)
        self._channel.close()
        asyncio.get_running_loop().call_later(GRACE_S, lambda: [task.cancel() for task in self._asked])

    def _tell(self, event: Event) -> None:
        if isinstance(event, LoadRead):
            self._loads[event.endpoint] = event.load
        elif isinstance(event, LimitChanged):
            self._limits[event.endpoint] = event.limit
            self._channel.resize(*_room(self._ahead, sum(self._limits.values())))
        self._notify(event)

    async def _keep_serving(self, member: Member, pool: Pool) -> None:
        """Start our server again when it dies, a bounded number of times. Raises ServerError after that."""
        server = self._plan.server
        assert server is not None
        for number in range(1, _RESTARTS + 2):
            error = await server.died()
            pool.take_out(member, "it died")
            self._session.setdefault("deaths", []).append({
                "error": str(error), "log": str(server.log_path), "log_tail": tail(server.log()),
                "load": self._loads.get(LOCAL),
            })  # fmt: skip
            if number > _RESTARTS:
                raise error
            self._tell(Notice(f"{str(error).splitlines()[0]} Starting it again ({number} of {_RESTARTS})."))
            server = await self._plan.launch(number)
            await server.ready()
            member.endpoint = _local_endpoint(self._plan, server, self._session)
            pool.bring_back(member, on_trial=False)
            self._tell(EndpointState(LOCAL, True, "it was started again"))


def prepare(plan: Plan, journal: Journal, notify: Notify) -> Iterator[tuple[Prepared, int]]:
    """Samples that are still to be asked, with their bodies built; runs in the feed's thread."""
    spec, tasks, longer = plan.spec, plan.tasks, plan.longer
    selection = Selection(parse_limit(spec.limit), frozenset(spec.sample_ids), spec.repeats, spec.system_prompt,
                          spec.allow_media_urls)  # fmt: skip
    skip: Callable[[str], bool]
    if longer:
        wanted = longer.keys
        skip = lambda key: key not in wanted  # noqa: E731
    else:
        skip = functools.partial(journal.finished, retry_final=spec.retry_failed == "all")
    for task in tasks:
        total = task_size(spec, task, plan.sources[task.task])
        done = sum(entry.task == task.task and not entry.failure for entry in journal.index.values())
        if not longer:
            notify(TaskSized(task.task, total, done))
    settings = {task.task: functools.partial(parameters, spec, task, plan.profiles[0]) for task in tasks}
    streams = [feed_task(task, plan.sources[task.task], selection, skip) for task in tasks]
    lengths = [spec.max_tokens or task.generation.max_tokens for task in tasks]
    policy = parse_policy(spec.image)
    for fed in longest_first(streams, lengths):
        request = settings[fed.sample.task](fed.sample.repeat)
        if longer:
            request[plan.profiles[0].tokens_field] = longer.max_tokens
        yield _prepare(fed, request, policy, named=_only_local(plan.profiles))


def task_size(spec: RunSpec, task: Task, source: Source) -> int | None:
    """How many samples a task has in this run; None where the data do not tell."""
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


def server_spec(spec: RunSpec, model: str) -> ServerSpec:
    """What `--endpoint local` launches."""
    return ServerSpec(model, spec.tp, spec.pp, spec.dp, spec.max_model_len, spec.gpu_memory_utilization,
                      spec.server_args)  # fmt: skip


def local_profile(base_url: str = "") -> Profile:
    """The profile of a server of ours; its address is known once it is launched."""
    return Profile(LOCAL, base_url, ())


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


async def _reach(plan: Plan, session: dict[str, Any], late: list[Profile], notify: Notify) -> list[Member]:
    """The endpoints that answer, in the order named; waits for a server that is starting. Those that do not are put
    into `late`, if another one does. Raises EndpointError, ServerError."""
    members: list[Member] = []
    missing: list[Unreachable] = []
    for profile in plan.profiles:
        if profile.name == LOCAL and plan.server is not None:
            await plan.server.ready()
            members.append(_member(plan, _local_endpoint(plan, plan.server, session), notify, managed=True))
            continue
        try:
            endpoint = await connect(profile, plan.model, find_key(profile, plan.spec.api_key_env))
        except Unreachable as error:
            missing.append(error)
            late.append(profile)
        else:
            members.append(_member(plan, endpoint, notify))
    if not members:
        raise missing[0]
    for absence in missing:
        notify(Notice(f"{absence} Going on without it; it may join later."))
    session["endpoints"] = [{"name": one.endpoint.name, "url": one.endpoint.profile.base_url,
                             "model": one.endpoint.model} for one in members]  # fmt: skip
    return members


async def _join(plan: Plan, profile: Profile, pool: Pool, notify: Notify) -> None:
    """Try again and again to reach an endpoint that was not there at the start."""
    while True:
        await asyncio.sleep(_JOIN_S)
        try:
            endpoint = await connect(profile, plan.model, find_key(profile, plan.spec.api_key_env))
        except Unreachable:
            continue
        except EndpointError as error:
            notify(Notice(f"{error} Going on without it."))
            return
        pool.add(_member(plan, endpoint, notify))
        notify(EndpointState(profile.name, True, "it joined"))
        return


def _local_endpoint(plan: Plan, server: Server, session: dict[str, Any]) -> Endpoint:
    if plan.spec.keep_server:
        server.keep()
    session["server"] = {**server.facts, "command": server.command}
    keeps = keeps_media(server.command)
    return Endpoint(LOCAL, local_profile(server.base_url), server.served_name, server.api_key, keeps)


def _member(plan: Plan, endpoint: Endpoint, notify: Notify, *, managed: bool = False) -> Member:
    spec = plan.spec

    def changed(limit: int, why: str, *, paced: bool) -> None:
        notify(LimitChanged(endpoint.name, limit, why, paced))

    limit: Limit
    if isinstance(spec.concurrency, int):
        limit = Fixed(_share(spec.concurrency, len(plan.profiles)))
    else:
        limit = Adaptive(*_bounds(plan, endpoint.profile), changed)
    changed(limit.now, "start", paced=False)
    return Member(endpoint, limit, AsyncLimiter(spec.rpm, 60) if spec.rpm else None,
                  AsyncLimiter(spec.tpm, 60) if spec.tpm else None, managed)  # fmt: skip


def _share(concurrency: int, endpoints: int) -> int:
    return -(-concurrency // endpoints)


def _bounds(plan: Plan, profile: Profile) -> tuple[int, int]:
    """Where `--concurrency auto` starts, and the most it goes to. A batch of ours has a known size."""
    if profile.name == LOCAL:
        most = in_flight(server_spec(plan.spec, ""), installed()[0])
        return most, most
    return profile.first_limit, profile.most


def _first_limit(plan: Plan) -> int:
    if isinstance(plan.spec.concurrency, int):
        return plan.spec.concurrency
    return sum(_bounds(plan, profile)[0] for profile in plan.profiles)


def _room(ahead: int, limit: int) -> tuple[int, int]:
    """Items and bytes between dataset and journal. With a server that keeps media a request may wait for the one that
    brings its picture, so there must be others to send."""
    return ahead * limit + 16, _BUDGET_BYTES + limit * _BUDGET_BYTES_EACH


def _only_local(profiles: Sequence[Profile]) -> bool:
    return all(profile.name == LOCAL for profile in profiles)
