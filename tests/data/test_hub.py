"""The hub loader on the real `datasets` library: a local repository folder takes the hub's place, the code is the same.

`load_dataset` resolves a folder and a hub path to the same parquet builder; only the download is left out.
"""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from lmms_fast.data.feed import Selection, feed_task
from lmms_fast.data.source import open_source
from lmms_fast.errors import DataError
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.spec import Dataset, HubSource, Task
from lmms_fast.types import Media
from tests.tasks.test_task_files import mmmu_row, picture


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def _mmmu_at(*places: str) -> Task:
    task = Catalog().load("mmmu_val")
    assert isinstance(task, Task)
    sources = tuple(HubSource(path=place) for place in places)
    return task.model_copy(update={"dataset": Dataset(hub=sources, split="validation")})


def _write_repository(folder: Path, rows: list[dict[str, object]]) -> None:
    """A dataset as `push_to_hub` writes it: parquet with the Image feature in its metadata."""
    pictures = {f"image_{number}": datasets.Image() for number in range(1, 8)}
    texts = {name: datasets.Value("string") for name in rows[0] if name not in pictures}
    table = datasets.Dataset.from_list(rows, features=datasets.Features({**texts, **pictures}))
    (folder / "data").mkdir(parents=True)
    table.to_parquet(folder / "data" / "validation-00000-of-00001.parquet")


def test_pictures_arrive_as_they_were_stored(tmp_path: Path) -> None:
    """No decoding on the way: the bytes that will be sent are the dataset's."""
    _write_repository(tmp_path / "MMMU", [mmmu_row(), mmmu_row(id="validation_Math_2", image_1=picture(9))])
    source = open_source(_mmmu_at(str(tmp_path / "MMMU")), None)
    assert source.count == 2
    fed = list(feed_task(_mmmu_at(str(tmp_path / "MMMU")), source, Selection(), lambda _: False))
    sent = [part.read() for one in fed for part in one.sample.messages[0].parts if isinstance(part, Media)]
    assert sent == [picture(1)["bytes"], picture(9)["bytes"]]


def test_sources_are_tried_in_order(tmp_path: Path) -> None:
    """The first that works is used and recorded; when none does, each is named with its reason."""
    _write_repository(tmp_path / "new", [mmmu_row()])
    gone = str(tmp_path / "gone")
    source = open_source(_mmmu_at(gone, str(tmp_path / "new")), None)
    assert source.origin.startswith(str(tmp_path / "new"))
    with pytest.raises(DataError, match=r"gone.*--data-dir"):
        open_source(_mmmu_at(gone), None)
