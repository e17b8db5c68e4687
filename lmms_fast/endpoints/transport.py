"""The HTTP library of the request path, and nothing else: one POST, no retries, no judgement of content."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from lmms_fast.endpoints.presets import Endpoint
from lmms_fast.types import FailureKind


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_s: float


class TransportError(Exception):
    """No complete answer came back."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.kind: FailureKind = kind


class Transport:
    """One connection pool for all endpoints of a run. Use as an async context manager."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        # limit=0: the concurrency limit is ours; a pool limit below it would hide as server latency.
        # keepalive 4 s: vLLM closes idle connections after 5, and losing that race costs a retry.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0, ttl_dns_cache=300)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=timeout_s, connect=20),
            trust_env=True,
            auto_decompress=True,
        )

    async def post(self, endpoint: Endpoint, body: bytes) -> Answer:
        """Send a JSON body. Raises TransportError when no complete answer comes back in time."""
        started = time.perf_counter()
        try:
            async with self._session.post(
                endpoint.chat_url,
                data=body,
                headers={"Content-Type": "application/json", **endpoint.headers},
                allow_redirects=False,
            ) as answer:
                content = await answer.read()
        except TimeoutError:
            raise TransportError("timeout", f"no answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientError, ConnectionError, OSError) as error:
            raise TransportError("connection", f"{type(error).__name__}: {error}") from None
        return Answer(answer.status, answer.headers, content, time.perf_counter() - started)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await asyncio.sleep(0)  # lets the connector's transports finish closing before the loop ends
