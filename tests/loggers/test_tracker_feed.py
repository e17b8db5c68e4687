"""A tracker that hangs, throws, dies or is missing costs a run one sentence, and nothing else."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

import lmms_fast
from lmms_fast.cli.again import judge_spec, spec_again
from lmms_fast.cli.app import main
from lmms_fast.config.public import HIDDEN, public
from lmms_fast.config.spec import make_spec
from lmms_fast.errors import UsageError
from lmms_fast.events import LoadRead, SampleDone, TaskSized
from lmms_fast.loggers.feed import _Tracker, numbers
from lmms_fast.loggers.settings import Settings, settings_of
from lmms_fast.report.console import Tally
from lmms_fast.types import Load
from tests.servers.stand_in import StandIn

KEY = "canary-key-of-wandb"
ROOT = Path(__file__).parents[2]


def evaluate(
    folder: Path, stand_in: StandIn, misdeed: str = "", *words: str, limit: int = 4, timeout_s: int = 30
) -> subprocess.Popen[str]:
    """`eval` with the fake library first on the path."""
    library = folder / "library" / "wandb"
    library.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).parent / "fake_wandb.py", library / "__init__.py")
    environment = {**os.environ, "PYTHONPATH": f"{library.parent}:{ROOT}", "FAKE_WANDB": misdeed, "WANDB_API_KEY": KEY,
                   "FAKE_WANDB_LOG": str(folder / "calls")}  # fmt: skip
    command = [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--tasks", "smoke_yesno", "--endpoint", stand_in.url,
               "--limit", str(limit), "-o", "run", "--wandb", f"project=p,timeout={timeout_s}", *words]  # fmt: skip
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)  # fmt: skip


def calls(folder: Path) -> list[str]:
    """What the library was asked."""
    return (folder / "calls").read_text().splitlines()


def test_all_goes_well(tmp_path: Path, stand_in: StandIn) -> None:
    """Where the run is shown; then its results and its end."""
    process = evaluate(tmp_path, stand_in)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "wandb: the run is at http://wandb.invalid/run" in err
    assert "smoke_yesno" in out
    assert calls(tmp_path)[0] == "init"
    assert calls(tmp_path)[-2:] == ["log_artifact", "finish 0"]


@pytest.mark.parametrize(
    ("misdeed", "timeout_s", "says"),
    [
        ("init=hang", 1, "did not end within 1 s"), ("log=throw", 30, "RuntimeError: the key"),
        pytest.param("finish=hang", 3, "did not end within 3 s", marks=pytest.mark.long),
        pytest.param("log_artifact=die", 30, "it ended early", marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_whatever_it_does(misdeed: str, timeout_s: int, says: str, tmp_path: Path, stand_in: StandIn) -> None:
    """The run's exit code and table are the same; one sentence, without keys, passwords and terminal commands; no
    process is left."""
    before = time.monotonic()
    process = evaluate(tmp_path, stand_in, misdeed, timeout_s=timeout_s)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "accuracy" in out
    told = [line for line in err.splitlines() if line.startswith("wandb:") and "the run is at" not in line]
    assert len(told) == 1
    assert says in told[0]
    assert "the same command hands its results over again" in told[0]
    assert not [word for word in (KEY, "secret", "\x1b") if word in err]
    assert time.monotonic() - before < 30
    time.sleep(0.2)
    assert not [one for one in _processes() if "lmms_fast.loggers.child" in one and str(tmp_path) in one]


def test_again(tmp_path: Path, stand_in: StandIn) -> None:
    """The same command on a run that is complete hands the results over, and asks nothing."""
    evaluate(tmp_path, stand_in, "init=hang", timeout_s=1).communicate(timeout=60)
    process = evaluate(tmp_path, stand_in)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, calls(tmp_path)[-1]) == (0, "finish 0"), err
    assert "nothing was asked again" in err
    assert len(stand_in.asked) == 4


def _processes() -> list[str]:
    """Command lines with the folder they run in."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            found.append(f"{(path / 'cmdline').read_bytes()!r} {(path / 'cwd').readlink()}")
        except OSError:
            continue
    return found


def test_a_hanging_one_holds_up_nobody(tmp_path: Path) -> None:
    """Ten thousand numbers for a process that reads none of them take no time, and little place; the end waits only as
    long as was allowed."""
    said: list[str] = []
    settings = Settings("wandb", {"project": "p"}, timeout_s=0.2)
    tracker = _Tracker(settings, tmp_path, {"tasks": ["smoke"]}, lambda one: said.append(str(one)))
    process = _wait_for(lambda: tracker._process)
    os.kill(process.pid, signal.SIGSTOP)
    many = {str(n): 1.0 for n in range(1_000)}
    own = time.thread_time()
    for step in range(10_000):
        tracker.put({"do": "progress", "step": step, "numbers": many})
    assert time.thread_time() - own < 1
    before = time.monotonic()
    assert tracker._queue.qsize() <= 64
    tracker.put({"do": "finish", "step": 1})
    tracker.close(finished=True)
    assert time.monotonic() - before < 5
    assert len(said) == 1
    assert "did not end within 0.2 s" in said[0]
    assert process.wait(5) == -signal.SIGKILL


