"""Looks after the servers while a run goes on: how busy they are, and whether one that was out is well again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx

from lmms_fast.endpoints.pool import Member, Pool
from lmms_fast.endpoints.probe import read_load, served_models
from lmms_fast.errors import EndpointError
from lmms_fast.events import EndpointState, LoadRead, Notify
from lmms_fast.pipeline.stop import Stop

EVERY_S = 1.0
"""A reading costs vLLM's API process a few milliseconds."""
_PROBE_MAX_S = 30.0


@contextlib.asynccontextmanager
async def watched(pool: Pool, notify: Notify) -> AsyncIterator[None]:
    """Tells of each server's load at the start, every second, and at the end of the block."""
    async with httpx.AsyncClient(timeout=5) as client:
        watch = asyncio.create_task(_watch(client, pool, notify))
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        await asyncio.gather(*(_read(client, member, notify) for member in pool.members))


async def _watch(client: httpx.AsyncClient, pool: Pool, notify: Notify) -> None:
    silent: set[Member] = set()
    while True:  # one that joins may tell, when those before do not
        asked = [member for member in pool.members if member.up and member not in silent]
        told = await asyncio.gather(*(_read(client, member, notify) for member in asked))
        silent.update(member for member, tells in zip(asked, told, strict=True) if not tells)
        await asyncio.sleep(EVERY_S)


async def _read(client: httpx.AsyncClient, member: Member, notify: Notify) -> bool:
    """False when this server has no such page."""
    try:
        load = await read_load(client, member.endpoint)
    except httpx.HTTPError:
        return True  # busy, or on its way down; the requests themselves will tell
    if load is not None:
        notify(LoadRead(member.endpoint.name, load))
    return load is not None


async def revive(member: Member, pool: Pool, notify: Notify) -> None:
    """Probe a server that was taken out until it answers, and bring it back on trial."""
    while True:
        wait_s, member.probe_s = member.probe_s, min(2 * member.probe_s, _PROBE_MAX_S)
        await asyncio.sleep(wait_s)
        if member.up or member not in pool.members:
            return
        with contextlib.suppress(EndpointError):
            await served_models(member.endpoint.profile, member.endpoint.api_key)
            pool.bring_back(member, on_trial=True)
            notify(EndpointState(member.endpoint.name, True, "it lists its models; one request at a time for now"))
            return


async def mind(pool: Pool, patience_s: float, stop: Stop) -> None:
    """End the run when no server has answered for so long: all were out, or on trial."""
    dark_s = 0.0
    while dark_s <= patience_s:
        before = pool.answers
        await asyncio.sleep(EVERY_S)
        lit = pool.answers > before or any(member.well for member in pool.members)
        dark_s = 0.0 if lit else dark_s + EVERY_S
    said = "; ".join(f"last from {one.endpoint.name}: {one.said[:200].rstrip('.')}" for one in pool.members if one.said)
    stop.request(f"no endpoint has answered for {patience_s:g} s{f' ({said})' if said else ''}")
