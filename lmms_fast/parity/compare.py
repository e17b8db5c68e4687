"""Ours beside theirs, to the last digit published; where they differ, sample by sample."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmms_fast.errors import LmmsFastError
from lmms_fast.parity.entries import Entry
from lmms_fast.parity.fetch import locate
from lmms_fast.parity.readers import read_json, read_rows
from lmms_fast.parity.scored import SHARES, Found
from lmms_fast.parity.sets import kind_of
from lmms_fast.parity.table import SCORE_FILE

_WHOLE_DIGITS = 9
"""A figure with so many decimals was published unrounded."""
_EXCERPT = 160


@dataclass(frozen=True, slots=True)
class Figure:
    """One number."""

    name: str
    ours: float | None
    """As published: in percent where that is. None where it is not computed."""
    expected: float
    agrees: bool
    why: str = ""
    """Why there is none of ours."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A sample on which the two disagree."""

    id: str
    response: str
    ours: str
    rule: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A set's figures, or why there are none."""

    entry: Entry
    figures: tuple[Figure, ...] = ()
    items: int = 0
    undecided: int = 0
    differences: tuple[Difference, ...] = ()
    more: tuple[Figure, ...] = ()
    """Figures of the score files beside the outputs, those that are computed. They decide nothing: a score file may
    rest on other rows than the outputs published with it."""
    notes: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def reproduced(self) -> bool:
        """Every figure that can be computed is the published one, and there is one."""
        computed = [figure for figure in self.figures if not figure.why]
        return self.problem is None and bool(computed) and all(one.agrees for one in computed)


def compare(entry: Entry, folder: Path | None) -> Comparison:
    """Fetch, score, compare. What goes wrong with a set is its `problem`."""
    try:
        paths = locate(entry, folder)
        found = kind_of(entry.metric)(entry, paths)
        published = dict(published_beside(paths))
    except LmmsFastError as error:
        return Comparison(entry, problem=str(error))
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration) as error:
        return Comparison(entry, problem=f"its files are not of the form known for '{entry.metric}' ({error!r}).")
    figures = tuple(_figure(name, value, found) for name, value in flat(entry.expected))
    more = tuple(_figure(name, value, found) for name, value in published.items() if name in found.figures)
    return Comparison(entry, figures, found.items, found.undecided, tuple(differences(found)), more, found.notes)


def flat(expected: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Published numbers by name: ``good.Bleu_1`` inside an object, ``acc[0]`` inside a list."""
    if isinstance(expected, Mapping):
        for name, value in expected.items():
            yield from flat(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(expected, list):
        for number, value in enumerate(expected):
            yield from flat(value, f"{prefix}[{number}]")
    elif isinstance(expected, int | float):
        yield prefix, float(expected)


_SHARE = re.compile(r"\d+/\d+=([\d.]+)%")


def published_beside(paths: Sequence[Path]) -> Iterator[tuple[str, float]]:
    """The figures in score files: a table with a row for each split, or JSON; numbers may be texts."""
    for path in paths:
        if not SCORE_FILE.search(path.name):
            continue
        content = read_json(path) if path.suffix == ".json" else read_rows(path)
        if path.suffix == ".json" and not isinstance(content, Mapping):
            continue
        if path.suffix == ".csv":
            whole = (None, "Overall", "ALL") if len(content) > 1 else (None, content[0].get("split"))
            content = {("" if row.get("split") in whole else f"{row['split']}.") + name: value
                       for row in content for name, value in row.items()}  # fmt: skip
        yield from flat(_numbers(content))


def _numbers(content: Any) -> Any:
    """With numbers for the texts that are numbers."""
    if isinstance(content, Mapping):
        return {name: _numbers(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_numbers(value) for value in content]
    if not isinstance(content, str):
        return content
    share = _SHARE.fullmatch(content)
    try:
        return float(share[1] if share else content)
    except ValueError:
        return content


def _figure(name: str, expected: float, found: Found) -> Figure:
    ours = found.figures.get(name)
    if ours is None:
        why = next((why for key, why in found.beyond.items() if key in name), "")
        return Figure(name, None, expected, False, why)
    candidates = [ours, 100 * ours] if 0 <= ours <= 1 and (name in SHARES or expected > 1) else [ours]
    best = min(candidates, key=lambda value: abs(value - expected))
    return Figure(name, best, expected, agree(best, expected))


def agree(ours: float, expected: float) -> bool:
    """Equal to as many decimals as were published, half a unit of the last either way."""
    decimals = len(repr(expected).partition(".")[2]) if "e" not in repr(expected) else _WHOLE_DIGITS
    if decimals >= _WHOLE_DIGITS:
        return abs(ours - expected) <= 1e-9 * max(1.0, abs(expected))
    return abs(ours - expected) <= 0.5 * 10.0**-decimals + 1e-9


def differences(found: Found) -> Iterator[Difference]:
    """Samples on which verdict or answer differ from those stored in the published files."""
    for item, verdict in zip(found.run.items, found.run.scores, strict=True):
        answer = verdict.prediction.answer
        if answer is None and found.filled:
            continue
        ours = "nothing" if answer is None else answer if isinstance(answer, str) else ", ".join(map(str, answer))
        right = verdict.value == 1.0
        if item.right is not None and item.right != right:
            theirs = f"{item.theirs or ''} ({'right' if item.right else 'wrong'})".strip()
        elif item.right is None and item.theirs is not None and item.theirs != answer:
            theirs = item.theirs
        else:
            continue
        yield Difference(item.sample.id, excerpt(item.text), f"{ours} ({'right' if right else 'wrong'})",
                         verdict.prediction.rule, theirs)  # fmt: skip


def excerpt(response: str) -> str:
    """A response on one line, its end rather than its middle left out."""
    line = " ".join(response.split())
    return line if len(line) <= _EXCERPT else f"{line[: _EXCERPT // 2]} … {line[-_EXCERPT // 2 :]}"
