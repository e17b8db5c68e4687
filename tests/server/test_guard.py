"""The guard leaves nothing behind, whatever ends first. Real processes, a stand-in for vLLM."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lmms_fast.server import kept, leftover
from lmms_fast.server.command import command, environment
from lmms_fast.server.hints import explain, tail
from lmms_fast.server.kept import KeptServer
from lmms_fast.server.spec import ServerSpec

GUARD = Path(__file__).parents[2] / "lmms_fast" / "server" / "guard.py"
# A parent that ignores TERM, with a child in a session of its own: the shape of a vLLM that hangs in start-up.
FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(os.getpid(), child.pid, flush=True)
time.sleep(float(sys.argv[1])); sys.exit(7)
"""


def _start(seconds: float, more: Mapping[str, str] | None = None) -> tuple[subprocess.Popen[str], int, list[int]]:
    read_end, write_end = os.pipe()
    guard = subprocess.Popen(
        [sys.executable, "-I", str(GUARD), str(read_end), sys.executable, "-c", FAMILY, str(seconds)],
        stdout=subprocess.PIPE, text=True, pass_fds=(read_end,), env={**os.environ, **(more or {})},
    )  # fmt: skip
    os.close(read_end)
    assert guard.stdout is not None
    return guard, write_end, [int(word) for word in guard.stdout.readline().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _all_gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while any(map(_alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_closing_the_lifeline_ends_everything() -> None:
    """This is what `kill -9` of lmms-fast does to the pipe."""
    guard, lifeline, pids = _start(600)
    os.close(lifeline)
    guard.communicate(timeout=20)
    assert guard.returncode == 0
    assert _all_gone(pids)


def test_signal_to_the_guard_ends_everything() -> None:
    """A SIGTERM that hits the guard itself."""
    guard, lifeline, pids = _start(600)
    guard.send_signal(signal.SIGTERM)
    guard.communicate(timeout=20)
    os.close(lifeline)
    assert _all_gone(pids)


def test_the_servers_own_end_takes_its_orphans_along() -> None:
    """vLLM's engine outlives a dead API server; the guard does not let it. The exit code is passed on."""
    guard, lifeline, pids = _start(0.2)
    guard.communicate(timeout=20)
    os.close(lifeline)
    assert guard.returncode == 7
    assert _all_gone(pids)


def test_a_kept_server_outlives_the_run_and_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte on the lifeline; afterwards only a signal ends it. The registry names one process for good, and no key."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    guard, lifeline, pids = _start(600)
    os.write(lifeline, b"k")
    os.close(lifeline)
    one = KeptServer({}, ("m", "u"), 1, guard.pid, kept.start_ticks(guard.pid) or 0, "log", (), {})
    kept.register(one)
    kept.register(replace(one, names=("m", "older"), started=1))  # the same pid, in another life
    with pytest.raises(subprocess.TimeoutExpired):
        guard.wait(0.3)
    assert all(map(_alive, pids))
    assert kept.running() == [one]
    assert one.api_key() == "secret"
    assert all("secret" not in path.read_text() for path in kept.folder().iterdir())
    assert kept.stop(one)
    guard.communicate(timeout=20)
    assert _all_gone(pids)
    assert kept.running() == []


def test_kill_9_of_the_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server dies with its parent; a child in another session is told by its environment, and no one else is."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    leftover.scratch("one").mkdir()
    guard, lifeline, pids = _start(600, leftover.marked("one"))
    other, other_lifeline, others = _start(600, leftover.marked("one-more"))
    guard.kill()
    guard.wait(timeout=20)
    os.close(lifeline)
    assert _all_gone(pids[:1])
    assert _alive(pids[1])
    leftover.end("one")
    assert _all_gone(pids)
    assert list(tmp_path.iterdir()) == []
    assert all(map(_alive, others))
    os.close(other_lifeline)
    for one in (guard, other):
        one.communicate(timeout=20)


def test_kill_9_of_a_kept_servers_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left goes when somebody asks for the servers that are kept."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    guard, lifeline, pids = _start(600, leftover.marked("u"))
    kept.register(KeptServer({}, ("m", "u"), 1, guard.pid, kept.start_ticks(guard.pid) or 0, "log", (), {}))
    guard.kill()
    guard.wait(timeout=20)
    os.close(lifeline)
    assert kept.running() == []
    assert _all_gone(pids)
    guard.communicate(timeout=20)


def test_a_title_does_not_hide_a_process(tmp_path: Path) -> None:
    """vLLM's processes name themselves, which by itself overwrites the environment that others see."""
    setproctitle = pytest.importorskip("setproctitle").__name__
    code = f"import {setproctitle} as it, time; it.setproctitle('VLLM::Worker'); print(flush=True); time.sleep(600)"
    name = f"test-{os.getpid()}"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **leftover.marked(name)},
                          stdout=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        leftover.end(name)
        try:
            assert process.wait(5) == -signal.SIGKILL
        finally:
            process.kill()


def test_command_keeps_the_key_out_of_sight_and_binds_to_loopback() -> None:
    """Flags after `--` win, except where they would open the server to the network."""
    spec = ServerSpec("m", tp=2, extra_args=("--generation-config", "auto", "--host", "0.0.0.0"))
    argv = command(spec, port=5, names=("m", "u"), platform="cpu")
    assert argv.count("--generation-config") == 1
    assert argv[-4:] == ["--host", "127.0.0.1", "--port", "5"]
    extra = environment(spec, platform="cpu", api_key="secret", cores=[0, 1], memory_bytes=24 << 30)
    assert "secret" not in " ".join(argv)
    assert extra["VLLM_API_KEY"] == "secret"
    assert extra["VLLM_CPU_OMP_THREADS_BIND"] == "0|1"


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("(EngineCore pid=1) ERROR torch.OutOfMemoryError: CUDA out of memory\nRuntimeError: Engine core initialization"
         " failed. See root cause above.", "OutOfMemoryError: CUDA out of memory.*lower --max-model-len"),
        ("ValueError: Available memory on node 0 (1/2) is less than desired CPU memory utilization", "too little free"),
        ("ERROR     assert self.num_heads % tp_size == 0\nERROR AssertionError", "--tp must divide"),
        ("vllm serve: error: unrecognized arguments: --bogus", "refused a flag"),
        ("OSError: /x is not a local folder and is not a valid model identifier", "no such model"),
    ],
)  # fmt: skip
def test_hints(log: str, says: str) -> None:
    """The root cause, not the last echo of it, and what to do."""
    import re

    assert re.search(says, explain(log))


def test_tail_leaves_out_the_noise() -> None:
    """Harmless lines that every exit prints."""
    assert tail("real\nnanobind: leaked 3 instances!\n\n") == "real"
