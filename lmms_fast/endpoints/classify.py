"""Status and body → what kind of failure, and how long to wait before the next attempt. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from lmms_fast.types import FailureKind

_TOO_LONG = ("maximum context length", "context_length_exceeded", "longer than the model", "too many tokens")
_MEDIA = ("cannot identify image", "failed to load image", "invalid image", "could not process image", "non-base64",
          "unsupported image", "image(s) may be provided")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that was not 200."""

    kind: FailureKind
    detail: str
    retry_after_s: float | None = None


def classify(status: int, body: bytes, headers: Mapping[str, str]) -> Refusal:
    """The kind of failure behind a status other than 200."""
    detail = f"HTTP {status}: {message(body)}"
    if status == 429:
        return Refusal("rate_limit", detail, _seconds(headers.get("Retry-After")))
    if status in (401, 403):
        return Refusal("auth", detail)
    if status == 404:
        return Refusal("not_found", detail)
    if status == 408:
        return Refusal("timeout", detail)
    if status >= 500:
        return Refusal("server", detail, _seconds(headers.get("Retry-After")))
    lower = detail.lower()
    if any(phrase in lower for phrase in _TOO_LONG):
        return Refusal("too_long", detail)
    if any(phrase in lower for phrase in _MEDIA):
        return Refusal("media", detail)
    return Refusal("bad_request", detail)


def lacks_media(status: int, body: bytes) -> bool:
    """Whether vLLM says that it has no medium of that name (any more)."""
    return status == 400 and b"Cache miss" in body


def message(body: bytes) -> str:
    """The sentence inside an error body, whichever dialect: OpenAI's object, a flat one, a bare string, a list."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:200].decode("utf-8", "replace").strip() or "(empty body)"
    if isinstance(content, list) and content:
        content = content[0]
    if isinstance(content, dict):
        inner = content.get("error", content)
        if isinstance(inner, dict):
            inner = inner.get("message") or inner.get("detail") or inner
        return str(inner)[:500]
    return str(content)[:500]


def backoff_s(attempt: int, retry_after_s: float | None, rng: random.Random) -> float:
    """Seconds before attempt number `attempt` + 1: full jitter up to 1, 2, 4 … 30 s, or what the server asked for."""
    if retry_after_s is not None:
        return min(retry_after_s, 120.0) + rng.uniform(0, 0.5)
    return rng.uniform(0, min(30.0, 2.0 ** (attempt - 1)))


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
