"""Pages of PDF files as pictures."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pypdfium2
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


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is opened and closed from here on."""
    seen: list[str] = []
    real = pypdfium2.PdfDocument

    class Counted(real):  # type: ignore[misc, valid-type]
        def __init__(self, data: bytes) -> None:
            super().__init__(data)
            seen.append("open")

        def close(self) -> None:
            seen.append("close")
            super().close()

    monkeypatch.setattr(pypdfium2, "PdfDocument", Counted)
    return seen


def test_a_document_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the pages of a sample, whatever their order; closed behind the last, a bad page, or by another document."""
    seen = counted(monkeypatch)
    pages, others = document("red", "blue"), document("green", "white")
    for number in (1, 2, 2, 1):
        Page(pages, number, 72, last=False).read_bytes()
    assert seen == ["open"]
    Page(pages, 1, 72).read_bytes()
    assert seen == ["open", "close"]
    Page(pages, 1, 72, last=False).read_bytes()
    Page(others, 1, 72, last=False).read_bytes()
    assert seen[2:] == ["open", "close", "open"]
    with pytest.raises(BadMedia, match="page 3"):
        Page(others, 3, 72, last=False).read_bytes()
    assert seen[5:] == ["close"]
    Page(others, 1, 72).read_bytes()
    assert (seen[6:], pdf._kept) == (["open", "close"], [])


def test_threads_draw_in_turn() -> None:
    """Each page is that of its own document, however they meet."""
    shades = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
    documents = {shade: document(shade, "black") for shade in shades}

    def middle(number: int) -> bool:
        shade = [*shades][number % len(shades)]
        page = drawn(Page(documents[shade], 1, 72, last=number % 3 == 0)).convert("RGB").getpixel((36, 18))
        return all(abs(one - other) < 8 for one, other in zip(page, shades[shade], strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(middle, range(200)))


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
