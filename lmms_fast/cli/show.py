"""One sample of a run as a terminal shows it. What models and data say has no control characters in it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lmms_fast.errors import LmmsFastError, UsageError
from lmms_fast.media.encode import BadMedia, to_send
from lmms_fast.media.policy import Policy
from lmms_fast.pipeline.pictures import Pictures
from lmms_fast.report.export.rows import row
from lmms_fast.report.finished import FinishedRun, open_run
from lmms_fast.report.plain import one_line, plain
from lmms_fast.report.terminal import Protocol, drawn
from lmms_fast.types import Media

_FITS = Policy(max_pixels=480 * 480, format="png")
_TOLD = ("outcome", "score", "answer", "rule", "target", "choices", "refusal", "finish_reason", "failure_kind",
         "failure", "latency_s", "completion_tokens", "served_by")  # fmt: skip


def shown(path: Path, id: str, how: Protocol, data_dir: Path | None, include: Sequence[Path]) -> Iterator[str]:
    """The pieces to print. Raises UsageError for an id that is none, or of several samples."""
    run = open_run(path)
    line = _found(run, id)
    told = row(line)
    yield f"{_key(line)}\n"
    pictures = _pictures(run, line, how, data_dir, include)
    for turn in line["messages"]:
        yield f"\n{turn['role']}:\n"
        for part in turn["parts"]:
            yield plain(part) if isinstance(part, str) else next(pictures)
        yield "\n"
    for title, text in (("thought", told["reasoning"]), ("answered", told["response"])):
        if text is not None:
            yield f"\n{title}:\n{plain(text)}\n"
    yield "\n"
    for name, value in told.items():
        if (name in _TOLD or name.startswith(("groups.", "parts."))) and value not in (None, [], ""):
            yield f"{one_line(name)}: {_words(value)}\n"
    for judgement in line.get("judgements", ()):
        yield f"judge {one_line(str(judgement.get('judge')))}: {plain(str(judgement.get('reply')))}\n"


def _words(value: Any) -> str:
    return one_line(" | ".join(value) if isinstance(value, list) else str(value))


def _key(line: dict[str, Any]) -> str:
    return one_line(f"{line['task']}/{line['id']}#{line['repeat']}")


def _found(run: FinishedRun, id: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    for task in run.tasks:
        for line in run.samples(task):
            if id == f"{task}/{line['id']}#{line['repeat']}":
                return line
            if id in (line["id"], f"{task}/{line['id']}") and len(found) < 4:
                found.append(line)
    if not found:
        raise UsageError(f"{run.path}: no sample is called '{one_line(id)}'; its samples files name all.")
    if len(found) > 1:
        names = ", ".join(_key(line) for line in found[:3])
        raise UsageError(f"'{one_line(id)}' are several: {names}{', …' if len(found) > 3 else ''}; write one of these.")
    return found[0]


def _pictures(
    run: FinishedRun, line: dict[str, Any], how: Protocol, data_dir: Path | None, include: Sequence[Path]
) -> Iterator[str]:
    """One after the other; where one cannot be shown, its digest in its place, and why."""
    names = [part["image"] for turn in line["messages"] for part in turn["parts"] if not isinstance(part, str)]
    why, found = "", iter(tuple[Media, ...]())
    if names and how != "none":
        try:
            found = iter(Pictures(run, include, data_dir).of(line))
        except LmmsFastError as error:
            why = f": {one_line(str(error))}"
    for name in names:
        picture = next(found, None)
        try:
            if picture is None:
                yield f"[picture {one_line(name)}{why}]\n"
                continue
            small = Image.open(io.BytesIO(to_send(picture.read(), _FITS).data)).convert("RGB")
            yield f"\n{drawn(small, how)}"
        except (BadMedia, OSError) as error:
            yield f"[picture {one_line(name)}: {one_line(str(error))}]\n"
