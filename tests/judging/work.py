"""A task that a judge scores, and servers that answer and judge it: all depends on the number of the row alone."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from lmms_fast.config.spec import make_spec
from lmms_fast.events import Event, Notify
from lmms_fast.pipeline.run import run, run_to_end
from lmms_fast.pipeline.stop import Stop
from lmms_fast.report.result import RunResult
from tests.servers.stand_in import StandIn, completion
from tests.servers.thread import served

TASK = """\
task: essays
benchmark: essays
about: Free answers.
source: tests/judging/work.py
licence: none
dataset: {files: rows.jsonl}
id: "{{ number }}"
prompt: {user: [{text: "Write about {{ number }}."}]}
target: "about {{ number }}"
groups: {parity: "{{ number % 2 }}"}
generation: {max_tokens: 16}
score:
  extract: text
  judge:
    model: judge-of-the-paper
    prompt: |-
      Question:
      {{ question | fenced }}
      Reference: {{ target[0] }}
      Answer:
      {{ response | fenced }}
      Reply with 1 or 0.
    read: zero_one
"""
Reply = Callable[[int, dict[str, Any]], str | web.Response]


def write(folder: Path, count: int, task: str = TASK) -> Path:
    """The task with so many rows; its file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps({"number": number}) + "\n" for number in range(count)))
    file = folder / "essays.yaml"
    file.write_text(task)
    return file


def number_of(body: dict[str, Any]) -> int:
    """Of the row that a request is about."""
    found = re.search(r"Write about (\d+)\.", json.dumps(body["messages"]))
    assert found, body
    return int(found[1])


def judges(body: dict[str, Any]) -> bool:
    """Whether a request is a judge's."""
    return "Reply with 1 or 0" in json.dumps(body["messages"])


def right(number: int) -> str:
    """What the judge says of a row's answer."""
    return "1" if number % 3 else "0"


@dataclass
class Servers:
    """One that answers and one that judges."""

    model: StandIn = field(default_factory=StandIn)
    judge: StandIn = field(default_factory=StandIn)

    def judged(self) -> list[int]:
        """Rows that the judge was asked about, in order."""
        return [number_of(body) for body in self.judge.asked]


def answers(number: int, body: dict[str, Any]) -> web.Response:
    """What both servers say, where a test says nothing else."""
    row = number_of(body)
    return web.json_response(completion(right(row) if judges(body) else f"It is about {row}."))


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Both, running."""
    pair = Servers()
    with contextlib.ExitStack() as stack:
        for one in (pair.model, pair.judge):
            one.behave = answers
            app = web.Application()
            app.router.add_get("/v1/models", one.models)
            app.router.add_post("/v1/chat/completions", one.chat)
            one.url = stack.enter_context(served(app))
        yield pair


def evaluate(
    task: Path, pair: Servers, out: Path, notify: Notify | None = None, stop: Stop | None = None, **options: Any
) -> RunResult:
    """As `lmms_fast.evaluate`, with the judge."""
    spec = make_spec({"tasks": str(task), "endpoint": pair.model.url, "output_dir": out, "max_attempts": 2,
                      "judge_endpoint": pair.judge.url, "patience": 1, **options})  # fmt: skip

    def silent(_: Event) -> None:
        return None

    return run_to_end(run(spec, notify or silent, stop))


def samples(out: Path) -> list[dict[str, Any]]:
    """The samples file."""
    return [json.loads(line) for line in (out / "samples_essays.jsonl").read_text().splitlines()]
