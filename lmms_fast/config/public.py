"""Settings as they may leave the machine: for trackers, the hub, files that are passed on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SECRET = re.compile(r"key|token|secret|passw|auth|credential|cookie", re.IGNORECASE)
_HARMLESS = re.compile(r"tokenizer|key_env$", re.IGNORECASE)
HIDDEN = "(hidden)"


def public(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same without what a name says is a secret (`extra_body`, `gen`), and without the values of vLLM's flags.

    Names of environment variables that hold keys stay; keys themselves are in no spec.
    """
    return {name: [one.partition("=")[0] for one in value if str(one).startswith("-")] if name == "server_args"
            else _shown(name, value) for name, value in settings.items()}  # fmt: skip


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {inner: _shown(str(inner), one) for inner, one in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(name, one) for one in value]
    secret = _SECRET.search(name) and not _HARMLESS.search(name)
    return HIDDEN if secret and isinstance(value, str) else value
