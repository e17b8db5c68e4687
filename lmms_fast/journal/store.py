"""The append-only journal: one `write` per outcome, so a kill loses only the requests in flight."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from lmms_fast.errors import StorageError
from lmms_fast.journal.records import Record, decode_line, encode_line
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
    max_tokens: int | None
    """Set on an answer that was asked again, with so much room, because the first was cut off."""


@dataclass(frozen=True, slots=True)
class Line:
    """An outcome as it is written. Made where the outcome is, which may be in another process."""

    key: str
    raw: bytes
    entry: Entry
    """Its place is known when it is written."""

    @classmethod
    def of(cls, sample: Record, outcome: Outcome, max_tokens: int | None = None) -> Line:
        """With `max_tokens` it stands beside the key's first outcome, which was cut off, and not in its place."""
        return cls(outcome.key, encode_line(sample, outcome, max_tokens), _entry(0, sample, outcome, max_tokens))


class Journal:
    """`journal.jsonl` of a run. The index holds offsets, not texts. Raises StorageError when it cannot write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self.index, self.longer, self._end, self.damaged = _scan(path)
            os.ftruncate(self._fd, self._end)
        except OSError as error:
            raise StorageError(f"{path}: cannot be opened ({error.strerror}).") from None
        self._news = threading.Condition()
        self._last = False
        self._reader: BinaryIO | None = None

    def append(self, sample: Record, outcome: Outcome) -> None:
        """Store an outcome; the newest line of a key counts."""
        self.add(Line.of(sample, outcome))

    def add(self, line: Line) -> None:
        """The same, of a line that is made."""
        try:
            self._write(line.raw)
        except OSError as error:
            os.ftruncate(self._fd, self._end)
            raise StorageError(
                f"{self._path}: cannot be written ({error.strerror}). Everything up to here is safe: make room, then "
                "give the same command again to continue."
            ) from None
        index = self.index if line.entry.max_tokens is None else self.longer
        index[line.key] = replace(line.entry, offset=self._end)
        with self._news:
            self._end += len(line.raw)
            self._news.notify_all()

    def _write(self, line: bytes) -> None:
        view = memoryview(line)
        while view:
            view = view[os.write(self._fd, view) :]

    def finished(self, key: str, *, retry_final: bool = False) -> bool:
        """Whether a resume leaves this key alone: answered, or failed in a way that trying again cannot mend."""
        entry = self.index.get(key)
        return entry is not None and (not entry.failure or (entry.final and not retry_final))

    def outcome(self, key: str) -> Outcome | None:
        """A key's newest."""
        entry = self.index.get(key)
        if entry is None:
            return None
        self._reader = self._reader or self._path.open("rb")
        return _line_at(self._reader, entry)[1]

    def follow(self, gone: Callable[[], bool] = lambda: False) -> Iterator[tuple[Record, Outcome]]:
        """Every line in the order they were written, then each as it comes, until `no_more`, or `gone` after a `wake`.
        For a thread of its own: a reader that falls behind holds up nobody, since what waits for it is the file."""
        with self._path.open("rb") as file:
            while True:
                with self._news:
                    self._news.wait_for(lambda: self._last or gone() or file.tell() < self._end)
                    if gone() or file.tell() >= self._end:
                        return
                try:
                    record, outcome, _ = decode_line(file.readline())
                except ValueError:
                    continue  # damaged, and its sample is asked again
                yield record, outcome

    def no_more(self) -> None:
        """Nothing more will be written: those who follow come to an end."""
        self._last = True
        self.wake()

    def wake(self) -> None:
        """Let those who follow look again whether they are to."""
        with self._news:
            self._news.notify_all()

    def read(self, order: Iterable[str] | None = None) -> Iterator[tuple[Record, Outcome, Outcome | None]]:
        """Sample records with their outcomes, and the one with more room where there is one; tasks in the given order
        (all of them by default), rows and repeats in dataset order."""
        rank = {task: number for number, task in enumerate(order)} if order is not None else None
        entries = sorted(
            ((entry, key) for key, entry in self.index.items() if rank is None or entry.task in rank),
            key=lambda pair: (rank[pair[0].task] if rank else 0, pair[0].row, pair[0].repeat),
        )
        with self._path.open("rb") as file:
            for entry, key in entries:
                record, outcome = _line_at(file, entry)
                longer = self.longer.get(key)
                yield record, outcome, _line_at(file, longer)[1] if longer else None

    def close(self) -> None:
        """Flush to disk and close."""
        os.fsync(self._fd)
        os.close(self._fd)
        if self._reader is not None:
            self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _line_at(file: BinaryIO, entry: Entry) -> tuple[Record, Outcome]:
    file.seek(entry.offset)
    record, outcome, _ = decode_line(file.readline())
    return record, outcome


def _entry(offset: int, sample: Record, outcome: Outcome, max_tokens: int | None) -> Entry:
    failed = isinstance(outcome, Failure)
    final = isinstance(outcome, Failure) and outcome.final
    return Entry(offset, sample["row"], sample["task"], sample["repeat"], failed, final, max_tokens)


def _scan(path: Path) -> tuple[dict[str, Entry], dict[str, Entry], int, int]:
    """Both indexes, length of the sound part, and the number of unreadable lines inside it (their samples are asked
    again)."""
    index: dict[str, Entry] = {}
    longer: dict[str, Entry] = {}
    end = damaged = 0
    with path.open("rb") as file:
        for raw in file:
            if not raw.endswith(b"\n"):
                break  # torn by a kill; cut
            try:
                record, outcome, max_tokens = decode_line(raw)
                found = index if max_tokens is None else longer
                found[outcome.key] = _entry(end, record, outcome, max_tokens)
            except ValueError:
                damaged += 1
            end += len(raw)
    return index, longer, end, damaged
