"""The whole run: directory → session → result."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import orjson

from lmms_fast.config.spec import RunSpec
from lmms_fast.data.feed import parse_limit, parse_shard
from lmms_fast.errors import UsageError
from lmms_fast.events import Event, Notice, Notify, Opened, Timed
from lmms_fast.journal.rundir import RunDir, write_bytes
from lmms_fast.journal.store import Journal
from lmms_fast.media.policy import ORIGINAL, parse_policy
from lmms_fast.pipeline import roles
from lmms_fast.pipeline.answers import cut_off_keys
from lmms_fast.pipeline.judging import to_judge
from lmms_fast.pipeline.roles import Asked
from lmms_fast.pipeline.stop import Stop, parse_time_s
from lmms_fast.pipeline.timing import Meter
from lmms_fast.pipeline.work import Spending, Work, has_answers
from lmms_fast.report.judgements import Judge
from lmms_fast.report.result import RunResult, check_scorings, finish
from lmms_fast.report.trace import Trace
from lmms_fast.server.fleet import Fleet, ThisMachine, fleet
from lmms_fast.server.spec import weights_digest
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.catalog import Selection as Chosen
from lmms_fast.tasks.draft import dumped
from lmms_fast.tasks.spec import DEFAULT

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
    async with fleet(spec.ray_address, asked_there=spec.client_workers not in (1, "auto")) as ours:
        return await _run(spec, notify, stop or Stop(), ours)


async def _run(spec: RunSpec, notify: Notify, stop: Stop, fleet: Fleet) -> RunResult:
    catalog = Catalog(spec.include_path)
    chosen = catalog.select(spec.tasks)
    spec = spec.model_copy(update={"tasks": tuple(map(catalog.lasting, spec.tasks))})
    for guess in chosen.guessed:
        notify(Notice(guess.told()))
    model = await roles.candidate(spec, fleet)
    chosen = _prompted(chosen, spec, model.model)
    check_scorings(chosen.tasks, spec.scoring)
    judges = await roles.judges(spec, model, fleet) if _named(spec, chosen, notify) else []
    spending = Spending.of(spec, (model, *judges))
    identity = identify(spec, chosen, model)
    path = spec.output_dir or Path("runs") / _run_name(model.model, spec, identity)
    with RunDir(path, fresh=spec.fresh) as directory:
        directory.claim(identity)
        for guess in chosen.guessed:
            if not (kept := directory.definition(guess.content["task"])).exists():
                write_bytes(kept, dumped(guess.anywhere()).encode())
        manifest = directory.manifest() or {"identity": identity, "sessions": [], "complete": False}
        return await _go(spec, chosen, directory, manifest, model, judges, spending, fleet, stop, notify)


async def rejudge(
    directory: RunDir, spec: RunSpec, chosen: Chosen, notify: Notify, stop: Stop | None = None
) -> RunResult:
    """Ask `spec`'s judge about the answers of a run; the model is not asked anything. Raises LmmsFastError."""
    manifest = directory.manifest()
    assert manifest is not None, "a run that is judged again has a manifest"
    model = Asked("model", str(manifest["identity"].get("model")), None, (), None, "auto")
    here = ThisMachine()
    judges = await roles.judges(spec, model, here) if _named(spec, chosen, notify) else []
    spending = Spending.of(spec, judges)
    return await _go(spec, chosen, directory, manifest, model, judges, spending, here, stop or Stop(), notify,
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
    spending: Spending, fleet: Fleet, stop: Stop, notify: Notify, *, only_judge: bool = False,
) -> RunResult:  # fmt: skip
    recorded = _described(spec, judges)
    notify(Opened(str(directory.path), model.model))
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(directory.journal))
        if journal.damaged:
            notify(Notice(f"{journal.damaged} unreadable journal lines; their samples are asked again."))
        answered = only_judge or (has_answers(manifest) and not _more_to_ask(spec, journal))
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
            work = Work(spec, chosen, directory, manifest, journal, spending, fleet, stop, tell)
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
    return {**first, "audit": second[0] if second else None, "share": spec.judge_audit or 0.0}


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
        "weights": weights_digest(model.served[0].model if model.served else model.model),
        "tasks": {task.task: task.digest() for task in chosen.tasks},
        **settings,
    }
    if spec.allow_media_urls:
        content["allow_media_urls"] = True
    if (shard := parse_shard(spec.shard)) is not None:
        content["shard"] = asdict(shard)
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
