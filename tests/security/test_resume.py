"""`resume` and `score` on a run directory that someone else made: no code of theirs runs, and no key goes to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lmms_fast.cli.again import judge_spec, spec_again
from lmms_fast.config.spec import make_spec
from lmms_fast.errors import UsageError
from tests.servers.stand_in import StandIn

KEYS = {"LMMS_FAST_API_KEY": "sk-canary-of-mine", "OPENAI_API_KEY": "sk-canary-openai", "SECRET": "sk-canary-secret"}
TASK = """\
task: theirs
benchmark: b
about: a
source: s
licence: l
dataset: {files: rows.jsonl}
prompt: {user: [{text: "{{ a }}"}]}
target: x
score: {extract: text}
"""


def lmms_fast(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """As a user runs it, without keys but those given."""
    clean = {name: value for name, value in os.environ.items() if name not in KEYS}
    return subprocess.run([sys.executable, "-m", "lmms_fast.cli.app", *words], capture_output=True, text=True,
                          check=False, env={**clean, **environment})  # fmt: skip


def recorded(folder: Path, **spec: Any) -> Path:
    """A run directory as its maker wants it."""
    run = folder / "r"
    run.mkdir()
    content = make_spec({"tasks": "smoke_yesno", **spec}).model_dump(mode="json")
    (run / "manifest.json").write_text(json.dumps({"identity": {}, "complete": False, "sessions": [{"spec": content}]}))
    return run


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder with a task whose hooks leave a trace, and one that it was when the run was made."""
    folder = tmp_path / "their tasks"
    folder.mkdir()
    (folder / "rows.jsonl").write_text('{"a": "1"}\n{"a": "2"}\n')
    (folder / "theirs.yaml").write_text(TASK + "hooks: hooks.py\n")
    (folder / "hooks.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\ndef prepare(doc):\n    return doc\n"
    )
    return folder


@pytest.fixture
def run(theirs: Path, tmp_path: Path, stand_in: StandIn) -> Path:
    """A run of it in which one sample is missing; where it runs nothing has left a trace yet."""
    out = tmp_path / "r"
    done = lmms_fast("eval", "--endpoint", stand_in.url, "--include-path", str(theirs), "--tasks", "theirs", "-o",
                     str(out))  # fmt: skip
    assert done.returncode == 0, done.stderr
    (tmp_path / "ran").unlink()
    journal = out / "journal.jsonl"
    journal.write_text(journal.read_text().splitlines(keepends=True)[0])
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**manifest, "complete": False, "answered": False}))
    stand_in.asked.clear()
    return out


def test_recorded_hooks_do_not_run(run: Path, theirs: Path, tmp_path: Path, stand_in: StandIn) -> None:
    """One sentence with the flag to add, nothing asked; with the flag the run goes on."""
    done = lmms_fast("resume", str(run))
    assert (done.returncode, done.stderr.count("\n"), stand_in.asked) == (1, 1, [])
    assert f"its hooks (hooks.py) would run; if you trust that folder, add --include-path '{theirs}'" in done.stderr
    assert lmms_fast("resume", str(run), "--include-path", str(tmp_path / "r")).returncode == 1
    assert not (tmp_path / "ran").exists()
    done = lmms_fast("resume", str(run), "--include-path", str(theirs))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ran").exists()
    assert len(stand_in.asked) == 1


@pytest.mark.parametrize("way", ["by its path", "behind a link"])
def test_hooks_by_another_way(theirs: Path, tmp_path: Path, way: str) -> None:
    """A recorded YAML path, and a folder inside a named one that leads elsewhere."""
    named = tmp_path / "named"
    named.mkdir()
    (named / "inner").symlink_to(theirs)
    tasks = str(theirs / "theirs.yaml") if way == "by its path" else "theirs"
    with pytest.raises(UsageError, match="hooks"):
        spec_again(recorded(tmp_path, tasks=tasks), [named], None, ())
    spec_again(tmp_path / "r", [theirs], None, ())


def test_scoring_runs_no_hooks(run: Path, tmp_path: Path) -> None:
    """They prepare rows, and there are none; so the recorded folder is enough."""
    done = lmms_fast("score", str(run))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


def test_tasks_without_hooks_are_found_where_they_were(theirs: Path, tmp_path: Path, stand_in: StandIn) -> None:
    """Nothing has to be named again."""
    (theirs / "theirs.yaml").write_text(TASK)
    stand_in.behave = lambda number, body: web.Response(status=400) if number == 0 else None
    words = ["--endpoint", stand_in.url, "--include-path", str(theirs), "--tasks", "theirs", "-o", str(tmp_path / "r")]
    assert lmms_fast("eval", *words, "--retry-failed", "all").returncode == 2
    done = lmms_fast("resume", str(tmp_path / "r"))
    assert (done.returncode, len(stand_in.asked)) == (0, 3), done.stderr


