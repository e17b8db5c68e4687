"""The real libraries, told of a real run, and what they stored read back.

Each is skipped where it is not installed: ``pip install 'lmms-fast[wandb,mlflow,tensorboard]'``.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from tests.servers.stand_in import StandIn, answer_to, completion

ROOT = Path(__file__).parents[2]
CANARY = "canary-of-extra-body"


def needs(library: str) -> pytest.MarkDecorator:
    """Skips, with the way to have it."""
    found = importlib.util.find_spec(library)
    extra = {"tensorboardX": "tensorboard"}.get(library, library)
    return pytest.mark.skipif(found is None or found.origin is None, reason=f"pip install 'lmms-fast[{extra}]'")


def evaluate(folder: Path, stand_in: StandIn, *flags: str) -> dict[str, Any]:
    """Twelve questions of two tasks, one of them not measured, slowly enough for two looks; the results."""

    def behave(number: int, body: dict[str, Any]) -> web.Response:
        if number == 5:
            return web.Response(status=400, text="no")
        return web.json_response(completion(answer_to(body)))

    stand_in.behave, stand_in.delay_s = behave, 0.25
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_DATA_DIR": str(folder / "data"),
                   "WANDB_CACHE_DIR": str(folder / "cache"), "WANDB_CONFIG_DIR": str(folder / "config")}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--tasks", "smoke_yesno,smoke_count", "--endpoint",
         stand_in.url, "--limit", "6", "--concurrency", "1", "--max-failures", "1", "-o", "run", "--extra-body",
         json.dumps({"user_token": CANARY}), *flags],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for flag in flags[::2]:
        assert f"{flag.strip('-')}: the run is at" in done.stderr
    assert "whole without it" not in done.stderr
    results: dict[str, Any] = json.loads((folder / "run" / "results.json").read_text())
    return results


def headline(results: dict[str, Any], task: str) -> float:
    """A task's score."""
    return float(results["tasks"][task]["aggregates"][0]["value"])


def leveldb_log(data: bytes) -> Iterator[bytes]:
    """The records of a .wandb file, which are laid out as those of LevelDB's log, after seven bytes of its own."""
    whole, at = b"", 7
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        whole = (whole if kind in (3, 4) else b"") + data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield whole


@needs("wandb")
@pytest.mark.filterwarnings("ignore")
def test_weights_and_biases_offline(tmp_path: Path, stand_in: StandIn) -> None:
    """Settings, numbers while it goes on, scores, a table of samples with pictures, files; no secret."""
    from wandb.proto import wandb_internal_pb2 as protocol

    results = evaluate(tmp_path, stand_in, "--wandb", "project=p,mode=offline,tags=a+b,group=g,samples=4")
    [file] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    data = file.read_bytes()
    assert CANARY.encode() not in data
    records = [protocol.Record.FromString(one) for one in leveldb_log(data)]
    [run] = [one.run for one in records if one.WhichOneof("record_type") == "run"]
    config = {one.key: json.loads(one.value_json) for one in run.config.update}
    assert (run.project, run.run_group, [*run.tags], run.display_name) == ("p", "g", ["a", "b"], "run")
    assert (config["limit"], config["model"], config["extra_body"]) == ("6", "stand-in", {"user_token": "(hidden)"})
    history: list[dict[str, Any]] = [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in one.history.item}
        for one in records if one.WhichOneof("record_type") == "history"
    ]  # fmt: skip
    answers = [one["progress/answers"] for one in history]
    assert answers == sorted(answers)
    assert answers[-1] == 12
    assert len([one for one in history if "progress/requests_per_s" in one]) >= 2
    assert history[-1]["score/smoke_yesno/accuracy"] == headline(results, "smoke_yesno")
    assert [one.exit.exit_code for one in records if one.WhichOneof("record_type") == "exit"] == [0]
    artifacts = [one.artifact for one in records if one.WhichOneof("record_type") == "artifact"]
    files = {one.path: Path(one.local_path) for artifact in artifacts for one in artifact.manifest.contents}
    assert {"results.json", "samples_smoke_yesno.jsonl", "samples_smoke_count.jsonl"} <= set(files)
    assert files["results.json"].read_bytes() == (tmp_path / "run" / "results.json").read_bytes()
    table = json.loads(files["samples/smoke_yesno.table.json"].read_text())
    assert len(table["data"]) == 4
    outcomes = [row[table["columns"].index("outcome")] for row in table["data"]]
    order = ["not_measured", "wrong", "no_answer", "correct"]
    assert outcomes == sorted(outcomes, key=order.index)
    pictures = [path for name, path in files.items() if name.endswith(".jpg")]
    assert len(pictures) == 8
    assert {Image.open(path).format for path in pictures} == {"JPEG"}
    assert json.loads((tmp_path / "run" / "trackers.json").read_text()) == {"wandb p": run.run_id}


