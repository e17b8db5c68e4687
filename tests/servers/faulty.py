"""An OpenAI-style server that misbehaves on command, in a process of its own: ``python -m tests.servers.faulty``.

It prints its port and serves until it is ended. Right answers depend on the messages' texts alone (`answer_to`), so a
run that met faults must end in the same results as one that met none. It writes HTTP by hand, to be able to break it.

POST /plan sets which request meets which fault and zeroes the counters; by the request's texts and how often it came
before, not by the order of arrival::

    {"faults": [{"name": "429", "retry_after": "0", "times": 3}, {"name": "hang", "match": "row 7 "}]}
    {"faults": [{"name": "500"}, {"name": "reset"}], "rate": 0.05, "seed": 1, "first_attempt_only": true}

Without `rate` a request meets the faults one behind the other, each `times` (default 1; 0: for ever), and then gets its
answer. With it, that share of requests meets one of the faults, drawn by a hash. A fault may name `match` (texts that
hold this), `after` (not among so many first requests), `for_s` (not after so many seconds) and `total` (at most so
often). `FAULTS` lists the names; digits
are an HTTP status, with `retry_after`, `headers` and `body` if given.

GET /stats tells: requests, answers, repeats (right answers given again), faults by name, open and most connections.
GET /v1/models · POST /v1/chat/completions
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import hashlib
import json
import math
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

MODEL = "faulty"
_ROOT = Path(__file__).parents[2]
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_MAX = 1 << 16
_PIECE = 1 << 20

Fault = Mapping[str, Any]
After = Literal["keep", "close", "stale"]
"""What becomes of a connection: kept, closed, or closed when the next request comes on it."""


def answer_to(text: str) -> str:
    """The right answer to a prompt: a letter, by a hash of its texts."""
    return "ABCD"[hashlib.sha256(text.encode()).digest()[0] % 4]


def text_of(body: Mapping[str, Any]) -> str:
    """All text parts of a request, a line each."""
    texts: list[str] = []
    for message in body["messages"]:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        texts += [part["text"] for part in parts if part["type"] == "text"]
    return "\n".join(texts)


def completion(content: Any, finish: str = "stop", **more: Any) -> bytes:
    """A chat completion's JSON."""
    message = {"role": "assistant", "content": content, **more}
    return json.dumps({
        "id": "x", "object": "chat.completion", "created": 0, "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
    }).encode()  # fmt: skip


