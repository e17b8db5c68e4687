"""Runs to be compared: asked of a real server, or written as a run leaves them."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from aiohttp import web

from lmms_fast import evaluate
from lmms_fast.media.encode import digest
from lmms_fast.report.finished import FinishedRun, open_run
from lmms_fast.tasks.catalog import bundled_dir
from tests.servers.stand_in import StandIn, completion

Reply = Callable[[str, str], str | web.Response | None]
"""(the sample's id, its gold answer) → what the server says; None for the gold."""


def asked(
    stand_in: StandIn, out: Path, reply: Reply = lambda id, gold: None, task: str = "smoke_count", **options: Any
) -> FinishedRun:
    """A bundled smoke task, or a copy of one by its path, over HTTP: the server knows the answers by the pictures."""
    rows = pq.read_table(bundled_dir() / "smoke" / f"{Path(task).stem}.parquet").to_pylist()
    known = {digest(row["image"]["bytes"]): (row["id"], row["answer"]) for row in rows}

    def behave(_: int, body: dict[str, Any]) -> web.Response:
        parts = body["messages"][-1]["content"]
        data = next(part["image_url"]["url"] for part in parts if part["type"] == "image_url")
        id, gold = known[digest(base64.b64decode(data.partition(",")[2]))]
        text = next(part["text"] for part in parts if part["type"] == "text")
        if "single word" not in text and "Answer" not in text:  # asked without its instruction, it rambles
            return web.json_response(completion("I see several coloured shapes in this picture."))
        said = reply(id, gold)
        return said if isinstance(said, web.Response) else web.json_response(completion(said or gold))

    stand_in.behave = behave
    evaluate(task, stand_in.url, output_dir=out, **options)
    return open_run(out)


def copied(folder: Path, task: str = "smoke_count") -> Path:
    """A copy of a smoke task."""
    folder.mkdir(parents=True)
    for name in ("_smoke.yaml", f"{task}.parquet", f"{task}.yaml"):
        shutil.copy(bundled_dir() / "smoke" / name, folder / name)
    return folder / f"{task}.yaml"


def broken_prompt(folder: Path, task: str = "smoke_count") -> Path:
    """A copy of a smoke task that has lost its instruction."""
    path = copied(folder, task)
    text = path.read_text().replace("\\nAnswer the question using a single word or phrase.", "")
    path.write_text(text)
    return path


def line(id: str, score: float | None, **more: Any) -> dict[str, Any]:
    """A line of a samples file."""
    said = {"text": more.pop("text", f"says {score}"), "reasoning": None, "finish_reason": more.pop("finish", "stop"),
            "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "latency_s": 0.1, "attempts": 1, "served_by": "x",
            "refusal": None}  # fmt: skip
    pictures = [{"image": one} for one in more.pop("pictures", ())]
    content: dict[str, Any] = {
        "task": "t", "id": id, "repeat": 0, "row": 0, "target": ["yes"], "choices": [], "groups": {}, "facts": {},
        "messages": [{"role": "user", "parts": [*pictures, "Is it?"]}], "score": score,
        "outcome": "not_measured" if score is None else {1.0: "correct", 0.0: "wrong"}.get(score, "graded"),
    }  # fmt: skip
    content |= {"failure": {"kind": "timeout", "detail": "600 s", "attempts": 5}} if score is None else {
        "response": said, "prediction": {"answer": more.pop("answer", said["text"]), "rule": "text"},
    }  # fmt: skip
    return {**content, **more}


def written(
    path: Path, lines: Sequence[Mapping[str, Any]], report: str = "mean", identity: Mapping[str, Any] | None = None,
    groups: Sequence[str] = (), **manifest: Any,
) -> FinishedRun:  # fmt: skip
    """A run directory with one task, `t`, as imported answers leave it."""
    path.mkdir(parents=True)
    outcomes: dict[str, int] = {}
    for one in lines:
        outcomes[one["outcome"]] = outcomes.get(one["outcome"], 0) + 1
    (path / "t.yaml").write_text(
        "task: t\nbenchmark: t\nabout: t\nsource: t\nlicence: t\ndataset: {files: [t.jsonl]}\n"
        "prompt: {user: [{text: x}]}\ntarget: {column: target}\nscore: {extract: text}\n"
        f"groups: {json.dumps(dict.fromkeys(groups, 'x'))}\nreport: [{report}]\n"
    )
    session = {"spec": {"tasks": ["t"], "include_path": []}, "versions": {"lmms-fast": "0"}}
    content = {"identity": {"model": path.name, "tasks": ["t"], "rules": None, **(identity or {})},
               "sessions": [session], "complete": True, **manifest}  # fmt: skip
    (path / "manifest.json").write_text(json.dumps(content))
    results = {"groups": {}, "tasks": {"t": {"outcomes": outcomes, "aggregates": [], "prompt_variant": "default"}}}
    (path / "results.json").write_text(json.dumps(results))
    (path / "samples_t.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return open_run(path)
