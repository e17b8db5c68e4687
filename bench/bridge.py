"""Tasks of lmms-eval by our bridge and by lmms-eval itself, on the same answers:
``python -m bench.bridge [TASK ...] [--all]``, in an environment that has both.

The data are small, in the schema of the hub (`tests/catalogue`). A server gives answers of many kinds, right ones too;
our run records them. Then lmms-eval's `simple_evaluate` runs the task with a model that says again what was recorded,
after its messages were compared with ours, text by text and picture by picture. Every metric must be the same number.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import io
import json
import math
import random
import re
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import publish
from lmms_fast import evaluate
from lmms_fast.data.feed import Selection, feed_task
from lmms_fast.data.source import open_source
from lmms_fast.errors import DataError, LmmsFastError
from lmms_fast.report.result import RunResult
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Media, Message, Sample
from tests.catalogue.hub import everything

PREFIX = "lmms-eval:"
SHAPES = {
    "mme": "two aggregations over question pairs",
    "mmmu_val": "messages with pictures inside the text",
    "mmmu_val_pass64": "64 repeats, vote and pass@k filters",
    "pope": "five aggregations of dicts",
    "gqa": "pictures joined by process_docs, built-in metric",
    "chartqa": "process_results, three means",
    "docvqa_val": "built-in ANLS, several targets",
    "docvqa_test": "submission only",
    "textvqa_val": "metric and submission",
    "scienceqa_img": "process_results of letters",
    "ai2d": "filter class that reads the documents",
    "ocrbench": "report file beside the number",
    "mmbench_en_dev_static": "spreadsheet, one number",
    "coco2017_cap_val": "eight metrics over all captions",
    "refcoco_bbox_val": "a drawn-on picture, seven metrics",
    "blink": "group of 14 tasks with its mean",
    "seedbench": "several pictures, means of parts",
    "hallusion_bench_image": "scored by a judge: refused",
}  # fmt: skip
_FILLERS = ("A", "B.", "(C)", "D", "The answer is B.", "yes", "No", "no.", "", "3", "[0.1, 0.2, 0.6, 0.9]", "a red car",
            "<think>so B, or A?</think>A", "I cannot tell, but perhaps (A) or C.", "zzz")  # fmt: skip


@dataclass
class Compared:
    """One task or group."""

    name: str
    refused: str | None = None
    rows: list[tuple[str, Any, Any]] = field(default_factory=list)
    """Metric, ours, theirs."""
    prompts: bool = True
    """Whether all messages were equal."""

    @staticmethod
    def same(row: tuple[str, Any, Any]) -> bool:
        """One number, to the last digits."""
        _, one, other = row
        return _equal(one, other)

    @property
    def equal(self) -> bool:
        """All of them."""
        return all(map(self.same, self.rows))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int | np.number):
        return math.isclose(one, float(other), rel_tol=1e-12, abs_tol=1e-12)
    return bool(one is None and not isinstance(other, float | int)) or one == other


def write(folder: Path, times: int = 8) -> None:
    """The small datasets as copies of the hub's, with pictures declared as such; each row `times` times."""
    import datasets  # noqa: PLC0415

    sets = {where: [_indexed(row) for row in rows] for where, rows in everything().datasets.items()}
    schemas = {where: pa.Table.from_pylist(rows).schema for where, rows in sets.items()}
    for (repository, config, split), rows in sets.items():
        # On the hub a split whose answers are withheld has the other splits' columns.
        alike = [one for where, one in schemas.items() if where[:2] == (repository, config)]
        plain = pa.Table.from_pylist([_renamed(row, number) for number in range(times) for row in rows],
                                     pa.unify_schemas(alike, promote_options="permissive"))  # fmt: skip
        features = datasets.Features.from_arrow_schema(plain.schema)
        for name, feature in list(features.items()):
            inner = getattr(feature, "feature", feature)
            if isinstance(inner, dict) and set(inner) == {"bytes", "path"}:
                features[name] = datasets.Image() if inner is feature else datasets.List(datasets.Image())
        where = folder / repository / (config or "data")
        where.mkdir(parents=True, exist_ok=True)
        described = plain.replace_schema_metadata(features.arrow_schema.metadata)
        pq.write_table(described, where / f"{split}-00000-of-00001.parquet")


