"""Picture files of every kind, and what they show."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

WHITE = (255, 255, 255)
HIDDEN = Image.new("RGBA", (2, 1), (200, 0, 0, 0))  # a red that nobody is to see, and a half seen blue
HIDDEN.putpixel((1, 0), (0, 0, 255, 128))


def file(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """A file as Pillow writes it."""
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def chunk(name: bytes, content: bytes = b"") -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(depth: int, kind: int, row: bytes, width: int, extra: bytes = b"") -> bytes:
    """A PNG of one row, of the kinds that Pillow does not write."""
    head = struct.pack(">IIBBBBB", width, 1, depth, kind, 0, 0, 0)
    chunks = (chunk(b"IHDR", head), extra, chunk(b"IDAT", zlib.compress(b"\0" + row)), chunk(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def exif(orientation: int) -> Image.Exif:
    """EXIF that says nothing else."""
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def corners(width: int = 48, height: int = 32) -> Image.Image:
    """Four colours, so that every way of turning shows."""
    picture = Image.new("RGB", (width, height), "red")
    picture.paste("green", (width // 2, 0, width, height // 2))
    picture.paste("blue", (0, height // 2, width // 2, height))
    return picture


def noise(mode: str = "RGB", side: int = 200) -> Image.Image:
    """What does not pack well, so that a file has a middle to be cut in."""
    return Image.merge(mode, [Image.effect_noise((side, side), 90 + 10 * band) for band in range(len(mode))])


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


def text(name: str, content: str, *, packed: bool) -> PngInfo:
    """Of a PNG, for Pillow."""
    info = PngInfo()
    info.add_itxt(name, content, zip=packed)
    return info


WRITERS: dict[str, Callable[[Image.Image, int], bytes]] = {
    "JPEG": lambda picture, turn: file(picture, "JPEG", exif=exif(turn), quality=100, subsampling=0),
    "JPEG, XMP": lambda picture, turn: file(picture, "JPEG", xmp=XMP % turn, quality=100, subsampling=0),
    "PNG": lambda picture, turn: file(picture, "PNG", exif=exif(turn)),
    "PNG, EXIF behind the pixels": lambda picture, turn: (
        file(picture, "PNG")[:-12] + chunk(b"eXIf", exif(turn).tobytes()[6:]) + chunk(b"IEND")),
    "PNG, XMP": lambda picture, turn: file(
        picture, "PNG", pnginfo=text("XML:com.adobe.xmp", (XMP % turn).decode(), packed=False)),
    "PNG, XMP packed": lambda picture, turn: file(
        picture, "PNG", pnginfo=text("XML:com.adobe.xmp", (XMP % turn).decode(), packed=True)),
    "PNG, ImageMagick": lambda picture, turn: file(
        picture, "PNG",
        pnginfo=text("Raw profile type exif", f"\nexif\n{26:8}\n{exif(turn).tobytes().hex()}\n", packed=False)),
    "WebP": lambda picture, turn: file(picture, "WEBP", exif=exif(turn), lossless=True),
    "WebP, XMP": lambda picture, turn: file(picture, "WEBP", xmp=XMP % turn, lossless=True),
    "TIFF": lambda picture, turn: file(picture, "TIFF", exif=exif(turn)),
}  # fmt: skip
T = Image.Transpose
# What was done to an upright picture, by what its orientation says.
TURNED = {2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE, 6: T.ROTATE_90, 7: T.TRANSVERSE,
          8: T.ROTATE_270}  # fmt: skip
