"""Real files of every kind: what a server decodes is one and the same picture, whichever decoder it has.

Two decoders stand for servers: one that turns by EXIF and puts transparency on white, as vLLM; one that does neither.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from lmms_fast.media.draw import Drawn, Pasted
from lmms_fast.media.encode import BadMedia, Change, to_send
from lmms_fast.media.policy import parse_policy
from lmms_fast.types import Media
from tests.fuzz.often import often
from tests.media.files import (
    HIDDEN,
    TURNED,
    WHITE,
    WRITERS,
    XMP,
    T,
    chunk,
    corners,
    exif,
    file,
    noise,
    png,
    text,
)


def careful(data: bytes) -> Image.Image:
    """As vLLM decodes."""
    with Image.open(io.BytesIO(data)) as opened:
        picture = ImageOps.exif_transpose(opened)
        if not picture.has_transparency_data:
            return picture.convert("RGB")
        full = picture.convert("RGBA")
        page = Image.new("RGB", full.size, WHITE)
        page.paste(full, mask=full.getchannel("A"))
        return page


def plain(data: bytes) -> Image.Image:
    """As the simplest server decodes."""
    with Image.open(io.BytesIO(data)) as opened:
        return opened.convert("RGB")


def seen(data: bytes, changes: tuple[Change, ...], policy: str | None = None) -> Image.Image:
    """What servers see of a stored file, once both decoders agree; the file itself where nothing was changed."""
    sent = to_send(data, parse_policy(policy))
    assert sent.changes == changes
    assert (sent.data == data) == (not changes)
    with Image.open(io.BytesIO(sent.data)) as picture:
        assert Image.MIME[picture.format or ""] == sent.mime
        assert not sent.changes or picture.mode in ("L", "RGB")
        assert not sent.changes or getattr(picture, "n_frames", 1) == 1
    assert careful(sent.data).tobytes() == plain(sent.data).tobytes()
    return plain(sent.data)


ORDINARY: dict[str, bytes] = {
    "JPEG": file(corners(), "JPEG"),
    "JPEG, progressive, with EXIF, XMP and a profile": file(
        corners(), "JPEG", progressive=True, exif=exif(1), xmp=XMP % 1, icc_profile=b"p" * 70_000),
    "JPEG, grey": file(corners().convert("L"), "JPEG"),
    "JPEG, with a camera's bytes behind the end": file(corners(), "JPEG") + b"\0" * 999,
    "PNG": file(corners(), "PNG"),
    "PNG, palette": file(corners().quantize(), "PNG"),
    "PNG, two colours": file(corners().convert("1"), "PNG"),
    "PNG, grey": file(corners().convert("L"), "PNG"),
    "PNG with EXIF and XMP": file(
        corners(), "PNG", exif=exif(1), pnginfo=text("XML:com.adobe.xmp", (XMP % 1).decode(), packed=False)),
    "PNG with alpha, all of it solid": file(corners().convert("RGBA"), "PNG"),
    "PNG, grey with alpha, all of it solid": file(corners().convert("LA"), "PNG"),
    "PNG with a transparent colour that nothing has": file(corners(), "PNG", transparency=(1, 2, 3)),
    "GIF": file(corners(), "GIF"),
    "GIF with a transparent colour that nothing has": file(corners().quantize(9), "GIF", transparency=255),
    "WebP": file(corners(), "WEBP"),
    "WebP, lossless": file(corners(), "WEBP", lossless=True),
    "WebP with EXIF and XMP": file(corners(), "WEBP", exif=exif(1), xmp=XMP % 1),
}  # fmt: skip


@pytest.mark.parametrize("kind", ORDINARY)
def test_what_all_show_alike_is_sent_as_it_is(kind: str) -> None:
    """Byte for byte."""
    seen(ORDINARY[kind], ())


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", WRITERS)
def test_turned_pictures_are_sent_upright(kind: str, orientation: int) -> None:
    """All eight ways, wherever they are written down."""
    sent = to_send(WRITERS[kind](corners().transpose(TURNED[orientation]), orientation))
    assert ("orientation" in sent.changes) == (kind != "TIFF")  # Pillow turns those itself
    assert sent.mime == "image/png"
    assert careful(sent.data).tobytes() == plain(sent.data).tobytes()
    upright = plain(sent.data)
    assert upright.size == (48, 32)
    for x, y in ((8, 8), (40, 8), (8, 24), (40, 24)):
        pairs = zip(upright.getpixel((x, y)), corners().getpixel((x, y)), strict=True)  # type: ignore[arg-type]
        assert all(abs(got - wanted) <= 3 for got, wanted in pairs), (x, y)  # JPEG's rounding


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_says_nothing(orientation: int) -> None:
    """The file goes out as it is."""
    seen(file(corners(), "JPEG", exif=exif(orientation)), ())


KEYED = Image.new("P", (2, 1))
KEYED.putpalette([200, 0, 0, 0, 0, 255])
KEYED.putpixel((1, 0), 1)


@pytest.mark.parametrize(
    ("data", "changes", "pixels"),
    [
        (file(HIDDEN, "PNG"), ("alpha",), [WHITE, (127, 127, 255)]),
        (file(HIDDEN.convert("LA"), "PNG"), ("alpha",), [WHITE, (141, 141, 141)]),
        (file(HIDDEN, "WEBP", lossless=True, exact=True), ("alpha", "format"), [WHITE, (127, 127, 255)]),
        (file(HIDDEN, "TIFF"), ("alpha", "format"), [WHITE, (127, 127, 255)]),
        (file(KEYED, "PNG", transparency=0), ("alpha",), [WHITE, (0, 0, 255)]),
        (file(KEYED, "PNG", transparency=b"\0\x80"), ("alpha",), [WHITE, (127, 127, 255)]),
        (file(KEYED, "GIF", transparency=0), ("alpha", "format"), [WHITE, (0, 0, 255)]),
        (file(KEYED.convert("RGB"), "PNG", transparency=(200, 0, 0)), ("alpha",), [WHITE, (0, 0, 255)]),
        (png(8, 0, b"\1\2", 2, chunk(b"tRNS", b"\0\1")), ("alpha",), [WHITE, (2, 2, 2)]),
        (png(1, 0, b"\x40", 2, chunk(b"tRNS", b"\0\0")), ("alpha",), [WHITE, WHITE]),
    ],
)  # fmt: skip
def test_transparency_is_put_on_white(data: bytes, changes: tuple[Change, ...], pixels: list[Any]) -> None:
    """A channel, a palette's entries, or a colour; what is hidden stays hidden."""
    picture = seen(data, changes)
    got = [picture.getpixel((x, 0)) for x in range(picture.width)]
    for one, wanted in zip(got, pixels, strict=True):
        assert all(abs(a - b) <= 1 for a, b in zip(one, wanted, strict=True)), got  # type: ignore[arg-type]


