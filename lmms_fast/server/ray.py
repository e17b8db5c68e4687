"""Servers on the nodes of a Ray cluster. Imported only when one is named, for Ray is an extra.

Ray gives what a cluster's scheduler gives, and nothing more: places with GPUs (a placement group for each replica), a
process there (an actor, node.py), and word of its end. The servers are asked by our own pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from lmms_fast import __version__
from lmms_fast.errors import LmmsFastError, ServerError, UsageError
from lmms_fast.events import Notice, Notify, ServerPhase
from lmms_fast.server.command import LOOPBACK, Platform
from lmms_fast.server.hints import phase, tail
from lmms_fast.server.launch import end_of
from lmms_fast.server.layout import Layout, Unit, counted, layout
from lmms_fast.server.node import ENVIRONMENT, Node, Started
from lmms_fast.server.spec import Part, ServerSpec
from lmms_fast.server.tune import Choice

# Ray would write of dead nodes onto standard output, where the events of --json are.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
try:
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy
except ImportError:
    raise UsageError("--ray-address needs Ray: pip install 'lmms-fast[ray]', on all nodes.") from None

T = TypeVar("T")

_REACH_S = 5.0
_LOOK_S = 60.0
_EVERY_S = 1.0
_STOP_S = 20.0
_CAUSE = re.compile(r"because (its [^.\n]+)")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A fleet of nodes, as they were when the run began; those that join later are used, too."""

    sizes: tuple[int, ...]
    """GPUs of the nodes that have any, or CPUs where none has."""
    unit: Unit
    platform: Platform
    nodes: tuple[str, ...]
    """Their ids."""
    asked_there: bool
    """Whether clients run on the nodes, too, so that servers must be reached from other machines than this."""

    def replicas(self, spec: ServerSpec, count: int) -> tuple[ServerSpec, ...]:
        """Anywhere; Ray chooses when they start."""
        layout(spec, count, self.sizes, self.unit)
        return tuple(replace(spec, replica=number, replicas=count) for number in range(count))

    def beside(self, first: Sequence[ServerSpec], second: ServerSpec) -> ServerSpec | None:
        """In what the first ones leave."""
        left = layout(first[0], len(first), self.sizes, self.unit).left
        with contextlib.suppress(UsageError):
            layout(second, 1, left, self.unit)
            return second
        return None

    async def launch(
        self, spec: ServerSpec, *, log_path: Path, notify: Notify, requests: int | None = None, repeats: int = 1
    ) -> RayServer:
        """One that waits for room when it is waited for."""
        place = layout(spec, spec.replicas, self.sizes, self.unit)
        return RayServer(spec, place, self, log_path, notify, requests, repeats)


@dataclass(slots=True, eq=False)
class _Member:
    """An actor, its node, and as much of its log as was fetched."""

    actor: Any
    log_path: Path
    host: str = ""
    log_there: str = ""
    read: int = 0

    async def fetch(self) -> None:
        """The rest of the log, as far as it can be had."""
        if not self.log_there:
            return
        with contextlib.suppress(RayError):
            more, self.read = await self.actor.log.remote(self.read)
            with self.log_path.open("ab") as file:
                file.write(more)


