"""An outline on a picture, for benchmarks that ask about a region; several pictures on one, for models of one."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lmms_fast.media.encode import BadMedia, as_seen, opened
from lmms_fast.media.policy import MAX_PIXELS
from lmms_fast.types import Media

if TYPE_CHECKING:
    from PIL.Image import Image

_LETTER, _MARGIN = 40, 10
"""Of a picture's number on a canvas, in pixels."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture with an outline, drawn when its bytes are read; a source of `types.Media`."""

    picture: Media
    shape: Literal["box", "polygon"]
    numbers: tuple[float, ...]
    """Pixels: left, top, right, bottom of a box; x, y, x, y … of a polygon."""
    colour: str
    width: int

    def read_bytes(self) -> bytes:
        """PNG. Raises BadMedia, or OSError if a file cannot be read."""
        from PIL import ImageDraw  # noqa: PLC0415  (imported where a picture needs it: most never do)

        out = io.BytesIO()
        with opened(self.picture.read()) as picture:
            canvas = as_seen(picture)[0].convert("RGB")
            pen = ImageDraw.Draw(canvas)
            try:
                if self.shape == "box":
                    pen.rectangle(self.numbers, outline=self.colour, width=self.width)
                else:
                    pen.polygon(self.numbers, outline=self.colour, width=self.width)
            except (ValueError, TypeError) as error:
                raise BadMedia(f"a {self.shape} of {self.numbers[:8]} cannot be drawn: {error}") from None
            canvas.save(out, "PNG", compress_level=1)
        return out.getvalue()


@dataclass(frozen=True, slots=True)
class Pasted:
    """Pictures on one canvas, pasted when its bytes are read; a source of `types.Media`.

    In a row, each scaled to a height of `side` pixels, or in a column of that width, whichever is less long; ``[1]``,
    ``[2]`` … in black on a white square in the upper left corner of each. The form of lmms-eval's mmmu_val_group_img,
    whose letters are Arial's, and Pillow's own here.
    """

    pictures: tuple[Media, ...]
    side: int

    def read_bytes(self) -> bytes:
        """PNG. Raises BadMedia, also for a canvas that would be too large, or OSError if a file cannot be read."""
        from PIL import Image  # noqa: PLC0415  (as above)

        seen = []
        for media in self.pictures:
            with opened(media.read()) as picture:
                seen.append(as_seen(picture)[0].convert("RGB"))
        row = [(max(1, self.side * one.width // one.height), self.side) for one in seen]
        column = [(self.side, max(1, self.side * one.height // one.width)) for one in seen]
        wide, high = sum(width for width, _ in row), sum(height for _, height in column)
        sizes, canvas = (column, (self.side, high)) if wide > high else (row, (wide, self.side))
        if canvas[0] * canvas[1] > MAX_PIXELS:
            raise BadMedia(f"a canvas of {canvas[0]} × {canvas[1]} pixels; at most {MAX_PIXELS:,} can be pasted")
        pasted, left, top = Image.new("RGB", canvas), 0, 0
        for number, (one, size) in enumerate(zip(seen, sizes, strict=True), 1):
            pasted.paste(_numbered(one.resize(size, Image.Resampling.LANCZOS), number), (left, top))
            left, top = (left + size[0], 0) if sizes is row else (0, top + size[1])
        out = io.BytesIO()
        pasted.save(out, "PNG", compress_level=1)
        return out.getvalue()


def _numbered(picture: Image, number: int) -> Image:
    from PIL import ImageDraw, ImageFont  # noqa: PLC0415  (as above)

    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, _LETTER + 2 * _MARGIN, _LETTER + 2 * _MARGIN), fill="white")
    pen.text((_MARGIN, _MARGIN), f"[{number}]", fill="black", font=ImageFont.load_default(_LETTER))
    return picture
