"""Runs that end before they are done, or cannot write: one sentence, nothing lost, and the same command goes on."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

import pytest

from lmms_fast.errors import LmmsFastError, UsageError
from tests.faults.work import check_sound, command, evaluate, journal, samples, write
from tests.servers.faulty import Faulty

COUNT = 24
ENTRY = "from lmms_fast.cli.app import main; main(sys.argv[1:])"


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """More samples than are in flight."""
    return write(tmp_path / "task", COUNT)


@pytest.fixture
def results(faulty: Faulty, many: Path, tmp_path: Path) -> bytes:
    """Of an undisturbed run."""
    evaluate(many, faulty.url, tmp_path / "plain")
    return (tmp_path / "plain" / "results.json").read_bytes()


def _words(task: Path, server: Faulty, out: Path, *more: str, before: str = "") -> list[str]:
    """The command of a run; `before` is Python that is run first in its process."""
    words = command(task, server.url, out, "--concurrency", "4", *more)
    start = words.index("eval")
    code = f"import sys; {before}; {ENTRY}" if before else f"import sys; {ENTRY}"
    return [sys.executable, "-c", code, *words[start:]]


@contextlib.contextmanager
def _started(words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A run that tells what it does, and is ended with the block if it still goes on."""
    words = [word for word in words if word != "-q"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send it, and wait until the run has said that it stops."""
    process.send_signal(number)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Stopping"):
            return
    raise AssertionError("it did not say that it stops")


def _sentence(done: subprocess.CompletedProcess[str]) -> str:
    """All that a failed command said: one line."""
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def _until(true: Callable[[], bool]) -> None:
    """Raises AssertionError after ten seconds."""
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


def _lines(out: Path) -> int:
    path = out / "journal.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _plain(said: str) -> str:
    """What was printed, without the panel's frame."""
    return " ".join(said.replace("│", " ").split())


def _check_goes_on(task: Path, server: Faulty, out: Path, results: bytes) -> None:
    """The same command ends in what an undisturbed run ends in, and asks only what is missing."""
    kept = _lines(out)
    server.plan()
    check_sound(out, evaluate(task, server.url, out))
    assert server.stats()["requests"] == COUNT - kept
    assert (out / "results.json").read_bytes() == results


# A disk that is full


@pytest.mark.parametrize("full", ["manifest.json", "journal.jsonl", "samples_faults.jsonl"])
def test_full_disk(faulty: Faulty, many: Path, tmp_path: Path, results: bytes, full: str) -> None:
    """At whichever file: one sentence, exit 1, no half-written file; with room again the run goes on."""
    limit = {"manifest.json": 200, "journal.jsonl": 5000}.get(full)
    if limit is None:
        sizes = [(tmp_path / "plain" / name).stat().st_size for name in ("journal.jsonl", full)]
        assert sizes[0] + 500 < sizes[1]
        limit = sum(sizes) // 2  # latencies have more digits or fewer
    out = tmp_path / "r"
    before = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    done = subprocess.run(_words(many, faulty, out, before=before), capture_output=True, text=True, check=False)
    assert f"{full}: cannot be written (File too large)" in _sentence(done)
    assert not list(out.glob("*.tmp"))
    _check_goes_on(many, faulty, out, results)


def test_full_disk_while_tracing(faulty: Faulty, many: Path, tmp_path: Path, results: bytes) -> None:
    """The trace is no result, but what cannot be written is said."""
    out = tmp_path / "r"
    out.mkdir()
    (out / "trace.json").symlink_to("/dev/full")
    done = subprocess.run(_words(many, faulty, out, "--profile"), capture_output=True, text=True, check=False)
    assert "trace.json cannot be written (No space left on device)" in _sentence(done)
    _check_goes_on(many, faulty, out, results)


# A directory that cannot be written


def _a_file(out: Path) -> None:
    out.write_text("")


def _below_a_file(out: Path) -> None:
    out.parent.write_text("")


def _taken(name: str) -> Callable[[Path], None]:
    return lambda out: (out / name / "x").mkdir(parents=True)


@pytest.mark.parametrize(
    "spoil",
    [_a_file, _below_a_file, *map(_taken, (".lock", "manifest.json", "journal.jsonl", "samples_faults.jsonl",
                                          "results.json"))],
    ids=["a file", "below a file", "lock", "manifest", "journal", "samples", "results"],
)  # fmt: skip
def test_a_directory_that_cannot_be_used(
    faulty: Faulty, task: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """One sentence that names the path, also for root, whom no permission stops."""
    out = tmp_path / "runs" / "r"
    (tmp_path / "runs").mkdir() if spoil is not _below_a_file else None
    spoil(out)
    with pytest.raises(LmmsFastError, match="runs/r") as caught:
        evaluate(task, faulty.url, out)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission(faulty: Faulty, task: Path, tmp_path: Path) -> None:
    """The same."""
    out = tmp_path / "r"
    out.mkdir(mode=0o500)
    with pytest.raises(LmmsFastError, match="Permission denied"):
        evaluate(task, faulty.url, out)


def test_a_place_where_nothing_can_be_made(faulty: Faulty, task: Path) -> None:
    """A file system that takes no folders."""
    done = subprocess.run(_words(task, faulty, Path("/proc/r")), capture_output=True, text=True, check=False)
    assert _sentence(done).startswith("lmms-fast: /proc/r: cannot be used as a run directory")


# A clock that jumps


def test_a_clock_that_jumps(
    faulty: Faulty, many: Path, tmp_path: Path, results: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back and forth by a day with every look: neither the result nor how long it takes depends on it."""
    now, jumps = time.time, itertools.cycle((0, 86_400, -86_400))
    monkeypatch.setattr(time, "time", lambda: now() + next(jumps))
    faulty.plan({"name": "429", "retry_after": "0.05"}, {"name": "500"}, {"name": "slow"}, rate=0.3)
    out = tmp_path / "r"
    began = time.monotonic()
    check_sound(out, evaluate(many, faulty.url, out, max_attempts=9, max_time="20s"))
    assert time.monotonic() - began < 10
    assert (out / "results.json").read_bytes() == results
    assert all(0 <= line["response"]["latency_s"] < 5 for line in samples(out))


@pytest.mark.parametrize("off_s", [-86_400, 86_400])
def test_retry_after_as_a_date(faulty: Faulty, task: Path, tmp_path: Path, off_s: int) -> None:
    """Counts from the server's own date, so a machine whose clock is wrong waits as long as was asked for."""
    at = time.time() + off_s
    headers = {"Date": formatdate(at, usegmt=True), "Retry-After": formatdate(at + 1, usegmt=True)}
    faulty.plan({"name": "429", "headers": headers})
    began = time.monotonic()
    result = evaluate(task, faulty.url, tmp_path / "r", max_time="3s")
    assert result.not_asked == 0
    assert 0.9 < time.monotonic() - began < 2.5


# Two at once


def test_two_runs_in_one_directory(faulty: Faulty, many: Path, tmp_path: Path, results: bytes) -> None:
    """The second is told so and touches nothing; nor may the first be re-scored or resumed meanwhile."""
    out = tmp_path / "r"
    faulty.plan({"name": "wait", "after": COUNT - 4, "times": 0})
    words = _words(many, faulty, out)
    with _started(words) as first:
        _until(lambda: faulty.stats()["requests"] == COUNT)
        others = [words, [*words[:3], "resume", str(out)], [*words[:3], "score", str(out)]]
        with ThreadPoolExecutor() as pool:
            for second in pool.map(functools.partial(subprocess.run, capture_output=True, text=True), others):
                assert "another lmms-fast is running there" in _sentence(second)
        assert faulty.stats()["requests"] == COUNT
        faulty.plan()
        assert first.wait(10) == 0
    assert (out / "results.json").read_bytes() == results


def test_fresh_leaves_a_running_one_alone(faulty: Faulty, many: Path, tmp_path: Path) -> None:
    """--fresh sets finished or interrupted runs aside, not one that is being written."""
    out = tmp_path / "r"
    faulty.plan({"name": "wait", "after": COUNT - 4, "times": 0})
    with _started(_words(many, faulty, out)):
        _until(lambda: faulty.stats()["requests"] == COUNT)
        with pytest.raises(UsageError, match="another lmms-fast is running there"):
            evaluate(many, faulty.url, out, fresh=True)
        faulty.plan()


# Signals, deadlines, budgets


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal(
    faulty: Faulty, many: Path, tmp_path: Path, results: bytes, number: signal.Signals, code: int
) -> None:
    """Nothing more is asked, what is out is waited for and kept, and the result is of what was answered."""
    out = tmp_path / "r"
    faulty.plan({"name": "wait", "after": 8, "times": 0})
    with _started(_words(many, faulty, out)) as process:
        _until(lambda: faulty.stats()["requests"] == 12 and _lines(out) == 8)
        _signal(process, number)
        faulty.plan()
        _, said = process.communicate(timeout=10)
    assert process.returncode == code
    assert "Traceback" not in said
    assert "12 samples were not asked" in _plain(said)
    assert (faulty.stats()["requests"], _lines(out)) == (0, 12)
    partial = json.loads((out / "results.json").read_bytes())
    assert (partial["samples"], partial["tasks"]["faults"]["not_asked"]) == (12, 12)
    assert len(samples(out)) == 12
    assert json.loads((out / "manifest.json").read_bytes())["complete"] is False
    _check_goes_on(many, faulty, out, results)


def test_the_grace_ends(faulty: Faulty, many: Path, tmp_path: Path, results: bytes) -> None:
    """Requests that never end are given up, and asked again by the next session."""
    out = tmp_path / "r"
    faulty.plan({"name": "hang", "after": 8, "times": 0})
    before = "import lmms_fast.pipeline.stop as it; it.GRACE_S = 0.3"
    with _started(_words(many, faulty, out, before=before)) as process:
        _until(lambda: faulty.stats()["requests"] == 12 and _lines(out) == 8)
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 143
    assert json.loads((out / "results.json").read_bytes())["samples"] == 8
    assert faulty.stats()["requests"] == 12
    _check_goes_on(many, faulty, out, results)


def test_twice_ends_at_once(faulty: Faulty, many: Path, tmp_path: Path, results: bytes) -> None:
    """Although requests hang."""
    out = tmp_path / "r"
    faulty.plan({"name": "hang", "after": 8, "times": 0})
    with _started(_words(many, faulty, out)) as process:
        _until(lambda: faulty.stats()["requests"] == 12 and _lines(out) == 8)
        _signal(process, signal.SIGINT)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
        assert time.monotonic() - began < 2
    assert process.returncode == 130
    assert "What was answered is kept; the same command continues" in _plain(said)
    assert "Traceback" not in said
    _check_goes_on(many, faulty, out, results)


def test_a_signal_before_the_first_request(many: Path, tmp_path: Path) -> None:
    """While an endpoint lets one wait for its list of models."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = Faulty(silent.getsockname()[1])
        silent.settimeout(10)
        with _started(_words(many, server, tmp_path / "r", "--model", "m")) as process:
            connection, _ = silent.accept()
            with connection:
                process.terminate()
                _, said = process.communicate(timeout=5)
    assert process.returncode == 143
    assert "Traceback" not in said


def test_a_signal_while_waiting_for_the_rate(faulty: Faulty, many: Path, tmp_path: Path) -> None:
    """What only waits for --rpm is not out, so it is neither waited for nor sent."""
    out = tmp_path / "r"
    before = "import lmms_fast.pipeline.stop as it; it.GRACE_S = 3.0"
    with _started(_words(many, faulty, out, "--rpm", "2", before=before)) as process:
        _until(lambda: _lines(out) == 2)
        began = time.monotonic()
        process.terminate()
        process.communicate(timeout=10)
        assert time.monotonic() - began < 2
    assert process.returncode == 143


def test_nobody_reads_the_events(faulty: Faulty, many: Path, tmp_path: Path, results: bytes) -> None:
    """`lmms-fast eval --json … | head`: no traceback, nothing lost."""
    out = tmp_path / "r"
    with subprocess.Popen(
        _words(many, faulty, out, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 1
    assert said == ""
    _check_goes_on(many, faulty, out, results)


@pytest.mark.parametrize(("flags", "reason"), [(("--max-time", "1s"), "--max-time is over"),
                                               (("--budget", "96tok"), "the budget is spent")])  # fmt: skip
def test_a_limit(
    faulty: Faulty, many: Path, tmp_path: Path, results: bytes, flags: tuple[str, str], reason: str
) -> None:
    """Exit 2 with the result of what was answered, and how many were not asked."""
    out = tmp_path / "r"
    faulty.plan({"name": "slow", "seconds": 0.3})
    done = subprocess.run(_words(many, faulty, out, *flags), capture_output=True, text=True, check=False)
    asked = faulty.stats()["requests"]
    assert done.returncode == 2, done.stderr
    assert 4 <= asked < COUNT
    if "--budget" in flags:
        assert 8 * asked <= 96 + 8 * 4
    said = _plain(done.stderr)
    assert f"since {reason}. {COUNT - asked} samples were not asked. The same command continues it." in said
    assert json.loads((out / "results.json").read_bytes())["samples"] == _lines(out) == asked
    assert len(journal(out)) == asked
    _check_goes_on(many, faulty, out, results)
