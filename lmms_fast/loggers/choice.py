"""The part of a run's samples that a tracker is shown: so many of each task, what went wrong first."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
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
PICTURES_S = 30.0
"""Of the time that a tracker has to store results, for reading the data again."""
COLUMNS = ("id", "repeat", "outcome", "score", "answer", "target", "response", "prompt", "failure")


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample for a tracker."""

    cells: Mapping[str, Any]
    """By COLUMNS: texts cut at TEXT characters, without control characters."""
    picture: bytes | None
    """Its first one as JPEG of about 320 × 320 pixels at most; None where it has none, or the data are not there."""


def chosen(
    run: FinishedRun, most: int, include: Iterable[Path] = (), patience_s: float = PICTURES_S
) -> dict[str, list[Shown]]:
    """For each task `most` samples at most, by outcome (those that went wrong first), then in the order of the data.

    The data are read again for pictures, `patience_s` long; what is not found by then has none.
    """
    lines = {task: _worst(run, task, most) for task in run.tasks} if most else {}
    small: dict[str, bytes] = {}
    reader = threading.Thread(target=_pictures, args=(run, lines, [*include], small), daemon=True)
    reader.start()
    reader.join(patience_s)
    found = dict(small)
    return {task: [Shown(_cells(line), found.get(_key(line))) for line in some] for task, some in lines.items()}


def scores(run: FinishedRun) -> dict[str, float]:
    """`TASK/METRIC` and `GROUP/METRIC`: the headlines."""
    return {f"{name}/{one['metric']}": one["value"] for name, one in headlines(run) if one["value"] is not None}


def _worst(run: FinishedRun, task: str, most: int) -> list[Mapping[str, Any]]:
    kept: dict[str, list[Mapping[str, Any]]] = {name: [] for name in _ORDER}
    for line in run.samples(task):
        if len(same := kept[line["outcome"]]) < most:
            same.append(line)
    return [line for same in kept.values() for line in same][:most]


def _pictures(
    run: FinishedRun, lines: Mapping[str, Sequence[Mapping[str, Any]]], include: Sequence[Path], small: dict[str, bytes]
) -> None:
    """Put the first picture of each sample into `small`, as far as the data are there."""
    try:
        sight = Pictures(run, include)
    except LmmsFastError:
        return
    for some in lines.values():
        with contextlib.suppress(LmmsFastError):  # this task's data cannot be read
            for line in sorted(some, key=lambda one: (one["row"], one["repeat"])):  # read once, in their order
                if any(pictures(line["messages"])):
                    with contextlib.suppress(BadMedia, OSError, IndexError):
                        small[_key(line)] = to_send(sight.of(line)[0].read(), _SMALL).data


def _key(line: Mapping[str, Any]) -> str:
    return f"{line['task']}/{line['id']}#{line['repeat']}"


def _cells(line: Mapping[str, Any]) -> dict[str, Any]:
    flat = row(line)
    flat["target"] = " | ".join(flat["target"])
    return {name: plain(flat[name])[:TEXT] if isinstance(flat[name], str) else flat[name] for name in COLUMNS}

