"""A real OpenAI-style HTTP server whose answers depend on the request alone, and which misbehaves on demand."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

Misdeed = Literal["hang", "reset", "cut off"]
Behaviour = Callable[[int, dict[str, Any]], web.Response | Misdeed | None]


@dataclass
class StandIn:
    """An OpenAI-style server in a thread. `behave` may replace an answer; None means answer as usual."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    behave: Behaviour = lambda number, body: None
    key: str | None = None
    delay_s: float = 0.0
    record: bool = True
    """Whether `asked` keeps the bodies."""
    names: tuple[str, ...] = ("stand-in",)
    """Models that it serves."""
    hold: threading.Event | None = None
    """No answer before it is set."""
    out: int = 0
    most: int = 0
    """Requests at this moment, and at one moment at most."""

    async def models(self, request: web.Request) -> web.Response:
        """The models it serves."""
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        return web.json_response({"object": "list", "data": [{"id": name} for name in self.names]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """An answer that is a function of the request."""
        body = await request.json()
        number = len(self.asked)
        if self.record:
            self.asked.append(body)
        self.out += 1
        self.most = max(self.most, self.out)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.hold is not None:
            await asyncio.to_thread(self.hold.wait, 30)
        self.out -= 1
        replaced = self.behave(number, body)
        if isinstance(replaced, str):
            return await self._misbehave(replaced, request)
        return replaced if replaced is not None else web.json_response(completion(answer_to(body)))

    async def _misbehave(self, misdeed: Misdeed, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        if misdeed == "hang":
            await asyncio.sleep(3600)
        elif misdeed == "cut off":
            answer = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
            await answer.prepare(request)
            await answer.write(b'{"choices": [{"message": {"content": "ye')
        request.transport.abort()
        return web.Response()


def answer_to(body: dict[str, Any]) -> str:
    """A letter, yes/no or word, by a hash of the messages."""
    digest = hashlib.sha256(repr(body["messages"]).encode()).digest()[0]
    return ["A", "B", "yes", "no", "red", "2"][digest % 6]


def completion(text: str, finish: str = "stop") -> dict[str, Any]:
    """A chat completion's JSON."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 1}}