class RayServer:
    """A vLLM on one node of a cluster, or on several."""

    def __init__(
        self, spec: ServerSpec, place: Layout, cluster: Cluster, log_path: Path, notify: Notify,
        requests: int | None, repeats: int,
    ) -> None:  # fmt: skip
        self._spec, self._place, self._unit, self._notify = spec, place, cluster.unit, notify
        self._asked_there = cluster.asked_there
        self._requests, self._repeats = requests, repeats
        self._begun = time.monotonic()
        self._group: PlacementGroup | None = None
        self._members: list[_Member] = []
        self._addresses: list[tuple[str, int]] = []
        self._was_ready = False
        self.base_url = self.api_key = self.served_name = ""
        self.command: tuple[str, ...] = ()
        self.facts: dict[str, Any] = {}
        self.log_path = log_path
        self.platform = cluster.platform

    async def ready(self) -> None:
        """Wait for room, then until it answers. Raises ServerError."""
        try:
            await self._find_room()
            await self._start()
            await self._until_ready()
        except (LmmsFastError, RayError) as error:
            await self.stop()
            raise self._told(error) from None
        self._was_ready = True
        self._tell("ready")

    async def died(self) -> ServerError:
        """When one of its parts has ended; then all of it has."""
        ends = [asyncio.ensure_future(_result(member.actor.died.remote())) for member in self._members]
        try:
            ended, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            _drop(ends)
        await self.stop()
        first = ended.pop()
        return self._told(first.exception() or ServerError(first.result()))

    def log(self) -> str:
        """The end of the log of the node that serves."""
        return end_of(self.log_path)

    def keep(self) -> None:
        """Not here: what Ray started ends with the run."""
        raise UsageError("--keep-server: a server on a Ray cluster ends with the run.")

    async def stop(self) -> None:
        """End it on all nodes, as far as they are still there, and free the room."""
        group, self._group = self._group, None
        if group is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await asyncio.gather(*(_ended(member) for member in self._members))
        await asyncio.to_thread(remove_placement_group, group)  # ends the actors

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _find_room(self) -> None:
        if await asyncio.to_thread(_left):
            raise ServerError("This machine is no part of the Ray cluster any more, so it gives no room: `ray start` "
                              "here, and the same command goes on.")  # fmt: skip
        await asyncio.to_thread(self._place_it)
        wanted = f"{counted(self._place.each, self._unit)} on {counted(self._place.nodes, 'node')}"

        async def addresses() -> list[tuple[str, int]]:
            return [await member.actor.address.remote() for member in self._members]

        async def look() -> None:
            self._tell("waiting", f"room: {wanted}")

        self._addresses = await self._watched(addresses(), look)

    def _place_it(self) -> None:
        place = self._place
        strategy = "STRICT_PACK" if place.nodes == 1 else "STRICT_SPREAD"
        self._group = placement_group([{self._unit: place.each}] * place.nodes, strategy=strategy)
        takes = {"num_gpus": place.each, "num_cpus": 0} if self._unit == "GPU" else {"num_cpus": place.each}
        for rank in range(place.nodes):
            there = PlacementGroupSchedulingStrategy(self._group, rank)
            actor = ray.remote(Node).options(runtime_env={"env_vars": ENVIRONMENT}, scheduling_strategy=there, **takes)
            log_path = self.log_path.with_suffix(f".node{rank}.log") if rank else self.log_path
            self._members.append(_Member(actor.remote(), log_path))

    async def _start(self) -> None:
        """The first node's, then, with the settings chosen there, the others'."""
        master, port = self._addresses[0]
        # Only the share of a node is divided; the requests were before.
        spec = replace(self._spec, replica=self._spec.replica % self._place.share, replicas=self._place.share)
        chosen: tuple[Choice, ...] | None = None
        for rank, (member, (address, _)) in enumerate(zip(self._members, self._addresses, strict=True)):
            member.host = address
            part = Part(rank, self._place.nodes, address, master, port) if self._place.nodes > 1 else None
            started: Started = await member.actor.start.remote(
                replace(spec, part=part), self._bound(address), __version__, chosen,
                self._requests, self._repeats,
            )  # fmt: skip
            member.log_there = started.log_path
            if rank == 0:
                self.base_url, self.api_key, self.served_name = started.base_url, started.api_key, started.served_name
                self.command, self.platform = started.command, started.platform
                self.facts = {**started.facts, "ray": ray.__version__,
                              "nodes": [host for host, _ in self._addresses]}  # fmt: skip
                # A node that only works has no API process.
                chosen = tuple(one for one in started.choices if one.flag != "--api-server-count")
                self._say(started.choices)

    def _bound(self, address: str) -> str:
        """Loopback, where nobody else has to reach it."""
        return LOOPBACK if _is_here(address) and not self._asked_there else address

    async def _until_ready(self) -> None:
        first, others = self._members[0], self._members[1:]
        ready = asyncio.ensure_future(_result(first.actor.ready.remote()))
        ends = [asyncio.ensure_future(_result(member.actor.died.remote())) for member in others]

        async def look() -> None:
            await asyncio.gather(*(member.fetch() for member in self._members))
            self._tell(phase(self.log()))

        try:
            done, _ = await self._watched(asyncio.wait([ready, *ends], return_when=asyncio.FIRST_COMPLETED), look)
            if ready not in done:
                raise ServerError(done.pop().result())
            self.facts |= ready.result()
        finally:
            _drop([ready, *ends])

    async def _watched(self, what: Coroutine[Any, Any, T], look: Callable[[], Awaitable[None]]) -> T:
        """Its result; meanwhile somebody looks every now and then."""
        task = asyncio.create_task(what)
        try:
            while not (await asyncio.wait([task], timeout=_EVERY_S))[0]:
                await look()
            return task.result()
        finally:
            task.cancel()

    def _say(self, choices: Sequence[Choice]) -> None:
        if choices and self._spec.replica == 0:
            said = ", ".join(f"{one.flag} {one.value} ({one.why})" for one in choices)
            self._notify(Notice(f"Set on vLLM, unless given after `--`: {said}."))

    def _tell(self, phase: str, line: str | None = None) -> None:
        last = tail(self.log(), 1) if line is None else line
        self._notify(ServerPhase(phase, last, time.monotonic() - self._begun))

    def _told(self, error: BaseException) -> ServerError:
        """As one sentence of ours, with the log where it is here."""
        if isinstance(error, RayTaskError):
            error = error.cause
        said = str(error).strip()
        for member in self._members:
            if member.log_there:
                said = said.replace(member.log_there, str(member.log_path))
        where = ", ".join(dict.fromkeys(member.host for member in self._members if member.host))
        if isinstance(error, LmmsFastError):
            return ServerError(f"On {where}: {said}" if where else said)
        cause = found[1] if (found := _CAUSE.search(said)) else said.splitlines()[-1]
        what = "died" if self._was_ready else "did not start"
        return ServerError(f"On {where or 'the Ray cluster'}: vLLM {what}; Ray says of its actor: {cause.rstrip('.')}.")


