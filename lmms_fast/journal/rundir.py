"""A run's directory: paths, lock, manifest. Another spec on the same directory is refused, difference shown."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from lmms_fast.errors import StorageError, UsageError

_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS


class RunDir:
    """An opened, locked run directory."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path
        try:
            if fresh and path.exists():
                old = _locked(path)  # one that is being written is not set aside
                path.rename(path.with_name(f"{path.name}.old-{time.strftime('%Y%m%d-%H%M%S')}"))
                os.close(old)
            path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(path)
        except OSError as error:
            raise StorageError(f"{path}: cannot be used as a run directory ({error.strerror}).") from None

    @property
    def journal(self) -> Path:
        """The append-only journal."""
        return self.path / "journal.jsonl"

    @property
    def judgements(self) -> Path:
        """The journal of what judges were asked about the answers, and what they said."""
        return self.path / "judgements.jsonl"

    def server_log(self, role: str, replica: int, number: int) -> Path:
        """Log of a vLLM that this run launched, as the model's or a judge's; `number` counts those that died before."""
        name = ("server" if role == "model" else f"{role}_server") + (f"_{replica}" if replica else "")
        return self.path / (f"{name}.{number}.log" if number else f"{name}.log")

    def samples(self, task: str) -> Path:
        """Per-sample file of a task."""
        return self.path / f"samples_{task}.jsonl"

    def definition(self, task: str) -> Path:
        """Task file of a task that has none elsewhere."""
        return self.path / f"{task}.yaml"

    def manifest(self) -> dict[str, Any] | None:
        """What the run recorded of itself; None in a new directory."""
        return read_json(self.path / "manifest.json")

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Replace a JSON file in one step, so that a kill leaves the old one or the new one."""
        write_bytes(self.path / name, orjson.dumps(content, option=_OPTIONS) + b"\n")

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Refuse to mix results: the directory must be new or hold a run of the same identity."""
        manifest = self.manifest()
        if manifest is None:
            return
        if not isinstance(recorded := manifest.get("identity"), dict):
            raise UsageError(f"{self.path}: its manifest.json is damaged; give another -o, or --fresh to set it aside.")
        changes = differences(recorded, identity)
        if changes:
            raise UsageError(
                f"{self.path} holds another run; {'; '.join(changes)}. Give another -o, or --fresh to set the old one "
                "aside."
            )

    def close(self) -> None:
        """Give up the lock."""
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _locked(path: Path) -> int:
    """The descriptor that holds a directory's lock. Raises UsageError when another process has it, OSError."""
    lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise UsageError(f"{path}: another lmms-fast is running there; wait for it or give another -o.") from None
    return lock


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON file's object; None where there is no such file. Raises UsageError if it holds anything else."""
    try:
        content: dict[str, Any] = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}).") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: cannot be read (not a JSON object).")
    return content


def recorded_spec(path: Path, manifest: Mapping[str, Any] | None) -> dict[str, Any]:
    """The spec of a run's last session. Raises UsageError."""
    if manifest is None:
        raise UsageError(f"{path}: not a run directory (it has no manifest.json).")
    try:
        return dict(manifest["sessions"][-1]["spec"])
    except (KeyError, IndexError, TypeError, ValueError):
        raise UsageError(f"{path}: its manifest.json is damaged; it does not say what was run.") from None


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file in one step. Raises StorageError."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written ({error.strerror}); make room and run it again.") from None


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """``key: was A, now B`` for every leaf that differs."""
    lines: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: was {before!r}, now {after!r}")
    return lines
