"""Where servers of ours run: on this machine, or on the nodes of a Ray cluster (ray.py)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from lmms_fast.errors import ServerError
from lmms_fast.events import Notify
from lmms_fast.server import tune
from lmms_fast.server.command import Platform, installed
from lmms_fast.server.launch import launch
from lmms_fast.server.spec import ServerSpec


class Launched(Protocol):
    """A server on its way up. Where it is, its key and its command are known once it is ready; leaving its context
    stops it, unless it is to be kept."""

    base_url: str
    api_key: str
    served_name: str
    command: tuple[str, ...]
    facts: dict[str, Any]
    log_path: Path
    platform: Platform

    async def ready(self) -> None:
        """Wait until it answers. Raises ServerError if it will not."""

    async def died(self) -> ServerError:
        """Wait for an end that nobody asked for."""

    def log(self) -> str:
        """The end of its log."""

    def keep(self) -> None:
        """Leave it running for later runs."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Fleet(Protocol):
    """Places for servers."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Ids of machines; empty where there is only this one."""
        ...

    def replicas(self, spec: ServerSpec, count: int) -> tuple[ServerSpec, ...]:
        """Several servers of one model, each in a place of its own. Raises UsageError where there are too few."""

    def beside(self, first: Sequence[ServerSpec], second: ServerSpec) -> ServerSpec | None:
        """The second server as it can run while the first ones do; None: only after them."""

    async def launch(
        self, spec: ServerSpec, *, log_path: Path, notify: Notify, requests: int | None = None, repeats: int = 1
    ) -> Launched:
        """Returns at once; `Launched.ready` waits for it. `requests` is how many will be made, `repeats` how many of
        each sample."""


class ThisMachine:
    """What is installed here, on the GPUs here."""

    nodes: tuple[str, ...] = ()

    def replicas(self, spec: ServerSpec, count: int) -> tuple[ServerSpec, ...]:
        """On GPUs of their own."""
        return tune.replicas(spec, count, installed()[0], tune.devices()) if count > 1 else (spec,)

    def beside(self, first: Sequence[ServerSpec], second: ServerSpec) -> ServerSpec | None:
        """On other GPUs, or in what the first leaves of their memory."""
        return tune.beside(first, second, installed()[0], tune.devices())

    async def launch(
        self, spec: ServerSpec, *, log_path: Path, notify: Notify, requests: int | None = None, repeats: int = 1
    ) -> Launched:
        """A kept one that answers, or a new one."""
        return await launch(spec, log_path=log_path, notify=notify, requests=requests, repeats=repeats)


@contextlib.asynccontextmanager
async def fleet(ray_address: str | None, *, asked_there: bool = False) -> AsyncIterator[Fleet]:
    """This machine, or the Ray cluster at that address, which may be asked from its nodes, too. Raises
    UsageError when it cannot be used."""
    if ray_address is None:
        yield ThisMachine()
        return
    from lmms_fast.server.ray import connected  # noqa: PLC0415

    async with connected(ray_address, asked_there=asked_there) as cluster:
        yield cluster
