"""lmms-eval's samples files, taken in: its own of several versions, with repeats, with and without documents."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmms_fast import import_responses
from lmms_fast.errors import DataError, UsageError

REAL = Path(__file__).parents[1] / "report" / "lmms_eval_0_7_3" / "samples.jsonl"


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    """As JSONL."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def answers(run: Path) -> list[tuple[str, int, str, list[str]]]:
    """What the run holds: id, repeat, response, accepted answers."""
    [file] = run.glob("samples_*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [(line["id"], line["repeat"], line["response"]["text"], line["target"]) for line in lines]


def test_a_real_file(tmp_path: Path) -> None:
    """Of lmms-eval 0.7.3, which keeps neither the document nor, where they are equal, the unfiltered response."""
    result = import_responses(REAL, extract="letter", out=tmp_path / "run")
    assert answers(tmp_path / "run") == [(str(number), 0, "2", ["B"]) for number in range(3)]
    assert result.score("samples") == 0.0
    lines = (tmp_path / "run" / "samples_samples.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["messages"][0]["parts"] == ["What colour?\nA. blue\nB. red\nC. green\nD. pink"]


def test_older_files_and_filters(tmp_path: Path) -> None:
    """The response is scored, and not what a filter left of it; documents give ids, options and groups."""
    lines = [{
        "doc_id": 7, "doc": {"question_id": "q7", "options": "['cat', 'dog']", "kind": "x"}, "target": "B",
        "arguments": ["Which?"], "resps": [["The answer is (B)."]], "filtered_resps": ["A"], "doc_hash": "0",
    }]  # fmt: skip
    result = import_responses(write(tmp_path / "a.jsonl", lines), extract="letter", out=tmp_path / "run",
                              report=[{"name": "mean", "options": {"by": ["kind"]}}])  # fmt: skip
    assert answers(tmp_path / "run") == [("q7", 0, "The answer is (B).", ["B"])]
    assert [(one.group, one.value) for one in result.tasks["a"].aggregates] == [(None, 1.0), ("kind=x", 1.0)]


def test_repeats(tmp_path: Path) -> None:
    """Of one request or of several, each is an answer; several targets stay several."""
    lines = [
        {"doc_id": 0, "target": "['yes', 'y']", "resps": [["yes"], ["no"]], "filtered_resps": ["yes", "no"]},
        {"doc_id": 1, "target": "no", "resps": ["no", "yes"], "filtered_resps": "no"},
        {"doc_id": 2, "target": "no", "filtered_resps": ["no", "no"]},
    ]
    result = import_responses(write(tmp_path / "a.jsonl", lines), extract="text", out=tmp_path / "run")
    assert answers(tmp_path / "run")[:2] == [("0", 0, "yes", ["yes", "y"]), ("0", 1, "no", ["yes", "y"])]
    assert (result.samples, result.score("a")) == (6, pytest.approx(4 / 6))


def test_likelihoods_are_refused(tmp_path: Path) -> None:
    """There is no answer in them."""
    lines = [{"doc_id": 0, "target": "0", "resps": [[["-1.5", "False"]], [["-0.5", "True"]]],
              "filtered_resps": [["-1.5", "False"], ["-0.5", "True"]]}]  # fmt: skip
    with pytest.raises(DataError, match="likelihoods"):
        import_responses(write(tmp_path / "a.jsonl", lines), extract="text", out=tmp_path / "run")


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A task whose rule needs the options, in a folder."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    write(folder / "rows.jsonl", [{"name": f"n{n}", "q": "?", "a": "AB"[n % 2], "o": ["x", "y"]} for n in range(4)])
    (folder / "mine.yaml").write_text(yaml.safe_dump({
        "task": "mine", "benchmark": "x", "about": "x", "source": "x", "licence": "x",
        "dataset": {"files": "rows.jsonl"}, "id": "{{ name }}", "prompt": {"user": [{"text": "{{ q }}"}]},
        "choices": "o", "target": {"column": "a"}, "score": {"extract": "letter"},
    }))  # fmt: skip
    return folder


def test_by_a_task_and_numbers_of_documents(tasks: Path, tmp_path: Path) -> None:
    """Where the file has no documents the task's data have the options; others in their place are noticed."""
    lines = [{"doc_id": n, "target": "AB"[n % 2], "filtered_resps": "The answer is y"} for n in (3, 0)]
    file = write(tmp_path / "a.jsonl", lines)
    import_responses(file, "mine", out=tmp_path / "run", include_path=[tasks])
    assert [(id, target) for id, _, _, target in answers(tmp_path / "run")] == [("n0", ["A"]), ("n3", ["B"])]
    assert json.loads((tmp_path / "run" / "samples_mine.jsonl").read_text().splitlines()[0])["choices"] == ["x", "y"]
    for wrong in ([{**line, "target": "BA"[n % 2]} for n, line in zip((3, 0), lines, strict=True)],
                  [*lines, {**lines[0], "doc_id": 9}]):  # fmt: skip
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        with pytest.raises(UsageError, match="are not those of mine"):
            import_responses(write(file, wrong), "mine", out=tmp_path / "run", include_path=[tasks])
