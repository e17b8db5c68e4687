"""Pictures for terminals: each protocol's text gives the picture back, and only terminals that can are sent any."""

from __future__ import annotations

import base64
import io
import re

import pytest
from PIL import Image

from lmms_fast.errors import UsageError
from lmms_fast.report.plain import one_line, plain
from lmms_fast.report.terminal import drawn, protocol

PICTURE = Image.new("RGB", (50, 20), "red")
PICTURE.paste((0, 0, 255), (10, 3, 30, 15))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"), ({"KITTY_WINDOW_ID": "1", "TERM": "xterm-256color"}, "kitty"),
        ({"TERM_PROGRAM": "ghostty"}, "kitty"), ({"TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM_PROGRAM": "WezTerm"}, "iterm2"), ({"LC_TERMINAL": "iTerm2"}, "iterm2"), ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-sixel"}, "sixel"), ({"TERM": "xterm-256color"}, "none"), ({}, "none"),
        ({"TERM": "dumb", "KITTY_WINDOW_ID": "1"}, "none"), ({"TERM": "xterm-kitty", "TMUX": "/tmp/x"}, "none"),
        ({"TERM": "screen.xterm-256color", "LC_TERMINAL": "iTerm2"}, "none"),
    ],
)  # fmt: skip
def test_the_environment_tells(environment: dict[str, str], expected: str) -> None:
    """Nothing is sent to what is no terminal, unless it was asked for."""
    assert protocol("auto", environment, True) == expected
    assert protocol("auto", environment, False) == "none"
    assert protocol("sixel", environment, False) == "sixel"


def test_unknown_protocol() -> None:
    """One sentence."""
    with pytest.raises(UsageError, match="write auto, kitty"):
        protocol("png", {}, True)


def same(data: bytes) -> bool:
    """Whether a PNG is the picture."""
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes() == PICTURE.tobytes()


def test_kitty() -> None:
    """Chunks of 4096 characters at most; all but the last say that more follows."""
    noise = Image.frombytes("RGB", (64, 64), bytes((7 * n * n + n // 3) % 256 for n in range(64 * 64 * 3)))
    for picture in (PICTURE, noise):
        chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", drawn(picture, "kitty"))
        assert chunks[0][0].startswith("a=T,f=100,")
        assert [head[-3:] for head, _ in chunks] == ["m=1"] * (len(chunks) - 1) + ["m=0"]
        assert max(len(text) for _, text in chunks) <= 4096
        data = base64.b64decode("".join(text for _, text in chunks))
        assert Image.open(io.BytesIO(data)).tobytes() == picture.tobytes()


def test_iterm2() -> None:
    """One sequence, which tells its size."""
    found = re.fullmatch(r"\x1b\]1337;File=inline=1;size=(\d+);preserveAspectRatio=1:([^\x07]*)\x07\n",
                         drawn(PICTURE, "iterm2"))  # fmt: skip
    assert found
    data = base64.b64decode(found[2])
    assert same(data)
    assert int(found[1]) == len(data)


def test_sixel() -> None:
    """Read by a small reader of ours: every pixel has its colour."""
    found = re.fullmatch(r'\x1bP0;1q"1;1;50;20(.*)\x1b\\\n', drawn(PICTURE, "sixel"), re.DOTALL)
    assert found
    colours: dict[int, tuple[int, ...]] = {}
    pixels: dict[tuple[int, int], tuple[int, ...]] = {}
    column = top = 0
    colour: tuple[int, ...] = ()
    for token in re.findall(r"#\d+(?:;2;\d+;\d+;\d+)?|![0-9]+.|.", found[1]):
        if token[0] == "#":
            name, *rest = token[1:].split(";")
            if rest:
                colours[int(name)] = tuple(round(int(part) * 255 / 100) for part in rest[1:])
            colour = colours[int(name)]
        elif token == "$":
            column = 0
        elif token == "-":
            column, top = 0, top + 6
        else:
            count = int(token[1:-1]) if token[0] == "!" else 1
            drawn_here = [bit for bit in range(6) if (ord(token[-1]) - 63) >> bit & 1]
            new = {(column + right, top + bit): colour for right in range(count) for bit in drawn_here}
            assert not new.keys() & pixels.keys()
            pixels |= new
            column += count
    assert len(pixels) == 50 * 20
    assert all(pixels[x, y] == PICTURE.getpixel((x, y)) for x in range(50) for y in range(20))


def test_control_characters_lose_their_meaning() -> None:
    """C0, C1, marks of direction; letters, line ends and joined emoji stay."""
    assert plain("a\x1b[2J\x9b2J\x07\u202eb\r\nc\td\x00") == "a\ufffd[2J\ufffd2J\ufffd\ufffdb\nc\td\ufffd"
    assert plain("Größe 数\u3000👩\u200d🔬") == "Größe 数\u3000👩\u200d🔬"
    assert one_line(" a\n\tb  c ", 4) == "a b…"
