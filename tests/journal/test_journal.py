"""The journal survives kills, full disks and foreign specs."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmms_fast.errors import UsageError
from lmms_fast.journal.records import sample_record
from lmms_fast.journal.rundir import RunDir, differences
from lmms_fast.journal.store import Journal
from lmms_fast.types import Failure, Response, Sample, Usage


def _sample(number: int) -> Sample:
    return Sample("t", f"id{number}", (), ("A",), ("x", "y"), {"g": "1"})


def _response(number: int, text: str = "A") -> Response:
    return Response(_sample(number).key, text, None, "stop", Usage(3, 1), 0.5, 1, "here")


def _append(journal: Journal, number: int, outcome: Response | Failure | None = None) -> None:
    journal.append(sample_record(_sample(number), number, ()), outcome or _response(number))


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(min_value=0, max_value=1200))
def test_a_journal_cut_anywhere_reopens(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """Whatever a kill leaves, the whole lines are kept and writing goes on."""
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    with Journal(path) as journal:
        for number in range(4):
            _append(journal, number)
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    with Journal(path) as journal:
        kept = len(journal.index)
        assert kept == content[:cut].count(b"\n")
        _append(journal, 9)
    with Journal(path) as journal:
        assert len(journal.index) == kept + 1
        assert [record["id"] for record, *_ in journal.read(["t"])][-1] == "id9"


def test_newest_line_of_a_key_counts(tmp_path: Path) -> None:
    """A failure that passed on a later try is an answer."""
    with Journal(tmp_path / "j") as journal:
        key = _sample(1).key
        _append(journal, 1, Failure(key, "timeout", "slow", 5))
        assert not journal.finished(key)
        _append(journal, 1)
        assert journal.finished(key)
        assert [outcome for _, outcome, _ in journal.read(["t"])] == [_response(1)]


def test_final_failures_are_not_tried_again(tmp_path: Path) -> None:
    """Too long stays too long; a timeout may pass."""
    with Journal(tmp_path / "j") as journal:
        _append(journal, 1, Failure(_sample(1).key, "too_long", "no", 1))
        _append(journal, 2, Failure(_sample(2).key, "timeout", "no", 5))
        assert journal.finished(_sample(1).key)
        assert not journal.finished(_sample(2).key)


def test_unreadable_line_inside_is_asked_again(tmp_path: Path) -> None:
    """A damaged line costs its sample, not the run, and is counted."""
    with Journal(tmp_path / "j") as journal:
        _append(journal, 1)
        _append(journal, 2)
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    (tmp_path / "j").write_bytes(b'{"key": oops\n' + lines[1])
    with Journal(tmp_path / "j") as journal:
        assert journal.damaged == 1
        assert list(journal.index) == [_sample(2).key]


def test_another_spec_is_refused_with_the_difference(tmp_path: Path) -> None:
    """Results of two settings never mix."""
    with RunDir(tmp_path / "r") as run:
        run.write("manifest.json", {"identity": {"model": "a", "gen": {"top_k": 1}}})
        run.claim({"model": "a", "gen": {"top_k": 1}})
        with pytest.raises(UsageError, match=r"gen\.top_k: was 1, now 2"):
            run.claim({"model": "a", "gen": {"top_k": 2}})


def test_a_directory_serves_one_run_at_a_time(tmp_path: Path) -> None:
    """The second is told, and does not write."""
    with RunDir(tmp_path / "r"), pytest.raises(UsageError, match="another lmms-fast"):
        RunDir(tmp_path / "r")


def test_differences_name_every_leaf() -> None:
    """Missing keys differ too."""
    assert differences({"a": 1, "b": {"c": 2}}, {"b": {"c": 3}}) == ["a: was 1, now None", "b.c: was 2, now 3"]
