"""What a row of a dataset may name: bytes, files of its own folder, and addresses only where the user allowed them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmms_fast.data.feed import Selection, feed_task
from lmms_fast.data.source import open_source
from lmms_fast.media.fetch import Remote
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.render import MediaMissing, as_media
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Failure, Media, Message

TASK = """\
task: paths
benchmark: test
about: Pictures by name.
source: this test
licence: none
dataset: {files: paths.jsonl}
prompt:
  user:
    - image: picture
    - text: What is it?
target: x
score: {extract: text}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset's folder with pictures, and a secret beside it."""
    root = tmp_path / "data"
    (root / "deep").mkdir(parents=True)
    (root / "a.png").write_bytes(b"a")
    (root / "deep" / "b.png").write_bytes(b"b")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (root / "out.png").symlink_to(tmp_path / "secret.png")
    (root / "up").symlink_to(tmp_path)
    (root / "within.png").symlink_to(root / "deep" / "b.png")
    (root / "circle.png").symlink_to(root / "circle.png")
    os.mkfifo(root / "pipe.png")
    return root


@pytest.mark.parametrize(
    ("name", "content"), [("a.png", b"a"), ("./a.png", b"a"), ("deep/b.png", b"b"), ("within.png", b"b")]
)
def test_files_of_the_folder(folder: Path, name: str, content: bytes) -> None:
    """Relative names, and links that stay inside."""
    assert as_media(name, "picture", folder).read() == content
    assert as_media({"bytes": None, "path": name}, "picture", folder).read() == content


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "deep/../../secret.png", "deep/../a.png", "out.png", "up/secret.png", "circle.png", "pipe.png",
     "deep", "none.png", "a\0.png", "x" * 5000, "/etc/passwd", "~/x.png", "file:///etc/passwd", "ftp://h/a.png",
     "\ud800"],
)  # fmt: skip
def test_nothing_else(folder: Path, name: str) -> None:
    """Ways out of the folder, what is no file (reading a pipe would never end), and what is not there."""
    with pytest.raises(MediaMissing, match=r"column 'picture': '.*' does not name a file inside the dataset's folder"):
        as_media(name, "picture", folder)


def test_absolute_names_are_refused_even_inside(folder: Path) -> None:
    """A dataset that knows where it lies was not made for this machine."""
    with pytest.raises(MediaMissing):
        as_media(str(folder / "a.png"), "picture", folder)


def test_terminal_codes_are_shown_and_not_sent(folder: Path) -> None:
    """The name comes from outside and its sentence ends on a screen."""
    with pytest.raises(MediaMissing, match=r"\\x1b\[2J") as caught:
        as_media("\x1b[2J", "picture", folder)
    assert "\x1b" not in str(caught.value)


def test_rows_from_the_hub_name_no_files(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """They have no folder; the one that the command was given in is none of theirs."""
    monkeypatch.chdir(folder)
    with pytest.raises(MediaMissing, match="--data-dir"):
        as_media("a.png", "picture", None)
    assert as_media({"bytes": b"x", "path": "a.png"}, "picture", None).read() == b"x"


@pytest.mark.parametrize("url", ["http://h/a.png", "https://h/a.png", "HTTPS://h/a.png"])
def test_addresses_need_permission(folder: Path, url: str) -> None:
    """The sentence names the flag; with it the address is kept and read later."""
    with pytest.raises(MediaMissing, match="only with --allow-media-urls"):
        as_media(url, "picture", folder)
    assert as_media(url, "picture", folder, Remote) == Media(Remote(url))


def _feed(folder: Path, value: Any, **selection: Any) -> tuple[tuple[Message, ...], Failure | None]:
    (folder / "paths.yaml").write_text(TASK)
    (folder / "paths.jsonl").write_text(json.dumps({"picture": value}) + "\n")
    task = Catalog().load(str(folder / "paths.yaml"))
    assert isinstance(task, Task)
    finished: Callable[[str], bool] = lambda _: False  # noqa: E731
    [fed] = feed_task(task, open_source(task, None), Selection(**selection), finished)
    return fed.sample.messages, fed.failure


@pytest.mark.parametrize("name", ["../secret.png", "https://h/a.png", ["a.png", "/etc/passwd"]])
def test_a_refused_name_is_a_failure_of_its_sample(folder: Path, name: Any) -> None:
    """Of kind media, with nothing to send and the reason as its detail; the run goes on."""
    messages, failure = _feed(folder, name)
    assert messages == ()
    assert failure is not None
    assert (failure.kind, failure.final) == ("media", True)
    assert failure.detail.startswith("row 0: column 'picture': ")


def test_permission_goes_through_the_feed(folder: Path) -> None:
    """`Selection.allow_media_urls` is all that a run needs to set."""
    messages, failure = _feed(folder, "https://h/a.png", allow_media_urls=True)
    assert failure is None
    assert messages[0].parts[0] == Media(Remote("https://h/a.png"))