def _left() -> bool:
    """Whether this machine's raylet is gone; then all that we started is, and nothing else will be."""
    mine = ray.get_runtime_context().get_node_id()
    return not any(node["Alive"] for node in ray.nodes() if node["NodeID"] == mine)


async def _result(reference: Any) -> Any:
    return await reference


def _drop(futures: Sequence[asyncio.Future[Any]]) -> None:
    """What they come to later is of no interest."""
    for future in futures:
        future.cancel()


async def _ended(member: _Member) -> None:
    if not member.log_there:
        return  # it may wait for room, and answers nothing then
    with contextlib.suppress(RayError):
        await member.actor.stop.remote()
        await member.fetch()


def _is_here(address: str) -> bool:
    """Whether it is one of this machine's own."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family) as probe:
        probe.bind((address, 0))
        return True
    return False


@contextlib.asynccontextmanager
async def connected(address: str, *, asked_there: bool) -> AsyncIterator[Cluster]:
    """A running cluster, for the block; none is started. Raises UsageError when there is none, or its nodes cannot
    launch vLLM."""
    mine = not ray.is_initialized()
    if mine:
        await asyncio.to_thread(_connect, address)  # in a thread it takes no signals
    try:
        yield await _looked_over(asked_there)
    finally:
        if mine:
            await asyncio.to_thread(ray.shutdown)


def _connect(address: str) -> None:
    named = os.environ.get("RAY_ADDRESS") or address if address == "auto" else address
    start = "`ray start --head` starts one, and `ray start --address=HOST:6379` adds a node"
    if "://" in named:
        raise UsageError(f"--ray-address {address}: write HOST:PORT or auto, on a machine that has joined the cluster "
                         "(`ray start --address=HOST:6379 --num-cpus 0`).")  # fmt: skip
    host, _, port = named.rpartition(":")
    if host and port.isdigit():
        try:  # Ray itself would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()
        except OSError:
            raise UsageError(f"--ray-address {address}: nothing answers there; {start}.") from None
    try:
        ray.init(address=named, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError:
        token = "" if named == "auto" else ", or it wants a token (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN)"
        raise UsageError(f"--ray-address {address}: there is no Ray cluster{token}; {start}.") from None
    except (RayError, RuntimeError, ValueError) as error:  # another version of Ray or of Python there, no token here
        said = " ".join(str(error).split())[:300].rstrip(".")
        raise UsageError(f"--ray-address {address}: Ray cannot be used there ({said}).") from None


async def _looked_over(asked_there: bool) -> Cluster:
    """What the nodes have. Those without a GPU are left aside where others have one."""
    nodes = [node for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
    unit: Unit = "GPU" if any(node["Resources"].get("GPU") for node in nodes) else "CPU"
    used = [node for node in nodes if node["Resources"].get(unit, 0) >= 1]
    if not used:
        raise UsageError("The Ray cluster has neither GPUs nor CPUs; `ray start --address=HOST:6379` adds a node.")
    asked = await asyncio.gather(*(_looked_at(node["NodeID"]) for node in used))
    answered = [(node, said) for node, said in zip(used, asked, strict=True) if said is not None]
    if not answered:
        raise UsageError(f"No node of the Ray cluster has answered within {_LOOK_S:.0f} s; see `ray status`.")
    for node, (version, _, trouble) in answered:
        where = f"Ray node {node['NodeManagerAddress']}"
        if version != __version__:
            raise UsageError(f"{where} has {f'lmms-fast {version}' if version else 'no lmms-fast'}, and {__version__} "
                             "is needed: install the same on all nodes.")  # fmt: skip
        if trouble:
            raise UsageError(f"{where}: {trouble} (A node that is to serve nothing joins with --num-cpus 0.)")
    sizes = tuple(int(node["Resources"][unit]) for node, _ in answered)
    return Cluster(sizes, unit, answered[0][1][1], tuple(node["NodeID"] for node, _ in answered), asked_there)


async def _looked_at(node_id: str) -> Any:
    """Versions of lmms-fast there, the platform of its vLLM, and trouble with that; None: nobody is there. Ray takes a
    while to see that a node is gone."""

    def look() -> tuple[str | None, Platform | None, str]:
        # By value: there may be no lmms-fast, or another, where this runs.
        try:
            import lmms_fast  # noqa: PLC0415
            from lmms_fast.server.command import installed  # noqa: PLC0415
        except ImportError:
            return None, None, ""
        try:
            return lmms_fast.__version__, installed()[0], ""
        except Exception as error:
            return lmms_fast.__version__, None, str(error)

    there = NodeAffinitySchedulingStrategy(node_id, soft=False)
    try:
        async with asyncio.timeout(_LOOK_S):
            return await ray.remote(look).options(num_cpus=0, scheduling_strategy=there).remote()
    except (TimeoutError, RayError):
        return None
