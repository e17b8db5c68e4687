"""The append-only journal: one `write` per outcome, so a kill loses only the requests in flight."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from lmms_fast.errors import StorageError
from lmms_fast.journal.records import Record, encode_line, outcome_of
from lmms_fast.types import Failure, Outcome


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a key's newest line is, and what a resume needs to know of it."""

    offset: int
    row: int
    task: str
    repeat: int
    failure: bool
    final: bool


class Journal:
    """`journal.jsonl` of a run. The index holds offsets, not texts. Raises StorageError when it cannot write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self.index, self._end, self.damaged = _scan(path)
            os.ftruncate(self._fd, self._end)
        except OSError as error:
            raise StorageError(f"{path}: cannot be opened ({error.strerror}).") from None

    def append(self, sample: Record, outcome: Outcome) -> None:
        """Store an outcome; the newest line of a key counts."""
        line = encode_line(sample, outcome)
        try:
            self._write(line)
        except OSError as error:
            os.ftruncate(self._fd, self._end)
            raise StorageError(
                f"{self._path}: cannot be written ({error.strerror}). Everything up to here is safe: make room, then "
                "give the same command again to continue."
            ) from None
        self.index[outcome.key] = _entry(self._end, sample, outcome)
        self._end += len(line)

    def _write(self, line: bytes) -> None:
        view = memoryview(line)
        while view:
            view = view[os.write(self._fd, view) :]

    def finished(self, key: str, *, retry_failed: bool = True) -> bool:
        """Whether a resume leaves this key alone: answered, or failed in a way that trying again cannot mend."""
        entry = self.index.get(key)
        return entry is not None and (not entry.failure or (entry.final or not retry_failed))

    def read(self, order: Iterable[str]) -> Iterator[tuple[Record, Outcome]]:
        """Sample records with their outcomes, tasks in the given order, rows and repeats in dataset order."""
        rank = {task: number for number, task in enumerate(order)}
        entries = sorted(
            (entry for entry in self.index.values() if entry.task in rank),
            key=lambda entry: (rank[entry.task], entry.row, entry.repeat),
        )
        with self._path.open("rb") as file:
            for entry in entries:
                file.seek(entry.offset)
                line = orjson.loads(file.readline())
                yield line["sample"], outcome_of(line)

    def close(self) -> None:
        """Flush to disk and close."""
        os.fsync(self._fd)
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _entry(offset: int, sample: Record, outcome: Outcome) -> Entry:
    failed = isinstance(outcome, Failure)
    return Entry(offset, sample["row"], sample["task"], sample["repeat"], failed, failed and outcome.final)  # type: ignore[union-attr]


def _scan(path: Path) -> tuple[dict[str, Entry], int, int]:
    """Index, length of the sound part, and the number of unreadable lines inside it (their samples are asked again)."""
    index: dict[str, Entry] = {}
    end = damaged = 0
    with path.open("rb") as file:
        for raw in file:
            if not raw.endswith(b"\n"):
                break  # torn by a kill; cut
            try:
                line = orjson.loads(raw)
                index[line["key"]] = _entry(end, line["sample"], outcome_of(line))
            except (orjson.JSONDecodeError, KeyError, TypeError):
                damaged += 1
            end += len(raw)
    return index, end, damaged
