"""What a session asks: the answers and the judgements that are missing, within what it may spend. The manifest says how
it began and ended."""

from __future__ import annotations

import contextlib
import functools
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
from lmms_fast.pipeline.answers import Longer, Plan, answers, cut_off_keys, selection_of, task_size
from lmms_fast.pipeline.budget import Budget, Spent, known_price, parse_budget, price_of
from lmms_fast.pipeline.door import Door
from lmms_fast.pipeline.judging import Bench, Judging
from lmms_fast.pipeline.roles import Asked, Role
from lmms_fast.pipeline.session import Session, beginning, first_of, now
from lmms_fast.pipeline.stop import Stop
from lmms_fast.report.judgements import Judge
from lmms_fast.server.fleet import Fleet
from lmms_fast.tasks.catalog import Selection as Chosen
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Usage


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
                    plan = Plan(spec, self.chosen.tasks, sources, self._spender("model"))
                    await session.run(model, functools.partial(self._answer, plan), judgings)
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

    async def _answer(self, plan: Plan, session: Session, door: Door) -> None:
        try:
            await session.through(door, answers(plan, door, self.journal, self.notify))
            room = self.spec.retry_truncated
            if room and self.stop.reason is None and (keys := cut_off_keys(self.journal, room)):
                self.notify(Notice(f"{len(keys)} answers were cut off; asked again with {room} tokens."))
                again = replace(plan, longer=Longer(keys, room))
                await session.through(door, answers(again, door, self.journal, self.notify))
        finally:
            self.journal.no_more()

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
