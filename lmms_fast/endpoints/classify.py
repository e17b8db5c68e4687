"""Status, headers and body → what kind of failure, and how long to wait before the next attempt. Pure.

The providers' own words: OpenAI https://platform.openai.com/docs/guides/error-codes, Anthropic
https://docs.anthropic.com/en/api/errors, Gemini https://ai.google.dev/gemini-api/docs/troubleshooting, OpenRouter
https://openrouter.ai/docs/api-reference/errors; vLLM's and SGLang's were read from their servers.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

import orjson

from lmms_fast.types import FailureKind

_TOO_LONG = ("maximum context length", "context_length_exceeded", "longer than the model", "too many tokens",
             "exceeds the maximum number of tokens", "prompt is too long", "input token count", "context window",
             "reduce the length")  # fmt: skip
_MEDIA = ("cannot identify image", "failed to load image", "invalid image", "could not process image", "non-base64",
          "unsupported image", "image(s) may be provided", "image exceeds", "unable to process input image",
          "too many images")  # fmt: skip
_FILTERED = ("content_filter", "content_policy", "content management policy", "flagged", "moderation",
             "data_inspection_failed", "prohibited_content")  # fmt: skip
_NO_QUOTA = ("insufficient_quota", "exceeded your current quota", "insufficient credits", "credit balance is too low",
             "billing", "insufficient balance")  # fmt: skip
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that was not 200."""

    kind: FailureKind | Literal["filtered"]
    """filtered: the provider will not let the model answer this, which is an empty answer and no failure."""
    detail: str
    retry_after_s: float | None = None


def classify(status: int, body: bytes, headers: Mapping[str, str]) -> Refusal:
    """The kind of failure behind a status other than 200."""
    detail = f"HTTP {status}: {message(body)}"
    words = _words(body)
    if status < 300 or status == 304:
        return Refusal("malformed", detail)
    if 300 <= status < 400:
        where = headers.get("Location", "?")
        return Refusal("not_found", f"HTTP {status}: it redirects to {where[:200]}; give that address with --endpoint")
    if status == 402 or (status in (403, 429) and _has(words, _NO_QUOTA)):
        return Refusal("quota", detail)
    if status in (400, 403, 422, 451) and _has(words, _FILTERED):
        return Refusal("filtered", detail)
    if status == 429:
        return Refusal("rate_limit", detail, retry_after_s(headers))
    if status in (401, 403):
        return Refusal("auth", detail)
    if status in (404, 405):
        return Refusal("not_found", detail)
    if status in (408, 409, 425):
        return Refusal("timeout", detail)
    if status >= 500:
        return Refusal("server", detail, retry_after_s(headers))
    if status == 413 or _has(words, _TOO_LONG):
        return Refusal("too_long", detail)
    if _has(words, _MEDIA):
        return Refusal("media", detail)
    return Refusal("bad_request", detail)


def _has(words: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in words for phrase in phrases)


def retry_after_s(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """What ``Retry-After`` asks for: seconds, or until an HTTP date, by the server's clock where it tells it. None: it
    asks for nothing."""
    text = headers.get("Retry-After")
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    at = _timestamp(text)
    return None if at is None else max(0.0, at - (_timestamp(headers.get("Date", "")) or now()))


def _timestamp(text: str) -> float | None:
    """Of an HTTP date."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def used_up_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until a limit that this answer used up is reset (``x-ratelimit-…``); None while something is left."""
    waits = []
    for what in ("requests", "tokens"):
        left = headers.get(f"x-ratelimit-remaining-{what}")
        if left is not None and left.strip() == "0":
            waits.append(_duration_s(headers.get(f"x-ratelimit-reset-{what}", "")) or 0.0)
    return max(waits, default=None)


def _duration_s(text: str) -> float | None:
    """``6m0s``, ``20ms`` or plain seconds."""
    parts = _DURATION.findall(text)
    if parts:
        return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    try:
        return max(0.0, float(text))
    except ValueError:
        return None


def lacks_media(status: int, body: bytes) -> bool:
    """Whether vLLM says that it has no medium of that name (any more)."""
    return status == 400 and b"Cache miss" in body


def _words(body: bytes) -> str:
    """The provider's code and type, and the beginning of its sentence: what follows may quote the prompt."""
    try:
        content = orjson.loads(body)
        inner = (content[0] if isinstance(content, list) and content else content)["error"]
        marks = [str(inner[name])[:100] for name in ("code", "type", "status") if inner.get(name)]
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        marks = []
    return " ".join([*marks, message(body)[:200]]).lower()


def message(body: bytes) -> str:
    """The sentence inside an error body, whichever dialect: OpenAI's object, a flat one, a bare string, a list. Without
    what a terminal would take for a command."""
    try:
        said = _said(body)
    except RecursionError:
        said = "(an error too deep to be shown)"
    return "".join(letter if letter.isprintable() else " " for letter in said).strip() or "(empty body)"


def _said(body: bytes) -> str:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:200].decode("utf-8", "replace")
    if isinstance(content, list) and content:
        content = content[0]
    if isinstance(content, dict):
        inner = content.get("error", content)
        if isinstance(inner, dict):
            inner = inner.get("message") or inner.get("detail") or inner
        return str(inner)[:500]
    return str(content)[:500]


def backoff_s(attempt: int, rng: random.Random) -> float:
    """Seconds before attempt number `attempt` + 1: anything up to 1, 2, 4 … 30 s ("full jitter")."""
    return rng.uniform(0, min(30.0, 2.0 ** (attempt - 1)))
