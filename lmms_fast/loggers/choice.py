"""The part of a run's samples that a tracker is shown: so many of each task, what went wrong first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmms_fast.errors import LmmsFastError
from lmms_fast.media.encode import BadMedia, to_send
from lmms_fast.media.policy import Policy
from lmms_fast.pipeline.pictures import Pictures
from lmms_fast.report.export.rows import pictures, row
from lmms_fast.report.finished import FinishedRun
from lmms_fast.report.plain import plain
from lmms_fast.report.tables import headlines

_ORDER = ("not_measured", "not_judged", "wrong", "no_answer", "graded", "withheld", "together", "correct")
TEXT = 2_000
"""Characters of a cell."""
_SMALL = Policy(max_pixels=320 * 320, format="jpeg", quality=75)
COLUMNS = ("id", "repeat", "outcome", "score", "answer", "target", "response", "prompt", "failure")


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample for a tracker."""

    cells: Mapping[str, Any]
    """By COLUMNS: texts cut at TEXT characters, without control characters."""
    picture: bytes | None
    """Its first one as JPEG of about 320 × 320 pixels at most; None where it has none, or the data are not there."""


def chosen(run: FinishedRun, most: int, include: Iterable[Path] = ()) -> dict[str, list[Shown]]:
    """For each task `most` samples at most, by outcome (those that went wrong first), then in the order of the data."""
    sight = _opened(run, include)
    return {task: _of_task(run, task, most, sight) for task in run.tasks} if most else {}


def scores(run: FinishedRun) -> dict[str, float]:
    """`TASK/METRIC` and `GROUP/METRIC`: the headlines."""
    return {f"{name}/{one['metric']}": one["value"] for name, one in headlines(run) if one["value"] is not None}


def _of_task(run: FinishedRun, task: str, most: int, sight: Pictures | None) -> list[Shown]:
    kept: dict[str, list[Mapping[str, Any]]] = {name: [] for name in _ORDER}
    for line in run.samples(task):
        if len(same := kept[line["outcome"]]) < most:
            same.append(line)
    lines = [line for same in kept.values() for line in same][:most]
    order = sorted(range(len(lines)), key=lambda number: (lines[number]["row"], lines[number]["repeat"]))
    small: dict[int, bytes | None] = {}
    for number in order:  # in the order of the data, which are then read once
        small[number], sight = _picture(lines[number], sight)
    return [Shown(_cells(line), small[number]) for number, line in enumerate(lines)]


def _cells(line: Mapping[str, Any]) -> dict[str, Any]:
    flat = row(line)
    flat["target"] = " | ".join(flat["target"])
    return {name: plain(flat[name])[:TEXT] if isinstance(flat[name], str) else flat[name] for name in COLUMNS}


def _picture(line: Mapping[str, Any], sight: Pictures | None) -> tuple[bytes | None, Pictures | None]:
    """The picture, and where further ones come from: nowhere, once the data cannot be read."""
    if sight is None or not any(pictures(line["messages"])):
        return None, sight
    try:
        return to_send(sight.of(line)[0].read(), _SMALL).data, sight
    except (BadMedia, OSError, IndexError):
        return None, sight
    except LmmsFastError:
        return None, None


def _opened(run: FinishedRun, include: Iterable[Path]) -> Pictures | None:
    try:
        return Pictures(run, include)
    except LmmsFastError:
        return None
