"""Stored picture bytes → the bytes that are sent.

One rule: a file that every program shows alike is sent as it is, byte for byte, since re-encoding costs 90 ms and six
times the bytes, and changes what the model sees. A file that programs show differently is sent as what a person sees
on a white page, in 8 bits, as PNG; what was done is in the record of the sample.

    stored                                   sent
    JPEG, PNG, WebP, GIF                     as it is; grey, palette, interlaced, progressive and colour profiles too
    EXIF or XMP orientation 2 to 8           turned upright (vLLM and transformers turn it; SGLang, llama.cpp and
                                             ollama do not, as of 2026)
    transparent pixels, of any kind          on white, as vLLM does; dropping alpha shows the colours hidden under it.
                                             An alpha channel without any transparent pixel: as it is
    16 bits a channel                        the upper 8 (Pillow's conversion turns nearly all of a grey one white)
    CMYK JPEG                                RGB as Pillow has it, without the colour profile, which no server applies
    animated GIF, WebP, PNG; pages of TIFF   the first frame (OpenAI refuses animations)
    other formats that Pillow reads          PNG
    cut off                                  not at all: BadMedia, never half a picture. Where only the end mark is
                                             missing and all pixels are there: PNG
    32-bit values, 16 bits with a transparent
    colour, over 178,956,970 pixels          not at all: BadMedia

vLLM 0.32 shows the sent picture exactly as it shows the stored one, grey of 16 bits apart; unless it was launched with
a background other than white, which transparent pixels then no longer meet.

`--image` (policy.py) adds: smaller, with Lanczos on the pixels above; another format. A picture that has the format
and the size already is still sent as it is. One made smaller without a format named is JPEG if it was, else PNG.

All this happens in the feed's thread, none of it on the event loop.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pybase64
from blake3 import blake3

from lmms_fast.media.header import Doubt, Header, read_header
from lmms_fast.media.policy import MAX_PIXELS, ORIGINAL, Policy

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

Change = Doubt | Literal["format", "size", "quality"]
_QUALITY = 90  # of JPEG and WebP that are made here
_SURE: frozenset[Doubt] = frozenset({"depth", "colours", "frames", "end"})  # what the header alone can tell
# Pillow opens some more, among them PostScript, which it hands to an interpreter; a dataset is not trusted with that.
_DECODED = ("BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "TGA", "PNG", "JPEG", "MPO", "GIF", "WEBP")


_BASE64_MIN = 64  # characters; a path or a name is shorter, or holds what base64 does not
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")


class BadMedia(Exception):
    """The bytes are not a picture that can be sent."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A picture as it goes out."""

    mime: str
    data: bytes
    changes: tuple[Change, ...] = ()
    """Why these are not the stored bytes; empty where they are."""


def to_send(data: bytes, policy: Policy = ORIGINAL) -> Sent:
    """A stored picture as it is sent. Raises BadMedia when it cannot be read, or is too large to be decoded."""
    header = read_header(data)
    if header is not None:
        _check_size(header.width, header.height)
        if "pieces" in header.doubts:
            raise BadMedia(f"a picture in too many pieces to be looked through ({len(data):,} bytes)")
        if not header.doubts and _is_wanted(header, policy):
            return Sent(header.mime, data)
    doubts = header.doubts if header else ()
    with opened(data, cut="end" in doubts) as picture:
        if "depth" in doubts and "transparency" in picture.info:
            raise BadMedia("a picture of 16 bits with a transparent colour, which 8 bits cannot tell from others")
        seen, found = as_seen(picture)
    changes: list[Change] = [doubt for doubt in doubts if doubt in _SURE]
    changes += [change for change in found if change not in changes]
    if header and not changes and _is_wanted(header, policy):
        return Sent(header.mime, data)
    size = _fitting(seen.width, seen.height, policy.max_pixels)
    if size != seen.size:
        from PIL.Image import Resampling  # noqa: PLC0415  (as below)

        seen = seen.resize(size, Resampling.LANCZOS)
        changes.append("size")
    kind = policy.format
    if kind == "original":
        kind = "jpeg" if "size" in changes and header and header.mime == "image/jpeg" else "png"
    if header is None or header.mime != f"image/{kind}":
        changes.append("format")
    elif policy.quality is not None:
        changes.append("quality")
    return Sent(f"image/{kind}", _written(seen, kind, policy.quality or _QUALITY), tuple(changes))


