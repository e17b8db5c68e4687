"""Tables of finished runs: the same numbers in each format, and hostile names that stay names."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lmms_fast.cli.app import main
from lmms_fast.report.finished import open_run
from lmms_fast.report.tables import FORMATS

NASTY = 'a|b_c%&$#{}~^\\<script>*x*`y`[z](http://evil) "q" @team\x1b[31m\u202e www.evil'


def number(metric: str, value: float | None, group: str | None = None, **more: Any) -> dict[str, Any]:
    """An aggregate as results.json has it."""
    return {"metric": metric, "group": group, "value": value, "stderr": 0.0123, "n": 10, "n_no_answer": 1,
            "n_failed": 2, "low": None, "high": None, **more}  # fmt: skip


def write_run(path: Path, model: str, tasks: dict[str, Any], groups: dict[str, Any] | None = None) -> Path:
    """A run with nothing but its numbers."""
    path.mkdir()
    (path / "manifest.json").write_text(json.dumps({"identity": {"model": model}, "sessions": []}))
    results = {"tasks": {name: {"aggregates": found} for name, found in tasks.items()}, "groups": groups or {}}
    (path / "results.json").write_text(json.dumps(results))
    return path


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two models on two tasks, one of which only the first was asked."""
    return [
        write_run(tmp_path / "a", "org/A_1", {"t": [number("acc", 0.5), number("acc", 0.25, "kind=x")],
                                              "u": [number("f1", None)]}, {"all": number("mean", 0.5)}),
        write_run(tmp_path / "b", "org/B", {"t": [number("acc", 0.75, interval=[0.7, 0.8])]}),
    ]  # fmt: skip


def test_markdown(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """One run with its counts; two as columns, headlines only."""
    with pytest.raises(SystemExit) as ended:
        main(["report", *map(str, runs)])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines() == [
        r"| task | metric | org/A\_1 | org/B |", "| --- | --- | ---: | ---: |",
        "| t | acc | 0.5000 ± 0.0123 | 0.7500 ± 0.0123 |",
        "| u | f1 | – ± 0.0123 | – |", "| all | mean | 0.5000 ± 0.0123 | – |",
    ]  # fmt: skip
    alone = FORMATS["md"]([open_run(runs[1])]).splitlines()
    assert alone[0] == "| task | metric | score | 95 % interval | n | no answer | not measured |"
    assert alone[2] == "| t | acc | 0.7500 | 0.7000 – 0.8000 | 10 | 1 | 2 |"


def test_runs_of_one_model_are_told_apart(tmp_path: Path) -> None:
    """By the names of their directories."""
    both = [write_run(tmp_path / name, "same", {"t": [number("acc", 0.5)]}) for name in "ab"]
    assert FORMATS["md"]([open_run(one) for one in both]).startswith("| task | metric | a | b |")


def test_programs_get_every_number(runs: list[Path]) -> None:
    """CSV and JSON: a line for each number of each run, categories too."""
    opened = [open_run(one) for one in runs]
    lines = json.loads(FORMATS["json"](opened))
    rows = [*csv.DictReader(io.StringIO(FORMATS["csv"](opened)))]
    assert [(one["run"], one["task"], one["group"], one["score"]) for one in lines] == [
        ("a", "t", None, 0.5), ("a", "u", None, None), ("a", "all", None, 0.5), ("a", "t", "kind=x", 0.25),
        ("b", "t", None, 0.75),
    ]  # fmt: skip
    assert [row["score"] for row in rows] == ["0.5", "", "0.5", "0.25", "0.75"]
    assert (lines[-1]["interval_low"], rows[-1]["interval_high"]) == (0.7, "0.8")


def test_hostile_names(tmp_path: Path) -> None:
    """No name ends a cell, makes a link or a tag, commands LaTeX, is a formula, or speaks to the terminal."""
    tasks = {NASTY: [number("=cmd|' /C calc'!A0", 0.5)], "[x": [number("@x", 1)]}
    run = open_run(write_run(tmp_path / "a", "m", tasks))
    text = {name: make([run]) for name, make in FORMATS.items()}
    assert not [name for name, said in text.items() if re.search("[\x1b\u202e]", said)]
    row = text["md"].splitlines()[2]
    assert len(re.findall(r"(?<!\\)\|", row)) == 8  # seven cells
    assert "<" not in row
    assert not re.search(r"://|www\.|@|(?<!\\)[*`\[_]", row)
    latex = text["latex"].splitlines()
    line = latex[latex.index(r"\midrule") + 1].removesuffix(r" \\")
    assert len(re.findall(r"(?<!\\)&", line)) == 6
    assert not re.search(r"(?<!\\)[%#_]", line)
    assert r"\textbackslash{}" in line
    assert latex[latex.index(r"\midrule") + 2].startswith("{[}x")  # or LaTeX takes it for an argument of the line end
    rows = [*csv.DictReader(io.StringIO(text["csv"]))]
    assert [row["metric"][0] for row in rows] == ["'", "'"]
    assert json.loads(text["json"])[0]["task"] == NASTY  # JSON escapes by itself


def test_mistakes(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence each."""
    for words, says in (
        ([str(runs[0]), "--format", "html5"], "there is none of that name"), ([str(tmp_path)], "not a run directory"),
        ([str(runs[0]), "-o", str(tmp_path / "no" / "x")], "cannot be written"),
    ):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main(["report", *words])
        assert ended.value.code == 1
        assert says in capsys.readouterr().err
