"""The key is nowhere but in the request: not in a run's files, on a screen, in a list of processes or in an error.

A server that sends the key back is in most of the cases, for that is how keys get into logs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lmms_fast import evaluate
from lmms_fast.cli.doctor import doctor
from lmms_fast.errors import EndpointError, LmmsFastError, UsageError
from tests.servers.plain import plain
from tests.servers.stand_in import Behaviour, StandIn, completion

KEY = "sk-canary-7Qx2vB9mLw4zRt8K"
_HALF = 10
PIECES = [KEY[start : start + _HALF].encode() for start in range(3, len(KEY) - _HALF + 1)]
"""Any ten letters of it: a sentence may cut it in two."""
ECHO = f"you sent Authorization: Bearer {KEY} and that is"


@dataclass
class Left:
    """What a command left behind."""

    code: int
    out: str
    err: str
    processes: list[bytes] = field(default_factory=list)
    """Command lines seen while it ran, its children's too."""

    def places_with_key(self, folder: Path | None = None) -> set[str]:
        """Names of what holds the key: stdout, stderr, processes, and files of the folder."""
        places = {"stdout": self.out.encode(), "stderr": self.err.encode(), "processes": b"\n".join(self.processes)}
        for path in folder.rglob("*") if folder else ():
            if path.is_file():
                places[path.name] = path.read_bytes()
        return {name for name, content in places.items() if any(piece in content for piece in PIECES)}


