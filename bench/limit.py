"""The least any client must do: ``python -m bench.limit URL FOLDER --concurrency N [--ready]``.

Picture bytes from parquet, base64, a joined body, one POST with aiohttp, one line to a file. No tasks, no scoring, no
retries, no progress. With ``--ready`` the bodies are made before the clock of the server starts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pyarrow.parquet as pq
import pybase64

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


async def post_all(url: str, source: Iterator[bytes], concurrency: int, out: Path) -> int:
    """Number of answers."""
    done = 0
    headers = {"Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    with out.open("wb") as file:
        async with aiohttp.ClientSession(connector=connector) as session:

            async def worker() -> None:
                nonlocal done
                for body in source:  # shared: each worker takes the next one
                    async with session.post(f"{url}/chat/completions", data=body, headers=headers) as answer:
                        file.write(await answer.read() + b"\n")
                    done += 1

            await asyncio.gather(*(worker() for _ in range(concurrency)))
    return done


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="A bare loop of requests.")
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--ready", action="store_true", help="make all bodies before the first is sent")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    source = bodies(options.folder / "test.parquet")
    if options.ready:
        source = iter(list(source))
    print(asyncio.run(post_all(options.url, source, options.concurrency, options.out)))


if __name__ == "__main__":
    main()
