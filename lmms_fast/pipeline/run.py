"""The whole run: directory → session → result."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import re
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import orjson

from lmms_fast.config.spec import RunSpec, parse_share
from lmms_fast.data.feed import parse_limit
from lmms_fast.data.source import Source, open_source
from lmms_fast.errors import LmmsFastError, UsageError
from lmms_fast.events import Event, Notice, Notify, Timed
from lmms_fast.journal.cache import ReplyCache, cache_home
from lmms_fast.journal.rundir import RunDir, write_bytes
from lmms_fast.journal.store import Journal
from lmms_fast.media.policy import ORIGINAL, parse_policy
from lmms_fast.pipeline import roles
from lmms_fast.pipeline.answers import Longer, Plan, answers, cut_off_keys, selection_of, task_size
from lmms_fast.pipeline.budget import Budget, Spent, known_price, parse_budget, price_of
from lmms_fast.pipeline.door import Door
from lmms_fast.pipeline.judging import Bench, Judging, Sight, to_judge
from lmms_fast.pipeline.roles import Asked, Role
from lmms_fast.pipeline.session import Session, beginning, first_of, now
from lmms_fast.pipeline.stop import Stop, parse_time_s
from lmms_fast.pipeline.timing import Meter
from lmms_fast.report.judgements import Judge
from lmms_fast.report.result import RunResult, check_scorings, finish
from lmms_fast.report.trace import Trace
from lmms_fast.server.spec import weights_digest
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.catalog import Selection as Chosen
from lmms_fast.tasks.draft import dumped
from lmms_fast.tasks.spec import DEFAULT, Task
from lmms_fast.types import Usage

T = TypeVar("T")


def run_to_end(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, on uvloop where it is installed."""
    try:
        import uvloop  # noqa: PLC0415

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


async def run(spec: RunSpec, notify: Notify, stop: Stop | None = None) -> RunResult:
    """Evaluate. Raises LmmsFastError with one sentence; what was answered until then is kept and is not asked again.

    `stop` ends it early: its result is then that of the samples answered, and it is cancelled where there is none yet.
    """
    stop = stop or Stop()
    catalog = Catalog(spec.include_path)
    chosen = catalog.select(spec.tasks)
    spec = spec.model_copy(update={"tasks": tuple(map(catalog.lasting, spec.tasks))})
    for guess in chosen.guessed:
        notify(Notice(guess.told()))
    model = await roles.candidate(spec)
    chosen = _prompted(chosen, spec, model.model)
    check_scorings(chosen.tasks, spec.scoring)
    judges = await roles.judges(spec, model) if _named(spec, chosen, notify) else []
    spending = _Spending.of(spec, (model, *judges))
    identity = identify(spec, chosen, model)
    path = spec.output_dir or Path("runs") / _run_name(model.model, spec, identity)
    with RunDir(path, fresh=spec.fresh) as directory:
        directory.claim(identity)
        for guess in chosen.guessed:
            if not (kept := directory.definition(guess.content["task"])).exists():
                write_bytes(kept, dumped(guess.anywhere()).encode())
        manifest = directory.manifest() or {"identity": identity, "sessions": [], "complete": False}
        return await _go(spec, chosen, directory, manifest, model, judges, spending, stop, notify)


async def rejudge(
    directory: RunDir, spec: RunSpec, chosen: Chosen, notify: Notify, stop: Stop | None = None
) -> RunResult:
    """Ask `spec`'s judge about the answers of a run; the model is not asked anything. Raises LmmsFastError."""
    manifest = directory.manifest()
    assert manifest is not None, "a run that is judged again has a manifest"
    model = Asked("model", str(manifest["identity"].get("model")), None, (), None, "auto")
    judges = await roles.judges(spec, model) if _named(spec, chosen, notify) else []
    spending = _Spending.of(spec, judges)
    return await _go(spec, chosen, directory, manifest, model, judges, spending, stop or Stop(), notify,
                     only_judge=True)  # fmt: skip


def _named(spec: RunSpec, chosen: Chosen, notify: Notify) -> bool:
    """Whether a judge is named, and has something to do."""
    if not (spec.judge or spec.judge_endpoint):
        return False
    if not to_judge(chosen.tasks, spec.scoring):
        notify(Notice("None of the tasks has anything for a judge, so none is asked."))
        return False
    return True


