"""The pictures of samples that were asked before. Journals hold their digests only, so the data set is read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lmms_fast.data.feed import Selection, feed_task
from lmms_fast.data.source import Source
from lmms_fast.errors import DataError
from lmms_fast.media.policy import Policy
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Media

_KEPT_BYTES = 256 << 20


def pictures_again(task: Task, source: Source, selection: Selection) -> Iterator[tuple[str, tuple[Media, ...]]]:
    """A task's samples by id, each once whatever its repeats, with the pictures of their messages in order; in the
    order of the data."""
    for fed in feed_task(task, source, selection, lambda key: False):
        parts = [part for message in fed.sample.messages for part in message.parts]
        if fed.sample.repeat == 0:
            yield fed.sample.id, tuple(part for part in parts if isinstance(part, Media))


class Sight:
    """Pictures for those who ask in about the order of the data.

    Answers come in that order, so the data are read once, a little ahead; what is passed over is kept for a while.
    """

    def __init__(
        self, tasks: Sequence[Task], source: Callable[[Task], Source], selection: Selection, policy: Policy
    ) -> None:
        self._tasks = {task.task: task for task in tasks}
        self._source, self._selection, self.policy = source, selection, policy
        self._rows: dict[str, Iterator[tuple[str, tuple[Media, ...]]]] = {}
        self._passed: dict[str, tuple[Media, ...]] = {}
        self._bytes = 0

    def pictures(self, record: Mapping[str, Any]) -> tuple[Media, ...]:
        """A sample's, in the order of its messages. Raises DataError where the data set has it no more."""
        task, name = record["task"], f"{record['task']}/{record['id']}"
        for rows in (self._rows.get(task) or self._read(task), self._read(task)):
            if name in self._passed:
                return self._passed[name]
            self._rows[task] = rows
            for found, pictures in rows:
                self._keep(found, pictures)
                if found == name:
                    return pictures
        raise DataError(f"{self._tasks[task].file}: sample '{record['id']}' is not in the data any more, so its "
                        "pictures cannot be shown.")  # fmt: skip

    def _read(self, task: str) -> Iterator[tuple[str, tuple[Media, ...]]]:
        asked = self._tasks[task]
        for identity, pictures in pictures_again(asked, self._source(asked), self._selection):
            yield f"{task}/{identity}", pictures

    def _keep(self, name: str, pictures: tuple[Media, ...]) -> None:
        self._passed[name] = pictures
        self._bytes += _bytes(pictures)
        while self._bytes > _KEPT_BYTES and len(self._passed) > 1:
            self._bytes -= _bytes(self._passed.pop(next(iter(self._passed))))


def _bytes(pictures: Sequence[Media]) -> int:
    return 256 + sum(len(one.source) for one in pictures if isinstance(one.source, bytes))
