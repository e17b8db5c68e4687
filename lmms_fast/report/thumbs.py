"""Small pictures for a run's page, out of its data. A run holds only digests, so the data set is read again; nothing is
fetched for it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pybase64

from lmms_fast.data.again import pictures_again
from lmms_fast.data.feed import Selection, parse_limit
from lmms_fast.data.source import open_source
from lmms_fast.errors import LmmsFastError, UsageError
from lmms_fast.journal.rundir import recorded_spec
from lmms_fast.media.encode import BadMedia, as_seen, digest, opened
from lmms_fast.report.finished import FinishedRun, tasks_of
from lmms_fast.tasks.catalog import may_run_hooks
from lmms_fast.tasks.spec import Task

_SIDES = ((48_000, 512), (24_000, 384), (9_000, 256), (4_000, 160), (0, 112))
"""Bytes that a picture may take → pixels of its longer side: few pictures are shown larger."""
_DECODED = 50_000_000  # pixels; of larger ones there is none
_BATCH, _BATCH_BYTES = 32, 64 << 20


@dataclass(frozen=True, slots=True)
class Sent:
    """A picture as the samples file names it."""

    digest: str
    as_stored: bool


@dataclass(slots=True)
class Pictures:
    """The pictures of a run's samples, each once, numbered as they come."""

    numbers: dict[str, int] = field(default_factory=dict)
    _wanted: dict[tuple[str, str], tuple[Sent, ...]] = field(default_factory=dict)

    def add(self, line: Mapping[str, Any]) -> list[int]:
        """The numbers of a sample's pictures, in the order of its messages."""
        parts = [part for turn in line.get("messages", ()) for part in turn["parts"] if isinstance(part, dict)]
        sent = tuple(Sent(str(part.get("image", "?")), not part.get("changed")) for part in parts)
        if sent:
            self._wanted[line["task"], line["id"]] = sent
        return [self.numbers.setdefault(one.digest, len(self.numbers)) for one in sent]

    def thumbnails(
        self, run: FinishedRun, budget: int, data_dir: Path | None = None, include: Sequence[Path] = ()
    ) -> Thumbnails:
        """All that can be had within so many bytes of base64."""
        found = Thumbnails(len(self.numbers), _side(budget, len(self.numbers)))
        if not self.numbers or budget <= 0:
            return found
        try:
            spec = recorded_spec(run.path, run.manifest)
            tasks = [task for task in tasks_of(run.path, run.manifest, include).tasks if task.task in run.tasks]
        except LmmsFastError as error:
            found.why.append(str(error))
            return found
        selection = Selection(parse_limit(spec.get("limit")), frozenset(spec.get("sample_ids") or ()))
        recorded = spec.get("data_dir")
        where = data_dir or (Path(recorded) if recorded else None)
        for task in tasks:
            try:
                _check_trusted(task, include)
                self._read(task, where, selection, found, budget)
            except LmmsFastError as error:
                found.why.append(str(error))
            except Exception as error:  # the code that reads a data set raises what it likes; a page needs none of it
                found.why.append(f"{task.task}: {type(error).__name__}: {str(error)[:300]}")
        return found

    def _read(
        self, task: Task, data_dir: Path | None, selection: Selection, found: Thumbnails, budget: int
    ) -> None:
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            for batch in _batches(self._of(task, data_dir, selection, found)):
                made = pool.map(lambda data: thumbnail(data, found.side), [data for _, data in batch])
                for (number, _), small in zip(batch, made, strict=True):
                    if small is None:
                        found.unreadable += 1
                        continue
                    text = pybase64.b64encode(small).decode()
                    if found.size + len(text) > budget:
                        found.spent = True
                        return
                    found.texts[number] = text
                    found.size += len(text)

    def _of(
        self, task: Task, data_dir: Path | None, selection: Selection, found: Thumbnails
    ) -> Iterator[tuple[int, bytes]]:
        """A task's pictures that have no thumbnail yet."""
        seen: set[int] = set()
        left = sum(1 for name, _ in self._wanted if name == task.task)
        for identity, pictures in pictures_again(task, open_source(task, data_dir), selection):
            sent = self._wanted.get((task.task, identity), ())
            left -= bool(sent)
            for one, medium in zip(sent, pictures, strict=False):
                number = self.numbers[one.digest]
                if number in seen or number in found.texts:
                    continue
                seen.add(number)
                try:
                    data = medium.read()
                except (OSError, BadMedia):
                    found.unreadable += 1
                    continue
                if one.as_stored and digest(data) != one.digest:
                    found.changed += 1
                else:
                    yield number, data
            if left <= 0 or found.spent:
                return


@dataclass(slots=True)
class Thumbnails:
    """Those that were made, and why others were not."""

    pictures: int
    side: int
    """Pixels of the longer side."""
    texts: dict[int, str] = field(default_factory=dict)
    """Base64 of WebP, by the picture's number."""
    size: int = 0
    spent: bool = False
    """There was no room for more."""
    unreadable: int = 0
    changed: int = 0
    """Data that are not any more what was sent."""
    why: list[str] = field(default_factory=list)
    """A sentence for each task whose data cannot be read."""


def thumbnail(data: bytes, side: int) -> bytes | None:
    """WebP of a picture as a person sees it; None where it cannot be read, or is very large."""
    try:
        with opened(data) as picture:
            picture.draft("RGB", (2 * side, 2 * side))  # JPEG is decoded at a fraction of its size
            if picture.width * picture.height > _DECODED:
                return None
            small, _ = as_seen(picture)
            small.thumbnail((side, side))
            out = io.BytesIO()
            small.save(out, "WEBP", quality=62, method=3)
            return out.getvalue()
    except BadMedia:
        return None


def _side(budget: int, pictures: int) -> int:
    each = budget / max(1, pictures)
    return next(side for least, side in _SIDES if each >= least)


def _check_trusted(task: Task, include: Sequence[Path]) -> None:
    if not may_run_hooks(task, include):
        raise UsageError(f"{task.task}: its hooks would run to show its pictures; if you trust {task.file.parent}, add "
                         "it with --include-path.")  # fmt: skip


def _batches(pictures: Iterator[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    batch: list[tuple[int, bytes]] = []
    for one in pictures:
        batch.append(one)
        if len(batch) == _BATCH or sum(len(data) for _, data in batch) > _BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch
