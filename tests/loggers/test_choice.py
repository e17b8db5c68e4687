"""The part of the samples that trackers are shown."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from lmms_fast import evaluate
from lmms_fast.errors import UsageError
from lmms_fast.loggers import choice
from lmms_fast.loggers.choice import TEXT, chosen, scores
from lmms_fast.report.finished import FinishedRun, open_run
from tests.servers.stand_in import StandIn, answer_to, completion


@pytest.fixture
def run(tmp_path: Path, stand_in: StandIn) -> FinishedRun:
    """Some right, some wrong, one that talks for long, one that failed."""

    def behave(number: int, body: dict[str, Any]) -> web.Response:
        if number == 9:
            return web.Response(status=400, text="no")
        return web.json_response(completion("\x1b" * 9_000 if number == 3 else answer_to(body)))

    stand_in.behave = behave
    return open_run(evaluate("smoke_yesno", stand_in.url, limit=20, concurrency=1, output_dir=tmp_path / "run").path)


def test_what_went_wrong_comes_first(run: FinishedRun) -> None:
    """In the order of the data among equals; so many and no more, with texts that are cut and harmless."""
    lines = [json.loads(line) for line in (run.path / "samples_smoke_yesno.jsonl").read_text().splitlines()]
    order = ["not_measured", "wrong", "no_answer", "correct"]
    ids = [line["id"] for line in sorted(lines, key=lambda line: order.index(line["outcome"]))]
    for most in (0, 5, 50):
        found = chosen(run, most).get("smoke_yesno", [])
        assert [one.cells["id"] for one in found] == ids[:most]
    longest = max(found, key=lambda one: len(one.cells["response"] or ""))
    assert longest.cells["response"] == "\N{REPLACEMENT CHARACTER}" * TEXT
    assert all(one.picture and Image.open(io.BytesIO(one.picture)).format == "JPEG" for one in found)
    assert scores(run) == {"smoke_yesno/accuracy": run.results["tasks"]["smoke_yesno"]["aggregates"][0]["value"]}


def test_data_that_take_too_long(run: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no pictures then, and all the rest."""
    read = threading.Event()

    class Slow:
        def __init__(self, *words: Any) -> None:
            read.wait(30)
            raise UsageError("too late")

    monkeypatch.setattr(choice, "Pictures", Slow)
    found = chosen(run, 5, patience_s=0.05)["smoke_yesno"]
    read.set()
    assert [one.picture for one in found] == [None] * 5
