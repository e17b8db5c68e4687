"""Texts of models and data as a page shows them. Nothing here makes them safe as HTML; that is the page's work."""

from __future__ import annotations

import re
from typing import Any

# Left-to-right and right-to-left marks (U+200E, U+200F) stay: they belong to Arabic and Hebrew and turn nothing round.
_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = (code for code in (*range(32), *range(0x7F, 0xA0)) if chr(code) not in "\n\t")
_HIDDEN = {code: f"⟨U+{code:04X}⟩" for code in (*_CONTROLS, *_BIDI)}
_ANY_HIDDEN = re.compile(f"[{''.join(map(re.escape, map(chr, _HIDDEN)))}]")


def signs(content: Any) -> Any:
    """Control characters, and those that turn the direction of what follows, by their number; in all texts of a JSON
    value."""
    match content:
        case str():
            return content.translate(_HIDDEN) if _ANY_HIDDEN.search(content) else content
        case list() | tuple():
            return [signs(one) for one in content]
        case dict():
            return {signs(str(name)): signs(one) for name, one in content.items()}
        case _:
            return content


def shown(text: str, most: int) -> str:
    """A text with those as signs: at most `most` characters of it, and a note of how many more there are."""
    rest = len(text) - most
    found: str = signs(text[:most])
    return f"{found}\n⟦{rest:,} more characters, which are in the samples file⟧" if rest > 0 else found


def line_of(text: str, most: int) -> str:
    """One line of it, an ellipsis for the rest."""
    found = " ".join(shown(text[: 4 * most], 4 * most).split())
    return found if len(found) <= most and len(text) <= 4 * most else found[: most - 1] + "…"


def answer_of(value: Any) -> str | None:
    """A prediction's answer in words; None where there is none."""
    if value is None:
        return None
    return " | ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def label_of(name: str) -> str:
    """A task's, a column's or a value's name where the page's list of samples knows it by that."""
    return line_of(name, 80)
