"""Results JSON and samples JSONL as lmms-eval 0.7 names and fills them (`loggers/evaluation_tracker.py` there).

Two things are ours. A sample that was not measured has no line, since an empty text would be scored as an answer; and
a line keeps `doc` (id, accepted answers, options, groups, facts) and `resps`, which lmms-eval drops, so that
`lmms-fast import` gives the same scores again. The filter is called `none`, as where lmms-eval filters nothing; the
same answers by other rules (`--scoring`) stand under the scoring's name in its place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

import orjson

from lmms_fast import __version__
from lmms_fast.config.public import public
from lmms_fast.errors import StorageError
from lmms_fast.journal.rundir import write_bytes
from lmms_fast.report.export.rows import Line, pictures, prompt
from lmms_fast.report.finished import FinishedRun

_UNSAFE = re.compile(r"[\"<>:/|\\?*\[\]]+")
_FILTER = "none"


def lmms_eval(run: FinishedRun, folder: Path) -> list[Path]:
    """`MODEL/DATE_results.json` and `MODEL/DATE_samples_TASK.jsonl` in `folder`. Raises StorageError, UsageError."""
    place = folder / _UNSAFE.sub("__", "/".join(run.model.split("/")[-2:]))
    date = re.sub(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d).*", r"\1\2\3_\4\5\6", _sessions(run)[0]["started"])
    made, hashes = [], {}
    try:
        place.mkdir(parents=True, exist_ok=True)
        for task in run.tasks:
            path = place / f"{date}_samples_{_UNSAFE.sub('__', task)}.jsonl"
            hashes[task] = _write(path, run, task)
            made.append(path)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written ({error.strerror}).") from None
    results = place / f"{date}_results.json"
    write_bytes(results, orjson.dumps(_results(run, date, hashes), option=orjson.OPT_INDENT_2) + b"\n")
    return [results, *made]


def _sessions(run: FinishedRun) -> list[Mapping[str, Any]]:
    sessions: list[Mapping[str, Any]] = run.manifest["sessions"]
    return sessions


def _write(path: Path, run: FinishedRun, task: str) -> str:
    """The samples file; the hash over its documents."""
    metric = _headline(run, task)
    temporary = path.with_name(path.name + ".tmp")
    hashes = hashlib.sha256()
    with temporary.open("wb") as file:
        for number, line in enumerate(_documents(run, task, metric)):
            hashes.update(f"sample_{number}{line['doc_hash']}".encode())
            file.write(orjson.dumps(line) + b"\n")
    temporary.replace(path)
    return hashes.hexdigest()


def _documents(run: FinishedRun, task: str, metric: str) -> Iterator[dict[str, Any]]:
    """A line for each sample that was measured, with all its repeats."""
    for number, (_, lines) in enumerate(groupby(run.samples(task), key=lambda line: line["id"])):
        measured = [line for line in lines if "response" in line]
        if measured:
            yield _document(number, measured, metric)


def _document(number: int, lines: Sequence[Line], metric: str) -> dict[str, Any]:
    first = lines[0]
    doc = {
        "id": first["id"], "target": first["target"], "choices": first["choices"],
        **{f"groups.{name}": value for name, value in first["groups"].items()},
        **{f"facts.{name}": value for name, value in (first.get("facts") or {}).items()},
    }  # fmt: skip
    texts = [line["response"]["text"] for line in lines]
    asked = prompt(first["messages"])
    shown = [*pictures(first["messages"])]
    targets = [*first["target"]]
    return {
        "doc_id": number,
        "doc": doc,
        "target": targets[0] if len(targets) == 1 else str(targets),
        "arguments": [asked],
        "resps": texts if len(texts) == 1 else [[text] for text in texts],
        "filtered_resps": texts[0] if len(texts) == 1 else texts,
        "token_counts": [_tokens(line["response"]) for line in lines],
        "doc_hash": hashlib.sha256(orjson.dumps(doc)).hexdigest(),
        **({"input_media": [{"type": "image", "digest": one} for one in shown]} if shown else {}),
        **_metrics(lines, metric),
        "input": asked,
    }  # fmt: skip


def _tokens(said: Mapping[str, Any]) -> dict[str, Any]:
    usage = said.get("usage") or {}
    return {"input_tokens": usage.get("prompt_tokens"), "output_tokens": usage.get("completion_tokens")}


def _metrics(lines: Sequence[Line], metric: str) -> dict[str, float]:
    """The headline and its parts, each the mean over the repeats that have it."""
    found: dict[str, list[float]] = {}
    for line in lines:
        values = {metric: line["score"], **(line.get("parts") or {})}
        for name, value in values.items():
            if value is not None:
                found.setdefault(name, []).append(value)
    return {name: fmean(values) for name, values in found.items()}


def _headline(run: FinishedRun, task: str) -> str:
    return next((one["metric"] for one in run.results["tasks"][task]["aggregates"]), "score")


def _results(run: FinishedRun, date: str, hashes: Mapping[str, str]) -> dict[str, Any]:
    tasks, groups = run.results["tasks"], run.results.get("groups", {})
    session = _sessions(run)[-1]
    spec = session["spec"]
    own = run.manifest["identity"].get("tasks", ())
    versions = own if isinstance(own, Mapping) else {}
    of_groups = {name: {f"{one['metric']},{_FILTER}": one["value"], "alias": name} for name, one in groups.items()}
    repeats = run.manifest["identity"].get("repeats", 1)
    return {
        "results": {**{task: _numbers(task, found) for task, found in tasks.items()}, **of_groups},
        **({"groups": of_groups} if groups else {}),
        "group_subtasks": {task: [] for task in tasks},
        "configs": {task: _config(task, found, repeats) for task, found in tasks.items()},
        "versions": {task: versions.get(task, "Yaml") for task in tasks},
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": {task: {one["metric"]: _is_better_higher(one) for one in _whole(found["aggregates"])}
                             for task, found in tasks.items()},
        "n-samples": {task: _counts(session, task, found) for task, found in tasks.items()},
        "config": {
            "model": "lmms-fast", "model_args": f"model={run.model}", "batch_size": None, "limit": spec.get("limit"),
            "gen_kwargs": public(spec.get("gen") or {}) or None, "random_seed": spec.get("seed"),
        },
        "git_hash": session.get("git"),
        "date": date,
        "lmms_fast_version": __version__,
        "usage": {"total": _used(run.results["usage"])},
        "task_hashes": dict(hashes),
        "model_source": "lmms-fast",
        "model_name": run.model,
        "model_name_sanitized": _UNSAFE.sub("__", "/".join(run.model.split("/")[-2:])),
        "system_instruction": spec.get("system_prompt"),
    }  # fmt: skip


def _whole(numbers: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [one for one in numbers if one["group"] is None]


def _is_better_higher(one: Mapping[str, Any]) -> bool:
    """Of our metrics only error rates are better when lower."""
    return "wer" not in str(one["metric"]).lower().split("_")


def _used(usage: Mapping[str, int]) -> dict[str, int]:
    asked, said = usage["prompt_tokens"], usage["completion_tokens"]
    return {"input_tokens": asked, "output_tokens": said, "total_tokens": asked + said}


def _numbers(task: str, found: Mapping[str, Any]) -> dict[str, Any]:
    numbers: dict[str, Any] = {"alias": task}
    for name, aggregates in ((_FILTER, found["aggregates"]), *found.get("scorings", {}).items()):
        for one in _whole(aggregates):
            numbers[f"{one['metric']},{name}"] = one["value"]
            numbers[f"{one['metric']}_stderr,{name}"] = "N/A" if one["stderr"] is None else one["stderr"]
    return numbers


def _config(task: str, found: Mapping[str, Any], repeats: int) -> dict[str, Any]:
    metrics = [{"metric": one["metric"], "higher_is_better": _is_better_higher(one)}
               for one in _whole(found["aggregates"])]  # fmt: skip
    return {"task": task, "output_type": "generate_until", "metric_list": metrics, "num_fewshot": 0, "repeats": repeats,
            "metadata": {"version": __version__, "prompt_variant": found["prompt_variant"]}}  # fmt: skip


def _counts(session: Mapping[str, Any], task: str, found: Mapping[str, Any]) -> dict[str, Any]:
    asked = sum(found["outcomes"].values())
    return {"original": session.get("samples", {}).get(task) or asked,
            "effective": asked - found["outcomes"].get("not_measured", 0)}  # fmt: skip
