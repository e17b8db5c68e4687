"""A whole process measured from outside, and the mock server around it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """One process with its descendants, from start to exit."""

    wall_s: float
    cpu_s: float
    """User and system, of all of them."""
    peak_bytes: int
    """Resident, of the largest single process."""


def run(command: Sequence[str], environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> Usage:
    """Run to the end. Raises SystemExit with the end of its output when it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               cwd=cwd, env={**os.environ, **(environment or {})})  # fmt: skip
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - started
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nfailed with exit code {process.returncode}:\n{said.decode()[-2000:]}")
    return Usage(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


class MockServer:
    """A running `bench.mock`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self._root = f"http://127.0.0.1:{port}"

    def reset(self) -> None:
        """Zero its counters."""
        self._get("/reset")

    def stats(self) -> dict[str, Any]:
        """Its counters."""
        return self._get("/stats")

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self._root + path) as answer:
            content: dict[str, Any] = json.loads(answer.read())
            return content


@contextlib.contextmanager
def mock_server(*options: str) -> Iterator[MockServer]:
    """`bench.mock` with these options, ended with the block."""
    command = [sys.executable, "-m", "bench.mock", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield MockServer(int(process.stdout.readline()))
        finally:
            process.kill()


def machine() -> str:
    """What the figures were measured on."""
    return f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}"


def publish(name: str, lines: Sequence[str], readme: bool) -> None:
    """Print a table; with `readme` also put it between README.md's marks of that name."""
    text = "\n".join(lines)
    print(text)
    if not readme:
        return
    path = Path(__file__).parents[1] / "README.md"
    before, mark, rest = path.read_text(encoding="utf-8").partition(f"<!-- bench.{name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not (mark and end):
        raise SystemExit(f"README.md has no marks for bench.{name}")
    path.write_text(f"{before}{mark}{text}\n{end}{after}", encoding="utf-8")
