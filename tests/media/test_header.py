"""Sizes read from the first bytes are those a decoder reports; broken files have none."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lmms_fast.media.encode import BadMedia, encode
from lmms_fast.media.header import read_header

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {}),
    "progressive jpeg": ("JPEG", {"progressive": True, "comment": b"x" * 70, "exif": b"Exif\0\0" + b"y" * 300}),
    "png": ("PNG", {}),
    "gif": ("GIF", {}),
    "webp lossy": ("WEBP", {}),
    "webp lossless": ("WEBP", {"lossless": True}),
    "webp extended": ("WEBP", {"exif": b"Exif\0\0" + b"z" * 20}),
}


def _file(kind: str, width: int, height: int) -> bytes:
    name, options = KINDS[kind]
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
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 400))
def test_a_cut_file_is_sent_only_if_its_size_is_whole(kind: str, length: int) -> None:
    """However short: either a size that is right, or a refusal; never another exception."""
    data = _file(kind, 40, 30)[:length]
    header = read_header(data)
    if header is not None:
        assert (header.width, header.height) == (40, 30)
        return
    with pytest.raises(BadMedia):
        encode(data)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Nothing but a header or None, whatever follows a magic number."""
    for magic in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x20\0\0\0WEBPVP8X"):
        read_header(magic + data)


def test_too_many_pixels_are_refused() -> None:
    """As the server would, before it is sent; a GIF can claim 65,535 × 65,535 in ten bytes."""
    with pytest.raises(BadMedia, match="65535 × 65535 pixels"):
        encode(b"GIF89a" + b"\xff" * 4 + b"\0" * 20)
