"""Every published set through the command's own code, where its files are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lmms_fast.parity.compare import Comparison, compare
from lmms_fast.parity.entries import Entry, load
from lmms_fast.parity.sets import kind_of

FOLDER = os.environ.get("LMMS_FAST_PARITY_DIR")


@pytest.mark.skipif(not FOLDER, reason="LMMS_FAST_PARITY_DIR is not set: no published outputs at hand")
@pytest.mark.parametrize("name", load())
def test_reproduced(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every published figure comes out, to the digit."""
    entry, folder = load()[name], Path(FOLDER or "")
    for source in entry.sources():
        for path in source.files:
            if not (folder / source.repo.replace("/", "+") / path).is_file():
                pytest.skip(f"the folder has no {source.repo}/{path}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = compare(entry, folder)
    assert found.problem is None
    assert [figure for figure in found.figures if not figure.agrees and not figure.why] == []
    assert found.reproduced
    assert {figure.name for figure in found.more if not figure.agrees} == OTHERWISE_IN_THE_SCORE_FILE.get(name, set())
    assert found.differences == ()


OTHERWISE_IN_THE_SCORE_FILE = {
    "mathvista_testmini/chatgpt": {"skills.geometry reasoning.accuracy", "skills.geometry reasoning.total"},
}
"""The set's note says why."""


def test_every_set_is_of_a_known_kind_and_pinned() -> None:
    """Each has a kind, a commit, the hash of every file, a licence and a number of items."""
    found = load()
    assert len(found) == 50
    for entry in found.values():
        kind_of(entry.metric)
        assert entry.licence
        assert entry.n
        assert all(blob and len(blob) == 40 for source in entry.sources() for blob in source.files.values()), entry.name


def test_without_figures_nothing_is_reproduced() -> None:
    """An empty comparison must not pass."""
    entry = Entry(name="x", repo="a/b", commit="0" * 40, files={}, metric="mathv", expected={})
    assert not Comparison(entry).reproduced