def _wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 10
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def test_ctrl_c_while_it_stores(tmp_path: Path, stand_in: StandIn) -> None:
    """The results are there already, so nobody has to wait for a tracker."""
    process = evaluate(tmp_path, stand_in, "finish=hang", timeout_s=60)
    while "finish" not in ((tmp_path / "calls").read_text() if (tmp_path / "calls").exists() else ""):
        time.sleep(0.05)
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, "accuracy" in out, "Traceback" in err) == (0, True, False), err
    assert time.monotonic() - before < 5


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_run_that_is_ended(how: signal.Signals, tmp_path: Path, stand_in: StandIn) -> None:
    """Whether it can still say so or not, the tracker's run ends, and is not called a success."""
    stand_in.delay_s = 0.1
    process = evaluate(tmp_path, stand_in, "", "--concurrency", "1", limit=80)
    while "init" not in ((tmp_path / "calls").read_text() if (tmp_path / "calls").exists() else ""):
        time.sleep(0.05)
    process.send_signal(how)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while "finish" not in calls(tmp_path)[-1] and time.monotonic() < deadline:
        time.sleep(0.05)
    expected = f"finish {os.EX_TEMPFAIL}" if how == signal.SIGKILL else "finish 0"  # a valid partial result
    assert calls(tmp_path)[-1] == expected


@pytest.mark.parametrize("name", ["wandb", "mlflow", "tensorboard"])
def test_a_library_that_is_missing(
    name: str, tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said before anything is asked; a folder of its name, such as W&B's own, is no library."""
    library = {"tensorboard": "tensorboardX"}.get(name, name)
    (tmp_path / "folders" / library).mkdir(parents=True)
    empty = importlib.machinery.PathFinder.find_spec(library, [str(tmp_path / "folders")])
    for found in (None, empty):
        monkeypatch.setattr(importlib.util, "find_spec", lambda asked, found=found: found)
        value = {"wandb": "project=p", "mlflow": "experiment=e"}.get(name, "tb")
        with pytest.raises(SystemExit) as ended:
            main(["eval", "--tasks", "smoke_yesno", "--endpoint", stand_in.url, "-o", str(tmp_path / "r"),
                  f"--{name}", value])  # fmt: skip
        assert ended.value.code == 1
        assert f"pip install 'lmms-fast[{name}]'" in capsys.readouterr().err
    assert stand_in.asked == []
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("flag", "text", "says"),
    [
        ("wandb", "entity=me", "name the project"), ("wandb", "project", "KEY=VALUE"),
        ("wandb", "project=p,colour=red", "'colour=red' is not understood"),
        ("wandb", "project=p,mode=on", "mode is online, offline or disabled"),
        ("wandb", "project=p,samples=many", "samples is a whole number"),
        ("mlflow", "tracking_uri=http://me:pw@host", "do not belong into an address"),
        ("tensorboard", "tb,name=x", "'name=x' is not understood"),
    ],
)  # fmt: skip
def test_mistakes(flag: str, text: str, says: str) -> None:
    """One sentence that names the flag."""
    with pytest.raises(UsageError, match="--" + flag) as error:
        settings_of(make_spec({"tasks": ["smoke"], flag: text}))
    assert says in str(error.value)


def test_what_is_shown_while_it_goes_on() -> None:
    """Answers, failures, means so far, the servers' load."""
    tally = Tally()
    for event in (TaskSized("t", 4, 1), SampleDone("t", "t/1#0", 1.0, None, 5, 1, 0.1),
                  SampleDone("t", "t/2#0", None, "server", 0, 1, None),
                  LoadRead("a", Load(3, 1, 0.5, *[0] * 6)), LoadRead("b", Load(4, 0, 0.75, *[0] * 6))):  # fmt: skip
        tally.add(event)
    found = numbers(tally)
    assert (found["progress/answers"], found["progress/not_measured"], found["so_far/t"]) == (3, 1, 1.0)
    assert (found["server/running"], found["server/waiting"], found["server/kv_cache"]) == (7, 1, 0.75)


def test_no_secrets_leave() -> None:
    """Settings whose names say so are hidden, however deep; vLLM's flags go without their values."""
    spec: dict[str, Any] = {
        "max_tokens": 5, "api_key_env": "MY_KEY", "system_prompt": "hi",
        "extra_body": {"api_key": KEY, "nested": [{"Authorization": KEY}], "top_k": 1, "min_tokens": 2},
        "server_args": ["--api-key", KEY, f"--hf-token={KEY}", "--enforce-eager"],
    }  # fmt: skip
    told = public(spec)
    assert KEY not in orjson.dumps(told).decode()
    assert told["extra_body"] == {"api_key": HIDDEN, "nested": [{"Authorization": HIDDEN}], "top_k": 1, "min_tokens": 2}
    assert (told["max_tokens"], told["api_key_env"], told["system_prompt"]) == (5, "MY_KEY", "hi")
    assert told["server_args"] == ["--api-key", "--hf-token", "--enforce-eager"]


def test_a_directory_names_no_tracker(tmp_path: Path, stand_in: StandIn) -> None:
    """`resume` and `score` of someone else's run send nothing to where it says."""
    run = lmms_fast.evaluate("smoke_yesno", endpoint=stand_in.url, limit=1, output_dir=tmp_path / "run").path
    manifest = orjson.loads((run / "manifest.json").read_bytes())
    recorded = manifest["sessions"][-1]["spec"]
    recorded |= {"wandb": "project=theirs", "mlflow": "tracking_uri=http://theirs", "tensorboard": "/etc"}
    (run / "manifest.json").write_bytes(orjson.dumps(manifest))
    assert settings_of(spec_again(run, (), None, ())) == []
    assert spec_again(run, (), None, ()).wandb is None
    assert spec_again(run, (), None, (), trackers={"wandb": "project=mine"}).wandb == "project=mine"
    assert judge_spec(run, recorded, {"judge": "j", "judge_endpoint": stand_in.url}).wandb is None
