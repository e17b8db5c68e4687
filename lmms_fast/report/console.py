"""What a terminal shows: a live view while a run goes on, the score table at its end."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self, TextIO

import orjson
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lmms_fast.errors import StorageError
from lmms_fast.events import (
    EndpointState,
    Event,
    Judged,
    LimitChanged,
    LoadRead,
    Notice,
    RequestRetried,
    RequestStarted,
    SampleDone,
    ServerPhase,
    TaskSized,
    Timed,
)
from lmms_fast.report.judgements import JudgedBy
from lmms_fast.report.result import Audit, RunResult, TaskResult
from lmms_fast.tasks.spec import DEFAULT
from lmms_fast.types import Aggregate, Load

_PLAIN_EVERY_S = 10.0


@dataclass(slots=True)
class _Progress:
    total: int | None = None
    done: int = 0
    failed: int = 0
    scored: int = 0
    value_sum: float = 0.0

    @property
    def score(self) -> str:
        """Mean of what is scored so far."""
        return f"{self.value_sum / self.scored:.3f}" if self.scored else "–"


class Tally:
    """What the events add up to."""

    def __init__(self) -> None:
        self.tasks: dict[str, _Progress] = {}
        self.server: ServerPhase | None = None
        self.notices: list[str] = []
        self.loads: dict[str, Load] = {}
        self.limits: dict[str, int] = {}
        self.trouble: str | None = None
        self.in_flight: set[str] = set()
        self.finished = self.tokens = self.failed = self.judged = self.unjudged = 0
        self.first_request: float | None = None
        self._recent: deque[tuple[float, int]] = deque(maxlen=4096)

    def add(self, event: Event) -> None:
        """Take an event in. Called from the event loop and from the feed's thread."""
        match event:
            case ServerPhase():
                self.server = event
            case TaskSized():
                self.tasks[event.task] = _Progress(event.total, event.done)
            case RequestStarted():
                self.in_flight.add(event.key)
                self.first_request = self.first_request or time.monotonic()
            case RequestRetried():
                self.in_flight.discard(event.key)
                self.trouble = f"{event.key}: {event.detail}; again in {event.wait_s:.1f} s"
            case SampleDone():
                self._sample(event)
            case Judged():
                self._judged(event)
            case LimitChanged():
                self.limits[event.endpoint] = event.limit
            case LoadRead():
                self.loads[event.endpoint] = event.load
            case Notice():
                self.notices.append(event.text)

    def _sample(self, event: SampleDone) -> None:
        progress = self.tasks.setdefault(event.task, _Progress())
        progress.done += 1
        self.finished += 1
        self.in_flight.discard(event.key)
        self.tokens += event.completion_tokens
        self._recent.append((time.monotonic(), event.completion_tokens))
        if event.failure is not None:
            progress.failed += 1
            self.failed += 1
            self.trouble = f"{event.key}: {event.failure}"
        elif event.value is not None:
            progress.scored += 1
            progress.value_sum += event.value

    def _judged(self, event: Judged) -> None:
        self.judged += event.failure is None
        self.unjudged += event.failure is not None
        if event.failure is not None:
            self.trouble = f"judging {event.key}: {event.failure}"
        elif event.value is not None and event.task in self.tasks:
            self.tasks[event.task].scored += 1
            self.tasks[event.task].value_sum += event.value

    def judging(self) -> str:
        """What judges said, in words; empty where none was asked."""
        if not (self.judged or self.unjudged):
            return ""
        return f"{self.judged} judgements" + (f", {self.unjudged} failed" if self.unjudged else "")

    def rates(self) -> tuple[float, float]:
        """Requests and tokens per second over the last ten seconds."""
        now = time.monotonic()
        while self._recent and self._recent[0][0] < now - 10:
            self._recent.popleft()
        if not self._recent:
            return 0.0, 0.0
        span = max(0.5, now - self._recent[0][0])
        return len(self._recent) / span, sum(tokens for _, tokens in self._recent) / span

    def eta_s(self) -> float | None:
        """Seconds to the end at the present rate; None when a size or the rate is not known."""
        rate, _ = self.rates()
        if not rate or any(progress.total is None for progress in self.tasks.values()):
            return None
        return sum((progress.total or 0) - progress.done for progress in self.tasks.values()) / rate


