"""Stored picture bytes → what goes into a data URL.

JPEG, PNG, WebP and GIF pass through untouched: re-encoding to PNG costs 90 ms and six times the bytes, and changes
what the model sees. Anything else that Pillow reads is converted to PNG, losslessly, in the feed's worker.
"""

from __future__ import annotations

import io

import pybase64
from blake3 import blake3

from lmms_fast.media.header import read_header

MAX_PIXELS = 178_956_970  # as vLLM and Pillow: a larger picture is refused rather than decoded
# Pillow opens some more, among them PostScript, which it hands to an interpreter; a dataset is not trusted with that.
_DECODED = ("BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "TGA", "PNG", "JPEG", "MPO", "GIF", "WEBP")


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


def digest(data: bytes) -> str:
    """Name of a medium's content in run files: 32 hex digits of BLAKE3, at a fifth of BLAKE2's time."""
    name: str = blake3(data).hexdigest(length=16)
    return name


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadMedia(f"a picture of {width} × {height} pixels; at most {MAX_PIXELS:,} can be decoded")


def _as_png(data: bytes) -> bytes:
    from PIL import Image  # noqa: PLC0415  (imported where a picture needs it: most never do)

    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # our own check stands below: Pillow's warns first and refuses at twice the number
    out = io.BytesIO()
    try:
        with Image.open(io.BytesIO(data), formats=[name for name in _DECODED if name in Image.OPEN]) as picture:
            _check_size(*picture.size)
            mode = "RGBA" if "A" in picture.getbands() or "transparency" in picture.info else "RGB"
            picture.convert(mode).save(out, "PNG", compress_level=1)
    except BadMedia:
        raise
    except Exception as error:  # a decoder met with arbitrary bytes raises whatever it stumbles over
        raise BadMedia(f"not a readable picture ({len(data)} bytes): {type(error).__name__}") from None
    return out.getvalue()
