"""Messages ↔ JSON bytes. Pure; runs in the feed's thread.

Bodies are made of parts, so that a picture's base64 is never walked by a JSON encoder, and large ones are never copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pybase64

from lmms_fast.media.encode import Change, digest, to_send
from lmms_fast.media.policy import ORIGINAL, Policy
from lmms_fast.types import Failure, Media, Message, Response, Usage

_COPY_BYTES = 1 << 19
_SMALL_BYTES = 1 << 15
_GIVEN_UP = ("abort", "error")  # vLLM's and SGLang's word, OpenRouter's word


@dataclass(frozen=True, slots=True)
class Body:
    """A request's JSON after the model's name, which each server of a pool may spell differently."""

    pieces: tuple[bytes, ...]
    """To be sent one behind the other: text, a picture's base64, text, …"""
    digests: tuple[str, ...]
    """Of the media as sent, in message order."""
    changes: tuple[Sequence[Change], ...]
    """Beside each digest, why it is not that of the stored bytes; empty where it is."""
    by_reference: bytes | None = None
    """The same with the media named instead of sent, for a server that has them."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.pieces))


def head(model: str) -> bytes:
    """What stands before `Body.pieces`."""
    return b'{"model":' + orjson.dumps(model)


def build(
    messages: Sequence[Message], params: Mapping[str, Any], *, named: bool = False, policy: Policy = ORIGINAL
) -> Body:
    """The body of a chat completion. Raises media.BadMedia or OSError when a picture cannot be read.

    `named` puts each picture's digest beside it as `uuid`, by which vLLM finds it again in its cache of prepared media.
    """
    digests: list[str] = []
    changes: list[Sequence[Change]] = []

    def whole(media: Media) -> Iterator[bytes]:
        sent = to_send(media.read(), policy)
        digests.append(digest(sent.data))
        changes.append(sent.changes)
        yield b'{"url":"data:' + sent.mime.encode() + b";base64,"
        yield pybase64.b64encode(sent.data)
        yield b'"}' + (_uuid(digests[-1]) if named else b"")

    pieces = _joined(list(_chat(messages, params, whole)))
    if not (named and digests):
        return Body(pieces, tuple(digests), tuple(changes))
    names = iter(digests)
    by_reference = b"".join(_chat(messages, params, lambda _: [b"null" + _uuid(next(names))]))
    return Body(pieces, tuple(digests), tuple(changes), by_reference)


def _uuid(name: str) -> bytes:
    return b',"uuid":"' + name.encode() + b'"'


def _joined(chunks: Sequence[bytes]) -> tuple[bytes, ...]:
    """As few pieces as are worth it: up to half a megabyte a copy costs less than another write."""
    if sum(map(len, chunks)) <= _COPY_BYTES:
        return (b"".join(chunks),)
    pieces: list[bytes] = []
    small: list[bytes] = []
    for chunk in chunks:
        if len(chunk) < _SMALL_BYTES:
            small.append(chunk)
        else:
            pieces += (b"".join(small), chunk)
            small.clear()
    return (*pieces, b"".join(small))


def _chat(
    messages: Sequence[Message], params: Mapping[str, Any], picture: Callable[[Media], Iterable[bytes]]
) -> Iterator[bytes]:
    settings = orjson.dumps(params)[1:-1]
    yield b"," + settings if settings else b""
    yield b',"messages":['
    for number, message in enumerate(messages):
        yield b"," if number else b""
        yield from _message(message, picture)
    yield b"]}"


def _message(message: Message, picture: Callable[[Media], Iterable[bytes]]) -> Iterator[bytes]:
    yield b'{"role":"' + message.role.encode() + b'","content":'
    if message.role == "system" and all(isinstance(part, str) for part in message.parts):
        yield orjson.dumps("".join(str(part) for part in message.parts)) + b"}"
        return
    yield b"["
    for number, part in enumerate(message.parts):
        yield b"," if number else b""
        if isinstance(part, Media):
            yield b'{"type":"image_url","image_url":'
            yield from picture(part)
            yield b"}"
        else:
            yield b'{"type":"text","text":' + orjson.dumps(part) + b"}"
    yield b"]}"


def parse(key: str, body: bytes, *, latency_s: float, attempts: int, served_by: str) -> Response | Failure:
    """A 200's body. Anything that is not a chat completion is a failure, never an empty answer."""
    try:
        content = orjson.loads(body)
        choice = content["choices"][0]
        message = choice["message"]
        text = message.get("content")
        usage = content.get("usage") or {}
        reasoning = message.get("reasoning") or message.get("reasoning_content")
        response = Response(
            key=key,
            text=_plain(text),
            reasoning=reasoning if isinstance(reasoning, str) else None,
            finish_reason=finish if isinstance(finish := choice.get("finish_reason"), str) else None,
            usage=Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))),
            latency_s=round(latency_s, 4),
            attempts=attempts,
            served_by=served_by,
            refusal=refusal if isinstance(refusal := message.get("refusal"), str) and refusal else None,
        )
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError):
        shown = body[:120].decode("utf-8", "replace")
        return Failure(key, "malformed", f"200 but not a chat completion: {shown!r}", attempts, served_by)
    if response.finish_reason in _GIVEN_UP:
        detail = f"200, but the server gave the answer up (finish_reason {response.finish_reason})"
        return Failure(key, "server", detail, attempts, served_by)
    return response


def _count(value: Any) -> int | None:
    """A number of tokens; None for anything else that a server may put there."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _plain(text: Any) -> str:
    """Content as text: null (a refusal, a tool call, or nothing generated) is an empty answer; content parts are
    joined."""
    if text is None:
        return ""
    if isinstance(text, list):
        return "".join(part.get("text", "") for part in text)
    if not isinstance(text, str):
        raise TypeError
    return text