async def _go(
    spec: RunSpec, chosen: Chosen, directory: RunDir, manifest: dict[str, Any], model: Asked, judges: Sequence[Asked],
    spending: _Spending, stop: Stop, notify: Notify, *, only_judge: bool = False,
) -> RunResult:  # fmt: skip
    recorded = _described(spec, judges)
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(directory.journal))
        if journal.damaged:
            notify(Notice(f"{journal.damaged} unreadable journal lines; their samples are asked again."))
        answered = only_judge or (manifest.get("answered", manifest["complete"]) and not _more_to_ask(spec, journal))
        done = manifest["complete"] and manifest.get("judge") == recorded
        judged = not judges or (done and spec.retry_failed != "all")
        if answered and judged:
            if not only_judge:
                notify(Notice(f"{directory.path} is complete; nothing was asked again (--fresh starts over)."))
            return finish(directory, journal, chosen.tasks, chosen.groups, spec.scoring)
        if judges:
            manifest["judge"] = recorded
        meter = Meter()
        trace = directory.path / "trace.json" if spec.profile else None
        deadline_s = parse_time_s(spec.max_time) if spec.max_time else None
        with _listeners(meter, notify, trace) as tell, _ends_at(deadline_s, stop):
            work = _Work(spec, chosen, directory, manifest, journal, spending, stop, tell)
            await work.session(model, judges, answered=answered)
        asked = time.monotonic()
        result = finish(directory, journal, chosen.tasks, chosen.groups, spec.scoring)
        timing = meter.timing(time.monotonic() - asked)
        manifest["sessions"][-1]["timing"] = asdict(timing)
        directory.write("manifest.json", manifest)
        notify(Timed(timing.sentence(), asdict(timing)))
        return result


def _described(spec: RunSpec, judges: Sequence[Asked]) -> dict[str, Any] | None:
    """The judges as a manifest has them."""
    if not judges:
        return None
    first, *second = [asdict(Judge(one.model, spec.seed, spec.judge_gen)) for one in judges]
    share = parse_share(spec.judge_audit) if spec.judge_audit else 0.0
    return {**first, "audit": second[0] if second else None, "share": share}


@dataclass(slots=True)
class _Work:
    """A session on a run's directory."""

    spec: RunSpec
    chosen: Chosen
    directory: RunDir
    manifest: dict[str, Any]
    journal: Journal
    spending: _Spending
    stop: Stop
    notify: Notify

    async def session(self, model: Asked, judges: Sequence[Asked], *, answered: bool) -> None:
        """Raises LmmsFastError when it cannot go on; what was answered until then is kept."""
        spec, journal, manifest = self.spec, self.journal, self.manifest
        facts = beginning(spec)
        manifest["sessions"].append(facts)
        self.directory.write("manifest.json", manifest)
        sources = {} if answered else {task.task: open_source(task, spec.data_dir) for task in self.chosen.tasks}
        facts["prompt_variants"] = {task.task: task.prompt_variant for task in self.chosen.tasks}
        facts["data"] = {name: source.origin for name, source in sources.items()}
        session = Session(spec, self.directory, self.stop, self.notify, facts)
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
                    facts["samples"] = sizes
                    known = [size for size in sizes.values() if size is not None]
                    session.requests = sum(known) if len(known) == len(sizes) else None
                    plan = Plan(spec, self.chosen.tasks, sources, self._spender("model"))
                    await session.run(model, functools.partial(self._answer, plan), judgings)
            manifest["answered"] = answered or (
                self.stop.reason is None and all(not one.failure or one.final for one in journal.index.values())
            )
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
        cache = stack.enter_context(ReplyCache(cache_home() / "judgements.sqlite")) if spec.judge_cache else None

        def source(task: Task) -> Source:
            return sources.get(task.task) or open_source(task, spec.data_dir)

        def judging(asked: Asked) -> Judging:
            share = parse_share(spec.judge_audit) if asked.role == "audit" and spec.judge_audit else None
            bench = Bench(Judge(asked.model, spec.seed, spec.judge_gen), tasks, spec.scoring, share)
            sight = Sight(tasks, source, selection_of(spec), parse_policy(spec.image))
            return Judging(bench, self.journal, said, cache, sight, self._spender(asked.role), self.notify,
                           spec.retry_failed == "all", asked.same_as(model))  # fmt: skip

        return judging

    def _spender(self, role: Role) -> Callable[[Usage, int], None]:
        """Takes in what an answer took, with the number of requests that are out; ends the run when all is spent."""
        stage, budget = self.spending.stages[role], self.spending.budget

        def spend(usage: Usage, out: int) -> None:
            stage.add(usage, out)
            if budget is not None and budget.over:
                self.stop.request("the budget is spent")

        return spend