GREY_16 = (0, 255, 256, 30_000, 65_279, 65_535)


@pytest.mark.parametrize(
    ("data", "changes", "pixels"),
    [
        (png(16, 0, struct.pack(">6H", *GREY_16), 6), ("depth",), [(v >> 8,) * 3 for v in GREY_16]),
        (png(16, 2, struct.pack(">6H", *GREY_16), 2), ("depth",), [(0, 0, 1), (117, 254, 255)]),
        (png(16, 4, struct.pack(">4H", 30_000, 65_535, 7, 0), 2), ("depth", "alpha"), [(117,) * 3, WHITE]),
        (png(16, 6, struct.pack(">4H", 1, 2, 3, 65_535), 1), ("depth",), [(0, 0, 0)]),
        (b"P5 6 1 65535\n" + struct.pack(">6H", *GREY_16), ("depth", "format"), [(v >> 8,) * 3 for v in GREY_16]),
        (file(Image.frombytes("I;16", (6, 1), struct.pack("<6H", *GREY_16)), "TIFF"), ("depth", "format"),
         [(v >> 8,) * 3 for v in GREY_16]),
    ],
)  # fmt: skip
def test_of_16_bits_the_upper_8_are_sent(data: bytes, changes: tuple[Change, ...], pixels: list[Any]) -> None:
    """Where Pillow's own conversion makes nearly every grey white."""
    picture = seen(data, changes)
    assert [picture.getpixel((x, 0)) for x in range(picture.width)] == pixels


