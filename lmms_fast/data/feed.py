"""Which samples a run asks, in which order: limit, repeats, chosen ids, minus what is finished."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmms_fast.data.source import Source
from lmms_fast.errors import DataError, UsageError
from lmms_fast.media.fetch import Remote
from lmms_fast.tasks.render import MediaMissing, Renderer
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Doc, Failure, Sample

_NEIGHBOURS = 8


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts of the same work, which need not know of each other: a row, and all that is kept together
    with it, is in one of them, the same one whenever and wherever it is asked."""

    number: int
    """From 1."""
    of: int

    def has(self, task: str, unit: Hashable) -> bool:
        """Whether rows of a task's unit are in this part."""
        drawn = hashlib.blake2b(f"{task}\0{unit}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn, "big") % self.of == self.number - 1


@dataclass(frozen=True, slots=True)
class Part:
    """One of several even parts, for processes that work on one run and read the same rows. Nothing depends on which
    rows are in it; but neighbours often show the same picture, which a server is sent once if they stay together."""

    number: int
    """From 1."""
    of: int

    def has(self, row: int) -> bool:
        """Whether it is in it."""
        return row // _NEIGHBOURS % self.of == self.number - 1


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of every task that a run asks."""

    limit: float | None = None
    """Samples per task; below 1 a share of the rows."""
    sample_ids: frozenset[str] = frozenset()
    """Only these ids; empty means all."""
    repeats: int = 1
    system_prompt: str | None = None
    allow_media_urls: bool = False
    """Whether media that rows name by http(s) address are fetched."""
    shard: Shard | None = None
    part: Part | None = None
    """Of the shard."""


@dataclass(frozen=True, slots=True)
class Fed:
    """A sample on its way, with its place in the dataset; or the reason why it cannot be asked."""

    row: int
    sample: Sample
    failure: Failure | None = None


def parse_limit(text: str | None) -> float | None:
    """``100`` → 100.0, ``0.1`` → 0.1. Raises UsageError."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"--limit {text}: give a number of samples (100) or a share below 1 (0.1).") from None
    if not (0 < value < 1 or (value >= 1 and value.is_integer())):
        raise UsageError(f"--limit {text}: give a whole number of samples (100) or a share below 1 (0.1).")
    return value


def parse_shard(text: str | None) -> Shard | None:
    """``2/8``: the second of eight parts. Raises UsageError."""
    if text is None:
        return None
    number, sign, of = text.partition("/")
    if not (sign and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise UsageError(f"--shard {text}: write NUMBER/OF, from 1/OF to OF/OF, such as 2/8.")
    return Shard(int(number), int(of))


def rows_wanted(limit: float | None, count: int | None, task: str) -> int | None:
    """Rows to take; None means all. A share needs to know the number of rows."""
    if limit is None:
        return None
    if limit >= 1:
        return int(limit)
    if count is None:
        raise UsageError(f"--limit {limit}: task {task}'s file does not tell its number of rows; give a whole number.")
    return max(1, math.ceil(count * limit))


def feed_task(task: Task, source: Source, selection: Selection, finished: Callable[[str], bool]) -> Iterator[Fed]:
    """The samples of one task in dataset order, repeats of one row adjacent."""
    renderer = Renderer(task, Remote if selection.allow_media_urls else None, source.shots(), source.file)
    seen: set[str] = set()
    for row, doc in _rows(task, source, selection, renderer):
        for question in enumerate(renderer.questions(doc, row)):
            for repeat in range(max(selection.repeats, task.repeats)):
                fed = _render(renderer, task, doc, row, source.root, repeat, selection.system_prompt, question)
                if repeat == 0:
                    if fed.sample.id in seen:
                        raise DataError(f"{task.file}: id '{fed.sample.id}' occurs twice; make `id` unique, "
                                        "e.g. add row.")  # fmt: skip
                    seen.add(fed.sample.id)
                wanted = not selection.sample_ids or fed.sample.id in selection.sample_ids
                if wanted and not finished(fed.sample.key):
                    yield fed


def _rows(task: Task, source: Source, selection: Selection, renderer: Renderer) -> Iterator[tuple[int, Doc]]:
    """The rows that are asked about, prepared. --limit counts those of the task, and takes groups whole."""
    count = None if task.where else source.count
    limit = None if selection.sample_ids else rows_wanted(selection.limit, count, task.task)
    left = _whole_groups(source, renderer, limit) if limit is not None and task.keep_together else None
    part = selection.part
    taken = 0
    for row, stored in enumerate(source.rows(None)):
        if limit is not None and taken >= limit and not left:
            return
        mine = part is None or part.has(row)
        if limit is None and not mine:
            continue
        doc = renderer.prepare(stored)
        if not renderer.wanted(doc, row):
            continue
        if left is not None:
            unit = renderer.unit(doc, row)
            if unit not in left:
                continue
            left[unit] -= 1
            if not left[unit]:
                del left[unit]
        taken += 1
        if mine and (selection.shard is None or selection.shard.has(task.task, renderer.unit(doc, row))):
            yield row, doc


def _whole_groups(source: Source, renderer: Renderer, limit: int) -> Counter[Hashable]:
    """The first groups that have `limit` rows together, with the number of rows of each.

    Only the columns that tell are read, since the rows of a group may stand anywhere (MMBench's rotations do).
    """
    sizes: Counter[Hashable] = Counter()
    for row, stored in enumerate(source.rows(renderer.unit_columns())):
        doc = renderer.prepare(stored)
        if renderer.wanted(doc, row):
            sizes[renderer.unit(doc, row)] += 1
    chosen: Counter[Hashable] = Counter()
    for unit, size in sizes.items():
        if chosen.total() >= limit:
            break
        chosen[unit] = size
    return chosen


def _render(
    renderer: Renderer, task: Task, doc: Doc, row: int, root: Path | None, repeat: int, system_prompt: str | None,
    question: tuple[int, Any],
) -> Fed:  # fmt: skip
    try:
        return Fed(row, renderer.render(doc, row, root, repeat, system_prompt, question))
    except MediaMissing as error:
        sample = Sample(task.task, f"row-{row}" + (f"-{question[0]}" if question[0] else ""), (), (), repeat=repeat)
        return Fed(row, sample, Failure(sample.key, "media", f"row {row}: {error}", attempts=0))


def longest_first(streams: Sequence[Iterator[Fed]], lengths: Sequence[int]) -> Iterator[Fed]:
    """One stream out of many. Those whose answers may be longest come first, so that none of them is alone at the end;
    among equals they take turns, so that one which is slow on the server does not hold up the others."""
    for length in sorted(set(lengths), reverse=True):
        yield from _in_turns([stream for stream, its in zip(streams, lengths, strict=True) if its == length])


def _in_turns(streams: Sequence[Iterator[Fed]]) -> Iterator[Fed]:
    active = list(streams)
    while active:
        for stream in tuple(active):
            try:
                yield next(stream)
            except StopIteration:
                active.remove(stream)
