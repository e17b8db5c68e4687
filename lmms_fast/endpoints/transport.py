"""The HTTP library of the request path, and nothing else: one POST, no retries, no judgement of content."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from lmms_fast.endpoints.presets import Endpoint
from lmms_fast.endpoints.redact import redact
from lmms_fast.types import FailureKind

_WRITE_BYTES = 1 << 18
_ANSWER_BYTES = 64 << 20
_CONNECT_S = 20.0
_PASSWORD = re.compile(r"//[^/@\s]*@")  # of a proxy, whose address aiohttp puts into its errors


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over the wire, without the key that was sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_s: float


class TransportError(Exception):
    """No complete answer came back."""

    def __init__(self, kind: FailureKind, detail: str, *, unreachable: bool = False) -> None:
        super().__init__(detail)
        self.kind: FailureKind = kind
        self.unreachable = unreachable
        """No connection could be made."""


class _Pieces(aiohttp.Payload):
    """Bytes sent as they lie, and handed to the socket no faster than it takes them.

    aiohttp's own payload for bytes copies the body behind the headers. For one picture that copy is a fifth of what a
    request costs (fresh pages each time); for twenty large ones, with the socket's buffer, a hundred megabytes.
    """

    _autoclose = True

    def __init__(self, pieces: Sequence[bytes]) -> None:
        super().__init__(pieces, content_type="application/json")
        self._size = sum(map(len, pieces))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for piece in self._value:
            if len(piece) <= _WRITE_BYTES:
                await writer.write(piece)
                continue
            view = memoryview(piece)
            for start in range(0, len(view), _WRITE_BYTES):
                await writer.write(view[start : start + _WRITE_BYTES])


class Transport:
    """One connection pool for all endpoints of a run. Use as an async context manager."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        # limit=0: the concurrency limit is ours; a pool limit below it would hide as server latency.
        # keepalive 4 s: vLLM closes idle connections after 5, and losing that race costs a retry.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0, ttl_dns_cache=300)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout_s, connect=_CONNECT_S),
        )
        self._proxies: dict[str, str | None] = {}

    async def post(self, endpoint: Endpoint, pieces: Sequence[bytes]) -> Answer:
        """Send a JSON body, given in pieces. Raises TransportError when no complete answer comes back in time."""
        started = time.perf_counter()
        try:
            async with self._session.post(
                endpoint.chat_url, data=_Pieces(pieces), headers=endpoint.headers, allow_redirects=False,
                proxy=self._proxy(endpoint.chat_url),
            ) as answer:  # fmt: skip
                content = await _read(answer)
        except aiohttp.ConnectionTimeoutError:
            raise TransportError("timeout", f"no connection within {_CONNECT_S:g} s", unreachable=True) from None
        except TimeoutError:
            raise TransportError("timeout", f"no answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: what came is no HTTP
            unreachable = isinstance(error, aiohttp.ClientConnectorError)
            detail = redact(_PASSWORD.sub("//", f"{type(error).__name__}: {error}"), endpoint.api_key)
            raise TransportError("connection", detail, unreachable=unreachable) from None
        # Before a part is cut out that could hold half of the key. Of a 200's headers only numbers are read.
        content = redact(content, endpoint.api_key)
        headers: Mapping[str, str] = answer.headers
        if answer.status != 200:
            headers = CIMultiDict((name, redact(value, endpoint.api_key)) for name, value in headers.items())
        return Answer(answer.status, headers, content, time.perf_counter() - started)

    def _proxy(self, url: str) -> str | None:
        """What the environment says (HTTPS_PROXY, NO_PROXY), looked up once; `trust_env` does so for every request, in
        a thread, which costs more than the request."""
        if url not in self._proxies:
            parts = urlsplit(url)
            bypassed = parts.hostname is None or proxy_bypass(parts.hostname)
            self._proxies[url] = None if bypassed else getproxies().get(parts.scheme)
        return self._proxies[url]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await asyncio.sleep(0)  # lets the connector's transports finish closing before the loop ends


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """As `ClientResponse.read`, but the server does not decide how much memory that takes; zipped answers included."""
    pieces: list[bytes] = []
    size = 0
    async for piece in answer.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > _ANSWER_BYTES:
            raise TransportError("malformed", f"an answer of more than {_ANSWER_BYTES >> 20} MiB")
    return b"".join(pieces)