@pytest.mark.parametrize(
    "data",
    [file(Image.new("I", (2, 2), 70_000), "TIFF"), file(Image.new("F", (2, 2), 0.5), "TIFF"),
     png(16, 0, b"\0\1\0\2", 2, chunk(b"tRNS", b"\0\1")),
     png(16, 2, b"\0\1\0\2\0\3", 1, chunk(b"tRNS", b"\0\1\0\2\0\3"))],
)  # fmt: skip
def test_values_without_one_meaning_are_refused(data: bytes) -> None:
    """32-bit values have no declared white, and 8 bits cannot tell one of 65,536 shades."""
    with pytest.raises(BadMedia, match=r"32-bit values|16 bits with a transparent"):
        to_send(data)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind: str) -> None:
    """Magenta and yellow is red, though JPEG holds the numbers upside down."""
    data = file(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), kind, quality=100)
    red, green, blue = seen(data, ("colours", "format")).getpixel((8, 8))  # type: ignore[misc]
    assert (red > 250, green < 5, blue < 5) == (True, True, True)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_sent(kind: str) -> None:
    """Also where nothing says that it repeats."""
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]
    data = file(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    picture = seen(data, ("frames",) if kind == "PNG" else ("frames", "format"))
    assert picture.getpixel((20, 15)) == (255, 0, 0)


CUT = {
    "JPEG": file(noise(), "JPEG"), "JPEG, progressive": file(noise(), "JPEG", progressive=True),
    "JPEG with a thumbnail": file(noise(), "JPEG", exif=exif(1).tobytes() + file(corners(), "JPEG")),
    "PNG": file(noise(), "PNG"), "PNG, palette": file(noise().quantize(), "PNG"),
    "GIF": file(noise().quantize(), "GIF"),
    "WebP": file(noise(), "WEBP"), "WebP, lossless": file(noise(), "WEBP", lossless=True),
    "WebP, extended": file(noise("RGBA"), "WEBP", exif=exif(6)), "BMP": file(noise(), "BMP"),
    "TIFF": file(noise(), "TIFF", compression="tiff_lzw"), "PNG, alpha": file(noise("RGBA"), "PNG"),
}  # fmt: skip


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", CUT)
def test_half_a_picture_is_not_sent(kind: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though Pillow was told to make do with it, and though what is there begins as it should."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = CUT[kind]
    with pytest.raises(BadMedia) as caught:
        to_send(data[: int(len(data) * share)])
    if kind != "TIFF":  # whose directory lies behind the pixels, so nothing is left that could be called one
        assert "cut off after" in str(caught.value)
        assert "half of one is not sent" in str(caught.value)


def test_only_the_end_mark_is_missing() -> None:
    """All pixels are there: sent, with an end."""
    data = file(corners(), "PNG")
    assert seen(data[:-12], ("end",)).tobytes() == corners().tobytes()
    assert seen(file(corners(), "GIF")[:-1], ("end", "format")).tobytes() == corners().tobytes()


def test_an_outline_lies_on_the_upright_picture() -> None:
    """Its numbers are those of what a person sees."""
    data = file(corners().transpose(T.ROTATE_90), "PNG", exif=exif(6))
    drawn = plain(Drawn(Media(data), "box", (2, 2, 45, 29), "white", 1).read_bytes())
    assert drawn.size == (48, 32)
    assert [drawn.getpixel(at) for at in ((2, 2), (45, 29), (1, 1))] == [WHITE, WHITE, (255, 0, 0)]


@pytest.mark.parametrize(
    ("sizes", "canvas", "corners_at"),
    [
        ([(32, 48)], (66, 100), [(60, 90)]),
        ([(48, 32), (30, 60)], (200, 100), [(140, 90), (190, 90)]),
        ([(300, 50), (100, 100)], (100, 116), [(90, 12), (90, 110)]),
        ([(1, 500)], (1, 100), [(0, 90)]),
    ],
)
def test_pictures_on_one_canvas(
    sizes: list[tuple[int, int]], canvas: tuple[int, int], corners_at: list[tuple[int, int]]
) -> None:
    """In a row or a column, whichever is less long; each has its number in its upper left corner."""
    stored = tuple(Media(file(Image.new("RGB", size, "red"), "PNG")) for size in sizes)
    pasted = plain(Pasted(stored, 100).read_bytes())
    assert pasted.size == canvas
    assert [pasted.getpixel(at) for at in corners_at] == [(255, 0, 0)] * len(sizes)
    assert pasted.getpixel((0, 0)) == WHITE
    if canvas[0] > 60:
        assert (0, 0, 0) in {pasted.getpixel((x, y)) for x in range(10, 50) for y in range(10, 50)}


def test_a_canvas_is_pasted_upright_and_within_bounds() -> None:
    """Of what a person sees; too large a canvas is no picture, nor is one with a picture that cannot be read."""
    turned = Media(file(corners().transpose(T.ROTATE_90), "PNG", exif=exif(6)))
    assert plain(Pasted((turned,), 100).read_bytes()).size == (100, 66)
    thread = Media(file(Image.new("RGB", (4000, 1)), "PNG"))
    assert plain(Pasted((thread, thread), 100).read_bytes()).size == (100, 2)
    line = Media(file(Image.new("RGB", (1, 30000)), "PNG"))
    with pytest.raises(BadMedia, match="a canvas of"):
        Pasted((line, thread), 4096).read_bytes()
    with pytest.raises(BadMedia, match="not a readable picture"):
        Pasted((turned, Media(b"x")), 100).read_bytes()


@pytest.mark.parametrize(
    ("data", "policy", "changes", "mime", "size"),
    [
        (file(corners(), "JPEG"), "max-pixels=1536", (), "image/jpeg", (48, 32)),
        (file(corners(), "JPEG"), "max-pixels=384", ("size",), "image/jpeg", (24, 16)),
        (file(corners(), "PNG"), "max-pixels=384", ("size",), "image/png", (24, 16)),
        (file(corners(), "WEBP"), "max-pixels=384", ("size", "format"), "image/png", (24, 16)),
        (file(corners(), "JPEG", exif=exif(6)), "max-pixels=384", ("orientation", "size"), "image/jpeg", (16, 24)),
        (file(corners(), "JPEG"), "format=jpeg", (), "image/jpeg", (48, 32)),
        (file(corners(), "JPEG"), "format=jpeg,quality=30", ("quality",), "image/jpeg", (48, 32)),
        (file(corners(), "PNG"), "format=jpeg", ("format",), "image/jpeg", (48, 32)),
        (file(HIDDEN, "PNG"), "format=jpeg", ("alpha", "format"), "image/jpeg", (2, 1)),
        (file(HIDDEN, "PNG"), "format=webp", ("alpha", "format"), "image/webp", (2, 1)),
        (file(corners(), "JPEG"), "format=png,max-pixels=96", ("size", "format"), "image/png", (12, 8)),
        (file(corners(), "BMP"), "format=webp", ("format",), "image/webp", (48, 32)),
        (png(16, 0, struct.pack(">6H", *GREY_16), 6), "format=jpeg,max-pixels=3", ("depth", "size", "format"),
         "image/jpeg", (3, 1)),
        (file(corners().convert("1"), "PNG"), "max-pixels=96", ("size",), "image/png", (12, 8)),
        (file(corners().quantize(), "GIF"), "max-pixels=96", ("size", "format"), "image/png", (12, 8)),
        (file(corners(), "JPEG"), "max-pixels=1", ("size",), "image/jpeg", (1, 1)),
    ],
)  # fmt: skip
def test_a_policy(data: bytes, policy: str, changes: tuple[Change, ...], mime: str, size: tuple[int, int]) -> None:
    """What is in the format and small enough stays as it is."""
    assert seen(data, changes, policy).size == size
    assert to_send(data, parse_policy(policy)).mime == mime


def test_smaller_is_lanczos() -> None:
    """Of the whole picture, not of what a decoder skips."""
    picture = noise()
    wanted = picture.resize((100, 100), Image.Resampling.LANCZOS)
    assert seen(file(picture, "PNG"), ("size",), "max-pixels=10000").tobytes() == wanted.tobytes()


def test_quality_is_heeded() -> None:
    """Fewer bytes."""
    sizes = [len(to_send(CUT["PNG"], parse_policy(f"format=jpeg,quality={quality}")).data) for quality in (10, 50, 90)]
    assert sizes == sorted(sizes)
    assert to_send(CUT["PNG"], parse_policy("format=jpeg")).data == to_send(
        CUT["PNG"], parse_policy("format=jpeg,quality=90")).data  # fmt: skip


def test_what_a_format_cannot_hold_is_refused() -> None:
    """With a sentence, not another format."""
    with pytest.raises(BadMedia, match=r"20000 × 1 pixels cannot be webp"):
        to_send(file(Image.new("L", (20_000, 1)), "PNG"), parse_policy("format=webp"))


STORED = [*ORDINARY.values(), *CUT.values(), *(writer(corners(), 6) for writer in WRITERS.values())]


@often(400)
@given(st.sampled_from(STORED), st.integers(0, 300), st.binary(max_size=6), st.sampled_from([0, 0, 0, 1, 13, 400]))
def test_whatever_is_sent_looks_the_same_to_all(stored: bytes, at: int, put_in: bytes, cut: int) -> None:
    """Bytes changed where headers and EXIF are, or the end cut off: if both decoders take it, they see one picture."""
    data = bytearray(stored[: len(stored) - cut])
    data[at : at + len(put_in)] = put_in
    try:
        sent = to_send(bytes(data))
        pictures = careful(sent.data), plain(sent.data)
    except BadMedia:
        return
    except Exception:  # a passed-through file that decoders refuse
        assert not sent.changes
        return
    assert pictures[0].tobytes() == pictures[1].tobytes()
    assert pictures[0].size == pictures[1].size


def _webp(chunks: bytes) -> bytes:
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x10\0\0\0\7\0\0\7\0\0" + chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body


CROWDED = {
    "PNG": png(8, 6, b"\1\2\3\4", 1, chunk(b"teXt") * 800_000),
    "JPEG, fill": b"\xff\xd8" + b"\xff" * 8_000_000,
    "JPEG, segments": b"\xff\xd8" + b"\xff\xe1\0\2" * 2_000_000,
    "GIF": b"GIF89a\x08\0\x08\0\0\0\0!\xfe" + b"\1a" * 4_000_000,
    "WebP": _webp(b"abcd\0\0\0\0" * 1_000_000),
}  # fmt: skip


@pytest.mark.parametrize("kind", CROWDED)
def test_a_file_of_crumbs_is_not_looked_through(kind: str) -> None:
    """Eight megabytes that would take a decoder seconds."""
    with pytest.raises(BadMedia, match="too many pieces"):
        to_send(CROWDED[kind])


def test_exif_of_any_size_is_bounded(recwarn: pytest.WarningsRecorder) -> None:
    """Sixteen segments whose 65,000 tags each point at all of it; and not a warning for each."""
    size = 16 * 65_000
    tags = b"".join(struct.pack("<HHII", 300 + tag, 7, size - 16, 8) for tag in range(65_000))
    content = (b"II*\0\x08\0\0\0" + struct.pack("<H", 65_000) + tags).ljust(size, b"\0")
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", 65_008) + b"Exif\0\0" + content[at : at + 65_000]
        for at in range(0, size, 65_000)
    )
    data = ORDINARY["JPEG"]  # without its JFIF segment, so that Pillow looks into EXIF for the DPI
    assert to_send(data[:2] + segments + data[20:]).changes == ()
    assert not [one for one in recwarn if "Tag data" in str(one.message)]
