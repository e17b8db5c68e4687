"""The file that a benchmark's server takes, written as the samples are scored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import orjson

from lmms_fast.errors import TaskError
from lmms_fast.journal.records import Record
from lmms_fast.metrics import strip_reasoning
from lmms_fast.tasks.render import environment, expression
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Outcome, Prediction, Response


@dataclass(frozen=True, slots=True)
class Written:
    """What went into a submission file."""

    file: str
    """Path below the run directory."""
    samples: int
    missing: int
    """Samples that were not measured, so that the file is not complete: a failure is not handed in as an answer."""


class Submission:
    """Takes a task's samples one by one; `written` tells of the file when it is closed."""

    def __init__(self) -> None:
        self.written: Written | None = None

    def add(self, record: Record, outcome: Outcome, prediction: Prediction | None) -> None:
        """One sample. A task without a submission file ignores it."""


@contextlib.contextmanager
def submission(task: Task, folder: Path) -> Iterator[Submission]:
    """The writer of a task's file. Raises TaskError for an expression that does not fit, OSError.

    It lies in a folder of the task's name, since servers want one name from several tasks (COCO's of 2014 and 2017).
    """
    if task.submission is None:
        yield Submission()
        return
    path = folder / task.task / task.submission.file
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    writer = _Writer(task, path)
    try:
        with _FORMS[task.submission.form](temporary, list(task.submission.record)) as put:
            writer.put = put
            yield writer
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    writer.written = Written(f"{folder.name}/{path.parent.name}/{path.name}", writer.samples, writer.missing)


_Put = Callable[[Mapping[str, Any]], None]


class _Writer(Submission):
    put: _Put

    def __init__(self, task: Task, path: Path) -> None:
        super().__init__()
        assert task.submission is not None
        env = environment(task.tables)
        try:
            self._fields = {name: expression(env, text) for name, text in task.submission.record.items()}
        except jinja2.TemplateSyntaxError as error:
            raise TaskError(f"{task.file}: submission: {error}.") from None
        self._file = task.file
        self.samples = self.missing = 0

    def add(self, record: Record, outcome: Outcome, prediction: Prediction | None) -> None:
        if not isinstance(outcome, Response) or prediction is None:
            self.missing += 1
            return
        names = {
            **{key: record[key] for key in ("id", "row", "target", "choices", "groups", "facts")},
            "answer": prediction.first,
            "response": strip_reasoning(outcome.text),
        }
        values = {name: self._value(name, names) for name in self._fields}
        try:
            self.put(values)
        except (TypeError, ValueError) as error:  # a list in a cell, a generator in JSON
            raise TaskError(f"{self._file}: submission: sample {record['id']}: {error}.") from None
        self.samples += 1

    def _value(self, field: str, names: Mapping[str, Any]) -> Any:
        try:
            return self._fields[field](names)
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise TaskError(f"{self._file}: submission.record.{field}: {error}.") from None


@contextlib.contextmanager
def _json(path: Path, brackets: tuple[bytes, bytes], piece: Callable[[Mapping[str, Any]], bytes]) -> Iterator[_Put]:
    """A list or an object, a line for each record's piece of it."""
    opening, closing = brackets
    with path.open("wb") as file:
        before = opening + b"\n"

        def put(record: Mapping[str, Any]) -> None:
            nonlocal before
            file.write(before + piece(record))
            before = b",\n"

        yield put
        file.write((b"\n" if before == b",\n" else before) + closing + b"\n")


def _json_list(path: Path, _: list[str]) -> contextlib.AbstractContextManager[_Put]:
    return _json(path, (b"[", b"]"), orjson.dumps)


@contextlib.contextmanager
def _json_lines(path: Path, _: list[str]) -> Iterator[_Put]:
    with path.open("wb") as file:

        def put(record: Mapping[str, Any]) -> None:
            file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))

        yield put


def _json_map(path: Path, _: list[str]) -> contextlib.AbstractContextManager[_Put]:
    def member(record: Mapping[str, Any]) -> bytes:
        return orjson.dumps(str(record["key"])) + b": " + orjson.dumps(record["value"])

    return _json(path, (b"{", b"}"), member)


@contextlib.contextmanager
def _json_pairs(path: Path, fields: list[str]) -> Iterator[_Put]:
    with _json_list(path, fields) as put:
        yield lambda record: put({str(record["key"]): record["value"]})


@contextlib.contextmanager
def _spreadsheet(path: Path, fields: list[str]) -> Iterator[_Put]:
    from openpyxl import Workbook  # noqa: PLC0415  (two benchmarks want it)
    from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # noqa: PLC0415

    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(fields)

    def put(record: Mapping[str, Any]) -> None:
        values = (record[name] for name in fields)
        shown = (ILLEGAL_CHARACTERS_RE.sub("\ufffd", value) if isinstance(value, str) else value for value in values)
        cells = [WriteOnlyCell(sheet, value) for value in shown]
        for cell in cells:
            if cell.data_type == "f":
                cell.data_type = "s"  # an answer that begins with "=" is a text: nothing of a model's is a formula
        sheet.append(cells)

    try:
        yield put
    finally:
        sheet.close()  # before its file is, which openpyxl would complain of later
    book.save(path)


_FORMS: Mapping[str, Callable[[Path, list[str]], contextlib.AbstractContextManager[_Put]]] = {
    "list": _json_list,
    "lines": _json_lines,
    "map": _json_map,
    "pairs": _json_pairs,
    "xlsx": _spreadsheet,
}
