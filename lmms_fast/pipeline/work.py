"""What a session asks: the answers and the judgements that are missing, within what it may spend. The manifest says how
it began and ended."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lmms_fast.config.spec import RunSpec
from lmms_fast.data.again import Sight
from lmms_fast.data.source import Source, open_source
from lmms_fast.errors import LmmsFastError
from lmms_fast.events import Notice, Notify
from lmms_fast.journal.cache import ReplyCache, cache_home
from lmms_fast.journal.rundir import RunDir
from lmms_fast.journal.store import Journal
from lmms_fast.media.policy import parse_policy
from lmms_fast.pipeline import scale
from lmms_fast.pipeline.answers import (
    Longer,
    Plan,
    Settled,
    announce,
    cut_off_keys,
    prepare,
    selection_of,
    settler,
    task_size,
)
from lmms_fast.pipeline.budget import Budget, Spent, known_price, parse_budget, price_of
from lmms_fast.pipeline.door import Door
from lmms_fast.pipeline.judging import Bench, Judging
from lmms_fast.pipeline.roles import Asked, Role
from lmms_fast.pipeline.session import Session, beginning, first_of, now
from lmms_fast.pipeline.spread import Spread, Start, process
from lmms_fast.pipeline.stop import Stop
from lmms_fast.pipeline.stream import Prepared, Stream
from lmms_fast.report.judgements import Judge
from lmms_fast.server.fleet import Fleet
from lmms_fast.tasks.catalog import Selection as Chosen
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Outcome, Usage


@dataclass(frozen=True, slots=True)
class Spending:
    """What each stage takes, and what all may."""

    stages: Mapping[Role, Spent]
    budget: Budget | None

    @classmethod
    def of(cls, spec: RunSpec, asked: Sequence[Asked]) -> Spending:
        """Raises UsageError for a budget that is none, or in dollars for a model without a price."""
        allowance = parse_budget(spec.budget) if spec.budget else None
        price = price_of if allowance and allowance.dollars else known_price
        stages = {one.role: Spent(price(one.model, spec.prices)) for one in asked}
        return cls(stages, Budget(allowance, list(stages.values())) if allowance else None)


@dataclass(slots=True)
class Work:
    """What one session asks, and keeps in a run's directory."""

    spec: RunSpec
    chosen: Chosen
    directory: RunDir
    manifest: dict[str, Any]
    journal: Journal
    spending: Spending
    fleet: Fleet
    stop: Stop
    notify: Notify

    async def session(self, model: Asked, judges: Sequence[Asked], *, answered: bool) -> None:
        """Raises LmmsFastError when it cannot go on; what was answered until then is kept.

        `answered`: the model is not asked anything.
        """
        spec, journal, manifest = self.spec, self.journal, self.manifest
        facts = beginning(spec)
        manifest["sessions"].append(facts)
        self.directory.write("manifest.json", manifest)
        sources = {} if answered else {task.task: open_source(task, spec.data_dir) for task in self.chosen.tasks}
        facts["prompt_variants"] = {task.task: task.prompt_variant for task in self.chosen.tasks}
        facts["data"] = {name: source.origin for name, source in sources.items()}
        session = Session(spec, self.directory, self.stop, self.notify, facts, self.fleet)
        judgings: list[tuple[Judging, Asked]] = []
        try:
            with contextlib.ExitStack() as stack:
                judging = self._judging(sources, model, stack) if judges else None
                judgings = [(judging(one), one) for one in judges] if judging else []
                if answered:
                    journal.no_more()
                    await session.judge(judgings)
                else:
                    sizes = {task.task: task_size(spec, task, sources[task.task]) for task in self.chosen.tasks}
                    facts["samples"] = dict.fromkeys(sizes) if spec.shard else sizes
                    facts["samples_of_all_shards"] = sizes
                    self.directory.write("manifest.json", manifest)  # those who watch know how far it is
                    known = [size for size in sizes.values() if size is not None]
                    session.requests = sum(known) if len(known) == len(sizes) else None
                    session.clients, session.most_clients = self._clients(model, [asked for _, asked in judgings])
                    plan = Plan(spec, self.chosen.tasks)
                    announce(plan, sizes, journal, self.notify)
                    await session.run(model, functools.partial(self._answer, plan, sources), judgings)
            manifest["answered"] = has_answers(manifest) if answered else (
                self.stop.reason is None and all(not one.failure or one.final for one in journal.index.values())
            )  # fmt: skip
            manifest["complete"] = manifest["answered"] and all(judging.complete for judging, _ in judgings)
        except* LmmsFastError as errors:
            raise first_of(errors) from None
        finally:
            journal.no_more()
            facts["cost"] = {role: one.as_told() for role, one in self.spending.stages.items()}
            facts["ended"], facts["stopped"] = now(), self.stop.reason
            self.directory.write("manifest.json", manifest)

    async def _answer(self, plan: Plan, sources: Mapping[str, Source], session: Session, door: Door) -> None:
        try:
            await self._ask(plan, sources, session, door)
            room = self.spec.retry_truncated
            if room and self.stop.reason is None and (keys := cut_off_keys(self.journal, room)):
                self.notify(Notice(f"{len(keys)} answers were cut off; asked again with {room} tokens."))
                await self._ask(replace(plan, longer=Longer(keys, room)), sources, session, door)
        finally:
            self.journal.no_more()

    async def _ask(self, plan: Plan, sources: Mapping[str, Source], session: Session, door: Door) -> None:
        spend, settled = self._spender("model"), settler(plan)
        own: set[str] = set()

        def take(settled: Settled, out: int) -> None:
            """Into the journal, and told."""
            self.journal.add(settled.line)
            self.notify(settled.done)
            if settled.usage is not None:
                spend(settled.usage, out)

        def settle(item: Prepared, outcome: Outcome) -> None:
            own.add(item.key)
            take(settled(item, outcome), door.out)

        clients = session.clients
        if clients == 1:
            feed = prepare(plan, sources, door.terms, self._done(plan))
            clients = await self._alone(Stream(feed, door, settle, self.notify), session)
        if clients > 1:
            done = own.union(filter(self._done(plan), self.journal.index))
            start = self._starter(session)
            session.facts["client_processes"] = clients
            await session.through(Spread(plan, clients, door, take, done, self.stop, self.notify, len(own), start))

    def _starter(self, session: Session) -> Start:
        """What makes client processes: on the nodes of a cluster where so many were asked for, else here."""
        if session.clients == 1 or not self.fleet.nodes:
            return process
        from lmms_fast.pipeline.remote import on_nodes  # noqa: PLC0415

        return on_nodes(self.fleet.nodes)

    async def _alone(self, stream: Stream, session: Session) -> int:
        """Ask by this process; by how many the rest should be asked, 0 when there is none."""

        def left() -> float:
            return math.inf if session.requests is None else session.requests - len(self.journal.index)

        clients = 0

        async def watch() -> None:
            nonlocal clients
            clients = min(session.most_clients, await scale.wanted(left))
            stream.drain()

        watching = asyncio.create_task(watch()) if session.most_clients > 1 else None
        try:
            if await session.through(stream) or self.stop.reason is not None:
                return 0
        finally:
            if watching:
                watching.cancel()
        self.notify(Notice(f"One process is at its limit while cores are idle: {clients} go on (--client-workers)."))
        return clients

    def _done(self, plan: Plan) -> Callable[[str], bool]:
        """Which samples need not be asked; those that are asked again for more room are named in the plan."""
        if plan.longer:
            return lambda key: False
        return functools.partial(self.journal.finished, retry_final=self.spec.retry_failed == "all")

    def _clients(self, model: Asked, judges: Sequence[Asked]) -> tuple[int, int]:
        """Processes that ask the model, at first and at most."""
        wanted, concurrency = self.spec.client_workers, model.concurrency
        shared = any(one.same_as(model) for one in judges)
        first, most = scale.allowed(wanted, concurrency, model.servers, shared=shared)
        if wanted != "auto" and most < wanted:
            self.notify(Notice(f"--client-workers {wanted}: {most}, since --concurrency {concurrency} lets no more "
                               "requests out at one server."))  # fmt: skip
        return first, most

    def _judging(
        self, sources: Mapping[str, Source], model: Asked, stack: contextlib.ExitStack
    ) -> Callable[[Asked], Judging]:
        """What makes the stage of a judge; all write into one journal."""
        spec, tasks = self.spec, self.chosen.tasks
        said = stack.enter_context(Journal(self.directory.judgements))
        cache = stack.enter_context(self._cache()) if spec.judge_cache else None

        def source(task: Task) -> Source:
            return sources.get(task.task) or open_source(task, spec.data_dir)

        def judging(asked: Asked) -> Judging:
            share = spec.judge_audit if asked.role == "audit" else None
            bench = Bench(Judge(asked.model, spec.seed, spec.judge_gen), tasks, spec.scoring, share)
            sight = Sight(tasks, source, selection_of(spec), parse_policy(spec.image))
            return Judging(bench, self.journal, said, cache, sight, self._spender(asked.role), self.notify,
                           spec.retry_failed == "all", asked.same_as(model))  # fmt: skip

        return judging

    @contextlib.contextmanager
    def _cache(self) -> Iterator[ReplyCache]:
        with ReplyCache(cache_home() / "judgements.sqlite") as cache:
            yield cache
        if cache.trouble:
            self.notify(Notice(f"Judgements could not be kept for other runs ({cache.trouble}); this run has its own."))

    def _spender(self, role: Role) -> Callable[[Usage, int], None]:
        """Takes in what an answer took, with the number of requests that are out; ends the run when all is spent."""
        stage, budget = self.spending.stages[role], self.spending.budget

        def spend(usage: Usage, out: int) -> None:
            stage.add(usage, out)
            if budget is not None and budget.over:
                self.stop.request("the budget is spent")

        return spend


def has_answers(manifest: Mapping[str, Any]) -> bool:
    """Whether a run's answers are all there, judged or not."""
    return bool(manifest.get("answered", manifest["complete"]))