def test_recorded_flags_of_vllm_are_not_used(tmp_path: Path) -> None:
    """Some of them run code."""
    run = recorded(tmp_path, server_args=["--trust-remote-code", "--seed", "a\x1b[2J b"])
    with pytest.raises(UsageError, match=r"give them again: -- --trust-remote-code --seed 'a.*b'") as caught:
        spec_again(run, (), None, ())
    assert "\x1b" not in str(caught.value)
    assert spec_again(run, (), None, ("--seed", "1")).server_args == ("--seed", "1")


def test_a_recorded_cluster_is_not_joined(tmp_path: Path) -> None:
    """Programs would be sent there; given again it is used, and a judge asked later is launched here."""
    run = recorded(tmp_path, ray_address="evil:6379")
    with pytest.raises(UsageError, match=r"if you trust it, give its address again: --ray-address evil:6379\."):
        spec_again(run, (), None, ())
    assert spec_again(run, (), None, (), ray_address="mine:6379").ray_address == "mine:6379"
    stored = json.loads((run / "manifest.json").read_text())["sessions"][0]["spec"]
    assert judge_spec(run, stored, {"judge_endpoint": "local"}).ray_address is None


EVIL = ["http://evil", "https://api.openai.com.evil/v1", "http://127.0.0.1.evil:80", "https://openai/v1",
        "https://api.openai.com/v1", "http://0.0.0.0:8000", "http://10.0.0.1"]  # fmt: skip


@pytest.mark.parametrize("endpoint", EVIL)
@pytest.mark.parametrize("variable", [None, "OPENAI_API_KEY", "SECRET"])
def test_a_key_is_not_sent_to_a_recorded_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, variable: str | None
) -> None:
    """One sentence with address and variable, also where a preset stands beside it; given again it is used."""
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    run = recorded(tmp_path, endpoint=["openai", endpoint], api_key_env=variable)
    with pytest.raises(UsageError) as caught:
        spec_again(run, (), None, ())
    where = "api.openai.com/v1" if variable else endpoint.removesuffix("/v1")
    assert where in str(caught.value)
    assert f"add --api-key-env {variable or 'LMMS_FAST_API_KEY'}" in str(caught.value)
    assert not any(key in str(caught.value) for key in KEYS.values())
    assert spec_again(run, (), "SECRET", ()).api_key_env == "SECRET"


@pytest.mark.parametrize("endpoint", ["openai", "local", "http://127.0.0.1:1", "http://localhost:1/v1", "http://[::1]:1"])
def test_keys_that_may_go_where_they_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """A preset's own to the preset, and to this machine what `eval` would send; but no other variable."""
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    assert spec_again(recorded(tmp_path, endpoint=endpoint), (), None, ()).api_key_env is None
    run = recorded(tmp_path / "r", endpoint=endpoint, api_key_env="SECRET")
    if endpoint == "local":
        assert spec_again(run, (), None, ()).api_key_env is None
    else:
        with pytest.raises(UsageError, match="would be sent the key in SECRET"):
            spec_again(run, (), None, ())


def test_without_a_key_nothing_has_to_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to send."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    assert spec_again(recorded(tmp_path, endpoint="http://evil"), (), None, ()).endpoint == ("http://evil",)


def test_no_request_leaves_before_the_question_of_the_key(tmp_path: Path, stand_in: StandIn) -> None:
    """From the command line, with a variable of the user's that names a variable."""
    run = recorded(tmp_path, endpoint=stand_in.url, api_key_env="SECRET")
    done = lmms_fast("resume", str(run), **KEYS, LMMS_FAST_API_KEY_ENV="SECRET")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{stand_in.url}/v1 would be sent the key in SECRET" in done.stderr


@pytest.mark.parametrize("content", ["{}", '{"sessions": []}', '{"sessions": [{"spec": 3}]}', '{"sessions": 1}'])
@pytest.mark.parametrize("command", ["resume", "score"])
def test_a_manifest_that_says_nothing(tmp_path: Path, content: str, command: str) -> None:
    """One sentence."""
    (tmp_path / "manifest.json").write_text(content)
    done = lmms_fast(command, str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "damaged" in done.stderr


def test_help_says_so() -> None:
    """What is to be given again."""
    said = " ".join(lmms_fast("resume", "--help").stdout.split())
    assert "may be someone else's" in said
    assert "are to be given again here" in said
