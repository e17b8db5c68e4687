"""The process of one tracker: ``python -m lmms_fast.loggers.child``, told by lines of JSON on standard input.

First what is logged where, then numbers, at last that the run's directory has results. It answers on standard output:
``{"at": …}``, ``{"stored": true}`` or ``{"error": …}``. Input that ends before the results do is a run that was ended.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import orjson

from lmms_fast.config.public import public
from lmms_fast.endpoints.redact import redact
from lmms_fast.journal.rundir import read_json, write_bytes
from lmms_fast.loggers.choice import Shown, chosen
from lmms_fast.loggers.settings import Settings
from lmms_fast.report.finished import FinishedRun, open_run

_KEYS = ("WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "HF_TOKEN")
_PASSWORD = re.compile(r"//[^/@\s]*@")
_IDS = "trackers.json"
"""In the run's directory: the names under which trackers know it, so that a run that is continued is one there, too."""


class Tracker(Protocol):
    """What a tracker's library is told."""

    def begin(self, run: Path, config: Mapping[str, Any], known: str | None) -> tuple[str, str | None]:
        """Where the run is shown, and the name under which it can be continued; `known` is that of a session before."""
        ...

    def progress(self, numbers: Mapping[str, float], step: int) -> None:
        """Numbers at `step` answers."""
        ...

    def finish(self, run: FinishedRun, samples: Mapping[str, list[Shown]], step: int) -> None:
        """Scores, samples and files."""
        ...

    def end(self, *, complete: bool) -> None:
        """Nothing more will come."""
        ...


def tracker(settings: Settings) -> Tracker:
    """The one that is asked for, with its library."""
    match settings.tracker:
        case "wandb":
            from lmms_fast.loggers.weights_and_biases import WeightsAndBiases  # noqa: PLC0415  (each is an extra)

            return WeightsAndBiases(settings)
        case "mlflow":
            from lmms_fast.loggers.ml_flow import MLflow  # noqa: PLC0415

            return MLflow(settings)
        case "tensorboard":
            from lmms_fast.loggers.tensor_board import TensorBoard  # noqa: PLC0415

            return TensorBoard(settings)


def config_of(spec: Mapping[str, Any], manifest: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the run was asked, without secrets."""
    identity = (manifest or {}).get("identity", {})
    session = ((manifest or {}).get("sessions") or [{}])[-1]
    return {**public(spec), "model": identity.get("model") or spec.get("model"), "task_digests": identity.get("tasks"),
            "weights": identity.get("weights"), "versions": session.get("versions"),
            "machine": session.get("machine")}  # fmt: skip


def main() -> None:
    """Until standard input ends."""
    said = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # libraries print what they like

    def say(**what: Any) -> None:
        said.write(orjson.dumps(what) + b"\n")
        said.flush()

    try:
        _track(say)
    except Exception as error:  # whatever a library throws, the run goes on
        say(error=_told(f"{type(error).__name__}: {error}"))
        os._exit(1)  # at its exit a library may try once more, for long


def _track(say: Any) -> None:
    first = orjson.loads(sys.stdin.buffer.readline())
    settings = Settings(**first["settings"])
    path, spec = Path(first["run"]), first["spec"]
    telling = tracker(settings)
    ids = read_json(path / _IDS) or {}
    known, place = ids.get(_place(settings)), _place(settings)
    config = config_of(spec, read_json(path / "manifest.json"))
    at, name = telling.begin(path, config, known if isinstance(known, str) else None)
    say(at=_told(at))
    if name is not None:
        write_bytes(path / _IDS, orjson.dumps({**(read_json(path / _IDS) or {}), place: name}))
    complete = False
    for line in sys.stdin.buffer:
        told = orjson.loads(line)
        if told["do"] == "progress":
            telling.progress(told["numbers"], told["step"])
        else:
            run = open_run(path)
            telling.finish(run, chosen(run, settings.samples, map(Path, spec["include_path"])), told["step"])
            complete = True
    telling.end(complete=complete)
    if complete:
        say(stored=True)


def _place(settings: Settings) -> str:
    """Where the tracker keeps its runs."""
    options = settings.options
    names = (options[name] for name in ("entity", "project", "tracking_uri", "experiment") if name in options)
    return " ".join((settings.tracker, *names))


def _told(text: str) -> str:
    """A library's words without keys and passwords."""
    for name in _KEYS:
        text = redact(text, os.environ.get(name))
    return _PASSWORD.sub("//", text)


if __name__ == "__main__":
    main()
