"""The key taken out of what a server sent. Pure."""

from __future__ import annotations

from typing import AnyStr

_SECRET_CHARS = 8


def redact(said: AnyStr, api_key: str | None) -> AnyStr:
    """`said` with ``[key]`` in place of the key.

    A shorter key than eight characters (EMPTY, none, x: what a server without keys is given) is no secret, and taking
    it out would change answers.
    """
    if api_key is None or len(api_key) < _SECRET_CHARS:
        return said
    return said.replace(api_key.encode(), b"[key]") if isinstance(said, bytes) else said.replace(api_key, "[key]")
