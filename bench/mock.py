"""An OpenAI-compatible server that costs as little as a Python one can, so that the client is what is measured.

``python -m bench.mock [--port 0] [--latency 0 | 0.2 | lognormal:0.2:1] [--per-token 0] [--slots N] [--rate N]
[--congested N] [--say A] [--servers 1]`` prints its port and serves until it is ended; with ``--servers`` it is so many
servers in one process, each with a port and counters of its own. Bodies are read into one scratch buffer and
thrown away; the answer is always that of ``--say``. With ``--per-token`` a request takes so many seconds more for each
of its ``max_tokens``; with ``--slots`` at most N requests are worked on at once and the others wait, as in a batch that
is full; with ``--rate`` those beyond N a second are refused (429); with ``--congested`` each takes longer the more
there are, and beyond N requests less is done in all.

GET /v1/models · POST /v1/chat/completions · GET /metrics (vLLM's names) · GET /stats · POST /reset
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TOKENS = re.compile(rb'"max_tokens": *(\d+)')
_SCRATCH = memoryview(bytearray(1 << 18))  # shared by all connections: nobody reads what is written there
_HEAD_MAX = 1 << 14
MODEL = "mock"


def latency(text: str) -> Callable[[], Callable[[], float]]:
    """What ``--latency`` means: a maker of seeded streams of seconds."""
    if text.startswith("lognormal:"):
        middle, sigma = (float(part) for part in text.split(":")[1:])

        def spread() -> Callable[[], float]:
            rng = random.Random(7)
            return lambda: middle * rng.lognormvariate(0.0, sigma)

        return spread
    seconds = float(text)
    return lambda: lambda: seconds


class Mock:
    """What all connections share."""

    def __init__(
        self, make_latency: Callable[[], Callable[[], float]], per_token_s: float = 0.0, slots: int | None = None,
        rate: float | None = None, congested: int | None = None, say: str = "A",
    ) -> None:  # fmt: skip
        self._make_latency, self._per_token_s, self._slots = make_latency, per_token_s, slots
        self._rate, self._congested = rate, congested
        self._refusal = reply(b'{"error":{"message":"too many requests"}}', status="429 Too Many Requests")
        message = {"role": "assistant", "content": say}
        body = json.dumps({
            "id": "x", "object": "chat.completion", "created": 0, "model": MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 400, "completion_tokens": 1, "total_tokens": 401},
        }).encode()  # fmt: skip
        self.answer = reply(body)
        self.reset()

    def reset(self) -> None:
        """Zero the counters and start the stream of latencies anew."""
        self.next_latency = self._make_latency()
        self.requests = self.refused = self.received = self.running = self.most = 0
        self.level = self.drained = 0.0
        self.first = self.last = 0.0
        self.waiting: deque[Connection] = deque()
        self.changes: list[tuple[float, int]] = []

    def arrived(self, connection: Connection) -> None:
        """A whole request is in."""
        if not self.requests:
            self.first = time.perf_counter()
        if self._rate is not None and not self._allowed(self._rate):
            self.refused += 1
            connection.send(self._refusal)
            return
        self.requests += 1
        if self._slots is not None and self.running >= self._slots:
            self.waiting.append(connection)
        else:
            self._work_on(connection)
        self._note()

    def _allowed(self, rate: float) -> bool:
        """A bucket that holds a second's requests."""
        now = time.perf_counter()
        self.level, self.drained = max(0.0, self.level - (now - self.drained) * rate), now
        if self.level + 1 > rate:
            return False
        self.level += 1
        return True

    def _work_on(self, connection: Connection) -> None:
        self.running += 1
        seconds = self.next_latency() + self._per_token_s * connection.tokens
        if self._congested is not None:
            seconds *= 1 + (self.running / self._congested) ** 2
        if seconds > 0:
            asyncio.get_running_loop().call_later(seconds, self._answer, connection)
        else:
            self._answer(connection)

    def _answer(self, connection: Connection) -> None:
        self.running -= 1
        connection.send(self.answer)
        self.last = time.perf_counter()
        if self.waiting:
            self._work_on(self.waiting.popleft())
        self._note()

    def _note(self) -> None:
        outstanding = self.running + len(self.waiting)
        self.most = max(self.most, outstanding)
        self.changes.append((time.perf_counter(), outstanding))

    def stats(self) -> bytes:
        """Counters, and the number of requests in the server over time."""
        return json.dumps({
            "requests": self.requests, "refused": self.refused, "received_bytes": self.received,
            "span_s": self.last - self.first,
            "first_s": self.first,  # by the machine's monotonic clock, which all its processes share
            "most_in_flight": self.most, "changes": [[round(at - self.first, 5), n] for at, n in self.changes],
        }).encode()  # fmt: skip

    def metrics(self) -> bytes:
        """The gauges of vLLM that a client may steer by."""
        labels = f'{{engine="0",model_name="{MODEL}"}}'
        used = self.running / (self._slots or max(1, self.running))
        values = {"num_requests_running": self.running, "num_requests_waiting": len(self.waiting),
                  "kv_cache_usage_perc": used, "num_preemptions_total": 0}  # fmt: skip
        return "".join(f"vllm:{name}{labels} {value}\n" for name, value in values.items()).encode()


