"""The files that benchmarks' servers take, in each form."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from openpyxl import load_workbook

from lmms_fast.errors import TaskError
from lmms_fast.journal.records import Record
from lmms_fast.report.submission import submission
from lmms_fast.tasks.spec import Task, load_file
from lmms_fast.types import Failure, Prediction, Response, Usage

TASK = """\
task: mine
benchmark: test
about: A file for a server.
source: this test
licence: none
dataset: {files: mine.parquet}
prompt: {user: [{text: x}]}
score: {extract: text}
submission: {file: out.json, form: FORM, record: {key: id, value: VALUE}}
"""


def task(folder: Path, form: str, value: str = "answer") -> Task:
    """A task whose file has that form, and those values."""
    (folder / "mine.yaml").write_text(TASK.replace("FORM", form).replace("VALUE", json.dumps(value)))
    found = load_file(folder / "mine.yaml")
    assert isinstance(found, Task)
    return found


def record(id: str) -> Record:
    """A sample as the journal has it, as far as a submission reads it."""
    return {"id": id, "row": 0, "target": [], "choices": [], "groups": {}, "facts": {}}


def response(text: str) -> Response:
    """What a model said."""
    return Response("k", text, None, "stop", Usage(), 0.1, 1, "m")


def test_a_response_is_without_its_thinking(tmp_path: Path) -> None:
    """A server would read its answer out of it."""
    mine = task(tmp_path, "map", value="response")
    with submission(mine, tmp_path / "out") as writer:
        writer.add(record("1"), response("<think>A? No.</think>\nB"), Prediction("B", "x"))
    assert json.loads((tmp_path / "out" / "mine" / "out.json").read_text()) == {"1": "B"}


def test_a_cell_takes_any_response(tmp_path: Path) -> None:
    """Characters that a spreadsheet cannot hold are replaced, formulas are texts."""
    with submission(task(tmp_path, "xlsx"), tmp_path / "out") as writer:
        writer.add(record("1"), response("x"), Prediction("a\x0bb\n\U0001f600", "x"))
        writer.add(record("2"), response("x"), Prediction("=1+1", "x"))
    cells = load_workbook(io.BytesIO((tmp_path / "out" / "mine" / "out.json").read_bytes())).active
    assert cells is not None
    assert list(cells.values) == [("key", "value"), ("1", "a\ufffdb\n\U0001f600"), ("2", "=1+1")]


@pytest.mark.parametrize("form", ["list", "xlsx"])
def test_a_value_that_the_form_cannot_hold(tmp_path: Path, form: str) -> None:
    """One sentence, and no file."""
    mine = task(tmp_path, form, value="choices | map('upper')")
    says = r"mine\.yaml: submission: sample 1: "
    with pytest.raises(TaskError, match=says), submission(mine, tmp_path / "out") as writer:
        writer.add(record("1"), response("x"), Prediction("x", "x"))
    assert list((tmp_path / "out" / "mine").iterdir()) == []


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("list", [{"key": "1", "value": "A"}, {"key": "2", "value": ""}]),
        ("map", {"1": "A", "2": ""}),
        ("pairs", [{"1": "A"}, {"2": ""}]),
    ],
)
def test_forms(tmp_path: Path, form: str, expected: object) -> None:
    """No answer is written as an empty one; a sample that was not measured is left out, and counted."""
    with submission(task(tmp_path, form), tmp_path / "out") as writer:
        writer.add(record("1"), response("A"), Prediction("A", "x"))
        writer.add(record("2"), response("?"), Prediction(None, "x"))
        writer.add(record("3"), Failure("k", "timeout", "x", 1), None)
    assert json.loads((tmp_path / "out" / "mine" / "out.json").read_text()) == expected
    assert writer.written is not None
    assert (writer.written.file, writer.written.samples, writer.written.missing) == ("out/mine/out.json", 2, 1)
