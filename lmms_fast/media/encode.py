"""Stored picture bytes → what goes into a data URL.

JPEG, PNG, WebP and GIF pass through untouched: re-encoding to PNG costs 90 ms and six times the bytes, and changes
what the model sees. Anything else that Pillow reads is converted to PNG, losslessly, in the feed's worker.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pybase64
from blake3 import blake3

from lmms_fast.media.header import read_header

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 178_956_970  # as vLLM and Pillow: a larger picture is refused rather than decoded
# Pillow opens some more, among them PostScript, which it hands to an interpreter; a dataset is not trusted with that.
_DECODED = ("BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "TGA", "PNG", "JPEG", "MPO", "GIF", "WEBP")


_BASE64_MIN = 64  # characters; a path or a name is shorter, or holds what base64 does not
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")


class BadMedia(Exception):
    """The bytes are not a picture that can be sent."""


def encode(data: bytes) -> tuple[str, bytes]:
    """Media type and base64 of a picture. Raises BadMedia when it cannot be read, or is too large to be decoded."""
    header = read_header(data)
    if header is None:
        data = _as_png(data)
        return "image/png", pybase64.b64encode(data)
    _check_size(header.width, header.height)
    return header.mime, pybase64.b64encode(data)


def from_base64(text: str) -> bytes | None:
    """The bytes of a picture that a dataset keeps as base64 text or as a data URL; None for any other text."""
    content = text.partition(",")[2] if text.startswith("data:") else text
    try:
        head = pybase64.b64decode(content[:64].strip(), validate=True) if len(content) >= _BASE64_MIN else b""
    except ValueError:
        return None
    if not head.startswith(_MAGIC):
        return None
    try:
        found: bytes = pybase64.b64decode(content)  # not strict: some wrap their lines
    except ValueError:
        return None
    return found


def digest(data: bytes) -> str:
    """Name of a medium's content in run files: 32 hex digits of BLAKE3, at a fifth of BLAKE2's time."""
    name: str = blake3(data).hexdigest(length=16)
    return name


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadMedia(f"a picture of {width} × {height} pixels; at most {MAX_PIXELS:,} can be decoded")


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[Image]:
    """A picture, decoded within bounds. Raises BadMedia, also for what happens to it inside the block."""
    from PIL import Image  # noqa: PLC0415  (imported where a picture needs it: most never do)

    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # our own check stands below: Pillow's warns first and refuses at twice the number
    try:
        with Image.open(io.BytesIO(data), formats=[name for name in _DECODED if name in Image.OPEN]) as picture:
            _check_size(*picture.size)
            yield picture
    except BadMedia:
        raise
    except Exception as error:  # a decoder met with arbitrary bytes raises whatever it stumbles over
        raise BadMedia(f"not a readable picture ({len(data)} bytes): {type(error).__name__}") from None


def _as_png(data: bytes) -> bytes:
    out = io.BytesIO()
    with opened(data) as picture:
        mode = "RGBA" if "A" in picture.getbands() or "transparency" in picture.info else "RGB"
        picture.convert(mode).save(out, "PNG", compress_level=1)
    return out.getvalue()