class Connection(asyncio.BufferedProtocol):
    """One keep-alive connection."""

    def __init__(self, mock: Mock) -> None:
        self._mock = mock
        self._head = bytearray(_HEAD_MAX)
        self._filled = self._left = self.tokens = 0
        self._body_begins = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def get_buffer(self, sizehint: int) -> memoryview:
        """The head goes where it can be read, the body into the scratch buffer."""
        if self._left:
            return _SCRATCH[: min(self._left, len(_SCRATCH))]
        return memoryview(self._head)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        if self._left:
            if self._body_begins:
                self._look(bytes(_SCRATCH[: min(nbytes, 300)]))
            self._left -= nbytes
            self._mock.received += nbytes
            if not self._left:
                self._mock.arrived(self)
            return
        self._filled += nbytes
        end = self._head.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            if self._filled == _HEAD_MAX and self._transport:
                self._transport.abort()
            return
        head, body = bytes(self._head[:end]), bytes(self._head[end + 4 : self._filled])
        self._filled = 0
        self._begin(head, body)

    def _look(self, beginning: bytes) -> None:
        found = _TOKENS.search(beginning)
        self.tokens = int(found[1]) if found else 0
        self._body_begins = not found and len(beginning) < 100  # a client may send the first bytes by themselves

    def _begin(self, head: bytes, body: bytes) -> None:
        method, path, _ = head.split(b" ", 2)
        length = _LENGTH.search(head)
        self._left = (int(length[1]) if length else 0) - len(body)
        self._mock.received += len(body)
        self._look(body[:300])
        if method == b"POST" and path == b"/v1/chat/completions":
            if not self._left:
                self._mock.arrived(self)
        elif path == b"/v1/models":
            self.send(reply(json.dumps({"object": "list", "data": [{"id": MODEL, "root": MODEL}]}).encode()))
        elif path == b"/metrics":
            self.send(reply(self._mock.metrics(), "text/plain"))
        elif path == b"/stats":
            self.send(reply(self._mock.stats()))
        elif path == b"/reset":
            self._mock.reset()
            self.send(reply(b"{}"))
        else:
            self.send(reply(b'{"error":{"message":"no such path"}}', status="404 Not Found"))

    def send(self, data: bytes) -> None:
        """Answer, unless the client has gone."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)


def reply(body: bytes, kind: str = "application/json", status: str = "200 OK") -> bytes:
    """A whole HTTP/1.1 answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(mocks: Sequence[Mock], port: int) -> None:
    """Print a port for each and serve for ever."""
    for mock in mocks:
        server = await asyncio.get_running_loop().create_server(
            partial(Connection, mock), "127.0.0.1", port, backlog=4096
        )
        print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="A server that costs little.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=latency, default="0", help="seconds, or lognormal:MEDIAN_S:SIGMA")
    parser.add_argument("--per-token", type=float, default=0.0, help="seconds for each of a request's max_tokens")
    parser.add_argument("--slots", type=int, help="requests worked on at once; the others wait")
    parser.add_argument("--rate", type=float, help="requests a second; those beyond are refused")
    parser.add_argument("--congested", type=int, help="requests beyond which less is done in all")
    parser.add_argument("--say", default="A", help="the answer")
    parser.add_argument("--servers", type=int, default=1, help="so many, in one process; --port must be 0 then")
    options = parser.parse_args()
    mocks = [Mock(options.latency, options.per_token, options.slots, options.rate, options.congested, options.say)
             for _ in range(options.servers)]  # fmt: skip
    try:
        from uvloop import run  # noqa: PLC0415
    except ImportError:
        from asyncio import run  # noqa: PLC0415
    run(serve(mocks, options.port))


if __name__ == "__main__":
    main()
