"""The VQA challenge's treatment of punctuation, which later benchmarks took over.

Source: the challenge's evaluation code (arXiv 1505.00468; repository GT-Vision-Lab/VQA).
"""

from __future__ import annotations

import re

_MARKS = ";/[]\"{}()=+\\_-><@`,?!"
_DIGITS_WITH_COMMA = re.compile(r"\d,+\d")
_LONE_PERIOD = re.compile(r"\.(?!\d)")
_PERIODS = 32
"""The challenge's code passes a flag of this value where the number of replacements stands."""


def vqa_punctuation(text: str) -> str:
    """Without the challenge's marks: one that touches a space somewhere is deleted, one that does not becomes a space.

    A comma between digits anywhere deletes all of them. Periods not followed by a digit go too, the first 32 of them.
    Neither ``:`` nor ``*`` is among the marks.
    """
    found, grouped = text, _DIGITS_WITH_COMMA.search(text) is not None
    for mark in _MARKS:
        touches = grouped or f"{mark} " in text or f" {mark}" in text  # in the text as it came
        found = found.replace(mark, "" if touches else " ")
    return _LONE_PERIOD.sub("", found, count=_PERIODS)
