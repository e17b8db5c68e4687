"""The command line: one sentence for every mistake, exit codes as documented."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from rich.console import Console

from lmms_fast.cli import execute
from tests.servers.stand_in import StandIn


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`lmms-fast` as a user runs it."""
    import os

    return subprocess.run([sys.executable, "-m", "lmms_fast.cli.app", *words], capture_output=True, text=True,
                          check=False, env={**os.environ, **environment})  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["eval", "--tasks", "nonsense", "--endpoint", "http://127.0.0.1:9"], "unknown task 'nonsense'"),
        (["eval", "--endpoint", "http://127.0.0.1:9"], "no task was named"),
        (["eval", "--tasks", "smoke", "--endpoint", "what"], "neither 'local', a URL, nor a preset"),
        (["eval", "--tasks", "smoke", "--limit", "-3"], "--limit"),
        (["eval", "--tasks", "smoke", "--concurrency", "many"], "--concurrency"),
        (["eval", "--tasks", "smoke", "--gen", "top_k"], "KEY=VALUE"),
        (["eval", "--tasks", "smoke", "--extra-body", "{"], "not JSON"),
        (["eval", "--config", "/nowhere.yaml"], "cannot be read"),
        (["resume", "/nowhere"], "not a run directory"),
        (["score", "/nowhere"], "not a run directory"),
        (["tasks", "show", "mmm"], "unknown task 'mmm'"),
        (["eval", "--tasks", "smoke", "--endpoint", "openai"], "OPENAI_API_KEY"),
    ],
)
def test_mistakes(words: list[str], says: str, tmp_path: Path) -> None:
    """What, where, what to do; exit code 1, no traceback."""
    done = run(*words, *(["-o", str(tmp_path / "r")] if words[0] == "eval" else []), OPENAI_API_KEY="")
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_offline_data_says_what_to_do(tmp_path: Path, stand_in: StandIn) -> None:
    """No network and no cache: how to use a local copy."""
    done = run("eval", "--tasks", "mme", "--endpoint", stand_in.url, "-o", str(tmp_path / "r"),
               HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))  # fmt: skip
    assert done.returncode == 1
    assert "--data-dir" in done.stderr
    assert "Traceback" not in done.stderr


def test_config_file_and_flags(tmp_path: Path, stand_in: StandIn) -> None:
    """Flags win over the environment and the file; unknown keys are named."""
    (tmp_path / "c.yaml").write_text(f"tasks: [smoke_yesno]\nendpoint: {stand_in.url}\nlimit: 9\nmax-tokens: 3\n")
    done = run("eval", "--config", str(tmp_path / "c.yaml"), "--limit", "2", "-o", str(tmp_path / "r"), "-q",
               LMMS_FAST_TEMPERATURE="0.5")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(stand_in.asked) == 2
    assert stand_in.asked[0]["max_tokens"] == 3
    assert stand_in.asked[0]["temperature"] == 0.5
    assert stand_in.asked[0]["seed"] == 0
    (tmp_path / "c.yaml").write_text("taks: smoke\n")
    done = run("eval", "--config", str(tmp_path / "c.yaml"))
    assert "unknown setting 'taks'" in done.stderr


def test_not_measured_is_exit_code_2(tmp_path: Path, stand_in: StandIn) -> None:
    """Loud, and the score is not an invented one."""
    stand_in.behave = lambda number, body: web.Response(status=400, text="no")
    done = run("eval", "--tasks", "smoke_yesno", "--endpoint", stand_in.url, "--limit", "3", "-o", str(tmp_path / "r"))
    assert done.returncode == 2
    assert "3 of 3 samples could not be measured" in done.stderr


def test_what_a_server_says_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be in the panel at the end; brackets are shown as they came."""
    shown = io.StringIO()
    monkeypatch.setattr(execute, "Console", lambda **_: Console(file=shown, force_terminal=True, width=99))
    execute._loudly("it says: [/nothing]")
    assert "[/nothing]" in shown.getvalue()


def test_json_events(tmp_path: Path, stand_in: StandIn) -> None:
    """Standard output is JSON lines; the last one is the result."""
    done = run("eval", "--tasks", "smoke_yesno", "--endpoint", stand_in.url, "--limit", "3", "-o", str(tmp_path / "r"),
               "--json")  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines].count("SampleDone") == 3
    assert lines[-1]["event"] == "Result"
    assert lines[-1]["samples"] == 3


def test_dry_run_sends_nothing(tmp_path: Path, stand_in: StandIn) -> None:
    """It shows the first request of each task."""
    done = run("eval", "--tasks", "smoke", "--endpoint", stand_in.url, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "Answer yes or no." in done.stdout
    assert stand_in.asked == []