def _is_wanted(header: Header, policy: Policy) -> bool:
    """Whether a picture can stay as it is, if every program shows it alike."""
    small = policy.max_pixels is None or header.width * header.height <= policy.max_pixels
    return small and policy.quality is None and policy.format in ("original", header.mime.removeprefix("image/"))


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
def opened(data: bytes, *, cut: bool = False) -> Iterator[Image]:
    """A picture, decoded within bounds. Raises BadMedia, also for what happens to it inside the block.

    `cut` says that the end is known to be missing, for the sentence.
    """
    from PIL import Image, ImageFile  # noqa: PLC0415  (imported where a picture needs it: most never do)

    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # our own check stands below: Pillow's warns first and refuses at twice the number
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # whatever a library set it to: half a picture is none
    formats = [name for name in _DECODED if name in Image.OPEN]
    try:
        # Pillow warns of every odd tag; what matters of it is in the outcome.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=formats) as picture:
            _check_size(*picture.size)
            yield picture
    except BadMedia:
        raise
    except Exception as error:  # a decoder met with arbitrary bytes raises whatever it stumbles over
        if cut or "truncated" in str(error):
            raise BadMedia(f"a picture that is cut off after {len(data):,} bytes; half of one is not sent") from None
        raise BadMedia(f"not a readable picture ({len(data)} bytes): {type(error).__name__}") from None


def as_seen(picture: Image) -> tuple[Image, list[Change]]:
    """What a person sees on a white page, grey or RGB in 8 bits, and what had to be done for it. May raise anything;
    to be called inside of `opened`."""
    from PIL import Image  # noqa: PLC0415  (as above)

    changes: list[Change] = []
    picture.load()
    seen = picture
    if (turn := _turn(picture)) is not None:
        seen = picture.transpose(turn)
        changes.append("orientation")
    if picture.mode.startswith(("I", "F")):
        seen = _upper_byte(seen, picture.format)
        changes.append("depth")
    elif picture.mode == "CMYK":
        changes.append("colours")
    if seen.has_transparency_data:
        full = seen if seen.mode == "RGBA" else seen.convert("RGBA")
        alpha = full.getchannel("A")
        if alpha.getextrema() != (255, 255):
            changes.append("alpha")
            page = Image.new("RGB", full.size, "white")
            page.paste(full, mask=alpha)
            return page, changes
    return seen if seen.mode in ("L", "RGB") else seen.convert("L" if seen.mode == "1" else "RGB"), changes


def _turn(picture: Image) -> Transpose | None:
    """How to set upright what EXIF or XMP calls turned; neither that which cannot be read. EXIF 2.3, 4.6.4."""
    from PIL.Image import Transpose  # noqa: PLC0415  (as above)

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM, 5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90,
    }  # fmt: skip
    try:
        return turns.get(picture.getexif().get(0x0112, 1))
    except Exception:  # whatever Pillow stumbles over in arbitrary bytes
        return None


def _upper_byte(picture: Image, format: str | None) -> Image:
    """Grey of 16 bits in 8."""
    if picture.mode == "F" or (picture.mode == "I" and format != "PPM"):
        raise BadMedia(f"a picture of 32-bit values (mode {picture.mode}), and no format says what is white in them")
    wide = picture if picture.mode in ("I", "I;16") else picture.convert("I")
    return wide.point(lambda value: value * (1 / 256)).convert("L")


def _fitting(width: int, height: int, most: int | None) -> tuple[int, int]:
    """The size of a picture within `most` pixels, its shape kept as far as whole numbers allow."""
    if most is None or width * height <= most:
        return width, height
    scale = math.sqrt(most / (width * height))
    wide, high = max(1, int(width * scale)), max(1, int(height * scale))
    high = max(1, min(high, most // wide))  # a line of one pixel's breadth is only made shorter
    return max(1, min(wide, most // high)), high


def _written(picture: Image, kind: str, quality: int) -> bytes:
    out = io.BytesIO()
    options = {"compress_level": 1} if kind == "png" else {"quality": quality}
    try:
        picture.save(out, kind, **options)
    except (OSError, ValueError) as error:
        raise BadMedia(f"a picture of {picture.width} × {picture.height} pixels cannot be {kind}: {error}") from None
    return out.getvalue()