@needs("mlflow")
def test_mlflow_in_a_local_store(tmp_path: Path, stand_in: StandIn) -> None:
    """Parameters, metrics by answers, artifacts, an end; a second command continues the same run."""
    pytest.importorskip("sqlalchemy", reason="pip install 'lmms-fast[mlflow]'")
    flags = ("--mlflow", f"tracking_uri=sqlite:///{tmp_path}/ml.db,experiment=e,tags=a,samples=4")
    results = evaluate(tmp_path, stand_in, *flags)
    evaluate(tmp_path, stand_in, *flags)
    with sqlite3.connect(tmp_path / "ml.db") as store:
        [(run, name, status, place)] = store.execute("select run_uuid, name, status, artifact_uri from runs")
        parameters = dict(store.execute("select key, value from params"))
        metrics = [*store.execute("select key, value, step from metrics order by step")]
        tags = dict(store.execute("select key, value from tags"))
    store.close()
    assert (name, status, parameters["model"], parameters["limit"]) == ("run", "FINISHED", "stand-in", "6")
    assert CANARY not in str(parameters)
    assert ("score/smoke_yesno/accuracy", headline(results, "smoke_yesno"), 12) in metrics
    assert len({step for key, _, step in metrics if key == "progress/answers"}) >= 2
    assert (tags["source"], "a" in tags) == ("lmms-fast", True)
    artifacts = Path(place.removeprefix("file://"))
    artifacts = artifacts if artifacts.is_absolute() else tmp_path / artifacts
    assert (artifacts / "results.json").read_bytes() == (tmp_path / "run" / "results.json").read_bytes()
    assert len(json.loads((artifacts / "shown" / "smoke_count.json").read_text())["data"]) == 4
    assert len([*artifacts.glob("shown/smoke_count/*.jpg")]) == 4
    assert "smoke\\_yesno" in (artifacts / "scores.md").read_text()
    assert run in json.loads((tmp_path / "run" / "trackers.json").read_text()).values()


def tf_records(data: bytes) -> Iterator[bytes]:
    """The records of an event file: length, its checksum, content, its checksum."""
    at = 0
    while at < len(data):
        [size] = struct.unpack_from("<Q", data, at)
        yield data[at + 12 : at + 12 + size]
        at += 16 + size


@needs("tensorboardX")
@pytest.mark.filterwarnings("ignore")
def test_tensorboard(tmp_path: Path, stand_in: StandIn) -> None:
    """Numbers by answers, scores, tables as text, pictures."""
    from tensorboardX.proto.event_pb2 import Event

    results = evaluate(tmp_path, stand_in, "--tensorboard", "tb")
    [file] = tmp_path.glob("tb/run/events.out.tfevents.*")
    assert CANARY.encode() not in file.read_bytes()
    events = [Event.FromString(one) for one in tf_records(file.read_bytes())]
    values = [(one.tag, one, event.step) for event in events for one in event.summary.value]
    scores = {tag: (one.simple_value, step) for tag, one, step in values if tag.startswith("score/")}
    assert scores["score/smoke_count/accuracy"] == (pytest.approx(headline(results, "smoke_count")), 12)
    assert len([step for tag, _, step in values if tag == "progress/answers"]) >= 2
    texts = {tag: one.tensor.string_val[0].decode() for tag, one, _ in values if one.tensor.string_val}
    assert "| smoke\\_count | accuracy |" in texts["scores/text_summary"]
    assert texts["samples/smoke_yesno/text_summary"].count("\n") == 8
    pictures = [Image.open(io.BytesIO(one.image.encoded_image_string)) for _, one, _ in values if one.HasField("image")]
    assert len(pictures) == 12
