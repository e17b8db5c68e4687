"""Format and size of a picture from its first bytes, for the formats that every server reads. Pure, no decoder.

Pillow does this too and takes 60 µs, more than all else that is done with a picture which only passes through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mime = Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # start of frame, ITU T.81 table B.1
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says it is; pixels."""

    mime: Mime
    width: int
    height: int


def read_header(data: bytes) -> Header | None:
    """None for other formats, and for a file cut off or broken before its size."""
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _sized("image/png", data[16:20], data[20:24], "big") if data[12:16] == b"IHDR" else None
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _gif(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    return None


def _sized(mime: Mime, width: bytes, height: bytes, order: Literal["big", "little"]) -> Header | None:
    if len(height) < 2 or len(width) != len(height):
        return None
    found = Header(mime, int.from_bytes(width, order), int.from_bytes(height, order))
    return found if found.width and found.height else None


def _jpeg(data: bytes) -> Header | None:
    """Segment by segment to the start of the frame."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
        elif marker in _BARE:
            at += 2
        elif marker in _FRAMES:
            return _sized("image/jpeg", data[at + 7 : at + 9], data[at + 5 : at + 7], "big")
        elif marker in (0xD9, 0xDA):  # end, or pixels without a frame
            return None
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _gif(data: bytes) -> Header | None:
    """The screen, or the first frame where that is larger: decoders grow the screen to it. GIF89a, 18 to 20."""
    screen = _sized("image/gif", data[6:8], data[8:10], "little")
    if screen is None or len(data) < 13:
        return None
    at = 13 + (6 << (data[10] & 7) if data[10] & 0x80 else 0)  # behind the colour table
    while data[at : at + 1] == b"!":  # extensions: a label, then pieces with their lengths, the last one empty
        at += 2
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    if data[at : at + 1] != b"," or len(data) < at + 9:
        return None
    left, top, width, height = (int.from_bytes(data[start : start + 2], "little") for start in range(at + 1, at + 9, 2))
    return Header("image/gif", max(screen.width, left + width), max(screen.height, top + height))


def _webp(data: bytes) -> Header | None:
    """The three kinds of first chunk; Google's WebP container specification and RFC 6386, 9.1."""
    kind = data[12:16]
    if len(data) < 30 or int.from_bytes(data[4:8], "little") + 8 > len(data) + 1:
        return None
    if kind == b"VP8X":
        width, height = int.from_bytes(data[24:27], "little"), int.from_bytes(data[27:30], "little")
        return Header("image/webp", width + 1, height + 1)
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return Header("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        width, height = int.from_bytes(data[26:28], "little"), int.from_bytes(data[28:30], "little")
        return Header("image/webp", width & 0x3FFF, height & 0x3FFF)
    return None
