"""Files of any form → rows of named fields."""

from __future__ import annotations

import ast
import csv
import json
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmms_fast.errors import DataError

Row = Mapping[str, Any]
FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".xlsx", ".parquet")
_CELL_CHARACTERS = 1 << 30  # benchmarks ship base64 pictures in TSV cells
_LITERAL_CHARACTERS = 1_000_000


def read_rows(path: Path) -> list[Row]:
    """All rows of a file: JSON (a list, lines, or an object by id), CSV, TSV, XLSX (every sheet) or Parquet.

    A JSON object gives a row per key, which becomes its `id` where it has none; values that are no objects are under
    `value`. Raises DataError with one sentence.
    """
    try:
        match path.suffix.lower():
            case ".jsonl" | ".json":
                return _json_rows(read_json(path))
            case ".csv" | ".tsv":
                return _separated(path, "\t" if path.suffix.lower() == ".tsv" else ",")
            case ".xlsx":
                return _sheets(path)
            case ".parquet":
                import pyarrow.parquet as pq  # noqa: PLC0415

                rows: list[Row] = pq.read_table(path).to_pylist()
                return rows
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    except Exception as error:  # each library has kinds of its own, from KeyError to zipfile's
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: is not what its name says, or cut off ({detail}).") from None
    raise DataError(f"{path}: files of answers are {', '.join(FORMATS)}.")


def read_json(path: Path) -> Any:
    """A file's JSON, one value or one a line (then a list), whatever its name says. Raises DataError."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is no JSON (not UTF-8).") from None
    ways = (_lines, json.loads) if path.suffix.lower() == ".jsonl" else (json.loads, _lines)
    problem = ""
    for read in ways:
        try:
            return read(content)
        except (ValueError, RecursionError) as error:
            problem = problem or str(error)
    raise DataError(f"{path}: is no JSON, neither whole nor line by line ({problem}).")


def _lines(content: str) -> list[Any]:
    # Not splitlines(), which also parts at characters that JSON leaves bare inside strings.
    return [json.loads(line) for line in content.split("\n") if line.strip()]


def _json_rows(content: Any) -> list[Row]:
    if isinstance(content, Mapping):
        inner = [value for value in content.values() if _holds_objects(value)]
        if len(inner) == 1 and (isinstance(inner[0], list) or len(content) > 1):
            return _json_rows(inner[0])  # {"data": [...]}, {"results": {...}} with a name, a version, a sum beside it
        return [{"id": key, **value} if isinstance(value, Mapping) else {"id": key, "value": value}
                for key, value in content.items()]  # fmt: skip
    if not isinstance(content, list) or not all(isinstance(row, Mapping) for row in content):
        raise DataError("a list of objects is expected")
    return content


def _holds_objects(value: Any) -> bool:
    members = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else []
    return bool(members) and all(isinstance(member, Mapping) for member in members)


def _separated(path: Path, delimiter: str) -> list[Row]:
    csv.field_size_limit(_CELL_CHARACTERS)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return [{name: cell for name, cell in row.items() if name is not None}
                for row in csv.DictReader(lines, delimiter=delimiter)]  # fmt: skip


def _sheets(path: Path) -> list[Row]:
    """Rows of every sheet by the titles in its first row; with several sheets the field `sheet` says which."""
    import openpyxl  # noqa: PLC0415  (needed for this format only)

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    rows: list[Row] = []
    try:
        for sheet in book.worksheets:
            lines = sheet.iter_rows(values_only=True)
            titles = [None if title is None else str(title) for title in next(lines, ())]
            several = {"sheet": sheet.title} if len(book.worksheets) > 1 else {}
            rows += [
                {**several, **{title: cell for title, cell in zip(titles, line, strict=False) if title is not None}}
                for line in lines
                if any(cell is not None for cell in line)
            ]
    finally:
        book.close()
    return rows


def text(value: Any) -> str:
    """A field as text: nothing for an empty cell, whole numbers without a point, other values as JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case float() if value.is_integer():
            return str(int(value))
        case bool() | int() | float():
            return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def listed(value: Any) -> tuple[str, ...]:
    """A list as texts: a list, text that spells a Python or JSON list (spreadsheets hold those), or one plain value."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _literal(value)
    if isinstance(value, list | tuple):
        return tuple(map(text, value))
    return (text(value),)


def _literal(written: str) -> Any:
    if len(written) > _LITERAL_CHARACTERS:
        return written
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(written.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return found
    return written


def response_name(row: Row) -> str | None:
    """The field of the response. Where only `answer` could be it, that is the response if golds are elsewhere."""
    found = next((name for name in RESPONSE if name in row), None)
    if found is not None or "answer" not in row:
        return found
    return "answer" if any(name in row for name in GOLD if name != "answer") else None


def gold(row: Row, said: str | None) -> Any:
    """The accepted answer or answers, not in the field of the response; None where the row has none."""
    return field(row, [name for name in GOLD if name != said])


def choices(row: Row) -> tuple[str, ...]:
    """The options: a list, or columns A, B, C, … up to the last that is filled, or choice_a, choice_b, …

    An empty one between others stays "", which no rule takes for an option.
    """
    if (given := field(row, CHOICES)) is not None:
        return listed(given)
    prefix = "choice_" if "choice_a" in row else ""
    letters = string.ascii_lowercase if prefix else string.ascii_uppercase
    options = [text(row.get(prefix + letter)) for letter in letters]
    while options and not options[-1]:
        options.pop()
    return tuple(options)


ID = ("id", "index", "question_id", "questionId", "pid", "qid", "idx", "sample_id", "image_id", "key")
RESPONSE = (
    "response", "prediction", "pred", "full_prediction", "output", "model_output", "generated_text", "model_answer",
    "text",
)  # fmt: skip
GOLD = (
    "target", "answer", "gold", "gt", "ground_truth", "answers", "annotation", "gt_answers", "gt_answer", "gt-answer",
    "gold_answer", "truth", "label",
)  # fmt: skip
GROUPS = ("category", "l2-category", "l2_category", "split", "subject", "topic", "source", "task", "type", "sheet")
CHOICES = ("choices", "options", "candidates")


def field(row: Row, names: Sequence[str]) -> Any:
    """The first of the fields that the row has, None where it has none of them."""
    return next((row[name] for name in names if name in row), None)