def _renamed(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The row by another id, whose last number is another one; tasks read numbers and subjects out of theirs."""
    if not number:
        return dict(row)
    names = {"id", "index", "question_id", "questionId", "data_id"}.intersection(row)
    other = {name: re.sub(r"(\d*)(?=\D*$)", rf"{number}\1", row[name], count=1) if isinstance(row[name], str)
             else row[name] + 1000 * number
             for name in names if isinstance(row[name], str | int)}  # fmt: skip
    return {**row, **other}


def _indexed(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """MMBench's English rows have their index as text, which lmms-eval's code cannot compare with a number."""
    index = row.get("index")
    return {**row, "index": int(index)} if isinstance(index, str) and index.isdigit() else row


class Answering:
    """Of many kinds, and each time another one; two in five are right."""

    def __init__(self, right: Mapping[str, str]) -> None:
        self._right, self._rng, self._lock = right, random.Random(7), threading.Lock()

    def __call__(self, body: Mapping[str, Any]) -> str:
        """An answer."""
        turn = body["messages"][-1]["content"]
        key = _key(turn if isinstance(turn, list) else [{"type": "text", "text": turn}])
        with self._lock:
            return self._right.get(key, "A") if self._rng.random() < 0.4 else self._rng.choice(_FILLERS)


def _key(parts: Sequence[Mapping[str, Any]]) -> str:
    texts = [part["text"] if part["type"] == "text" else part["image_url"]["url"].partition(",")[2] for part in parts]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _key_of(message: Message) -> str:
    return _key([
        {"type": "text", "text": part} if isinstance(part, str)
        else {"type": "image", "image_url": {"url": "," + base64.b64encode(part.read()).decode()}}
        for part in message.parts
    ])  # fmt: skip


@contextlib.contextmanager
def serving(right: Mapping[str, str]) -> Iterator[str]:
    """The address of a server that answers so."""

    answer = Answering(right)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply({"object": "list", "data": [{"id": "told"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message = {"role": "assistant", "content": answer(body)}
            self._reply({"id": "x", "object": "chat.completion", "created": 0, "model": "told",
                         "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})  # fmt: skip

        def _reply(self, content: Mapping[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}/v1"
        finally:
            http.shutdown()


def compare(name: str, data: Path, folder: Path, **options: Any) -> Compared:
    """A task, or a group, by both."""
    full = PREFIX + name
    found = Compared(name)
    try:
        chosen = Catalog().select([full])
        asked = {task.task: _samples(task, data) for task in chosen.tasks}
        right = {key: answer for task in chosen.tasks for key, answer in _right(task, data, asked[task.task])}
        with serving(right) as url:
            ours = evaluate([full], url, data_dir=data, output_dir=folder / name, **options)
    except LmmsFastError as error:
        found.refused = str(error)
        return found
    from bench.bridge_peer import run_peer  # noqa: PLC0415  (imports lmms-eval)

    answers = {task.task.removeprefix(PREFIX): _answers(ours, task) for task in chosen.tasks}
    messages = {task.removeprefix(PREFIX): {int(one.id): one.messages for one in samples}
                for task, samples in asked.items()}  # fmt: skip
    theirs, found.prompts = run_peer(name, data, folder / f"{name}_peer", answers, messages, same_messages)
    for task in chosen.tasks:
        own = task.task.removeprefix(PREFIX)
        _add(found, "" if len(chosen.tasks) == 1 else f"{own} ", ours, task, theirs[own])
    if written := _files(folder / f"{name}_peer"):
        same = _files(ours.path) == written
        found.rows.append(("files written", f"{len(written)} alike" if same else "others", f"{len(written)} alike"))
    for label, one in ours.groups.items():
        group, _, metric = label.removeprefix(PREFIX).partition(" ")
        metric = metric or one.metric
        found.rows.append((f"{group} {metric}", one.value, theirs.get(group, {}).get(f"{metric},none")))
    return found


def _samples(task: Task, data: Path) -> list[Sample]:
    fed = list(feed_task(task, open_source(task, data), Selection(), lambda _: False))
    if failure := next((one.failure for one in fed if one.failure), None):
        raise DataError(failure.detail)
    return [one.sample for one in fed]


def _right(task: Task, data: Path, samples: Sequence[Sample]) -> Iterator[tuple[str, str]]:
    """What was asked and a right answer, as far as the documents tell."""
    from lmms_fast.bridge.opened import open_task  # noqa: PLC0415

    docs = open_task(task, data).eval_docs_no_media
    for one in samples:
        accepted = docs[int(one.id)].get("answers") or one.target or ("A",)
        first = accepted[0] if isinstance(accepted, list | tuple) else accepted
        yield _key_of(one.messages[-1]), str(first["answer"] if isinstance(first, dict) else first)


def _files(folder: Path) -> list[tuple[str, str]]:
    """Names of what was written, dates apart, and the content of texts."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent != folder]
    return [(re.sub(r"\d+", "N", str(path.relative_to(folder))), "" if path.suffix == ".xlsx" else _hash(path))
            for path in found]  # fmt: skip


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _answers(result: RunResult, task: Task) -> dict[int, list[str]]:
    """Row → the texts of its repeats."""
    lines = [json.loads(line) for line in (result.path / f"samples_{task.task}.jsonl").read_text().splitlines()]
    found: dict[int, list[str]] = {}
    for line in sorted(lines, key=lambda one: (one["row"], one["repeat"])):
        found.setdefault(line["row"], []).append(line["response"]["text"])
    return found


def _add(found: Compared, prefix: str, result: RunResult, task: Task, theirs: Mapping[str, Any]) -> None:
    of_ours = result.tasks[task.task]
    ours: dict[str, Any] = {one.metric: one.value for one in of_ours.aggregates} | dict(of_ours.beside)
    errors = {one.metric: one.stderr for one in of_ours.aggregates if one.stderr is not None}
    for key, value in theirs.items():
        metric, _, by = key.partition(",")
        label = metric.removesuffix("_stderr") + ("" if by in ("none", "") else f",{by}")
        if metric.endswith("_stderr") and label in errors:
            found.rows.append((f"{prefix}± {label}", errors[label], value))
        elif isinstance(value, list) and not value:
            continue  # it has no aggregation of that name
        elif by and not metric.endswith(("_stderr", "_clt", "_clustered")):
            found.rows.append((prefix + label, ours.pop(label, None), value))
    found.rows += [(prefix + label, value, "not there") for label, value in ours.items()]


def same_messages(ours: Sequence[Message], theirs: Sequence[Mapping[str, Any]]) -> bool:
    """Roles, texts and pixels."""
    if [one.role for one in ours] != [one["role"] for one in theirs]:
        return False
    return all(_same_parts(one.parts, other["content"]) for one, other in zip(ours, theirs, strict=True))


def _same_parts(ours: Sequence[str | Media], theirs: Sequence[Mapping[str, Any]]) -> bool:
    from PIL import Image  # noqa: PLC0415

    if len(ours) != len(theirs):
        return False
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, str):
            if other["type"] != "text" or other["text"] != one:
                return False
            continue
        if other["type"] != "image":
            return False
        with Image.open(io.BytesIO(one.read())) as picture:
            if picture.convert("RGB").tobytes() != other["url"].convert("RGB").tobytes():
                return False
    return True


