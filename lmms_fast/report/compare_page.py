"""A comparison as one HTML file: the samples that came out otherwise, side by side with their pictures.

No script, nothing from elsewhere (a strict CSP says so); all that models and data say is escaped by the template.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmms_fast.data.feed import Selection, feed_task
from lmms_fast.data.source import open_source
from lmms_fast.errors import LmmsFastError
from lmms_fast.journal.rundir import recorded_spec
from lmms_fast.media.encode import BadMedia, digest, to_send
from lmms_fast.media.policy import Policy, parse_policy
from lmms_fast.report.compare import Comparison, RunCompared, TaskCompared
from lmms_fast.report.compare_check import definitions
from lmms_fast.report.compare_pairs import CAUSES, Flip, Key, Line, pictures
from lmms_fast.report.compare_show import COLUMNS, cells, number, remarks, title
from lmms_fast.report.finished import FinishedRun
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Media, Message

_HERE = Path(__file__).parent
_SIDE = 480  # pixels of a picture on the page
_LONGEST = 20_000  # characters of a response or a prompt
_Pictures = Mapping[str, Sequence[str]]
"""By a sample's id, as data: addresses."""


def page(found: Comparison, *, flips: int = 100, data_dir: Path | None = None, include: Sequence[Path] = ()) -> str:
    """The file's content; so many samples of each cause at most. Pictures are shown where the data are at hand."""
    from jinja2 import Environment  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415

    style = (_HERE / "compare_page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((_HERE / "compare_page.html").read_text(encoding="utf-8"))
    known = definitions(found.first, include)
    return template.render(
        title=f"Comparison with {found.first.model}", style=Markup(style), style_hash=f"sha256-{digest}",
        differences=found.differences, columns=COLUMNS,
        runs=[_run(found, other, known, flips, data_dir) for other in found.others],
    )  # fmt: skip


def _run(
    found: Comparison, other: RunCompared, known: Mapping[str, Task], flips: int, data_dir: Path | None
) -> dict[str, Any]:
    return {"title": title(found, other),
            "tasks": [_task(found.first, other, task, known.get(task.task), flips, data_dir)
                      for task in other.tasks]}  # fmt: skip


def _task(
    first: FinishedRun, other: RunCompared, task: TaskCompared, definition: Task | None, most: int,
    data_dir: Path | None,
) -> dict[str, Any]:  # fmt: skip
    by_cause = {cause: [flip for flip in task.flips if flip.cause == cause] for cause in CAUSES}
    # Worse ones first: they are what one looks for.
    shown = {cause: sorted(flips, key=lambda flip: flip.better is not False)[:most]
             for cause, flips in by_cause.items()}  # fmt: skip
    seen, why = _seen(first, definition, [flip for flips in shown.values() for flip in flips], data_dir)
    return {
        "name": task.task, "cells": cells(task), "verdict": task.verdict, "remarks": remarks(task),
        "causes": [
            {"name": cause, "says": CAUSES[cause], "count": len(by_cause[cause]), "open": len(flips) <= 20,
             "left_out": len(flips) < len(by_cause[cause]),
             "flips": [_flip(first, other.run, flip, seen, why) for flip in flips]}
            for cause, flips in shown.items() if flips
        ],
    }  # fmt: skip


def _flip(first: FinishedRun, second: FinishedRun, flip: Flip, seen: _Pictures, why: str) -> dict[str, Any]:
    prompts = [_prompt(line) for line in (flip.first, flip.second)]
    kinds = {True: "better", False: "worse", None: "not measured on one side"}
    shown = seen.get(flip.key[0], ())
    return {
        "name": _name(flip.key), "kind": kinds[flip.better],
        "groups": ", ".join(f"{key}: {value}" for key, value in flip.first["groups"].items()),
        "pictures": shown, "missing": why if pictures(flip.first) and not shown else "",
        "prompts": prompts[:1] if prompts[0] == prompts[1] else prompts,
        "target": " · ".join(flip.first["target"]) or "–",
        "sides": [_side(first, flip.first), _side(second, flip.second)],
    }  # fmt: skip


def _name(key: Key) -> str:
    return key[0] if not key[1] else f"{key[0]}, repeat {key[1]}"


def _prompt(line: Line) -> str:
    turns = [f"[{message['role']}]\n" * (len(line["messages"]) > 1)
             + "".join(part if isinstance(part, str) else "[picture]\n" for part in message["parts"])
             for message in line["messages"]]  # fmt: skip
    return _cut("\n\n".join(turns))


def _side(run: FinishedRun, line: Line) -> dict[str, Any]:
    answer, rule = (line.get("prediction") or {}).get("answer"), (line.get("prediction") or {}).get("rule")
    if "response" not in line:
        failure = line["failure"]
        text, read = f"not measured: {failure['kind']}: {failure['detail']}", ""
    else:
        response = line["response"]
        text = response["text"] or response.get("refusal") or ""
        read = f"read as {answer!r} by {rule}" if answer is not None else "no answer found"
        read += ", cut off by the token limit" if response["finish_reason"] == "length" else ""
    said = [_cut(str(one.get("reply"))) for one in line.get("judgements", ())]
    return {"run": f"{run.model} ({run.path.name})", "score": number(line["score"]), "text": _cut(text), "read": read,
            "judgements": [f"judge: {one}" for one in said]}  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\n… ({len(text) - _LONGEST:,} characters more)"


def _seen(
    run: FinishedRun, task: Task | None, flips: Sequence[Flip], data_dir: Path | None
) -> tuple[_Pictures, str]:
    """The pictures of samples, out of the data that the run was asked from; and why there are none."""
    wanted = {flip.key[0] for flip in flips if pictures(flip.first)}
    if not wanted:
        return {}, ""
    if task is None:
        return {}, "Its pictures are not shown: the task's definition is not at hand as it was."
    found: dict[str, list[str]] = {}
    asked = {flip.key[0]: frozenset(pictures(flip.first)) for flip in flips}
    spec = recorded_spec(run.path, run.manifest)
    policy, recorded = parse_policy(spec.get("image")), spec.get("data_dir")
    folder = data_dir or (None if recorded is None else Path(recorded))
    if task.hooks:
        return {}, "Its pictures are not shown: they need the task's own code, which is not run here."
    try:
        for fed in feed_task(task, open_source(task, folder), Selection(sample_ids=frozenset(wanted)), lambda _: False):
            if fed.sample.repeat == 0 and fed.failure is None:
                found[fed.sample.id] = list(_thumbnails(fed.sample.messages, policy, asked.get(fed.sample.id, ())))
            if found.keys() >= wanted:
                break
    except LmmsFastError:
        return found, "Its pictures are not shown: the data are not at hand (--data-dir DIR)."
    return found, "Its pictures are not shown: the data have other ones now."


def _thumbnails(messages: Sequence[Message], policy: Policy, asked: Collection[str]) -> Iterator[str]:
    """Of the pictures that were asked about, by their digests."""
    from PIL import Image  # noqa: PLC0415

    for message in messages:
        for part in message.parts:
            if isinstance(part, Media):
                with contextlib.suppress(BadMedia, OSError, ValueError, Image.DecompressionBombError):
                    sent = to_send(part.read(), policy).data
                    if digest(sent) in asked:
                        yield _thumbnail(sent)


def _thumbnail(data: bytes) -> str:
    from PIL import Image  # noqa: PLC0415

    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "GIF", "MPO")) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((_SIDE, _SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
