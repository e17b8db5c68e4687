"""Whatever a dataset calls a picture: something that can be sent, or BadMedia."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lmms_fast.media.encode import BadMedia, to_send
from tests.fuzz.often import often


def _file(kind: str) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((20, 15)).convert("RGB").save(out, kind)
    return out.getvalue()


FILES = {kind: _file(kind) for kind in ("BMP", "TIFF", "PPM", "TGA", "GIF", "PNG", "JPEG", "WEBP")}


@often(300)
@given(st.sampled_from(sorted(FILES)), st.integers(0, 120), st.binary(max_size=12), st.integers(0, 1500))
def test_a_changed_picture(kind: str, at: int, put_in: bytes, length: int) -> None:
    """Bytes of the header replaced, and the end cut off."""
    data = bytearray(FILES[kind])
    data[at : at + len(put_in)] = put_in
    _encode(bytes(data[: max(at, len(data) - length)]))


MAGIC = [b"", b"BM", b"II*\0", b"MM\0*", b"P5 ", b"P6 ", b"\0\0\0\x0cjP  ", b"\0\0\0 ftypavif", b"GIF89a",
         b"\xff\xd8\xff\xe0", b"RIFF\x40\0\0\0WEBP", b"%!PS"]  # fmt: skip


@often(100)
@given(st.sampled_from(MAGIC), st.binary(max_size=200))
def test_any_bytes_behind_a_name(magic: bytes, rest: bytes) -> None:
    """Only what a format begins with is right."""
    _encode(magic + rest)


def _encode(data: bytes) -> None:
    try:
        sent = to_send(data)
    except BadMedia:
        return
    assert sent.mime in ("image/png", "image/jpeg", "image/gif", "image/webp")
    assert sent.data
