"""Pages of PDF files as pictures."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from lmms_fast.media import pdf
from lmms_fast.media.encode import BadMedia
from lmms_fast.media.pdf import Page


@dataclass(frozen=True)
class Document:
    """A file that lies in memory."""

    data: bytes

    def read_bytes(self) -> bytes:
        """All of it."""
        return self.data


def document(*shades: str, size: tuple[int, int] = (72, 36)) -> Document:
    """A page of each colour; at 72 dpi a pixel is a point."""
    first, *others = [Image.new("RGB", size, shade) for shade in shades]
    out = io.BytesIO()
    first.save(out, "PDF", save_all=True, append_images=others, resolution=72)
    return Document(out.getvalue())


def drawn(page: Page) -> Image.Image:
    """The picture of a page."""
    return Image.open(io.BytesIO(page.read_bytes()))


def test_a_page_at_a_resolution() -> None:
    """Counted from 1; an inch has as many pixels as asked for."""
    pages = document("red", "blue")
    assert drawn(Page(pages, 2, 144)).size == (144, 72)
    assert drawn(Page(pages, 1, 72)).size == (72, 36)
    middles = [drawn(Page(pages, number, 144)).convert("RGB").crop((72, 36, 73, 37)).tobytes() for number in (1, 2)]
    assert [max(range(3), key=middle.__getitem__) for middle in middles] == [0, 2]  # red, and blue


@pytest.mark.parametrize("number", [0, -1, 3])
def test_a_page_that_is_not_there(number: int) -> None:
    """Not the last one, whatever Python makes of -1."""
    with pytest.raises(BadMedia, match=f"page {number} of a PDF file that has 2"):
        Page(document("red", "blue"), number, 144).read_bytes()


HOSTILE = [b"", b"%PDF-1.4", b"\x89PNG", document("red").data[:200], b"%PDF-1.7\n" + b"[" * 9999]


@pytest.mark.parametrize("data", HOSTILE)
def test_what_is_no_document(data: bytes) -> None:
    """One sentence for anything."""
    with pytest.raises(BadMedia, match="not a readable PDF file"):
        Page(Document(data), 1, 144).read_bytes()


def test_pages_and_files_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page may claim any size; memory is taken only for what is within reason."""
    huge = document("red").data.replace(b"[ 0 0 72.0 36.0 ]", b"[ 0 0 9999999 9999999 ]")
    assert huge != document("red").data
    with pytest.raises(BadMedia, match="pixels; at most 50,000,000"):
        Page(Document(huge), 1, 144).read_bytes()
    monkeypatch.setattr(pdf, "_BYTES_MAX", 10)
    with pytest.raises(BadMedia, match="at most 10 are read"):
        Page(document("red"), 1, 144).read_bytes()


def test_a_document_that_is_missing(tmp_path: Path) -> None:
    """As for any picture."""
    with pytest.raises(OSError, match="nothing"):
        Page(tmp_path / "nothing.pdf", 1, 144).read_bytes()
