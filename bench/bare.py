"""The least any client must do: ``python -m bench.bare URL FOLDER --out FILE``, for `bench.client` and `bench.limit`.

Picture bytes from parquet, base64, a joined body, one POST, one line to a file. No tasks, no scoring, no retries, no
progress. With ``--ready`` the bodies are made before the first is sent; ``--raw`` posts them with a protocol of thirty
lines on the bare event loop instead of aiohttp; ``--part 1/2`` takes every second row from the second on.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pyarrow.parquet as pq
import pybase64
import uvloop

from bench import work


def bodies(path: Path) -> Iterator[bytes]:
    """Requests as the evaluation sends them."""
    with pq.ParquetFile(path, buffer_size=1 << 20) as file:
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(batch_size=16, row_groups=[group]):
                for row in batch.to_pylist():
                    yield b"".join((
                        b'{"model":"mock","max_tokens":16,"temperature":0.0,"messages":[{"role":"user","content":['
                        b'{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,',
                        pybase64.b64encode(row["image"]["bytes"]), b'"}},{"type":"text","text":',
                        json.dumps(work.prompt(row)).encode(), b"}]}]}",
                    ))  # fmt: skip


async def with_aiohttp(url: str, source: Iterator[bytes], concurrency: int, out: Path) -> None:
    """The usual client."""
    headers = {"Content-Type": "application/json"}
    with out.open("wb") as file:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def worker() -> None:
                for body in source:  # shared: each worker takes the next one
                    async with session.post(f"{url}/chat/completions", data=body, headers=headers) as answer:
                        file.write(await answer.read() + b"\n")

            await asyncio.gather(*(worker() for _ in range(concurrency)))


class Raw(asyncio.Protocol):
    """One connection that knows just enough HTTP for a server that answers with a length."""

    def __init__(self) -> None:
        self._got = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Complete when as much is there as the head says."""
        self._got += data
        head, _, body = self._got.partition(b"\r\n\r\n")
        if len(body) == int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) and self._answer:
            self._got = b""
            self._answer.set_result(body)

    async def ask(self, head: bytes, body: bytes) -> bytes:
        """One request and its answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(head % len(body) + body)  # type: ignore[attr-defined]
        return await self._answer


async def with_protocol(url: str, source: Iterator[bytes], concurrency: int, out: Path) -> None:
    """The fastest way Python has."""
    parts = urlsplit(url)
    head = f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: %d\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    with out.open("wb") as file:

        async def worker() -> None:
            transport, protocol = await loop.create_connection(Raw, parts.hostname, parts.port)
            for body in source:
                file.write(await protocol.ask(head, body) + b"\n")
            transport.close()

        await asyncio.gather(*(worker() for _ in range(concurrency)))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="A bare loop of requests.")
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--ready", action="store_true", help="make all bodies before the first is sent")
    parser.add_argument("--raw", action="store_true", help="without an HTTP library, on uvloop")
    parser.add_argument("--part", default="0/1", help="K/N: every N-th row from row K on")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    first, step = map(int, options.part.split("/"))
    source = itertools.islice(bodies(options.folder / "test.parquet"), first, None, step)
    if options.ready:
        source = iter(list(source))
    if options.raw:
        uvloop.run(with_protocol(options.url, source, options.concurrency, options.out))
    else:
        asyncio.run(with_aiohttp(options.url, source, options.concurrency, options.out))


if __name__ == "__main__":
    main()