@dataclass(frozen=True, slots=True)
class _Spending:
    """What each stage takes, and what all may."""

    stages: Mapping[Role, Spent]
    budget: Budget | None

    @classmethod
    def of(cls, spec: RunSpec, asked: Sequence[Asked]) -> _Spending:
        """Raises UsageError for a budget that is none, or in dollars for a model without a price."""
        allowance = parse_budget(spec.budget) if spec.budget else None
        price = price_of if allowance and allowance.dollars else known_price
        stages = {one.role: Spent(price(one.model, spec.prices)) for one in asked}
        return cls(stages, Budget(allowance, list(stages.values())) if allowance else None)


def _prompted(chosen: Chosen, spec: RunSpec, model: str) -> Chosen:
    """The tasks with the prompts that were named, or that are meant for the model. Raises UsageError."""
    named = spec.prompt_variant
    known = sorted({name for task in chosen.tasks for name in task.prompt_variants})
    if named is not None and named not in (DEFAULT, *known):
        allowed = ", ".join([DEFAULT, *known])
        raise UsageError(f"--prompt-variant {named}: none of the tasks has it; they have: {allowed}.")
    return chosen.prompted(lambda task: named or task.variant_for(model))


def _more_to_ask(spec: RunSpec, journal: Journal) -> bool:
    """Whether a complete run has something left that this command asks for."""
    if spec.retry_failed == "all" and any(entry.failure for entry in journal.index.values()):
        return True
    return spec.retry_truncated is not None and bool(cut_off_keys(journal, spec.retry_truncated))


@contextlib.contextmanager
def _ends_at(deadline_s: float | None, stop: Stop) -> Iterator[None]:
    """Before requests are sent, ending means to cancel; the stream says what it means while they are."""
    task = asyncio.current_task()
    assert task is not None
    stop.how = lambda reason: (task.cancel(), None)[1]
    timer = None
    if deadline_s is not None:
        timer = asyncio.get_running_loop().call_later(deadline_s, stop.request, "--max-time is over")
    try:
        yield
    finally:
        stop.how = lambda reason: None
        if timer:
            timer.cancel()


@contextlib.contextmanager
def _listeners(meter: Meter, notify: Notify, trace: Path | None) -> Iterator[Notify]:
    """One callable for all who want to know; the trace is closed with the block."""
    with Trace(trace) if trace else contextlib.nullcontext() as writer:
        chosen: list[Notify] = [meter, notify, *([writer] if writer else [])]

        def tell(event: Event) -> None:
            for listener in chosen:
                listener(event)

        yield tell


def identify(spec: RunSpec, chosen: Chosen, model: Asked) -> dict[str, Any]:
    """What decides a run's results. Where it runs, and how fast, is left out."""
    names = ("limit", "sample_ids", "repeats", "seed", "system_prompt", "max_tokens", "temperature", "top_p", "gen",
             "extra_body")  # fmt: skip
    settings = spec.model_dump(mode="json", include=set(names))
    settings["limit"] = parse_limit(spec.limit)
    content = {
        "model": model.model,
        "weights": weights_digest(model.served.model if model.served else model.model),
        "tasks": {task.task: task.digest() for task in chosen.tasks},
        **settings,
    }
    if spec.allow_media_urls:
        content["allow_media_urls"] = True
    if (policy := parse_policy(spec.image)) != ORIGINAL:
        content["image"] = asdict(policy)
    same: dict[str, Any] = orjson.loads(orjson.dumps(content))
    return same


def _run_name(model: str, spec: RunSpec, identity: Mapping[str, Any]) -> str:
    tasks = "+".join(Path(name).name for name in spec.tasks)
    plain = re.sub(r"[^\w.-]+", "_", f"{Path(model).name}_{tasks}")[:80]
    return f"{plain}_{_hash(identity)}"


def _hash(content: Any) -> str:
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=4).hexdigest()
