"""Answers made elsewhere become a run that `score` reads, in every form of file."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from lmms_fast import import_responses
from lmms_fast.api import rescore
from lmms_fast.cli.app import main
from lmms_fast.cli.importing import rules
from lmms_fast.errors import DataError, UsageError

ROWS: list[dict[str, Any]] = [
    {"index": 1, "prediction": "The answer is (B).", "answer": "B", "A": "cat", "B": "dog", "category": "x"},
    {"index": 2, "prediction": "A", "answer": "B", "A": "cat", "B": "dog", "category": "y"},
    {"index": 3, "prediction": "", "answer": "A", "A": "cat", "B": "dog", "category": "y"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows in the form that the file's name says."""
    match path.suffix:
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        case ".json":
            path.write_text(json.dumps(rows), encoding="utf-8")
        case ".xlsx":
            book = openpyxl.Workbook()
            assert book.active is not None
            for line in ([*rows[0]], *([*row.values()] for row in rows)):
                book.active.append(line)
            book.save(path)
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case suffix:
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, [*rows[0]], delimiter="\t" if suffix == ".tsv" else ",")
                writer.writeheader()
                writer.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "tsv", "xlsx", "parquet"])
def test_every_form(suffix: str, tmp_path: Path) -> None:
    """The same rows score the same, are a run directory, and score again to the same."""
    file = write(tmp_path / f"answers.{suffix}", ROWS)
    result = import_responses(file, extract="letter", report=[{"name": "mean", "options": {"by": ["category"]}}],
                              out=tmp_path / "run", model="someone")  # fmt: skip
    task = result.tasks["answers"]
    assert [(one.group, one.value) for one in task.aggregates] == [
        (None, pytest.approx(1 / 3)), ("category=x", 1.0), ("category=y", 0.0),
    ]  # fmt: skip
    assert task.outcomes == {"correct": 1, "no_answer": 1, "wrong": 1}
    assert task.not_asked == 0
    assert rescore(tmp_path / "run") == result
    moved = (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert rescore(moved).score("answers") == pytest.approx(1 / 3)


def test_again_is_the_same_run(tmp_path: Path) -> None:
    """The same file twice changes nothing; another file is refused, unless the old run is set aside."""
    file = write(tmp_path / "a.jsonl", ROWS)
    first = import_responses(file, extract="letter", out=tmp_path / "run")
    journal = (tmp_path / "run" / "journal.jsonl").read_bytes()
    assert import_responses(file, extract="letter", out=tmp_path / "run") == first
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == journal
    write(file, ROWS[:1])
    with pytest.raises(UsageError, match="holds another run"):
        import_responses(file, extract="letter", out=tmp_path / "run")
    assert import_responses(file, extract="letter", out=tmp_path / "run", fresh=True).samples == 1


def test_columns_facts_and_several_targets(tmp_path: Path) -> None:
    """Columns are mapped; rules find the facts they read; a list is several accepted answers."""
    rows = [{"key": "a", "said": "It says x^2.", "golds": ["x ^ 2", "y"], "kind": "HME100k"}]
    file = write(tmp_path / "a.jsonl", rows)
    result = import_responses(file, extract="text", match="contains_gold", out=tmp_path / "run",
                              columns={"response": "said", "target": "golds", "facts.dataset": "kind"})  # fmt: skip
    assert result.score("a") == 1.0
    line = json.loads((tmp_path / "run" / "samples_a.jsonl").read_text())
    assert (line["id"], line["target"], line["facts"]) == ("a", ["x ^ 2", "y"], {"dataset": "HME100k"})


def test_a_task_with_targets_in_the_file(tmp_path: Path) -> None:
    """MMMU's rules on a file that has its groups under the task's names."""
    rows = [{"id": "1", "response": "Surely (A)", "answer": "A", "choices": "['x', 'y']", "subject": "Art",
             "groups.domain": "Art and Design"}]  # fmt: skip
    result = import_responses(write(tmp_path / "a.jsonl", rows), "mmmu_val", out=tmp_path / "run")
    assert result.score("mmmu_val") == 1.0
    assert rescore(tmp_path / "run").score("mmmu_val") == 1.0


def test_a_task_with_targets_in_its_data(tmp_path: Path) -> None:
    """Only ids and responses in the file: the rest comes from the task's data, in their order."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    write(folder / "rows.jsonl", [{"name": name, "q": "?", "a": name.upper()} for name in "abc"])
    content = {"task": "mine", "benchmark": "x", "about": "x", "source": "x", "licence": "x",
               "dataset": {"files": "rows.jsonl"}, "id": "{{ name }}", "prompt": {"user": [{"text": "{{ q }}"}]},
               "target": {"column": "a"}, "score": {"extract": "text"}}  # fmt: skip
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    answers = write(tmp_path / "a.csv", [{"id": "c", "response": "C"}, {"id": "a", "response": "B"}])
    result = import_responses(answers, "mine", out=tmp_path / "run", include_path=[folder])
    assert (result.score("mine"), result.samples) == (0.5, 2)
    lines = [json.loads(line) for line in (tmp_path / "run" / "samples_mine.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["a", "c"]
    content["groups"] = {"first": "{{ q }}"}  # what the file lacks comes from the data, though it has targets
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    graded = write(tmp_path / "c.csv", [{"id": "c", "response": "C", "target": "no"}])
    assert import_responses(graded, "mine", out=tmp_path / "third", include_path=[folder]).score("mine") == 1.0
    unknown = write(tmp_path / "b.csv", [{"id": "z", "response": "C"}])
    with pytest.raises(UsageError, match="1 of 1 ids are not in the data of mine, such as 'z'"):
        import_responses(unknown, "mine", out=tmp_path / "other", include_path=[folder])
    assert not (tmp_path / "other").exists()


def test_repeats(tmp_path: Path) -> None:
    """A column `repeat` keeps the answers to one question apart."""
    rows = [{"id": "1", "response": said, "target": "x", "repeat": number} for number, said in enumerate("xyx")]
    result = import_responses(write(tmp_path / "a.jsonl", rows), extract="text", out=tmp_path / "run")
    (headline,) = result.tasks["a"].aggregates
    assert (headline.value, headline.n, headline.stderr) == (pytest.approx(2 / 3), 3, None)


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (ROWS, {}, "name a task"),
        (ROWS, {"task": "mmmu_val", "extract": "text"}, "name a task"),
        (ROWS, {"extract": "lettre"}, "'lettre' is not a rule"),
        (ROWS, {"extract": "text", "match": "contains_gold"}, "no column 'facts.dataset'"),
        (ROWS, {"extract": "text", "report": "mme"}, "no column 'groups.question_id'"),
        (ROWS, {"extract": "text", "columns": {"response": "said"}}, "has no 'said'"),
        (ROWS, {"extract": "text", "columns": {"reponse": "prediction"}}, "the name is one of"),
        (ROWS, {"extract": "text", "match": 7}, "a rule is a name"),
        (ROWS, {"task": "mmmu"}, "is a group"),
        (ROWS, {"task": "mmlu_{subject}"}, "is a family"),
        (ROWS, {"task": "mmmu_vall"}, "unknown task"),
        ([], {"extract": "text"}, "no column of responses"),
        ([{"a": 1}], {"extract": "text"}, "no column of responses"),
        ([{"response": "x"}], {"extract": "text"}, "no column 'target'"),
        ([ROWS[0], ROWS[0]], {"extract": "text"}, "occurs twice"),
        ([ROWS[0], {"index": 2, "prediction": "x"}], {"extract": "text"}, "row 2 has no target"),
        ([{"response": "x", "target": "x", "repeat": "second"}], {"extract": "text"}, "whole number"),
    ],
)
def test_mistakes_are_one_sentence(
    rows: list[dict[str, Any]], options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """And leave no directory behind."""
    file = write(tmp_path / "a.jsonl", rows)
    with pytest.raises(UsageError, match=said):
        import_responses(file, **{"out": tmp_path / "run", **options})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["a.xlsx", "a.json", "a.parquet", "a.txt", "a.jsonl"])
def test_damaged_files(name: str, tmp_path: Path) -> None:
    """A file that is not what its name says."""
    (tmp_path / name).write_bytes(b"\xff\x00PK nothing")
    with pytest.raises(DataError, match=name):
        import_responses(tmp_path / name, extract="text", out=tmp_path / "run")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the table; its exit codes are the others'."""
    file = write(tmp_path / "a.jsonl", [{"id": 1, "said": "Value: 3", "target": "3"}])
    words = ["import", str(file), "--extract", "{name: regex, options: {pattern: '\\d+'}}", "--column", "response=said",
             "-o", str(tmp_path / "run")]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert "accuracy 1.0000" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["import", str(file), "--extract", "text", "--column", "response"])
    assert ended.value.code == 1
    assert "write OURS=THEIRS" in capsys.readouterr().err


def test_rules_as_written() -> None:
    """Names with commas between, or YAML."""
    assert rules("first_line,letter") == ["first_line", "letter"]
    assert rules("{name: anls, options: {variant: paper}}") == [{"name": "anls", "options": {"variant": "paper"}}]
    assert rules("[letter]") == ["letter"]
    with pytest.raises(UsageError, match="is no rule"):
        rules("{name: ")
