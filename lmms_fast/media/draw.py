"""An outline on a picture: some benchmarks ask about a region by showing it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

from lmms_fast.media.encode import BadMedia, as_seen, opened
from lmms_fast.types import Media


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