class LiveView:
    """Progress on standard error: a moving view on a terminal, a line now and then elsewhere. A context manager."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False, stream: TextIO | None = None) -> None:
        self.tally = Tally()
        self._quiet, self._verbose = quiet, verbose
        self._console = Console(file=stream or sys.stderr)
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4, transient=True)
        self._moving = self._console.is_terminal and not quiet
        self._last_line = time.monotonic()
        self._last_phase = ""

    def __call__(self, event: Event) -> None:
        """Take an event and show what should be shown."""
        self.tally.add(event)
        if self._quiet:
            return
        if isinstance(event, Notice):
            self._console.print(Text(event.text), soft_wrap=True)
        elif isinstance(event, Timed):
            self._console.print(Text(event.sentence), soft_wrap=True)
        elif isinstance(event, EndpointState):
            state = "back" if event.up else "out"
            self._console.print(Text(f"{event.endpoint} is {state}: {event.why}"), soft_wrap=True)
        elif self._verbose and isinstance(event, RequestRetried):
            self._console.print(Text(f"retry {self.tally.trouble}"))
        elif self._verbose and isinstance(event, LimitChanged):
            self._console.print(Text(f"{event.endpoint}: {event.limit} in flight ({event.why})"))
        elif not self._moving:
            self._plain(event)

    def _plain(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, ServerPhase):
            if event.phase != self._last_phase or now - self._last_line > _PLAIN_EVERY_S:
                self._print(f"server {event.phase} ({event.elapsed_s:.0f} s) {event.line[-110:]}")
            self._last_phase = event.phase
        elif isinstance(event, SampleDone | Judged) and now - self._last_line > _PLAIN_EVERY_S:
            self._print(self._summary())

    def _print(self, line: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(Text(line), soft_wrap=True)

    def _summary(self) -> str:
        tally = self.tally
        requests, tokens = tally.rates()
        tasks = ", ".join(f"{name} {one.done}/{one.total or '?'} ({one.score})" for name, one in tally.tasks.items())
        eta = tally.eta_s()
        left = f", {eta:.0f} s left" if eta is not None else ""
        judging = f", {said}" if (said := tally.judging()) else ""
        speed = f"{requests:.1f} requests/s, {tokens:.0f} tokens/s"
        return f"{tasks}; {speed}, {tally.failed} not measured{judging}{left}"

    def _render(self) -> RenderableType:
        tally = self.tally
        rows: list[RenderableType] = []
        if tally.server is not None and tally.first_request is None:
            line = f"vLLM {tally.server.phase} {tally.server.elapsed_s:.0f} s"
            rows.append(Text(line, style="bold"))
            rows.append(Text(tally.server.line[: self._console.width - 2], style="dim", no_wrap=True))
        table = Table.grid(padding=(0, 2))
        for name, one in tally.tasks.items():
            bar = ProgressBar(total=one.total or 1, completed=one.done, width=24)
            failed = Text(f"{one.failed} not measured", style="red") if one.failed else Text("")
            table.add_row(name, bar, f"{one.done}/{one.total or '?'}", one.score, failed)
        rows.append(table)
        if tally.first_request is not None:
            requests, tokens = tally.rates()
            eta = tally.eta_s()
            left = f", {eta:.0f} s left" if eta is not None else ""
            out = len(tally.in_flight)
            most = sum(tally.limits.values())
            rows.append(Text(f"{out} of {most} in flight, {requests:.1f} requests/s, {tokens:.0f} tokens/s{left}"))
            if said := tally.judging():
                rows.append(Text(said))
            if tally.loads:
                rows.append(Text(_load_line(tally.loads.values()), style="dim"))
        if tally.trouble:
            rows.append(Text(tally.trouble[: self._console.width - 2], style="yellow", no_wrap=True))
        return Group(*rows)

    def __enter__(self) -> Self:
        if self._moving:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._moving:
            self._live.stop()


def _load_line(loads: Collection[Load]) -> str:
    running, waiting = sum(one.running for one in loads), sum(one.waiting for one in loads)
    fullest = max(one.kv_cache for one in loads)
    return f"server: {running:.0f} in the batch, {waiting:.0f} waiting, KV cache {fullest:.0%}"


class ReaderGone(StorageError):
    """Nobody reads standard output any more, as with ``| head``."""

    quiet = True

    def __init__(self) -> None:
        super().__init__("nobody reads standard output any more; what was answered is kept")


class JsonLines:
    """Events as JSON lines, ``event`` naming the kind."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Write one line."""
        try:
            self._stream.write(orjson.dumps({"event": type(event).__name__, **asdict(event)}).decode() + "\n")
            self._stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())  # or Python complains at its own end
            raise ReaderGone from None


