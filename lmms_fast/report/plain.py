"""Text that models, data and servers made, without what a terminal or a file takes for a command."""

from __future__ import annotations

import re

_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """The text with a replacement mark for each control character, line ends and tabs apart.

    That takes the sense out of escape sequences (C0 and C1), and of marks that turn the direction of writing.
    """
    return _COMMANDS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def one_line(text: str, most: int | None = None) -> str:
    """The same on one line; of a long one the first `most` characters."""
    line = " ".join(plain(text).split())
    return line if most is None or len(line) <= most else line[: most - 1] + "…"
