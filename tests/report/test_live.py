"""Runs looked at while they go on, from their files alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lmms_fast.journal.records import encode_line, sample_record
from lmms_fast.journal.rundir import RunDir
from lmms_fast.report.live import Tail, going_on, progress, summary
from lmms_fast.report.serve import runs_below
from lmms_fast.types import Failure, Outcome, Response, Sample, Usage
from tests.report.pages import line, make_run


def journal_line(number: int, outcome: str = "") -> bytes:
    """An answer, or a failure of a kind."""
    sample = Sample("t", str(number), (), ("x",))
    found: Outcome = Response(sample.key, f"answer {number}", None, "stop", Usage(3, 5), 0.1, 1, "there")
    if outcome:
        found = Failure(sample.key, outcome, "late", 1)  # type: ignore[arg-type]
    return encode_line(sample_record(sample, number, ()), found)


def test_a_journal_is_read_on(tmp_path: Path) -> None:
    """Whole lines only, each once; a sample that failed first and was answered then counts as answered."""
    path = tmp_path / "journal.jsonl"
    tail = Tail(path)
    tail.look()
    assert tail.tasks == {}
    torn = journal_line(2)
    path.write_bytes(journal_line(0) + b"{}\n" + journal_line(1, "timeout") + torn[:20])
    for _ in range(2):
        tail.look()
        assert tail.tasks["t"] == {"done": 2, "failed": 1}
        assert (tail.failures["timeout"], tail.tokens) == (1, 5)
    with path.open("ab") as file:
        file.write(torn[20:] + journal_line(1))
    tail.look()
    assert tail.tasks["t"] == {"done": 3, "failed": 0}
    assert (tail.failures["timeout"], tail.tokens, tail.latest[-1]["said"]) == (0, 15, "answer 1")
    path.write_bytes(journal_line(7))
    tail.look()
    assert tail.tasks["t"] == {"done": 1, "failed": 0}


def test_whether_a_run_goes_on_is_seen_without_its_lock(tmp_path: Path) -> None:
    """By the system's list; a run can be started while others look at it."""
    path = tmp_path / "run"
    with RunDir(path):
        assert going_on(path)
    assert not going_on(path)
    with RunDir(path):
        pass


def test_a_line_about_each_run(tmp_path: Path) -> None:
    """Complete or not, its headline, and nothing that a damaged one could break."""
    run = make_run(tmp_path / "a", (line(number) for number in range(8)))
    found = summary(run)
    assert (found["model"], found["state"], found["samples"], found["tasks"]) == ("a-model", "complete", 8, "letters")
    assert [one["task"] for one in found["scores"]] == ["letters"]
    (run / "results.json").write_text("{")
    assert summary(run)["state"].startswith("cannot be read")
    (run / "results.json").unlink()
    (run / "manifest.json").write_text(json.dumps({"sessions": [{"samples": {"t": 9}}]}))
    (run / "journal.jsonl").write_bytes(journal_line(0))
    far = progress(run, Tail(run / "journal.jsonl"), Tail(run / "judgements.jsonl"))
    assert far["state"] == "not complete"
    assert far["progress"] == [{"task": "t", "total": 9, "done": 1, "failed": 0}]


def test_runs_of_a_folder(tmp_path: Path) -> None:
    """Two levels down, the newest first; nothing that lies elsewhere."""
    make_run(tmp_path / "elsewhere", [line(0)])
    root = tmp_path / "runs"
    for number, name in enumerate(("a", "deep/b", "too/far/down")):
        os.utime(make_run(root / name, [line(0)]) / "manifest.json", (number, number))
    (root / "link").symlink_to(tmp_path / "elsewhere")
    thief = make_run(root / "thief", [line(0)])
    (thief / "results.json").unlink()
    (thief / "results.json").symlink_to(tmp_path / "elsewhere" / "results.json")
    assert [str(run.relative_to(root)) for run in runs_below(root).values()] == ["deep/b", "a"]
    assert list(runs_below(root / "a").values()) == [root / "a"]
    assert runs_below(tmp_path / "elsewhere").keys() != runs_below(root / "a").keys()
