"""Sizes read from the first bytes are those a decoder reports; broken files have none."""

from __future__ import annotations

import io
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from lmms_fast.media.encode import BadMedia, to_send
from lmms_fast.media.header import read_header

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {}),
    "progressive jpeg": ("JPEG", {"progressive": True, "comment": b"x" * 70, "exif": b"Exif\0\0" + b"y" * 300}),
    "png": ("PNG", {}),
    "gif": ("GIF", {}),
    "gif with a comment": ("GIF", {"comment": b"c" * 600, "transparency": 0}),
    "webp lossy": ("WEBP", {}),
    "webp lossless": ("WEBP", {"lossless": True}),
    "webp extended": ("WEBP", {"exif": b"Exif\0\0" + b"z" * 20}),
}


def _file(kind: str, width: int, height: int) -> bytes:
    name, options = KINDS.get(kind, (kind.upper(), {}))
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 90)).save(out, name, **options)
    return out.getvalue()


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(KINDS)), st.integers(1, 700), st.integers(1, 700))
def test_as_the_decoder_says(kind: str, width: int, height: int) -> None:
    """All variants of the four formats."""
    data = _file(kind, width, height)
    header = read_header(data)
    assert header is not None
    with Image.open(io.BytesIO(data)) as picture:
        assert (header.mime, header.width, header.height) == (Image.MIME[picture.format or ""], *picture.size)


@settings(deadline=None, max_examples=150)
@example("webp lossy", 73)  # the last byte only fills up
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 400))
def test_a_cut_file_is_sent_only_if_it_is_whole(kind: str, length: int) -> None:
    """However short: either every pixel, or a refusal; never another exception."""
    data = _file(kind, 40, 30)[:length]
    header = read_header(data)
    if header is not None:
        assert (header.width, header.height) == (40, 30)
    try:
        sent = to_send(data)
    except BadMedia:
        return
    with Image.open(io.BytesIO(sent.data)) as picture, Image.open(io.BytesIO(_file(kind, 40, 30))) as whole:
        assert picture.convert("RGB").tobytes() == whole.convert("RGB").tobytes()


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Nothing but a header or None, whatever follows a magic number."""
    for magic in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x20\0\0\0WEBPVP8X"):
        read_header(magic + data)


def _grown(kind: str, width: int, height: int) -> bytes:
    """A small file whose header claims another size; the rest is left as it is."""
    data = bytearray(_file(kind, 40, 30))
    at, order = {"png": (16, ">II"), "gif": (6, "<HH"), "jpeg": (data.find(b"\xff\xc0") + 5, ">HH"),
                 "bmp": (18, "<ii")}[kind]  # fmt: skip
    numbers = (height, width) if kind == "jpeg" else (width, height)
    struct.pack_into(order, data, at, *numbers)
    return bytes(data)


def _webp(chunk: bytes, content: bytes) -> bytes:
    body = b"WEBP" + chunk + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


BOMBS = {
    "png": _grown("png", 2**31 - 1, 2**31 - 1),
    "jpeg": _grown("jpeg", 65535, 65535),
    "gif": _grown("gif", 65535, 65535),
    "gif, a small screen and a large frame":
        b"GIF89a\x01\0\x01\0\0\0\0!\xf9\x04\0\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x44\x01\0;",
    "webp extended": _webp(b"VP8X", b"\0" * 4 + b"\xff\xff\xff" * 2),
    "webp lossless": _webp(b"VP8L", b"\x2f" + struct.pack("<I", 0x3FFF | 0x3FFF << 14) + b"\0" * 8),
    "bmp": _grown("bmp", 40_000, 40_000),
    "tiff": b"II*\0\x08\0\0\0" + struct.pack("<H", 9) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in [(256, 60_000), (257, 60_000), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1),
                           (278, 60_000), (279, 1)]) + b"\0" * 4,
    "pgm": b"P5 50000 50000 255\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(BOMBS))
def test_too_many_pixels_are_refused(kind: str) -> None:
    """From the header, before anything is decoded or sent: a few bytes can claim four thousand million pixels."""
    tracemalloc.start()
    try:
        with pytest.raises(BadMedia, match=r"\d+ × \d+ pixels; at most"):
            to_send(BOMBS[kind])
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_many_frames_only_the_first_is_decoded(kind: str) -> None:
    """The others would be shown by some programs, and refused by some servers."""
    out = io.BytesIO()
    frames = [Image.new("RGB", (40, 30), (shade, 3 * shade % 256, 9)) for shade in range(80)]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], lossless=True)
    sent = to_send(out.getvalue())
    assert len(sent.data) < 1000
    with Image.open(io.BytesIO(sent.data)) as picture:
        assert (sent.mime, picture.size, picture.getpixel((0, 0))) == ("image/png", (40, 30), (0, 0, 9))
        assert getattr(picture, "n_frames", 1) == 1


def test_no_interpreter_is_started() -> None:
    """Pillow hands PostScript to Ghostscript; a picture from a dataset does not get that far."""
    with pytest.raises(BadMedia):
        to_send(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")
