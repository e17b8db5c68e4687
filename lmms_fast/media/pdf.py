"""Pages of PDF files as pictures, for benchmarks on documents that come as files."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmms_fast.media.encode import BadMedia
from lmms_fast.types import Stored

if TYPE_CHECKING:
    import pypdfium2

_POINTS_PER_INCH = 72
_PIXELS_MAX = 50_000_000  # A0 at 144 dpi has 32 million; an A4 page 2
_BYTES_MAX = 1 << 28
_PDFIUM = threading.Lock()  # the library must not be entered twice
_kept: list[tuple[Stored, pypdfium2.PdfDocument]] = []
"""The document that the page before was of, or nothing: never more than one, whoever asks. Under the lock."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a document, drawn when its bytes are read; a source of `types.Media`."""

    document: Stored
    """One object for all pages of a sample: read and parsed once where its pages are read one after the other."""
    number: int
    """From 1."""
    dpi: int
    last: bool = True
    """No other page of it is wanted after this one."""

    def read_bytes(self) -> bytes:
        """PNG. Raises BadMedia, or OSError if the document cannot be read."""
        try:
            import pypdfium2  # noqa: PLC0415  (an extra that few benchmarks need)
        except ImportError:
            raise BadMedia("pages of PDF files need the package pypdfium2: pip install 'lmms-fast[pdf]'") from None
        with _PDFIUM:
            keep = False
            try:
                drawn = self._drawn(_opened(self.document))
                keep = not self.last
            except (pypdfium2.PdfiumError, ValueError, MemoryError) as error:
                raise BadMedia(f"page {self.number} cannot be drawn: {error}") from None
            finally:
                if not keep:
                    _close()
        return drawn

    def _drawn(self, document: pypdfium2.PdfDocument) -> bytes:
        if not 1 <= self.number <= len(document):
            raise BadMedia(f"page {self.number} of a PDF file that has {len(document)}")
        page = document[self.number - 1]
        scale = self.dpi / _POINTS_PER_INCH
        width, height = (side * scale for side in page.get_size())
        if width * height > _PIXELS_MAX:
            raise BadMedia(f"page {self.number} would have {width:.0f} × {height:.0f} pixels; at most {_PIXELS_MAX:,}")
        out = io.BytesIO()
        page.render(scale=scale).to_pil().save(out, "PNG", compress_level=1)
        page.close()
        return out.getvalue()


def _opened(stored: Stored) -> pypdfium2.PdfDocument:
    """The document, in place of the one that was kept. Raises BadMedia, OSError."""
    import pypdfium2  # noqa: PLC0415

    if not _kept or _kept[0][0] is not stored:
        _close()
        data = stored.read_bytes()
        if len(data) > _BYTES_MAX:
            raise BadMedia(f"a PDF file of {len(data):,} bytes; at most {_BYTES_MAX:,} are read")
        try:
            _kept.append((stored, pypdfium2.PdfDocument(data)))
        except (pypdfium2.PdfiumError, ValueError) as error:
            raise BadMedia(f"not a readable PDF file ({len(data):,} bytes): {error}") from None
    return _kept[0][1]


def _close() -> None:
    while _kept:
        _kept.pop()[1].close()
