"""Fast, accountable evaluation of large multimodal models.

>>> from lmms_fast import evaluate
>>> result = evaluate(tasks=["smoke"], endpoint="local", limit=20)   # doctest: +SKIP
>>> result.score("smoke_count")                                      # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmms_fast.api import evaluate, import_responses

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "import_responses"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `python -m lmms_fast.bootstrap` runs before any dependency is installed.
    if name in ("evaluate", "import_responses"):
        from lmms_fast import api  # noqa: PLC0415

        return getattr(api, name)
    raise AttributeError(name)
