"""A run as it goes on, from its files alone: no lock is taken, and nothing of it is held up."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmms_fast.errors import UsageError
from lmms_fast.journal.records import decode_line
from lmms_fast.journal.rundir import read_json
from lmms_fast.report.shown import line_of
from lmms_fast.types import Response

_LATEST, _MOST_AT_ONCE = 25, 64 << 20
_QUIET_S = 30.0
_LOCKS = Path("/proc/locks")


@dataclass(slots=True)
class Tail:
    """What a journal's lines add up to, read on from where the last look ended."""

    path: Path
    tasks: dict[str, Counter[str]] = field(default_factory=dict)
    """done and failed, by task; a sample that was asked again counts once."""
    failures: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    latest: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_LATEST))
    _offset: int = 0
    _known: dict[str, str] = field(default_factory=dict)
    """The kind of a key's failure; "" for one that was answered."""

    def look(self) -> None:
        """Take in what was written since; of very much, the first part."""
        for raw in self._lines():
            try:
                record, outcome, _ = decode_line(raw)
            except ValueError:
                continue
            kind = "" if isinstance(outcome, Response) else outcome.kind
            counts = self.tasks.setdefault(record["task"], Counter())
            before = self._known.get(outcome.key)
            counts["done"] += before is None
            counts["failed"] += bool(kind) - bool(before)
            if before:
                self.failures[before] -= 1
            if kind:
                self.failures[kind] += 1
            self._known[outcome.key] = kind
            said = outcome.text if isinstance(outcome, Response) else f"{kind}: {outcome.detail}"
            if isinstance(outcome, Response):
                self.tokens += outcome.usage.completion_tokens or 0
            self.latest.append({"key": line_of(outcome.key, 80), "said": line_of(said, 160), "failed": bool(kind),
                                "target": line_of(" | ".join(record["target"]), 80)})  # fmt: skip

    def _lines(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._offset:  # set aside, and begun anew
                    self._offset = self.tokens = 0
                    for held in (self.tasks, self.failures, self.latest, self._known):
                        held.clear()
                file.seek(self._offset)
                content = file.read(_MOST_AT_ONCE)
        except OSError:
            return
        whole = content.rpartition(b"\n")
        self._offset += len(whole[0]) + len(whole[1])
        yield from whole[0].splitlines() if whole[1] else ()


def going_on(run: Path) -> bool:
    """Whether a process holds the run's lock, by the system's list of locks: to try would be to take it. Where there is
    no such list, whether its journal was written a moment ago."""
    try:
        inode = (run / ".lock").stat().st_ino
        if _LOCKS.exists():
            return any("FLOCK" in line and f":{inode} " in line for line in _LOCKS.read_text("ascii").splitlines())
        return time.time() - (run / "journal.jsonl").stat().st_mtime < _QUIET_S
    except OSError:
        return False


def summary(run: Path) -> dict[str, Any]:
    """A run's line in a list of runs. What is damaged is said so, and is in nobody's way."""
    going = going_on(run)
    try:
        manifest, results = read_json(run / "manifest.json") or {}, read_json(run / "results.json")
        sessions = manifest.get("sessions") or [{}]
        spec = sessions[-1].get("spec") or {}
        state = "going on" if going else "complete" if manifest.get("complete") else "not complete"
        return {
            "model": line_of(str((manifest.get("identity") or {}).get("model", "?")), 100),
            "tasks": line_of(", ".join(map(str, spec.get("tasks") or ())), 120),
            "started": line_of(str(sessions[0].get("started") or ""), 40), "state": state,
            "scores": [] if results is None else _headlines(results), "results": results is not None,
            "samples": None if results is None else int(results.get("samples", 0)),
        }  # fmt: skip
    except (UsageError, LookupError, TypeError, AttributeError, ValueError) as error:
        return {"model": "?", "tasks": "", "started": "", "state": f"cannot be read ({type(error).__name__})",
                "scores": [], "results": False, "samples": None}  # fmt: skip


def _headlines(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = [(name, one) for name, one in results.get("groups", {}).items()]
    found += [(name, one["aggregates"][0]) for name, one in results["tasks"].items() if one["aggregates"]]
    return [{"task": line_of(name, 80), "metric": line_of(one["metric"], 40), "value": one["value"]}
            for name, one in found[:40]]  # fmt: skip


def progress(run: Path, answers: Tail, judgements: Tail) -> dict[str, Any]:
    """How far a run is."""
    answers.look()
    judgements.look()
    manifest = read_json(run / "manifest.json") or {}
    session = (manifest.get("sessions") or [{}])[-1]
    sizes = session.get("samples") or {}
    names = list(dict.fromkeys([*sizes, *answers.tasks]))
    return {
        **summary(run),
        "progress": [{"task": line_of(name, 80), "total": sizes.get(name),
                      **{kind: answers.tasks.get(name, Counter())[kind] for kind in ("done", "failed")}}
                     for name in names],
        "tokens": answers.tokens, "judgements": sum(counts["done"] for counts in judgements.tasks.values()),
        "failures": {kind: count for kind, count in answers.failures.items() if count},
        "latest": list(reversed(answers.latest)),
    }  # fmt: skip
