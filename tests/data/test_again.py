"""Pictures of samples that were asked before, found again in the data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmms_fast.data import again
from lmms_fast.data.again import Sight, pictures_again
from lmms_fast.data.feed import Fed, Selection
from lmms_fast.errors import DataError
from lmms_fast.media.policy import ORIGINAL
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Media, Message, Sample


class Shelf:
    """A data set of samples with a picture each; counts how often it is read from the start."""

    def __init__(self, size: int) -> None:
        self.size, self.read = size, 0

    def feed(self, *_: object) -> Iterator[Fed]:
        """As `feed_task`."""
        self.read += 1
        for row, repeat in itertools.product(range(self.size), range(2)):
            message = Message("user", (Media(b"%d" % row * 100), "Look."))
            yield Fed(row, Sample("t", str(row), (message,), (), repeat=repeat))


def seen(shelf: Shelf, order: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int) -> list[bytes]:
    """Pictures of rows, asked for in an order."""
    monkeypatch.setattr(again, "feed_task", shelf.feed)
    monkeypatch.setattr(again, "_KEPT_BYTES", kept)
    task = Task.model_construct(task="t", file=tmp_path / "t.yaml")
    sight = Sight([task], lambda _: None, Selection(), ORIGINAL)  # type: ignore[arg-type,return-value]
    return [sight.pictures({"task": "t", "id": str(row)})[0].read() for row in order]


def test_pictures_are_found_again_in_about_the_order_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read once where what is passed over can be kept, and again, rather than wrong, where it cannot."""
    order = [2, 0, 1, 3, 3, 9, 5]
    expected = [b"%d" % row * 100 for row in order]
    roomy, narrow = Shelf(10), Shelf(10)
    assert seen(roomy, order, tmp_path, monkeypatch, 1 << 20) == expected
    assert roomy.read == 1
    assert seen(narrow, order, tmp_path, monkeypatch, 1) == expected
    assert narrow.read > 1
    with pytest.raises(DataError, match="'11' is not in the data any more"):
        seen(Shelf(10), [11], tmp_path, monkeypatch, 1 << 20)


def test_each_sample_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its pictures, whatever the number of repeats."""
    monkeypatch.setattr(again, "feed_task", Shelf(3).feed)
    task = Task.model_construct(task="t")
    found = list(pictures_again(task, None, Selection()))  # type: ignore[arg-type]
    assert [(name, len(pictures)) for name, pictures in found] == [("0", 1), ("1", 1), ("2", 1)]
