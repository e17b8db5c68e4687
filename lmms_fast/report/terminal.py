"""Pictures in terminals that can: the protocols of kitty and iTerm2, and sixel.

https://sw.kovidgoyal.net/kitty/graphics-protocol/ · https://iterm2.com/documentation-images.html ·
https://vt100.net/docs/vt3xx-gp/chapter14.html
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Literal, get_args

from lmms_fast.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

Protocol = Literal["kitty", "iterm2", "sixel", "none"]
_KITTY_CHUNK = 4096
_COLOURS = 64


def protocol(asked: str, environment: Mapping[str, str], is_terminal: bool) -> Protocol:
    """The protocol that was named; with `auto`, what the terminal's environment tells. Raises UsageError.

    Inside tmux and screen, and where output is no terminal, none: they swallow what they do not know.
    """
    if asked != "auto":
        if asked not in get_args(Protocol):
            raise UsageError(f"--pictures {asked}: write auto, {', '.join(get_args(Protocol))}.")
        return asked  # type: ignore[return-value]
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if not is_terminal or "TMUX" in environment or term.startswith(("screen", "tmux", "dumb")):
        return "none"
    if "KITTY_WINDOW_ID" in environment or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "mintty") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    return "sixel" if term.startswith(("foot", "mlterm", "contour", "yaft")) or "sixel" in term else "none"


def drawn(picture: Image, how: Protocol) -> str:
    """What makes the terminal show the picture (RGB), and a line end; nothing for `none`."""
    return f"{_DRAW[how](picture)}\n" if how != "none" else ""


def _png(picture: Image) -> bytes:
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def _kitty(picture: Image) -> str:
    text = base64.standard_b64encode(_png(picture)).decode()
    chunks = [text[start : start + _KITTY_CHUNK] for start in range(0, len(text), _KITTY_CHUNK)]
    heads = ["a=T,f=100,q=2,"] + [""] * (len(chunks) - 1)
    return "".join(f"\x1b_G{head}m={int(number < len(chunks) - 1)};{chunk}\x1b\\"
                   for number, (head, chunk) in enumerate(zip(heads, chunks, strict=True)))  # fmt: skip


def _iterm2(picture: Image) -> str:
    data = _png(picture)
    text = base64.standard_b64encode(data).decode()
    return f"\x1b]1337;File=inline=1;size={len(data)};preserveAspectRatio=1:{text}\x07"


def _sixel(picture: Image) -> str:
    """Bands of six rows; in each, every colour that occurs draws its own pixels."""
    few = picture.quantize(_COLOURS)
    palette = few.getpalette() or []
    pixels, width, height = few.tobytes(), few.width, few.height
    colours = sorted(set(pixels))
    pieces = [f'\x1bP0;1q"1;1;{width};{height}']
    pieces += [f"#{colour};2;{';'.join(str(round(part * 100 / 255)) for part in palette[3 * colour : 3 * colour + 3])}"
               for colour in colours]  # fmt: skip
    for top in range(0, height, 6):
        rows = [pixels[row * width : (row + 1) * width] for row in range(top, min(top + 6, height))]
        for colour in sorted(set().union(*rows)):
            masks = (sum((row[column] == colour) << bit for bit, row in enumerate(rows)) for column in range(width))
            pieces.append(f"#{colour}{''.join(_run(chr(63 + mask), len([*same])) for mask, same in groupby(masks))}$")
        pieces.append("-")
    return "".join(pieces) + "\x1b\\"


def _run(mark: str, count: int) -> str:
    return f"!{count}{mark}" if count > 3 else mark * count


_DRAW: Mapping[str, Callable[[Image], str]] = {"kitty": _kitty, "iterm2": _iterm2, "sixel": _sixel}
