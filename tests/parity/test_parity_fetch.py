"""Where files are found, and what is done with those that are not the published ones."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from lmms_fast.cli.app import main
from lmms_fast.errors import DataError, UsageError
from lmms_fast.parity import fetch
from lmms_fast.parity.compare import compare
from lmms_fast.parity.entries import Entry, load
from lmms_fast.parity.fetch import blob_hash, locate

COMMIT = "b" * 40
CONTENT = b"hello\n"
BLOB = "ce013625030ba8dba906f756967f9e9ca394464a"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LMMS_FAST_PARITY_DIR", raising=False)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses asked for, on a network that has one file."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, content=CONTENT) if "hello" in request.url.path else httpx.Response(404)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(httpx, "stream", lambda method, url, **_: client.stream(method, url))
    return seen


def entry(blob: str | None = BLOB, name: str = "a folder/hello (1).txt") -> Entry:
    """A set of one file."""
    return Entry(name="x", repo="a/b", commit=COMMIT, files={name: blob}, metric="mathv", expected={"correct": 1})


def test_blob_hash_is_that_of_git() -> None:
    """`git hash-object` of the same content."""
    assert blob_hash(CONTENT) == BLOB


def test_fetched_once_from_the_pinned_commit(asked: list[str], tmp_path: Path) -> None:
    """The address names repository, commit and path; the second time the cache answers."""
    for _ in range(2):
        (path,) = locate(entry(), None)
        assert path.read_bytes() == CONTENT
    assert path == tmp_path / "cache" / "lmms-fast" / "parity" / "a+b" / COMMIT / "a folder/hello (1).txt"
    assert asked == [f"https://raw.githubusercontent.com/a/b/{COMMIT}/a%20folder/hello%20%281%29.txt"]


def test_folder_before_cache(asked: list[str], tmp_path: Path) -> None:
    """A folder's file is taken; what it lacks is fetched."""
    given = tmp_path / "data" / "a+b" / "a folder" / "hello (1).txt"
    given.parent.mkdir(parents=True)
    given.write_bytes(CONTENT)
    assert locate(entry(), tmp_path / "data") == [given]
    assert asked == []
    locate(entry(name="hello.txt"), tmp_path / "data")
    assert len(asked) == 1


def test_another_file_is_refused(asked: list[str], tmp_path: Path) -> None:
    """Neither the network nor a folder can slip in another content, and nothing of it is kept."""
    with pytest.raises(DataError, match="is not the file that was published"):
        locate(entry("0" * 40), None)
    assert asked
    assert not list((tmp_path / "cache").rglob("*.txt"))


def test_withdrawn_and_offline(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence each; in a comparison it is the set's problem."""
    with pytest.raises(DataError, match="the server answers 404"):
        locate(entry(name="gone.txt"), None)

    def offline(*_: object, **__: object) -> None:
        raise httpx.ConnectError("no route")

    monkeypatch.setattr(httpx, "stream", offline)
    found = compare(entry(name="gone.txt"), None)
    assert not found.reproduced
    assert fetch.VARIABLE in (found.problem or "")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", ""])
def test_paths_stay_inside(path: str, tmp_path: Path) -> None:
    """A manifest cannot name a file outside of its repository."""
    manifest = tmp_path / "sets.json"
    manifest.write_text(f'[{{"name":"x","repo":"a/b","commit":"{COMMIT}","files":["{path}"],"metric":"mathv","expected":{{}}}}]')
    with pytest.raises(UsageError, match="no path inside a repository"):
        load(manifest)


@pytest.mark.parametrize("content", ["{}", "[1]", "[{}]", "{", "- name: x\n  repo: nothing\n"])
def test_other_manifests(content: str, tmp_path: Path) -> None:
    """One sentence for a manifest that is none."""
    for suffix in ("json", "yaml"):
        manifest = tmp_path / f"sets.{suffix}"
        manifest.write_text(content)
        with pytest.raises(UsageError, match=str(manifest)):
            load(manifest)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 when all asked for are reproduced, 1 when one is not; a list; unknown names."""
    folder = tmp_path / "data" / "a+b"
    folder.mkdir(parents=True)
    (folder / "m.csv").write_text("index,A,B,answer,prediction\n1,x,y,A,A\n2,x,y,B,A\n")
    manifest = tmp_path / "sets.yaml"
    sets = "".join(
        f"- {{name: {name}, repo: a/b, commit: {COMMIT}, files: [m.csv], metric: vlmek_can_infer, expected: {{correct: "
        f"{correct}}}, licence: MIT}}\n"
        for name, correct in (("good", 1), ("bad", 2))
    )
    manifest.write_text(sets)

    def said(*words: str) -> tuple[int | str | None, str]:
        with pytest.raises(SystemExit) as ended:
            main(["parity", *words, "--dir", str(tmp_path / "data"), "--manifest", str(manifest)])
        told = capsys.readouterr()
        return ended.value.code, told.out + told.err

    code, text = said("good")
    assert (code, "1 of 1 sets reproduced." in text) == (0, True)
    assert "correct: ours 1, expected 1" in text
    assert "correct:" not in said("good", "-q")[1]
    code, text = said()
    assert code == 1
    assert "correct: ours 1, expected 2" in text
    assert said("--list")[1].splitlines() == [
        "good  vlmek_can_infer  https://github.com/a/b  MIT", "bad  vlmek_can_infer  https://github.com/a/b  MIT",
    ]  # fmt: skip
    assert said("g*")[0] == 0
    code, text = said("nothing")
    assert (code, "no set is called 'nothing'" in text) == (1, True)
