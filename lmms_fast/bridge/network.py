"""Scoring code that asks a judge model, or fetches something: never without the user's word.

Two guards, neither of them complete. Before a run, the code of `process_results` and of the aggregations is searched
for clients of such services, through the functions and classes it names. While it scores, every connection to another
machine that Python opens is refused; what a C library or another process opens is not seen.
"""

from __future__ import annotations

import ipaddress
import os
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lmms_fast.errors import UsageError

ALLOW = "LMMS_FAST_ALLOW_JUDGE"
_CLIENTS = ("lmms_eval.llm_judge", "openai", "anthropic", "requests", "httpx", "aiohttp", "urllib.request",
            "google.generativeai", "google.genai", "dashscope", "azure", "boto3")  # fmt: skip


class AskedNetwork(UsageError):
    """Scoring code wanted to reach another machine."""


def allowed() -> bool:
    """Whether the user lets scoring code use the network."""
    return os.environ.get(ALLOW, "").lower() in ("1", "true", "yes")


def client_in(*roots: Any) -> str | None:
    """The first client of a network service that code names, itself or in what it calls in its own modules."""
    seen: set[int] = set()
    left: list[Any] = [root for root in roots if root is not None]
    while left:
        item = left.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        item = getattr(item, "func", item)  # functools.partial
        if isinstance(item, type):
            left += [one for one in vars(item).values() if isinstance(one, types.FunctionType)]
        elif isinstance(item, types.FunctionType):
            for name in _names(item.__code__):
                if client := _client(name):
                    return client
                if (value := item.__globals__.get(name)) is None:
                    continue
                home = value.__name__ if isinstance(value, types.ModuleType) else _module(value)
                if client := _client(home):
                    return client
                if home == item.__module__ or home.startswith("lmms_eval.tasks"):
                    left.append(value)
    return None


def _module(value: Any) -> str:
    return str(getattr(value, "__module__", None) or type(value).__module__)


def _client(name: str) -> str | None:
    return next((one for one in _CLIENTS if name == one or name.startswith(one + ".")), None)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


@contextmanager
def watched(task: str) -> Iterator[None]:
    """Refuse connections to other machines, of this thread and of those that it starts, unless they are allowed.

    Raises AskedNetwork at the first, or at the end if the code caught the refusal.
    """
    global _watch  # noqa: PLW0603  (an audit hook cannot be taken away)
    if allowed():
        yield
        return
    if not _hooked:
        sys.addaudithook(_audit)
        _hooked.append(True)
    watch = _Watch(frozenset(one.ident for one in threading.enumerate()) - {threading.get_ident()})
    _watch = watch
    try:
        yield
    except (Exception, _Refused):
        if not watch.met:
            raise
    finally:
        _watch = None
    if watch.met:
        raise AskedNetwork(
            f"task {task}: its scoring code wants to reach {watch.met[0]} (a judge model, or a download), and numbers "
            f"that rest on it are not made unasked. {ALLOW}=1 allows it; lmms-eval's own variables (API_TYPE, "
            "MODEL_VERSION, OPENAI_API_URL, OPENAI_API_KEY) say which judge. The answers are kept: `lmms-fast score`."
        )


class _Refused(BaseException):
    """No Exception, since scoring code takes those for a bad day of its judge, sleeps, and asks again."""


class _Watch:
    def __init__(self, others: frozenset[int | None]) -> None:
        self.others = others
        self.met: list[str] = []


_watch: _Watch | None = None
_hooked: list[bool] = []


def met() -> bool:
    """Whether a connection was refused since `watched` began."""
    return _watch is not None and bool(_watch.met)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if (watch := _watch) is None or event not in ("socket.connect", "socket.getaddrinfo"):
        return
    if threading.get_ident() in watch.others:
        return
    address = arguments[1] if event == "socket.connect" else arguments[0]
    host = address[0] if isinstance(address, tuple) else address
    host = host.decode("utf-8", "replace") if isinstance(host, bytes) else host
    if not isinstance(host, str) or not _elsewhere(host):
        return
    watch.met.append(host)
    raise _Refused(f"lmms-fast: scoring code may not reach {host} ({ALLOW}=1 allows it)")


def _elsewhere(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "\0")):
        return False
    try:
        return not ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return True