def score_table(result: RunResult) -> Table:
    """Scores with standard errors and intervals, what became of every sample, and bounds where some were not measured.

    The interval is what other questions of the kind would do to the score; the bounds, what those not measured could.
    """
    columns = ["task", "metric", "score", "± s.e.", "95 % interval", "n", "right", "part", "wrong", "no answer",
               "not measured", "cut off"]  # fmt: skip
    optional = {"part": any("graded" in task.outcomes for task in result.tasks.values())}
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    shown = [name for name in columns if optional.get(name, True)]
    bounded = any(one.low is not None for task in result.tasks.values() for one in task.aggregates)
    for name in [*shown, *(["the rest wrong–right"] if bounded else [])]:
        text = name in ("task", "metric")
        table.add_column(_header(name), justify="left" if text else "right", overflow="fold", no_wrap=not text)

    def add(name: str, one: Aggregate, task: TaskResult | None, style: str = "") -> None:
        cells = _cells(name, one, task)
        row = [cells[column] for column in shown]
        table.add_row(*row, *([_bounds(one)] if bounded else []), style=style)

    for name, task in result.tasks.items():
        heads = [row for row in task.aggregates if row.group is None] or [Aggregate("–", None, None, None, 0, 0, 0)]
        for number, one in enumerate(heads):
            add(name if number == 0 else "", one, task if number == 0 else None)
        for one in task.repeats:
            add("  repeats", one, None)
        for variant, found in task.scorings.items():
            for one in (row for row in found if row.group is None):
                add(f"  by {variant}", one, None)
        if task.longer:
            for one in (row for row in task.longer.aggregates if row.group is None):
                add(f"  {task.longer.asked} cut off, asked again", one, None)
    for name, one in result.groups.items():
        add(name, one, None, "bold")
    return table


def _header(name: str) -> str:
    """On two lines where that is shorter than a line: the table is to stand in 100 columns."""
    first, _, last = name.rpartition(" ")
    return f"{first}\n{last}" if last in ("interval", "answer", "measured", "off", "wrong–right") else name


def _cells(name: str, one: Aggregate, task: TaskResult | None) -> dict[str, str]:
    digits = 1 if one.value is not None and abs(one.value) >= 100 else 4
    value = "–" if one.value is None else f"{one.value:.{digits}f}"
    error = "" if one.stderr is None else f"{one.stderr:.{digits}f}"
    interval = "" if one.interval is None else _range(*one.interval)
    outcomes = {} if task is None else task.outcomes
    counts = {column: "" if task is None else str(outcomes.get(key, 0))
              for column, key in (("right", "correct"), ("part", "graded"), ("wrong", "wrong"))}  # fmt: skip
    return {
        "task": name, "metric": one.metric, "score": value, "± s.e.": error, "95 % interval": interval,
        "n": str(one.n), **counts, "no answer": str(one.n_no_answer), "not measured": str(one.n_failed),
        "cut off": "" if task is None else str(task.truncated),
    }  # fmt: skip


def _bounds(one: Aggregate) -> str:
    return "" if one.low is None or one.high is None else _range(one.low, one.high)


def _range(low: float, high: float) -> str:
    digits = 1 if max(abs(low), abs(high)) >= 100 else 3
    return f"{low:.{digits}f}–{high:.{digits}f}"


