"""Which rows a task asks about: limits that take groups whole, filters, several questions a row, joins, examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmms_fast.data.feed import Selection, feed_task
from lmms_fast.data.source import open_source
from lmms_fast.errors import DataError, TaskError
from lmms_fast.tasks.spec import Task, load_file

TASK = """\
task: mine
benchmark: test
about: Rows and what is asked of them.
source: this test
licence: none
dataset: {files: mine.parquet}
id: "{{ id }}{{ each }}"
prompt: {user: [{text: "{{ question }}"}]}
target: "{{ answer }}"
score: {extract: text}
"""


def task(folder: Path, more: str = "", base: str = TASK) -> Task:
    """A task file with some more keys."""
    (folder / "mine.yaml").write_text(base + more)
    found = load_file(folder / "mine.yaml")
    assert isinstance(found, Task)
    return found


def rows(count: int, **columns: Any) -> list[dict[str, Any]]:
    """Rows with an id, and the columns given as functions of it."""
    return [{"id": number, "question": f"q{number}", "answer": "a", **{k: f(number) for k, f in columns.items()}}
            for number in range(count)]  # fmt: skip


def asked(found: Task, folder: Path, content: list[dict[str, Any]], data_dir: Path | None = None, **selection: Any
          ) -> list[str]:  # fmt: skip
    """Ids in order."""
    if data_dir is None:
        pq.write_table(pa.Table.from_pylist(content), folder / "mine.parquet")
    fed = feed_task(found, open_source(found, data_dir), Selection(**selection), lambda _: False)
    return [one.sample.id for one in fed]


def test_a_limit_takes_groups_whole_wherever_their_rows_stand(tmp_path: Path) -> None:
    """MMBench's rotations come after all first passes; the first groups with enough rows are taken."""
    content = rows(12, index=lambda number: number % 4 + 1_000_000 * (number // 4))
    circular = task(tmp_path, "keep_together: index % 1000000\n")
    assert asked(circular, tmp_path, content, limit=4.0) == ["0", "1", "4", "5", "8", "9"]
    assert asked(circular, tmp_path, content, limit=6.0) == ["0", "1", "4", "5", "8", "9"]
    assert len(asked(circular, tmp_path, content, limit=7.0)) == 9
    assert len(asked(circular, tmp_path, content)) == 12


def test_only_the_columns_that_tell_are_read_to_find_the_groups(tmp_path: Path) -> None:
    """Pictures of a large dataset are not read twice."""
    content = rows(4, pair=lambda number: number // 2, picture=lambda number: b"x")
    found = task(tmp_path, "keep_together: pair\nwhere: id > 0\n")
    pq.write_table(pa.Table.from_pylist(content), tmp_path / "mine.parquet")
    source = open_source(found, None)
    seen: list[set[str]] = []

    def watched(columns: frozenset[str] | None) -> Any:
        for row in source.rows(columns):
            seen.append(set(row))
            yield row

    from dataclasses import replace

    list(feed_task(found, replace(source, rows=watched), Selection(limit=1.0), lambda _: False))
    assert seen[:4] == [{"id", "pair"}] * 4
    assert "picture" in seen[4]


def test_a_filter_comes_before_the_limit(tmp_path: Path) -> None:
    """The limit counts rows that are asked."""
    found = task(tmp_path, "where: id % 2 == 1\n")
    assert asked(found, tmp_path, rows(10)) == ["1", "3", "5", "7", "9"]
    assert asked(found, tmp_path, rows(10), limit=2.0) == ["1", "3"]


def test_a_misspelt_column_in_a_filter_is_named(tmp_path: Path) -> None:
    """Not taken for false."""
    with pytest.raises(TaskError, match="'idd' is undefined"):
        asked(task(tmp_path, "where: idd\n"), tmp_path, rows(1))


def test_a_row_with_several_questions(tmp_path: Path) -> None:
    """Each is a sample of its own; the limit counts rows."""
    found = task(tmp_path, 'each: ["1", "2"]\n')
    assert asked(found, tmp_path, rows(2)) == ["01", "02", "11", "12"]
    assert asked(found, tmp_path, rows(2), limit=1.0) == ["01", "02"]


def test_the_row_itself_tells_how_many_questions_it_has(tmp_path: Path) -> None:
    """RefCOCO's expressions for one box."""
    found = task(tmp_path, "each: names\n")
    content = rows(2, names=lambda number: ["a", "b"][: number + 1])
    assert asked(found, tmp_path, content) == ["0a", "1a", "1b"]
    with pytest.raises(TaskError, match="'names' is undefined"):
        asked(found, tmp_path, rows(1))


HUB = TASK.replace("dataset: {files: mine.parquet}", "dataset: {hub: [{path: o/mine, config: questions}], split: test}")


def _hub(folder: Path, config: str, split: str, content: list[dict[str, Any]]) -> None:
    where = folder / "o" / "mine" / config
    where.mkdir(parents=True, exist_ok=True)
    (where / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))


def test_columns_of_another_part_are_joined(tmp_path: Path) -> None:
    """GQA's pictures; a row without its other half is an error that names it."""
    join = "dataset: {join: {config: facts, split: test, column: about, key: name, take: [answer]}}\n"
    (tmp_path / "_base.yaml").write_text(HUB)
    found = task(tmp_path, join, "extends: _base.yaml\n")
    _hub(tmp_path, "questions", "test", [{"id": 1, "question": "q", "about": "x"}])
    _hub(tmp_path, "facts", "test", [{"name": "y", "answer": "no"}, {"name": "x", "answer": "yes"}])
    (fed,) = feed_task(found, open_source(found, tmp_path), Selection(), lambda _: False)
    assert fed.sample.target == ("yes",)
    _hub(tmp_path, "facts", "test", [{"name": "y", "answer": "no"}])
    with pytest.raises(DataError, match="about 'x' is not in facts/test"):
        list(feed_task(found, open_source(found, tmp_path), Selection(), lambda _: False))


def test_worked_examples(tmp_path: Path) -> None:
    """The first rows of another split, for the template to write out."""
    prompt = "prompt: {user: [{text: \"{% for shot in shots %}{{ shot.question }}={{ shot.answer }};{% endfor %}" \
             "{{ question }}=\"}]}\n"  # fmt: skip
    (tmp_path / "_base.yaml").write_text(HUB)
    found = task(tmp_path, "dataset: {shots: {split: train, count: 2}}\n" + prompt, "extends: _base.yaml\n")
    _hub(tmp_path, "questions", "test", rows(1))
    _hub(tmp_path, "questions", "train", rows(3))
    (fed,) = feed_task(found, open_source(found, tmp_path), Selection(), lambda _: False)
    assert fed.sample.messages[0].parts == ("q0=a;q1=a;q0=",)


def test_a_file_may_not_extend_itself(tmp_path: Path) -> None:
    """One sentence, no endless loop."""
    with pytest.raises(TaskError, match="extends files more than 3 deep"):
        task(tmp_path, "", "extends: mine.yaml\ntask: mine\n")