def reply(
    body: bytes, status: str = "200 OK", kind: str = "application/json", headers: Mapping[str, str] | None = None,
    length: int | None = None,
) -> bytes:  # fmt: skip
    """A whole HTTP/1.1 answer; with `length`, one that promises as much."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {size}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Plan:
    """Which request meets which fault."""

    faults: Sequence[Fault] = ()
    rate: float | None = None
    seed: int = 0
    first_attempt_only: bool = False

    def choose(self, text: str, attempt: int, number: int, age_s: float, met: Mapping[int, int]) -> int | None:
        """The fault for the `attempt`-th request of a text, which is the server's `number`-th (from 0), so long after
        the plan was set; `met` counts how often each fault was chosen."""
        open_to = [place for place, fault in enumerate(self.faults)
                   if fault.get("match", "") in text and number >= fault.get("after", 0)
                   and age_s < fault.get("for_s", math.inf)
                   and met.get(place, 0) < fault.get("total", math.inf)]  # fmt: skip
        if self.rate is not None:
            digest = hashlib.sha256(f"{self.seed} {attempt} {text}".encode()).digest()
            drawn = int.from_bytes(digest[:8]) / 2**64
            if not open_to or drawn >= self.rate or (self.first_attempt_only and attempt > 1):
                return None
            return open_to[int.from_bytes(digest[8:16]) % len(open_to)]
        for place in open_to:
            times = self.faults[place].get("times", 1)
            if times == 0 or attempt <= times:
                return place
            attempt -= times
        return None


@dataclass
class Counts:
    """Since the plan was set."""

    begun: float = field(default_factory=time.monotonic)
    requests: int = 0
    answers: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    met: Counter[int] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    most: int = 0


@dataclass(frozen=True)
class Call:
    """A request that meets a fault."""

    server: Server
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    text: str
    fault: Fault

    @property
    def answer(self) -> bytes:
        """What it would have been answered."""
        self.server.note_answer(self.text)
        return completion(answer_to(self.text))

    async def send(self, data: bytes) -> After:
        """As it is."""
        self.writer.write(data)
        await self.writer.drain()
        return "keep"


class Server:
    """What all connections share."""

    def __init__(self, tls: ssl.SSLContext | None = None, model: str = MODEL, models_status: str = "200 OK") -> None:
        self._tls, self._model, self._models_status = tls, model, models_status
        self._plan = Plan()
        self._counts = Counts()
        self._open: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None
        self._port = 0
        self._held: list[asyncio.Future[None]] = []
        self._changed = asyncio.Event()

    async def listen(self, port: int) -> int:
        """Open the listening socket; the port."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self._tls, backlog=4096,
                                                    limit=_HEAD_MAX)  # fmt: skip
        self._port = int(self._listener.sockets[0].getsockname()[1])
        return self._port

    def die(self, seconds: float) -> None:
        """Nobody listens for so long, and who was connected is cut off."""
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        for writer in self._open:
            _reset(writer)
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, lambda: loop.create_task(self.listen(self._port)))

    async def new_plan(self) -> None:
        """Wait for it."""
        await self._changed.wait()

    async def out_of_turn(self, count: int, seconds: float) -> None:
        """Wait until `count` are waiting, or so long; then the last goes first."""
        mine = asyncio.get_running_loop().create_future()
        self._held.append(mine)
        if len(self._held) >= count:
            self._release()
        await asyncio.wait([mine], timeout=seconds)
        if not mine.done():
            self._release()

    def _release(self) -> None:
        held, self._held = self._held, []
        for waiting in reversed(held):
            waiting.set_result(None)

    def note_answer(self, text: str) -> None:
        """A right answer is on its way."""
        self._counts.answers += 1
        self._counts.answered[text] += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._counts.most = max(self._counts.most, len(self._open))
        try:
            while True:
                first = await reader.read(1)
                if not first.isalpha():  # gone, or speaking TLS
                    writer.write(reply(b"not HTTP", "400 Bad Request") if first else b"")
                    break
                head = first + await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                method, path, _ = head.split(b" ", 2)
                then = await self._respond(f"{method.decode()} {path.decode()}", body, reader, writer)
                if then == "stale":
                    await reader.read(1)
                if then != "keep":
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away
        finally:
            self._open.discard(writer)
            writer.close()

    async def _respond(
        self, what: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> After:
        match what:
            case "POST /v1/chat/completions":
                return await self._chat(json.loads(body), reader, writer)
            case "GET /v1/models":
                listed = {"object": "list", "data": [{"id": self._model}]}
                data = reply(json.dumps(listed).encode(), self._models_status)
            case "POST /plan":
                self._plan, self._counts = Plan(**json.loads(body)), Counts()
                self._changed.set()
                self._changed = asyncio.Event()
                data = reply(b"{}")
            case "GET /stats":
                data = reply(json.dumps(self._stats()).encode())
            case _:
                data = reply(b'{"error":{"message":"no such path"}}', "404 Not Found")
        writer.write(data)
        await writer.drain()
        return "keep"

    async def _chat(
        self, body: Mapping[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> After:
        counts, text = self._counts, text_of(body)
        number = counts.requests
        counts.requests += 1
        counts.attempts[text] += 1
        place = self._plan.choose(text, counts.attempts[text], number, time.monotonic() - counts.begun, counts.met)
        if place is None:
            self.note_answer(text)
            writer.write(reply(completion(answer_to(text))))
            return "keep"
        fault = self._plan.faults[place]
        name = str(fault["name"])
        counts.met[place] += 1
        counts.faults[name] += 1
        call = Call(self, reader, writer, text, fault)
        return await (_status(call) if name.isdigit() else FAULTS[name](call))

    def _stats(self) -> dict[str, Any]:
        counts = self._counts
        repeats = sum(times - 1 for times in counts.answered.values())
        return {"requests": counts.requests, "answers": counts.answers, "repeats": repeats, "faults": counts.faults,
                "connections": len(self._open) - 1, "most_connections": counts.most}  # fmt: skip


async def _status(call: Call) -> After:
    """An HTTP status, in OpenAI's dialect."""
    fault, code = call.fault, str(call.fault["name"])
    headers = dict(fault.get("headers", {}))
    if "retry_after" in fault:
        headers["Retry-After"] = str(fault["retry_after"])
    body = fault.get("body", {"error": {"message": f"fault {code}", "type": "fault", "code": code}})
    text = body if isinstance(body, str) else json.dumps(body)
    return await call.send(reply(text.encode(), f"{code} Fault", headers=headers))


async def _slow(call: Call) -> After:
    """The first byte comes late."""
    await asyncio.sleep(float(call.fault.get("seconds", 0.1)))
    return await call.send(reply(call.answer))


async def _wait(call: Call) -> After:
    """The right answer, once another plan is set."""
    await call.server.new_plan()
    return await call.send(reply(call.answer))


async def _hang(call: Call) -> After:
    """No answer."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(call.reader.read(1), float(call.fault.get("seconds", 3600)))
    return "close"


async def _half_hang(call: Call) -> After:
    """Half an answer, then nothing."""
    whole = reply(completion("C"))
    await call.send(whole[: len(whole) * 2 // 3])
    return await _hang(call)


async def _reset_first(call: Call) -> After:
    """The connection is reset before anything is said."""
    _reset(call.writer)
    return "close"


async def _reset_body(call: Call) -> After:
    """The connection is reset in the middle of a body."""
    whole = reply(completion("C"))
    await call.send(whole[: len(whole) * 2 // 3])
    await asyncio.sleep(0.005)  # a reset throws away what was not yet read
    _reset(call.writer)
    return "close"


async def _cut_body(call: Call) -> After:
    """The connection is closed in the middle of a body, in good order."""
    whole = reply(completion("C"))
    await call.send(whole[: len(whole) * 2 // 3])
    return "close"


async def _cut_chunks(call: Call) -> After:
    """A body in chunks ends without the last one, so all the JSON is there, or seems to be."""
    body = completion("C")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    await call.send(head + f"{len(body):x}\r\n".encode() + body + b"\r\n")
    return "close"


async def _truncated_json(call: Call) -> After:
    """A whole answer whose JSON is not."""
    body = completion("C")
    return await call.send(reply(body[: len(body) * 2 // 3]))


async def _wrong_type(call: Call) -> After:
    """The right JSON, said to be text."""
    return await call.send(reply(call.answer, kind="text/plain"))


async def _headers(call: Call) -> After:
    """The right answer with `headers`."""
    return await call.send(reply(call.answer, headers=call.fault["headers"]))


async def _events(call: Call) -> After:
    """A stream that nobody asked for."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "C"}, "finish_reason": "stop"}]}
    return await call.send(reply(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode(), kind="text/event-stream"))


async def _no_choices(call: Call) -> After:
    """An empty list of choices."""
    return await call.send(reply(b'{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":7}}'))


async def _null_content(call: Call) -> After:
    """An answer without a text."""
    return await call.send(reply(completion(None)))


async def _empty_body(call: Call) -> After:
    """200 and nothing."""
    return await call.send(reply(b""))


async def _parts(call: Call) -> After:
    """The right answer as a list of parts."""
    call.server.note_answer(call.text)
    letter = answer_to(call.text)
    return await call.send(reply(completion([{"type": "text", "text": letter[:1]}, {"type": "text", "text": ""}])))


async def _tool_call(call: Call) -> After:
    """The model calls a tool that nobody offered."""
    tool = {"id": "t", "type": "function", "function": {"name": "look", "arguments": '{"answer": "C"}'}}
    return await call.send(reply(completion(None, "tool_calls", tool_calls=[tool])))


async def _refusal(call: Call) -> After:
    """The model declines, as OpenAI puts it."""
    return await call.send(reply(completion(None, refusal="I cannot help with C.")))


async def _filtered(call: Call) -> After:
    """The provider cut the answer out."""
    return await call.send(reply(completion(None, "content_filter")))


async def _aborted(call: Call) -> After:
    """vLLM's answer to a request that it dropped: what there was, and a finish reason that says so."""
    return await call.send(reply(completion("C", "abort")))


async def _errored(call: Call) -> After:
    """OpenRouter's answer when the provider behind it failed half-way."""
    error = {"error": {"code": 502, "message": "Provider returned error C"}}
    body = json.loads(completion("C", "error"))
    body["choices"][0] |= error
    return await call.send(reply(json.dumps(body).encode()))


async def _html(call: Call) -> After:
    """A gateway's error page with status 200."""
    page = b"<html><head><title>502 Bad Gateway</title></head><body>The answer is C.</body></html>"
    return await call.send(reply(page, kind="text/html"))


async def _error_200(call: Call) -> After:
    """An error object with status 200."""
    return await call.send(reply(b'{"error":{"message":"The answer is C.","code":500}}'))


async def _invalid_utf8(call: Call) -> After:
    """A text with bytes that are no UTF-8."""
    return await call.send(reply(completion("C @@").replace(b"@@", b"\xff\xfe\xc3")))


async def _half_character(call: Call) -> After:
    """A text with half of a surrogate pair, as `json.dumps` lets through."""
    return await call.send(reply(completion("C @@").replace(b"@@", b"\\ud83d")))


async def _stale(call: Call) -> After:
    """The right answer on a connection that seems kept, and is closed under the next request."""
    await call.send(reply(call.answer))
    return "stale"


async def _closed(call: Call) -> After:
    """The right answer on a connection that seems kept, and is closed at once."""
    await call.send(reply(call.answer))
    return "close"


async def _out_of_order(call: Call) -> After:
    """Who came last is answered first."""
    await call.server.out_of_turn(int(call.fault.get("count", 4)), float(call.fault.get("seconds", 0.1)))
    return await call.send(reply(call.answer))


async def _huge(call: Call) -> After:
    """A chat completion of `megabytes` of text."""
    pieces = int(call.fault.get("megabytes", 80))
    first, last = completion("C @@").split(b"@@")
    await call.send(reply(first, length=len(first) + len(last) + pieces * _PIECE))
    for _ in range(pieces):
        await call.send(b"C" * _PIECE)
    return await call.send(last)


async def _redirect(call: Call) -> After:
    """It lives elsewhere."""
    return await call.send(reply(b"", "307 Temporary Redirect", headers={"Location": "/elsewhere/v1/chat/completions"}))


async def _no_http(call: Call) -> After:
    """Not HTTP."""
    await call.send(b"\x16\x03\x01 the answer is C\r\n\r\n")
    return "close"


async def _bad_header(call: Call) -> After:
    """A header that is none."""
    body = completion("C")
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\nX\x00: y\r\n\r\n" + body)
    return "close"


async def _long_header(call: Call) -> After:
    """A header longer than clients take."""
    return await call.send(reply(completion("C"), headers={"X-Long": "x" * 100_000}))


async def _bad_gzip(call: Call) -> After:
    """Said to be zipped, and is not."""
    return await call.send(reply(completion("C"), headers={"Content-Encoding": "gzip"}))


async def _die(call: Call) -> After:
    """Everybody is cut off, and nobody listens for a while."""
    call.server.die(float(call.fault.get("seconds", 0.3)))
    return "close"


async def _exit(call: Call) -> After:
    """The process ends."""
    os._exit(1)


FAULTS: Mapping[str, Callable[[Call], Awaitable[After]]] = {
    "slow": _slow, "wait": _wait, "hang": _hang, "half then hang": _half_hang, "reset": _reset_first,
    "reset mid-body": _reset_body, "cut off": _cut_body, "cut-off chunks": _cut_chunks,
    "truncated JSON": _truncated_json, "wrong type": _wrong_type, "headers": _headers, "event stream": _events,
    "no choices": _no_choices, "null content": _null_content, "empty body": _empty_body, "parts": _parts,
    "tool call": _tool_call, "refusal": _refusal, "filtered": _filtered, "aborted": _aborted, "errored": _errored,
    "HTML": _html, "error with 200": _error_200, "invalid UTF-8": _invalid_utf8, "half a character": _half_character,
    "stale": _stale, "closed": _closed, "out of order": _out_of_order, "huge": _huge, "redirect": _redirect,
    "no HTTP": _no_http, "bad header": _bad_header, "long header": _long_header, "bad gzip": _bad_gzip, "die": _die,
    "exit": _exit,
}  # fmt: skip


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closed with a reset instead of in good order."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Faulty:
    """The server in a process of its own, ended with the block. `start` does not wait until it listens."""

    def __init__(self, port: int = 0, *options: str) -> None:
        self.port = port
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """For a port known beforehand, from where one must not block."""
        words = ["-m", "tests.servers.faulty", "--port", str(self.port), "--until-eof", *self._options]
        self._process = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self.start()
        assert self._process is not None
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """For --endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def plan(self, *faults: Fault, **settings: Any) -> None:
        """From now on."""
        self._call("/plan", json.dumps({"faults": faults, **settings}).encode())

    def stats(self) -> dict[str, Any]:
        """Since the plan."""
        return self._call("/stats")

    def kill(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _call(self, path: str, body: bytes | None = None) -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body)
        with urllib.request.urlopen(request, timeout=10) as answer:
            content: dict[str, Any] = json.loads(answer.read())
            return content


def free_port() -> int:
    """One that nobody listens on, for a server that is to come."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def _serve_for_ever(server: Server, port: int) -> None:
    print(await server.listen(port), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="A server that misbehaves on command.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="speak TLS with this certificate")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--models-status", default="200 OK", help="of /v1/models, such as '401 Unauthorized'")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    options = parser.parse_args()
    tls = None
    if options.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*options.tls)
    if options.until_eof:
        end = functools.partial(os._exit, 0)
        threading.Thread(target=lambda: (sys.stdin.read(), end()), daemon=True).start()
    asyncio.run(_serve_for_ever(Server(tls, options.model, options.models_status), options.port))


if __name__ == "__main__":
    main()
