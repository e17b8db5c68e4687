"""Fetching datasets ahead, from a real server that speaks as the hub does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmms_fast.data.copies import RECORD, read_record
from lmms_fast.data.feed import Selection, feed_task
from lmms_fast.data.layout import by_card, by_name
from lmms_fast.data.source import open_source
from lmms_fast.errors import DataError
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.spec import Task
from tests.catalogue.hub import everything, write
from tests.servers.hub import Hub, serving

FAMILY = everything()
NAMES = ("MME", "GQA", "DocVQA", "MMMU")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Some of the catalogue's small datasets."""
    folder = tmp_path / "hub"
    folder.mkdir()
    write(folder, {key: rows for key, rows in FAMILY.datasets.items() if key[0].split("/")[-1] in NAMES}, {})
    with serving(folder) as server:
        yield server


def data(hub_url: str, *words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`lmms-fast tasks data …` with that hub and a cache of its own."""
    return subprocess.run(
        [sys.executable, "-m", "lmms_fast.cli.app", "tasks", "data", *words], capture_output=True, text=True,
        check=False, env={**os.environ, "HF_ENDPOINT": hub_url, "HF_HOME": str(folder / "home"), **environment},
    )  # fmt: skip


def pulled(hub: Hub, folder: Path, *tasks: str) -> Path:
    """The folder into which the tasks' data were fetched."""
    done = data(hub.url, "pull", *tasks, "--to", str(folder / "data"), folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "data"


def repositories(folder: Path) -> list[str]:
    """Those that are recorded."""
    record = read_record(folder)
    assert record is not None
    return [*record.repositories]


def ids(task: str, folder: Path) -> list[str]:
    """What is asked of the data in a folder."""
    found = Catalog().load(task)
    assert isinstance(found, Task)
    fed = list(feed_task(found, open_source(found, folder), Selection(), lambda _: False))
    assert [one.failure for one in fed if one.failure] == []
    return [one.sample.id for one in fed]


def test_only_what_the_tasks_need_and_it_is_what_they_read(hub: Hub, tmp_path: Path) -> None:
    """One split of DocVQA's, GQA with the pictures that are joined; the same samples as from the whole datasets."""
    folder = pulled(hub, tmp_path, "mme,gqa", "docvqa_val")
    record = read_record(folder)
    assert record is not None
    assert sorted(file for name, one in record.repositories.items() for file in one.files) == [
        "DocVQA/validation-00000-of-00001.parquet", "data/test-00000-of-00001.parquet",
        "testdev_balanced_images/testdev-00000-of-00001.parquet",
        "testdev_balanced_instructions/testdev-00000-of-00001.parquet",
    ]  # fmt: skip
    for name, one in record.repositories.items():
        assert one.revision == hub.commit(name)
    for task in ("mme", "gqa", "docvqa_val"):
        assert ids(task, folder) == ids(task, hub.folder)
    with pytest.raises(DataError, match="tasks data pull docvqa_test"):
        ids("docvqa_test", folder)


def test_a_second_pull_fetches_nothing_and_adds(hub: Hub, tmp_path: Path) -> None:
    """What is there stays recorded."""
    pulled(hub, tmp_path, "docvqa_val")
    before = list(hub.fetched)
    folder = pulled(hub, tmp_path, "docvqa_val")
    assert hub.fetched == before
    pulled(hub, tmp_path, "docvqa_test")
    assert len(hub.fetched) == len(before) + 1
    assert ids("docvqa_val", folder) == ids("docvqa_val", hub.folder)


def test_the_present_revision_replaces_an_earlier_one(hub: Hub, tmp_path: Path) -> None:
    """Parts that were fetched before come along, so that a dataset is never of two revisions."""
    folder = pulled(hub, tmp_path, "docvqa_val", "docvqa_test")
    (name,) = repositories(folder)
    changed = hub.folder / name / "DocVQA" / "test-00000-of-00001.parquet"
    pq.write_table(pq.read_table(changed).slice(0, 1), changed)
    pulled(hub, tmp_path, "docvqa_val")
    assert len(ids("docvqa_test", folder)) == 1
    assert data(hub.url, "verify", "--data-dir", str(folder), folder=tmp_path).returncode == 0


def test_what_a_card_says(hub: Hub, tmp_path: Path) -> None:
    """Files whose names tell nothing are found by the dataset card, and read back as that split."""
    (name,) = {key[0] for key in FAMILY.datasets if key[0].endswith("lmms-lab-encoder/MME")}
    root = hub.folder / name
    (root / "data" / "test-00000-of-00001.parquet").rename(root / "data" / "part.parquet")
    (root / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: data/p*\n---\n# MME\n"
    )
    folder = pulled(hub, tmp_path, "mme")
    assert len(ids("mme", folder)) > 0


def test_verify(hub: Hub, tmp_path: Path) -> None:
    """Exit code 0, 2 with every file named, 1 without a record; a pull puts it right."""
    folder = pulled(hub, tmp_path, "mme", "gqa")
    fine = data(hub.url, "verify", "--data-dir", str(folder), folder=tmp_path)
    assert (fine.returncode, fine.stdout.splitlines()[-1]) == (0, "3 files, all as recorded.")
    files = sorted(folder.rglob("*.parquet"))
    content = bytearray(files[0].read_bytes())
    content[-20] ^= 1
    files[0].write_bytes(content)
    files[1].write_bytes(files[1].read_bytes()[:-1])
    files[2].unlink()
    wrong = data(hub.url, "verify", "--data-dir", str(folder), folder=tmp_path)
    assert wrong.returncode == 2
    assert "differs: another content of the same size" in wrong.stdout
    assert "were fetched" in wrong.stdout
    assert "missing" in wrong.stdout
    pulled(hub, tmp_path, "mme", "gqa")
    assert data(hub.url, "verify", "--data-dir", str(folder), folder=tmp_path).returncode == 0
    none = data(hub.url, "verify", "--data-dir", str(tmp_path), folder=tmp_path)
    assert none.returncode == 1
    assert RECORD in none.stderr
    (folder / RECORD).write_text("{")
    broken = data(hub.url, "verify", "--data-dir", str(folder), folder=tmp_path)
    assert broken.returncode == 1
    assert "is damaged" in broken.stderr


def test_an_interrupted_download_goes_on(hub: Hub, tmp_path: Path) -> None:
    """A transfer that breaks off is continued from its last byte; a further command fetches the missing files alone."""
    where = hub.folder / "o" / "big" / "data"
    where.mkdir(parents=True)
    table = pa.table({"question": ["q"], "answer": ["a"], "image": [os.urandom(12_000_000)]})
    for number in range(2):
        pq.write_table(table, where / f"test-{number}.parquet", compression="none")
    (tmp_path / "big.yaml").write_text(
        "task: big\nbenchmark: b\nabout: x\nsource: x\nlicence: x\ndataset: {hub: o/big}\n"
        'prompt: {user: [{text: "{{ question }}"}]}\ntarget: "{{ answer }}"\nscore: {extract: text}\n'
    )
    hub.cut_after["data/test-1.parquet"] = 11_000_000
    words = ("pull", str(tmp_path / "big.yaml"), "--to", str(tmp_path / "data"))
    done = data(hub.url, *words, folder=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "was not fetched whole" in done.stderr
    assert "the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr
    continued = [one for one in hub.fetched if one.startswith("o/big/data/test-1.parquet bytes=")]
    assert int(continued[0].partition("bytes=")[2].rstrip("-")) >= 10_000_000
    before = len(hub.fetched)
    hub.cut_after.clear()
    done = data(hub.url, *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {one.partition(" ")[0] for one in hub.fetched[before:]} == {"o/big/data/test-1.parquet"}
    assert data(hub.url, "verify", "--data-dir", str(tmp_path / "data"), folder=tmp_path).returncode == 0


def test_what_the_hub_tells_is_compared(hub: Hub, tmp_path: Path) -> None:
    """Bytes that are not those of the listing are not kept."""
    hub.lies.add("data/test-00000-of-00001.parquet")
    done = data(hub.url, "pull", "mme", "--to", str(tmp_path / "data"), folder=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "data").rglob("*.parquet")) == []


def test_sources_in_order(hub: Hub, tmp_path: Path) -> None:
    """Where the first is gone, the second is taken, and read."""
    (hub.folder / "lmms-lab").mkdir(exist_ok=True)
    (hub.folder / "lmms-lab-encoder" / "MME").rename(hub.folder / "lmms-lab" / "MME")
    folder = pulled(hub, tmp_path, "mme")
    assert repositories(folder) == ["lmms-lab/MME"]
    assert len(ids("mme", folder)) > 0


def test_reasons(hub: Hub, tmp_path: Path) -> None:
    """One sentence for each source that fails, with what to do."""
    to = ("--to", str(tmp_path / "data"))
    hub.gated |= {"lmms-lab-encoder/MME"}
    done = data(hub.url, "pull", "mme", *to, folder=tmp_path)
    assert done.returncode == 1
    assert "lmms-lab-encoder/MME: gated or private; not logged in, or its terms not accepted" in done.stderr
    assert "lmms-lab/MME: no such dataset" in done.stderr
    assert "hf auth login" in done.stderr
    gone = data("http://127.0.0.1:9", "pull", "mme", *to, folder=tmp_path)
    assert gone.returncode == 1
    assert "no connection to the hub" in gone.stderr
    offline = data(hub.url, "pull", "mme", *to, folder=tmp_path, HF_HUB_OFFLINE="1")
    assert "offline (HF_HUB_OFFLINE=1)" in offline.stderr
    nothing = data(hub.url, "pull", "smoke", *to, folder=tmp_path)
    assert nothing.returncode == 0
    assert "nothing to fetch" in nothing.stdout
    for said in (done, gone, offline, nothing):
        assert "Traceback" not in said.stderr
    root = hub.folder / "lmms-lab-encoder" / "DocVQA"
    (root / "DocVQA" / "validation-00000-of-00001.parquet").unlink()
    missing = data(hub.url, "pull", "docvqa_val", *to, folder=tmp_path)
    assert "has no data file of split 'validation' of 'DocVQA'" in missing.stderr


def test_a_record_keeps_other_datasets_out(tmp_path: Path) -> None:
    """A split of the same name that lies beside is not taken for the task's."""
    task = Catalog().load("mme")
    assert isinstance(task, Task)
    (tmp_path / "x" / "other").mkdir(parents=True)
    (tmp_path / "x" / "other" / "test.jsonl").write_text("{}\n")
    (tmp_path / RECORD).write_text(json.dumps({"repositories": {}}))
    with pytest.raises(DataError, match="no file of split"):
        open_source(task, tmp_path)


CARD = """---
license: mit
configs:
- config_name: easy
  data_files:
  - {split: test, path: "easy/*.parquet"}
  - {split: train, path: ["easy/a.jsonl", "**/b.jsonl"]}
- config_name: hard
  default: true
  data_dir: hard
- config_name: short
  data_files: short.csv
---
"""
FILES = ["README.md", "easy/1.parquet", "easy/2.parquet", "easy/deep/3.parquet", "easy/a.jsonl", "x/y/b.jsonl",
         "hard/test-0.parquet", "hard/validation.jsonl", "short.csv", "test.parquet"]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "split", "files"),
    [
        ("easy", "test", ["easy/1.parquet", "easy/2.parquet"]),
        ("easy", "train", ["easy/a.jsonl", "x/y/b.jsonl"]),
        ("easy", "dev", []),
        ("hard", "test", ["hard/test-0.parquet"]),
        (None, "test", ["hard/test-0.parquet"]),
        ("hard", "dev", ["hard/validation.jsonl"]),
        ("short", "train", ["short.csv"]),
        ("other", "test", None),
    ],
)
def test_cards(config: str | None, split: str, files: list[str] | None) -> None:
    """Their forms, as the hub documents them."""
    assert by_card(FILES, CARD, config, split) == files


@pytest.mark.parametrize("card", ["", "# no front", "---\n: [\n---\n", "---\n- a\n---\n", "---\nconfigs: 3\n---\n",
                                  "---\nconfigs: [3]\n---\n"])  # fmt: skip
def test_cards_that_say_nothing(card: str) -> None:
    """Names decide then."""
    assert by_card(FILES, card, None, "test") is None


@pytest.mark.parametrize(
    ("files", "config", "split", "found"),
    [
        (["data/test-1.parquet", "data/test-0.parquet", "data/train-0.parquet"], None, "test",
         ["data/test-0.parquet", "data/test-1.parquet"]),
        (["data/testdev-0.parquet", "data/test-0.parquet"], None, "test", ["data/test-0.parquet"]),
        (["A/test.jsonl", "B/test.jsonl"], "B", "test", ["B/test.jsonl"]),
        (["test/0.parquet", "train/0.parquet"], None, "test", ["test/0.parquet"]),
        (["val.csv", "train.csv"], None, "validation", ["val.csv"]),
        (["main.csv", "more.csv"], "main", "train", ["main.csv"]),
        (["test.txt"], None, "test", []),
    ],
)  # fmt: skip
def test_names(files: list[str], config: str | None, split: str, found: list[str]) -> None:
    """As a download of the hub has them."""
    assert by_name(files, config, split) == found


def test_read_from_the_server_without_a_copy(hub: Hub, tmp_path: Path) -> None:
    """The `datasets` library over the network: configurations by the card, a join, pictures as they are stored."""
    root = hub.folder / "lmms-lab-encoder" / "GQA"
    configs = [{"config_name": path.name, "data_files": [{"split": "testdev", "path": f"{path.name}/*"}]}
               for path in sorted(root.iterdir())]  # fmt: skip
    (root / "README.md").write_text(f"---\n{json.dumps({'configs': configs})}\n---\n")
    for task in ("mme", "gqa"):
        words = [sys.executable, "-m", "lmms_fast.cli.app", "tasks", "check", task, "--limit", "9"]
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        online = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
        assert online.returncode == 0, online.stderr
        copied = subprocess.run([*words, "--data-dir", str(hub.folder)], capture_output=True, text=True, check=True)
        assert online.stdout.partition("\n")[2] == copied.stdout.partition("\n")[2]
        assert f"lmms-lab-encoder/{task.upper()}@main" in online.stdout
