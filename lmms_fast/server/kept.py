"""Servers that `--keep-server` left running: one file each, so that the next run finds them.

The file holds no key: it is read from the environment of the guard's process, which only its owner can.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from lmms_fast.errors import StorageError
from lmms_fast.server import leftover

_STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class KeptServer:
    """A server that runs on its own."""

    identity: dict[str, Any]
    """What it was launched as; only a run that would launch the same may use it."""
    names: tuple[str, ...]
    """What it serves the model as; the last is unique."""
    port: int
    pid: int
    """Of the guard, which ends everything on SIGTERM."""
    started: int
    """The guard's start in clock ticks since boot; with the pid it names one process for good."""
    log_path: str
    command: tuple[str, ...]
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """Its unique name."""
        return self.names[-1]

    @property
    def alive(self) -> bool:
        """Whether that process still runs."""
        return start_ticks(self.pid) == self.started

    def api_key(self) -> str | None:
        """The server's key; None when the process is gone or another user's."""
        try:
            environment = Path(f"/proc/{self.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return None
        prefix = b"VLLM_API_KEY="
        return next((item[len(prefix) :].decode() for item in environment if item.startswith(prefix)), None)


def start_ticks(pid: int) -> int | None:
    """When a process started; None if there is none, or it has ended and waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def folder() -> Path:
    """Where the files are."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "lmms-fast" / "servers"


def register(server: KeptServer) -> None:
    """Make a server known to later runs. Raises StorageError."""
    path = folder() / f"{server.name}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(orjson.dumps(asdict(server), option=orjson.OPT_INDENT_2))
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"--keep-server: {path} cannot be written ({error.strerror}).") from None


def running() -> list[KeptServer]:
    """The kept servers that are alive, by name; what is left of dead ones is taken away."""
    found: list[KeptServer] = []
    for path in sorted(folder().glob("*.json")):
        try:
            content = orjson.loads(path.read_bytes())
            server = KeptServer(**{**content, "names": tuple(content["names"]), "command": tuple(content["command"])})
        except (OSError, ValueError, TypeError, KeyError):
            continue
        if server.alive:
            found.append(server)
        else:
            leftover.end(server.name)
            path.unlink(missing_ok=True)
    return found


def stop(server: KeptServer) -> bool:
    """End a kept server and everything below it; False when it is still there after half a minute."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(server.pid)
        try:
            if server.alive:
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                if not select.select([handle], [], [], _STOP_S)[0]:
                    return False
        finally:
            os.close(handle)
    (folder() / f"{server.name}.json").unlink(missing_ok=True)
    return True
