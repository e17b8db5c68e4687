"""Rows with a response each → items to score; what the forms of single benchmarks are made with, too."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmms_fast.errors import DataError
from lmms_fast.parity.readers import (
    FORMATS,
    GOLD,
    GROUPS,
    ID,
    RESPONSE,
    Row,
    choices,
    field,
    read_rows,
    response_name,
    text,
)
from lmms_fast.types import Sample

Paths = Sequence[Path]
SCORE_FILE = re.compile(r"_(acc|score)\.(csv|json)$|^scores_.*\.json$|_result\.json$")
"""Names of files that hold figures, and no responses."""


@dataclass(frozen=True, slots=True)
class Item:
    """A published response with what is known of its question."""

    sample: Sample
    text: str
    theirs: str | None = None
    """The answer that the published files say it gives; None where they do not say."""
    right: bool | None = None
    """Whether the published files count it as right."""


def named(paths: Paths, pattern: str) -> list[Path]:
    """Those whose name matches. Raises DataError where none does."""
    if found := [path for path in paths if re.search(pattern, path.name)]:
        return found
    raise DataError(f"the set has no file '{pattern}'; it has {', '.join(path.name for path in paths)}.")


def sample(
    id: Any,
    target: Sequence[str],
    options: Sequence[str] = (),
    *,
    groups: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Sample:
    """A sample for scoring; groups and facts as texts."""
    return Sample("parity", text(id), (), tuple(target), tuple(options), _texts(groups or {}), _texts(facts or {}))


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: text(value) for name, value in values.items()}


def table(
    paths: Paths,
    *,
    golds: Callable[[Any], Sequence[str]] = lambda value: (text(value),),
    groups: Callable[[Row], Mapping[str, Any]] | None = None,
    facts: Callable[[Row], Mapping[str, Any]] | None = None,
) -> list[Item]:
    """Rows with a response each, their answers in the same file or in another that shares the ids.

    Options are columns A, B, C, … or a list; `extracted` and `hit` or `score` are the publisher's verdict.
    """
    responses, others = _response_rows(paths)
    elsewhere = {text(field(row, ID)): row for row in others}
    said = response_name(responses[0]) or next(name for name in ("messages", "answer") if name in responses[0])
    items = []
    for number, row in enumerate(responses):
        id = field(row, ID)
        rest = {name: value for name, value in row.items() if name != said}
        full = rest if id is None else {**elsewhere.get(text(id), {}), **rest}
        target = field(full, GOLD)
        if target is None:
            raise DataError(f"the set has no answer for id {text(id)!r}; fields are {', '.join(map(str, full))}.")
        found = sample(
            number if id is None else id, golds(target), choices(full),
            groups={name: full[name] for name in GROUPS if name in full} | dict(groups(full) if groups else {}),
            facts=facts(full) if facts else None,
        )  # fmt: skip
        extracted, hit = full.get("extracted"), field(full, ("hit", "score", "correct", "if_right", "true_false"))
        items.append(Item(found, _said(row.get(said)), None if extracted is None else text(extracted),
                          bool(hit) if isinstance(hit, bool | int) else None))  # fmt: skip
    return unique(items)


def _said(value: Any) -> str:
    """A response; of a conversation (a list of turns, texts or messages) the last turn."""
    if isinstance(value, list) and value:
        return _said(value[-1])
    return text(field(value, ("content", "value", "text"))) if isinstance(value, Mapping) else text(value)


def unique(items: Sequence[Item]) -> list[Item]:
    """The items with ids of their own: an index that a data set uses twice must not merge two rows."""
    seen: defaultdict[str, int] = defaultdict(int)
    found = []
    for item in items:
        seen[item.sample.id] += 1
        times = seen[item.sample.id]
        name = item.sample.id if times == 1 else f"{item.sample.id} ({times})"
        found.append(replace(item, sample=replace(item.sample, id=name)))
    return found


def _response_rows(paths: Paths) -> tuple[list[Row], list[Row]]:
    """The rows of the file that holds responses, and those of all the others."""
    tables = [read_rows(path) for path in paths if path.suffix in FORMATS and not SCORE_FILE.search(path.name)]
    tables = [rows for rows in tables if rows]

    def rank(rows: Sequence[Row]) -> int:
        if is_question_file(rows[0]):
            return 3
        name = response_name(rows[0])
        return {None: 2 if rows[0].keys() & {"answer", "messages"} else 3, "text": 1}.get(name, 0)

    best = min(tables, key=rank, default=[])
    if not best or rank(best) == 3:
        raise DataError(f"no file of the set has responses (a field such as {', '.join(RESPONSE)}).")
    return best, [row for rows in tables if rows is not best for row in rows]


def is_question_file(row: Row) -> bool:
    """LLaVA's question files hold the question under `text`, its answer files the response."""
    return "text" in row and not {"prompt", "answer_id", "model_id", "prediction", "response", "pred"} & row.keys()
