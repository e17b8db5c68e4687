"""`--image`: what becomes of pictures on their way to the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from lmms_fast.errors import UsageError

MAX_PIXELS = 178_956_970  # as vLLM and Pillow: a larger picture is refused rather than decoded
Format = Literal["original", "jpeg", "png", "webp"]
_ALLOWED = (
    f"allowed are max-pixels=1 to {MAX_PIXELS}, format={'|'.join(get_args(Format))}, and with jpeg or webp "
    "quality=1 to 100, comma-separated"
)


@dataclass(frozen=True, slots=True)
class Policy:
    """Original bytes, if nothing else is said."""

    max_pixels: int | None = None
    """Larger pictures are made smaller, their shape kept (Lanczos)."""
    format: Format = "original"
    quality: int | None = None
    """Of JPEG and WebP, 1 to 100. Named, all pictures are compressed anew, also those in that format."""


ORIGINAL = Policy()


def parse_policy(text: str | None) -> Policy:
    """``max-pixels=1048576,format=jpeg,quality=90``, any of them; None is `ORIGINAL`. Raises UsageError."""
    found: dict[str, str] = {}
    for item in (text or "").split(",") if text is not None else ():
        name, _, value = item.strip().partition("=")
        if name not in ("max-pixels", "format", "quality") or name in found:
            raise UsageError(f"--image {text}: '{item.strip()}' is not understood; {_ALLOWED}.")
        found[name] = value
    kind = found.get("format", "original")
    if kind not in get_args(Format):
        raise UsageError(f"--image {text}: there is no format '{kind}'; {_ALLOWED}.")
    if "quality" in found and kind not in ("jpeg", "webp"):
        raise UsageError(f"--image {text}: quality needs format=jpeg or format=webp; {_ALLOWED}.")
    return Policy(
        _number(text, "max-pixels", found.get("max-pixels"), MAX_PIXELS),
        kind,  # type: ignore[arg-type]
        _number(text, "quality", found.get("quality"), 100),
    )


def _number(text: str | None, name: str, value: str | None, most: int) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 12 and 1 <= int(value) <= most):
        raise UsageError(f"--image {text}: {name} is not '{value}'; {_ALLOWED}.")
    return int(value)
