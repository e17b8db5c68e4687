"""Shards of a run → the run. What they recorded is put together; nothing is asked or decided here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from lmms_fast.errors import UsageError
from lmms_fast.journal.rundir import RunDir, differences, read_json
from lmms_fast.journal.store import Journal
from lmms_fast.report.result import RunResult, finish, recorded_tasks


def merge(runs: Sequence[Path], out: Path, include: Sequence[Path] = ()) -> RunResult:
    """The whole run, in a new directory. Raises UsageError for shards that do not make one."""
    manifests = [_manifest(path) for path in runs]
    _check(runs, manifests)
    _check_keys([path / "journal.jsonl" for path in runs])
    if out.exists():
        raise UsageError(f"{out}: exists already; name a new directory with -o.")
    with RunDir(out) as directory:
        manifest = _merged(runs, manifests)
        directory.write("manifest.json", manifest)
        for path in runs:
            for definition in path.glob("*.yaml"):
                (out / definition.name).write_bytes(definition.read_bytes())
        _put_together([path / "journal.jsonl" for path in runs], directory.journal)
        if manifest.get("judge"):
            _put_together([path / "judgements.jsonl" for path in runs], directory.judgements)
        chosen = recorded_tasks(directory, include)
        scorings = manifest["sessions"][-1]["spec"].get("scoring", ())
        with Journal(directory.journal) as journal:
            return finish(directory, journal, chosen.tasks, chosen.groups, scorings)


def _manifest(path: Path) -> dict[str, Any]:
    manifest = read_json(path / "manifest.json")
    if manifest is None:
        raise UsageError(f"{path}: not a run directory (it has no manifest.json).")
    if not isinstance(manifest.get("identity", {}).get("shard"), dict):
        raise UsageError(f"{path}: is not a shard of a run; shards are made with `eval --shard NUMBER/OF`.")
    if not manifest["complete"]:
        raise UsageError(f"{path}: is not complete; `lmms-fast resume {path}` goes on with it.")
    return manifest


def _check(runs: Sequence[Path], manifests: Sequence[Mapping[str, Any]]) -> None:
    """All parts of one thing, each once."""
    first = manifests[0]
    for path, manifest in zip(runs, manifests, strict=True):
        changes = [*differences(_apart(first), _apart(manifest)),
                   *differences({"judge": first.get("judge")}, {"judge": manifest.get("judge")})]  # fmt: skip
        if changes:
            shown = "; ".join(changes).replace("was ", "").replace("now ", f"{path.name} ")
            raise UsageError(f"{path}: is of another run than {runs[0]}; {shown}.")
    by_number: dict[int, list[Path]] = {}
    for path, manifest in zip(runs, manifests, strict=True):
        by_number.setdefault(manifest["identity"]["shard"]["number"], []).append(path)
    of = first["identity"]["shard"]["of"]
    if twice := next((paths for paths in by_number.values() if len(paths) > 1), None):
        raise UsageError(f"{twice[0]} and {twice[1]} are the same shard; give each once.")
    if missing := [f"{number}/{of}" for number in range(1, of + 1) if number not in by_number]:
        raise UsageError(f"shards are missing: {', '.join(missing)}; run them with --shard and the same settings.")


def _apart(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the shards of a run have in common."""
    identity = dict(manifest["identity"])
    identity["shard"] = {"of": identity["shard"]["of"]}
    return identity


def _merged(runs: Sequence[Path], manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A manifest as that of a run in one piece, with those of the shards inside."""
    last = manifests[0]["sessions"][-1]
    session = {**last, "spec": {**last["spec"], "shard": None, "output_dir": None}, "samples": _sizes(manifests[0])}
    shards = [{"path": str(path), "sessions": one["sessions"]} for path, one in zip(runs, manifests, strict=True)]
    identity = {name: value for name, value in manifests[0]["identity"].items() if name != "shard"}
    return {"identity": identity, "sessions": [session], "complete": True, "answered": True,
            "judge": manifests[0].get("judge"), "shards": shards}  # fmt: skip


def _sizes(manifest: Mapping[str, Any]) -> Mapping[str, int | None]:
    found = (session["samples_of_all_shards"] for session in manifest["sessions"] if "samples_of_all_shards" in session)
    return next(found, {})


def _check_keys(journals: Sequence[Path]) -> None:
    """No sample is in two shards: a task's ids would not be unique, or its data were not the same everywhere."""
    seen: dict[str, Path] = {}
    for path in journals:
        for key, _ in _lines(path):
            if seen.setdefault(key, path) is not path:
                raise UsageError(f"{key} is in {seen[key].parent} and in {path.parent}; were their data the same?")


def _put_together(parts: Sequence[Path], whole: Path) -> None:
    """Lines of journals, one behind the other. Of a question that judges were asked in two shards the first reply
    counts."""
    seen: dict[str, Path] = {}
    with whole.open("wb") as out:
        for part in parts:
            out.writelines(line for key, line in _lines(part) if seen.setdefault(key, part) is part)


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Keys and lines; damaged ones, whose samples were asked again, are left behind."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError):
                yield orjson.loads(line)["key"], line
