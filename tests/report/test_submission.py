"""The files that benchmarks' servers take, in each form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
submission: {file: out.json, form: FORM, record: {key: id, value: answer}}
"""


def task(folder: Path, form: str) -> Task:
    """A task whose file has that form."""
    (folder / "mine.yaml").write_text(TASK.replace("FORM", form))
    found = load_file(folder / "mine.yaml")
    assert isinstance(found, Task)
    return found


def record(id: str) -> Record:
    """A sample as the journal has it, as far as a submission reads it."""
    return {"id": id, "row": 0, "target": [], "choices": [], "groups": {}, "facts": {}}


def response(text: str) -> Response:
    """What a model said."""
    return Response("k", text, None, "stop", Usage(), 0.1, 1, "m")


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
    assert json.loads((tmp_path / "out" / "out.json").read_text()) == expected
    assert writer.written is not None
    assert (writer.written.samples, writer.written.missing) == (2, 1)