def _command_lines(pid: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        yield Path(f"/proc/{pid}/cmdline").read_bytes()
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _command_lines(int(child))


def lmms_fast(
    folder: Path, *words: str, end: signal.Signals | None = None, when: Callable[[], bool] = lambda: False
) -> Left:
    """The command as a user runs it, with the key in its environment; `end` is sent once `when` is true."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "LMMS_FAST_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}
    dumping = ["bash", "-c", 'ulimit -c unlimited || true; exec "$@"', "bash"]
    process = subprocess.Popen([*dumping, sys.executable, "-m", "lmms_fast.cli.app", *words], cwd=folder, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)  # fmt: skip
    seen: list[bytes] = []
    while process.poll() is None:
        seen += _command_lines(process.pid)
        if end is not None and when():
            process.send_signal(end)
            end = None
        time.sleep(0.01)
    out, err = process.communicate()
    assert seen, "the search would be an empty one"
    return Left(process.returncode, out, err, seen)


def evaluation(stand_in: StandIn, folder: Path, *more: str) -> Sequence[str]:
    """A small `eval` into `folder`/r."""
    return ("eval", "--endpoint", stand_in.url, "--tasks", "smoke_yesno", "--limit", "3", "-o", str(folder / "r"),
            "--max-attempts", "2", *more)  # fmt: skip


def answering(status: int, content: Any = None, **headers: str) -> Behaviour:
    """Always the same, with the key in it."""
    body = content if content is not None else {"error": {"message": ECHO}}
    if isinstance(body, str):
        return lambda number, _: web.Response(status=status, text=body, headers=headers)
    return lambda number, _: web.json_response(body, status=status, headers=headers)


CASES: dict[str, tuple[int, Behaviour, tuple[str, ...]]] = {
    "answered, all that can be shown": (0, lambda number, body: None, ("--verbose", "--profile")),
    "answered with the key": (0, answering(200, completion(f"{ECHO} the answer")), ("--json",)),
    "refused 400": (2, answering(400), ("--verbose", "--profile")),
    "refused 400 as text": (2, answering(400, ECHO), ("--json", "--profile")),
    "refused 401": (1, answering(401), ("--json",)),
    "refused 403": (1, answering(403, {"detail": ECHO}), ()),
    "too many 429": (2, answering(429, **{"Retry-After": "0"}), ("--max-attempts", "1", "--verbose", "--profile")),
    "broken 500": (2, answering(500), ("--max-attempts", "1", "--verbose", "--json")),
    "redirected 307": (1, answering(307, Location=f"http://127.0.0.1:9/?key={KEY}"), ()),
    "no completion": (2, answering(200, f'{{"said": "{ECHO}'), ("--max-attempts", "1", "--json")),
    "no completion, key cut in two": (2, answering(200, "x" * 90 + ECHO), ("--max-attempts", "1")),
    "silent": (2, lambda number, body: "hang", ("--request-timeout", "0.2", "--max-attempts", "1", "--verbose")),
    "cut off": (2, lambda number, body: "cut off", ("--max-attempts", "1", "--profile")),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_run(stand_in: StandIn, tmp_path: Path, case: str) -> None:
    """Whatever the server does; the exit code shows that it was that."""
    code, stand_in.behave, more = CASES[case]
    stand_in.key = KEY
    left = lmms_fast(tmp_path, *evaluation(stand_in, tmp_path, *more))
    assert left.code == code, left.err
    assert len(stand_in.asked) >= 1
    assert left.places_with_key(tmp_path) == set()


def test_the_search_finds_a_key(stand_in: StandIn, tmp_path: Path) -> None:
    """A key that is not ours stays in the answers: what the tests above do not find was there to be found."""
    stand_in.behave = answering(400, {"error": {"message": ECHO.replace("sk-canary", "sk-canarx")}})
    left = lmms_fast(tmp_path, *evaluation(stand_in, tmp_path))
    assert left.places_with_key(tmp_path) >= {"journal.jsonl", "samples_smoke_yesno.jsonl"}


@pytest.mark.parametrize("status", [200, 401, 403, 500])
def test_where_models_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """The first question that an endpoint is asked has the key too; what comes back is in the sentence."""
    monkeypatch.setenv("LMMS_FAST_API_KEY", KEY)
    content = {"error": {"message": ECHO}, "data": [{"id": KEY}, {"id": "b"}]}
    with (
        plain(lambda path: (status, {"Content-Type": "application/json"}, json.dumps(content).encode())) as server,
        pytest.raises(EndpointError) as caught,
    ):
        evaluate("smoke_yesno", server.url, output_dir=tmp_path / "r")
    assert Left(1, "", str(caught.value)).places_with_key(tmp_path) == set()


@pytest.mark.parametrize("key", [f"{KEY}\n{KEY}", f"{KEY}…", f"{KEY}\x7f{KEY}"])
def test_a_key_that_cannot_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """Pasted with a line break, or by a word processor: the sentence names the variable and not the key."""
    monkeypatch.setenv("LMMS_FAST_API_KEY", key)
    with pytest.raises(UsageError, match="LMMS_FAST_API_KEY") as caught:
        evaluate("smoke_yesno", "http://127.0.0.1:9", output_dir=tmp_path / "r")
    assert Left(1, "", str(caught.value)).places_with_key(tmp_path) == set()


@pytest.mark.parametrize("text", ["http://127.0.0.1:9/v1?key={}", "ftp://user:{}@127.0.0.1/", "http://127.0.0.1:9/#{}"])
def test_a_key_inside_an_address(tmp_path: Path, text: str) -> None:
    """It is refused, since addresses are recorded, and it is not shown."""
    with pytest.raises(UsageError, match="must not carry a key") as caught:
        evaluate("smoke_yesno", text.format(KEY), output_dir=tmp_path / "r")
    assert Left(1, "", str(caught.value)).places_with_key(tmp_path) == set()


def test_nobody_there(tmp_path: Path) -> None:
    """A connection that is refused."""
    left = lmms_fast(tmp_path, "eval", "--endpoint", "http://127.0.0.1:9", "--tasks", "smoke_yesno")
    assert left.code == 1
    assert left.places_with_key(tmp_path) == set()


def test_an_exception_of_ours(stand_in: StandIn, tmp_path: Path) -> None:
    """A run directory that cannot be one."""
    stand_in.key = KEY
    (tmp_path / "r").write_text("a file")
    left = lmms_fast(tmp_path, *evaluation(stand_in, tmp_path, "--verbose"))
    assert left.code == 1
    assert "cannot be used as a run directory" in left.err
    assert left.places_with_key(tmp_path) == set()


def test_code_of_a_task_that_fails(stand_in: StandIn, tmp_path: Path) -> None:
    """Even one that has a traceback."""
    stand_in.key = KEY
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "rows.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "t" / "hooked.yaml").write_text(
        "task: hooked\nbenchmark: b\nabout: a\nsource: s\nlicence: l\ndataset: {files: rows.jsonl}\n"
        "prompt: {user: [{text: x}]}\ntarget: x\nscore: {extract: text}\nhooks: hooks.py\n"
    )
    (tmp_path / "t" / "hooks.py").write_text("def prepare(doc):\n    return doc['missing']\n")
    left = lmms_fast(tmp_path, "eval", "--endpoint", stand_in.url, "--include-path", str(tmp_path / "t"), "--tasks",
                     "hooked", "-o", str(tmp_path / "r"))  # fmt: skip
    assert left.code == 1
    assert "missing" in left.err
    assert left.places_with_key(tmp_path) == set()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGABRT, signal.SIGTERM])
def test_killed(stand_in: StandIn, tmp_path: Path, end: signal.Signals) -> None:
    """While it waits for answers, one of which came before; a crash leaves no dump, which would hold everything."""
    stand_in.key = KEY
    stand_in.behave = lambda number, body: None if number == 0 else "hang"
    left = lmms_fast(tmp_path, *evaluation(stand_in, tmp_path, "--request-timeout", "0.5", "--max-attempts", "1"),
                     end=end, when=lambda: len(stand_in.asked) > 1)  # fmt: skip
    assert left.code in (-end, 128 + end)
    assert left.places_with_key(tmp_path) == set()


@pytest.mark.parametrize("status", [200, 400, 401])
def test_doctor(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    """It shows what the model said, and what the reference client says of an error."""
    monkeypatch.setenv("LMMS_FAST_API_KEY", KEY)
    stand_in.key = KEY
    stand_in.behave = answering(status, completion(f"red {ECHO}") if status == 200 else {"error": {"message": ECHO}})
    said = ""
    try:
        doctor(stand_in.url)
    except LmmsFastError as error:
        said = str(error)
    shown = capsys.readouterr()
    assert "stand-in" in shown.out
    assert Left(0, shown.out, shown.err + said).places_with_key() == set()