def remarks(result: RunResult) -> list[str]:
    """Sentences under the table: kinds of failure with an example, what was not asked, what the numbers do not say."""
    lines = [f"not measured, {kind}: {count} (e.g. {result.examples[kind]})" for kind, count in result.failures.items()]
    if result.not_asked:
        lines.append(f"not asked: {result.not_asked}")
    if result.changed:
        lines.append("pictures not sent as stored: " + ", ".join(f"{why} {n}" for why, n in result.changed.items()))
    for name, task in result.tasks.items():
        lines += _of_task(name, task)
    lines += _methods(result)
    return lines + (_judged(result.judged) if result.judged else [])


def _methods(result: RunResult) -> list[str]:
    """How the intervals of the table were made."""
    used: dict[str, dict[str, None]] = {}
    shown = [(name, one) for name, task in result.tasks.items() for one in (*task.aggregates, *task.repeats)]
    for name, one in [*shown, *result.groups.items()]:
        if one.method and one.group is None:
            used.setdefault(re.sub(r" \(\d+ clusters\)", "", one.method), {})[name] = None
    if not used:
        return []
    if len(used) == 1:
        return [f"95 % intervals: {next(iter(used))}."]
    listed = "; ".join(f"{method} ({_some(list(names))})" for method, names in used.items())
    return [f"95 % intervals: {listed}."]


def _some(names: Sequence[str]) -> str:
    """The first three."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _of_task(name: str, task: TaskResult) -> list[str]:
    lines: list[str] = []
    if task.prompt_variant != DEFAULT:
        lines.append(f"{name}: asked in the prompt variant '{task.prompt_variant}'.")
    if unjudged := task.outcomes.get("not_judged"):
        lines.append(_unjudged(name, unjudged, task.judging))
    if task.audit:
        lines.append(_audited(name, task.audit))
    if together := task.outcomes.get("together"):
        lines.append(f"{name}: {together} answers have no number of their own, only together.")
    for what, value in task.beside.items():
        lines.append(f"{name}: {what}: {str(value)[:300]}")
    if task.files:
        lines.append(f"{name}: its code wrote {', '.join(task.files)}.")
    for scoring, drawn in task.drawn.items():
        by = "" if scoring == DEFAULT else f" by {scoring}"
        lines.append(f"{name}: {drawn} of the answers{by} are dice, thrown where the rule found none.")
    if task.on_a_part:
        lines.append(f"{name}: this number is defined over the complete set and was computed on a part of it.")
    if task.submission:
        gap = f", without {task.submission.missing} that were not measured" if task.submission.missing else ""
        lines.append(f"{name}: {task.submission.samples} answers for its server in "
                     f"{task.submission.file}{gap}.")  # fmt: skip
    return lines


def _unjudged(name: str, count: int, judging: Mapping[str, int]) -> str:
    if not judging:
        return (f"{name}: {count} answers are recorded but have no score: only a judge model can tell, and none is "
                "configured (--judge; or now `lmms-fast score RUN --judge MODEL --judge-endpoint URL`).")  # fmt: skip
    why = {"failed": "the question failed", "unreadable": "the reply is not in the form asked for",
           "not_asked": "not asked"}  # fmt: skip
    reasons = ", ".join(f"{why[kind]} {number}" for kind, number in judging.items() if kind in why)
    return f"{name}: {count} answers were not judged and have no score: {reasons}."


def _audited(name: str, audit: Audit) -> str:
    found = audit.agreement
    if found.raw is None:
        return f"{name}: {audit.judge} was to look over a share of the judgements, and none of them has both scores."
    kappa = "not defined" if found.kappa is None else f"{found.kappa:.2f}"
    return (f"{name}: {audit.judge} gives {found.raw:.0%} of {found.n} answers the same score (Cohen's κ {kappa}); "
            "those that differ are in results.json.")  # fmt: skip


def _judged(judged: JudgedBy) -> list[str]:
    tokens = f"{judged.prompt_tokens + judged.completion_tokens} tokens"
    lines = [f"Judged by {judged.model}: {judged.questions} replies, {tokens}, apart from what the answers took."]
    if judged.same_family:
        lines.append(f"Judge and model are of one family ({judged.same_family}); judges favour their own "
                     "(arXiv 2404.13076).")  # fmt: skip
    for task, published in judged.published.items():
        lines.append(f"{task}: published numbers rest on the judge {published}; those of {judged.model} differ.")
    return lines