def candidates(data: Path) -> list[str]:
    """Tasks of lmms-eval whose data are there, and that can be loaded here."""
    from lmms_fast.bridge import lmms_eval  # noqa: PLC0415

    there = {repository for repository, _, _ in everything().datasets}
    found = []
    for name in lmms_eval.names(()):
        with contextlib.suppress(LmmsFastError):
            one = lmms_eval.load(name, ())
            if isinstance(one, Task) and one.dataset.hub[0].path in there:
                found.append(name.removeprefix(PREFIX))
    return found


def table(all_of: Sequence[Compared]) -> list[str]:
    """For the README."""
    lines = ["| task of lmms-eval | its shape | numbers compared | all equal | first one: ours | lmms-eval |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for one in all_of:
        shape = SHAPES.get(one.name, "")
        if one.refused is not None:
            lines.append(f"| `{one.name}` | {shape} | – | – | – | – |")
            continue
        metric, ours, theirs = one.rows[-1] if one.name in ("blink",) else one.rows[0]
        lines.append(f"| `{one.name}` | {shape} | {len(one.rows)} | {'yes' if one.equal else 'no'} | "
                     f"{metric} {_shown(ours)} | {_shown(theirs)} |")  # fmt: skip
    return lines


def _shown(value: Any) -> str:
    return f"{value:.6f}" if isinstance(value, float | np.number) else "–" if value is None else str(value)[:40]


def main() -> None:
    """Print ours and theirs for every metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", help=f"default: {', '.join(SHAPES)}")
    parser.add_argument("--all", action="store_true", help="every task whose data are there")
    parser.add_argument("--publish", action="store_true", help="into the README")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        write(data)
        names = candidates(data) if given.all else given.tasks or list(SHAPES)
        all_of = []
        for name in names:
            all_of.append(one := compare(name, data, Path(place) / "runs", fresh=True))
            if one.refused is not None:
                print(f"{name}: refused: {one.refused}")
            for metric, ours, theirs in one.rows:
                sign = "=" if one.same((metric, ours, theirs)) else "≠"
                print(f"{name:28} {metric:44} {_shown(ours):>14} {sign} {_shown(theirs)}")
            if not one.prompts:
                print(f"{name}: the messages differ")
            sys.stdout.flush()
    compared = [one for one in all_of if one.refused is None]
    print(f"{len(compared)} compared, {sum(one.equal for one in compared)} with equal numbers, "
          f"{sum(one.prompts for one in compared)} with equal messages, {len(all_of) - len(compared)} refused")
    if given.publish:
        publish("bridge", table(all_of), readme=True)


if __name__ == "__main__":
    main()
