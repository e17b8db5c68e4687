"""A whole process measured from outside, and the mock server around it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """One process with its descendants, from start to exit."""

    wall_s: float
    cpu_s: float
    """User and system, of all of them."""
    peak_bytes: int
    """Resident, of the largest single process."""


# A process's peak begins with what its parent held when it was started, so a small one stands between.
_SHIM = """
import os, resource, subprocess, sys, time
started = time.perf_counter()
code = subprocess.call(sys.argv[2:])
wall = time.perf_counter() - started
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as out:
    print(code, wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, file=out)
"""


def run(command: Sequence[str], environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> Usage:
    """Run to the end. Raises SystemExit with the end of its output when it fails."""
    with tempfile.NamedTemporaryFile("r") as told:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SHIM, told.name, *command], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd, env={**os.environ, **(environment or {})},
            check=False,
        )  # fmt: skip
        code, wall_s, cpu_s, peak_bytes = told.read().split() or ("1", "0", "0", "0")
    if code != "0":
        said = done.stdout.decode(errors="replace")[-2000:]
        raise SystemExit(f"{' '.join(command)}\nfailed with exit code {code}:\n{said}")
    return Usage(float(wall_s), float(cpu_s), int(peak_bytes))


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
    with mock_servers(1, *options) as servers:
        yield servers[0]


@contextlib.contextmanager
def mock_servers(count: int, *options: str) -> Iterator[list[MockServer]]:
    """So many of them with the same options, in one process: what is measured is the client, which shares the cores."""
    command = [sys.executable, "-m", "bench.mock", "--servers", str(count), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield [MockServer(int(process.stdout.readline())) for _ in range(count)]
        finally:
            process.kill()


def pss(processes: Iterable[psutil.Process]) -> int:
    """Bytes of memory of all of them, pages that they share counted once; those that have ended have none."""
    total = 0
    for one in processes:
        with contextlib.suppress(psutil.Error):
            total += one.memory_full_info().pss
    return total


def machine() -> str:
    """What the figures were measured on."""
    return f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}"


def publish(name: str, lines: Sequence[str], readme: bool) -> None:
    """Print a table; with `readme` also put it between the marks of that name in README.md or docs/."""
    text = "\n".join(lines)
    print(text)
    if not readme:
        return
    root = Path(__file__).parents[1]
    for path in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
        before, mark, rest = path.read_text(encoding="utf-8").partition(f"<!-- bench.{name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if mark and end:
            path.write_text(f"{before}{mark}{text}\n{end}{after}", encoding="utf-8")
            return
    raise SystemExit(f"neither README.md nor docs/ has marks for bench.{name}")
