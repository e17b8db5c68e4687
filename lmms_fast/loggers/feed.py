"""Events of a run → what trackers are told, without ever waiting for one.

The run puts numbers into a queue that holds a few of them, and drops what finds no place. A thread passes them to the
tracker's process, and only the end of the run waits, for so long as was allowed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

import lmms_fast
from lmms_fast.config.spec import RunSpec
from lmms_fast.errors import LmmsFastError
from lmms_fast.events import Event, Notice, Notify, Opened, SampleDone
from lmms_fast.loggers.settings import Settings, settings_of
from lmms_fast.report.console import Tally
from lmms_fast.report.plain import one_line
from lmms_fast.report.result import RunResult

EVERY_S = 2.0
"""Between two looks at the numbers."""
_WAITING = 64
_LEAVE_S = 10.0  # for a tracker whose run has no results


class Loggers:
    """A listener that tells all trackers of a run; `results` at its end."""

    def __init__(self, settings: Sequence[Settings], spec: RunSpec, notify: Notify) -> None:
        self._settings, self._spec, self._notify = settings, spec, notify
        self._tally = Tally()
        self._trackers: list[_Tracker] = []
        self._told = 0.0

    def __call__(self, event: Event) -> None:
        """Count an event, and pass it on to whom it was for in the first place."""
        self._notify(event)
        if not self._settings:
            return
        self._tally.add(event)
        if isinstance(event, Opened) and not self._trackers:
            spec = {**self._spec.model_dump(mode="json"), "model": event.model or self._spec.model}
            self._trackers = [_Tracker(one, Path(event.path), spec, self._notify) for one in self._settings]
        elif isinstance(event, SampleDone) and time.monotonic() - self._told > EVERY_S:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        for tracker in self._trackers:
            tracker.put({"do": "progress", "step": self._answers, "numbers": numbers(self._tally)})

    @property
    def _answers(self) -> int:
        return sum(one.done for one in [*self._tally.tasks.values()])

    def results(self, result: RunResult) -> None:
        """Hand over what the run's directory holds now; waits until it is stored, or gives up."""
        if self._tally.finished:
            self._tell()
        for tracker in self._trackers:
            tracker.put({"do": "finish", "step": max(self._answers, result.samples)})
        try:
            for tracker in self._trackers:
                tracker.close(finished=True)
        except KeyboardInterrupt:  # the results are in the directory, and whoever waits has had enough
            for tracker in self._trackers:
                tracker.give_up()
        self._trackers = []

    def close(self) -> None:
        """End what still runs; for a run without results."""
        for tracker in self._trackers:
            tracker.close(finished=False)


@contextlib.contextmanager
def loggers(spec: RunSpec, notify: Notify) -> Iterator[Loggers]:
    """A run's trackers; nothing but `notify` where none was asked for. Raises UsageError as `settings_of`."""
    telling = Loggers(settings_of(spec), spec, notify)
    try:
        yield telling
    finally:
        telling.close()


def numbers(tally: Tally) -> dict[str, float]:
    """What is shown of a run that goes on. Scores are means of the samples so far, which a benchmark's may not be."""
    requests, tokens = tally.rates()
    tasks = [*tally.tasks.items()]  # the feed's thread adds some
    found = {
        "progress/answers": float(sum(one.done for _, one in tasks)),
        "progress/not_measured": float(tally.failed), "progress/requests_per_s": requests,
        "progress/completion_tokens_per_s": tokens, "progress/in_flight": float(len(tally.in_flight)),
    }  # fmt: skip
    if tally.judged or tally.unjudged:
        found |= {"progress/judgements": float(tally.judged), "progress/judgements_failed": float(tally.unjudged)}
    found |= {f"so_far/{name}": one.value_sum / one.scored for name, one in tasks if one.scored}
    if loads := [*tally.loads.values()]:
        found |= {"server/running": sum(one.running for one in loads),
                  "server/waiting": sum(one.waiting for one in loads),
                  "server/kv_cache": max(one.kv_cache for one in loads)}  # fmt: skip
    return found


class _Tracker:
    """One tracker's process, and the thread that talks to it."""

    def __init__(self, settings: Settings, run: Path, spec: Mapping[str, Any], notify: Notify) -> None:
        self._settings, self._run, self._notify = settings, run, notify
        self._queue: queue.Queue[Mapping[str, Any] | None] = queue.Queue(_WAITING)
        self._process: subprocess.Popen[bytes] | None = None
        self._stored = self._trouble = False
        about = {"settings": asdict(settings), "run": str(run.resolve()), "spec": spec}
        self.put(about)
        self._thread = threading.Thread(target=self._talk, name=f"tracker {settings.tracker}", daemon=True)
        self._thread.start()

    def put(self, message: Mapping[str, Any] | None) -> None:
        """Something to tell; numbers are dropped where the tracker is slow, the end of the run is not."""
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            if message is None or message.get("do") != "progress":
                with contextlib.suppress(queue.Empty):
                    self._queue.get_nowait()
                self.put(message)

    def close(self, *, finished: bool) -> None:
        """Wait until all is stored, or end it."""
        self.put(None)
        patience_s = self._settings.timeout_s if finished else _LEAVE_S
        self._thread.join(patience_s)
        if self._thread.is_alive():
            self._failed(f"it did not end within {patience_s:g} s")
            self.give_up()
            self._thread.join(1.0)
        elif finished and not self._stored:
            self._failed("it ended early")

    def _talk(self) -> None:
        try:
            process = self._process = _start(self._settings)
        except OSError as error:
            self._failed(f"its process does not start ({error.strerror})")
            return
        assert process.stdin is not None
        listener = threading.Thread(target=self._listen, args=(process,), daemon=True)
        listener.start()
        with contextlib.suppress(OSError), process.stdin as pipe:  # one that is gone has said why
            while (message := self._queue.get()) is not None:
                pipe.write(orjson.dumps(message) + b"\n")
                pipe.flush()
        process.wait()
        listener.join(1.0)

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """What the process says: where the run is shown, that all is stored, or what went wrong."""
        assert process.stdout is not None
        with process.stdout as pipe:
            for line in pipe:
                with contextlib.suppress(orjson.JSONDecodeError, TypeError):
                    self._heard(orjson.loads(line))

    def _heard(self, said: Mapping[str, Any]) -> None:
        self._stored = self._stored or "stored" in said
        if "at" in said:
            self._say(f"the run is at {one_line(str(said['at']), 300)}")
        if "error" in said:
            self._failed(one_line(str(said["error"]), 300).rstrip("."))

    def _failed(self, why: str) -> None:
        """Said once: what follows is only more of it."""
        if not self._trouble:
            self._trouble = True
            self._say(f"{why}; the run in {self._run} is whole without it, and the same command hands its results over "
                      "again.")  # fmt: skip

    def give_up(self) -> None:
        """End the process at once, with all that it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _say(self, text: str) -> None:
        with contextlib.suppress(LmmsFastError):  # nobody reads any more
            self._notify(Notice(f"{self._settings.tracker}: {text}"))


def _start(settings: Settings) -> subprocess.Popen[bytes]:
    """The process, in a group of its own: Ctrl-C is for the run, which tells it."""
    root = str(Path(lmms_fast.__file__).parents[1])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "lmms_fast.loggers.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "PYTHONPATH": path, "WANDB_SILENT": "true", "MLFLOW_DISABLE_TELEMETRY": "true"},
    )  # fmt: skip
