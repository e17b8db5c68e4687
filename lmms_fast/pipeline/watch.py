"""Reads how busy the servers are while a run goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import httpx

from lmms_fast.endpoints.presets import Endpoint
from lmms_fast.endpoints.probe import read_load
from lmms_fast.events import LoadRead, Notify

EVERY_S = 1.0
"""A reading costs vLLM's API process a few milliseconds."""


@contextlib.asynccontextmanager
async def watched(endpoints: Sequence[Endpoint], notify: Notify) -> AsyncIterator[None]:
    """Tells of each server's load at the start, every second, and at the end of the block."""
    async with httpx.AsyncClient(timeout=5) as client:
        watches = [asyncio.create_task(_watch(client, endpoint, notify)) for endpoint in endpoints]
        try:
            yield
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
        for endpoint in endpoints:
            await _read(client, endpoint, notify)


async def _watch(client: httpx.AsyncClient, endpoint: Endpoint, notify: Notify) -> None:
    tells = True
    while tells:
        tells = await _read(client, endpoint, notify)
        await asyncio.sleep(EVERY_S)


async def _read(client: httpx.AsyncClient, endpoint: Endpoint, notify: Notify) -> bool:
    """False when this server has no such page."""
    try:
        load = await read_load(client, endpoint)
    except httpx.HTTPError:
        return True  # busy, or on its way down; the requests themselves will tell
    if load is not None:
        notify(LoadRead(endpoint.name, load))
    return load is not None
