"""A judge beside the model: ``python -m bench.judge [--runs 3] [--readme]``.

What answering alone takes, judging alone (`lmms-fast score RUN --judge …` over the answers of the first), and both in one
run. Two servers, each with so many slots and such a latency; pictures go to the model, text to the judge. Seconds are the
servers': from the first request that reaches either to the last reply of either, so Python's start, the data set's opening
and the report are in none of them. No judgement is known before, unless a line says so.
"""

from __future__ import annotations

import argparse
import heapq
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench import work
from bench.measure import MockServer, Usage, machine, mock_server, publish, run
from bench.mock import latency

RUBRIC = """\
score:
  extract: text
  judge:
    read: zero_one
    max_tokens: 16
    prompt: |-
      Question:
      {{ question | fenced }}
      Reference: {{ target[0] }}
      Answer:
      {{ response | fenced }}
      Reply with 1 if the answer means the same as the reference, otherwise with 0.
"""
SLOTS = 16
ONE_SERVER_SLOTS, ONE_SERVER_S = 2, "0.05"
IN_FLIGHT = 64
"""Where servers answer at once."""


@dataclass(frozen=True, slots=True)
class Did:
    """One whole process, and what the servers saw of it."""

    usage: Usage
    begun: float
    ended: float
    requests: tuple[int, ...]
    """At each server."""

    @property
    def span_s(self) -> float:
        """From the first request to the last reply."""
        return self.ended - self.begun


@dataclass(slots=True)
class Case:
    """Two servers; `limits` are the flags that say how many requests may be out."""

    label: str
    model: str
    judge: str
    slots: int = SLOTS
    limits: tuple[str, ...] = ("--concurrency", str(SLOTS), "--judge-concurrency", str(SLOTS))
    rounds: list[tuple[Did, Did, Did]] = field(default_factory=list)
    """Answering, judging, both."""


CASES = (
    ("both 0.2 s", "0.2", "0.2"),
    ("both lognormal, median 0.2 s, sigma 1", "lognormal:0.2:1", "lognormal:0.2:1"),
    ("judge 4 × slower: 0.1 and 0.4 s", "0.1", "0.4"),
    ("model 4 × slower: 0.4 and 0.1 s", "0.4", "0.1"),
)
AUTO = ("--concurrency", "64", "--judge-concurrency", "auto")


def write(folder: Path, count: int) -> Path:
    """The standard work with a rubric in place of a rule; its task file."""
    work.write(folder, count)
    plain, _, _ = work.TASK.partition("score:")
    task = folder / "bench_judged.yaml"
    task.write_text(plain.replace("bench_mc", "bench_judged") + RUBRIC)
    return task


def command(*words: str | Path) -> list[str]:
    """Of lmms-fast."""
    return [sys.executable, "-m", "lmms_fast.cli.app", *map(str, words)]


def judged_by(server: MockServer) -> tuple[str, ...]:
    """Flags that name the judge."""
    return ("--judge", "mock", "--judge-endpoint", server.url)


def measure(servers: Sequence[MockServer], words: list[str], cache: Path, wanted: tuple[int, ...]) -> Did:
    """A process with that folder for its caches. Raises SystemExit when other requests were sent than `wanted`."""
    for server in servers:
        server.reset()
    usage = run(words, {"XDG_CACHE_HOME": str(cache)})
    stats = [server.stats() for server in servers]
    found = tuple(one["requests"] for one in stats)
    if found != wanted:
        raise SystemExit(f"{found} requests instead of {wanted}: {' '.join(words)}")
    seen = [one for one in stats if one["requests"]]
    return Did(usage, min(one["first_s"] for one in seen), max(one["first_s"] + one["span_s"] for one in seen), found)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone with the block."""
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def apart_and_together(case: Case, task: Path, count: int) -> tuple[Did, Did, Did]:
    """Answering, judging, both, each with a cache of its own that is empty."""
    slots = ("--slots", str(case.slots))
    with (
        mock_server("--latency", case.model, *slots) as model,
        mock_server("--latency", case.judge, *slots, "--say", "1") as judge, scratch() as base,
    ):  # fmt: skip
        servers = (model, judge)
        evaluation = command("eval", "--endpoint", model.url, "--tasks", task, *case.limits)
        again = command("score", base / "run", *judged_by(judge), *case.limits[2:])
        return (
            measure(servers, [*evaluation, "-o", str(base / "run"), "--max-failures", str(count)], base / "1",
                    (count, 0)),
            measure(servers, again, base / "2", (0, count)),
            measure(servers, [*evaluation, *judged_by(judge), "-o", str(base / "both")], base / "3", (count, count)),
        )  # fmt: skip


def at_one_server(task: Path, count: int) -> Did:
    """The model judges itself."""
    with mock_server("--latency", ONE_SERVER_S, "--slots", str(ONE_SERVER_SLOTS), "--say", "1") as one, scratch() as base:
        words = command("eval", "--endpoint", one.url, "--tasks", task, "--concurrency", str(ONE_SERVER_SLOTS),
                        *judged_by(one), "-o", base / "run")  # fmt: skip
        return measure((one,), words, base / "cache", (2 * count,))


def known_before(task: Path, count: int) -> tuple[Did, Did]:
    """The same evaluation twice, in folders of their own: the second finds every judgement."""
    slots = ("--slots", str(SLOTS))
    with (
        mock_server("--latency", "0.2", *slots) as model,
        mock_server("--latency", "0.2", *slots, "--say", "1") as judge, scratch() as base,
    ):  # fmt: skip
        words = command("eval", "--endpoint", model.url, "--tasks", task, "--concurrency", SLOTS, *judged_by(judge), "-o")
        first, second = (measure((model, judge), [*words, str(base / name)], base / "cache", (count, asked))
                         for name, asked in (("first", count), ("second", 0)))  # fmt: skip
        return first, second


def at_once(task: Path, count: int, *, judged: bool) -> Did:
    """Servers that take no time: what is left is ours."""
    with mock_server() as model, mock_server("--say", "1") as judge, scratch() as base:
        words = command("eval", "--endpoint", model.url, "--tasks", task, "--concurrency", IN_FLIGHT, "-o", base / "run",
                        "--max-failures", count)  # fmt: skip
        with_judge = (*judged_by(judge), "--judge-concurrency", str(IN_FLIGHT)) if judged else ()
        return measure((model, judge), [*words, *with_judge], base / "cache", (count, count if judged else 0))


def ideal(case: Case, count: int) -> float:
    """The ratio of a client that takes no time: each answer goes to the judge the moment it is there. (With latencies
    that are drawn, another order gives another number.)"""
    alone = max(_through(latency_of, [0.0] * count, case.slots)[-1] for latency_of in (case.model, case.judge))
    return _through(case.judge, _through(case.model, [0.0] * count, case.slots), case.slots)[-1] / alone


def _through(latency_of: str, arrivals: Sequence[float], slots: int) -> list[float]:
    """When requests that come then are answered, in the order of that."""
    seconds = latency(latency_of)()
    free = [0.0] * slots
    ends = []
    for at in arrivals:
        ends.append(max(at, heapq.heappop(free)) + seconds())
        heapq.heappush(free, ends[-1])
    return sorted(ends)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Answering and judging, apart and together.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--counts", type=int, nargs=2, default=(1000, 5000), help="of the runs that give the CPU")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    options = parser.parse_args()
    count, (few, many) = options.count, options.counts
    cases = [Case(*words) for words in CASES]
    cases.append(Case("both 0.2 s, 64 slots, the judge's found by `auto`", "0.2", "0.2", 64, AUTO))
    alone_at_one: list[Did] = []
    twice: list[tuple[Did, Did]] = []
    cost: dict[tuple[int, bool], list[Did]] = {(size, judged): [] for size in (few, many) for judged in (False, True)}
    with tempfile.TemporaryDirectory() as name:
        tasks = {size: write(Path(name) / str(size), size) for size in (count, few, many)}
        for number in range(options.runs):
            for case in cases:
                case.rounds.append(apart_and_together(case, tasks[count], count))
                spans = ", ".join(f"{one.span_s:.2f}" for one in case.rounds[-1])
                print(f"round {number}, {case.label}: {spans} s", file=sys.stderr, flush=True)
            alone_at_one.append(at_one_server(tasks[count], count))
            twice.append(known_before(tasks[count], count))
            for (size, judged), found in cost.items():
                found.append(at_once(tasks[size], size, judged=judged))
                print(f"round {number}, {size} at once, judged: {judged}: {found[-1].span_s:.2f} s, CPU "
                      f"{found[-1].usage.cpu_s:.2f} s", file=sys.stderr, flush=True)  # fmt: skip
    perfect = 2 * count * float(ONE_SERVER_S) / ONE_SERVER_SLOTS
    took = median(one.span_s for one in alone_at_one)
    cpu = {what: median(one.usage.cpu_s for one in found) for what, found in cost.items()}
    answer, both = ((cpu[many, judged] - cpu[few, judged]) / (many - few) for judged in (False, True))
    rates = [many / median(one.span_s for one in cost[many, judged]) for judged in (False, True)]
    publish("judge", [
        "| latency of model and judge | answering alone, s | judging alone, s | both together, s | together / longer "
        "| a client that takes no time |",
        "|---|---|---|---|---|---|", *(row(case, count) for case in cases), "",
        f"{count:,} samples with pictures of 90 kB, {SLOTS} slots at each server where a line says nothing else; from the "
        "first request to the last reply by the servers' clock, without start-up and report. One server with "
        f"{ONE_SERVER_SLOTS} slots of {ONE_SERVER_S} s for both: {took:.1f} s, {took / perfect:.2f} × the {perfect:.1f} s "
        f"that {2 * count:,} requests take. The first line again in another folder, with the judgements known: "
        f"{twice[-1][1].requests[1]} requests to the judge, {median(two.span_s for _, two in twice):.1f} s after "
        f"{median(one.span_s for one, _ in twice):.1f} s. Servers that answer at once, {IN_FLIGHT} in flight: an answer costs "
        f"{1000 * answer:.2f} ms of CPU, its judgement {1000 * (both - answer):.2f} ms; {rates[0]:,.0f} answers/s without "
        f"a judge, {rates[1]:,.0f} answered and judged. {machine()}, median of {options.runs} interleaved runs.",
    ], options.readme)  # fmt: skip


def row(case: Case, count: int) -> str:
    """One line of the table; the ratio is the median of the rounds'."""
    spans = [median(one.span_s for one in column) for column in zip(*case.rounds, strict=True)]
    ratio = median(both.span_s / max(one.span_s, two.span_s) for one, two, both in case.rounds)
    return f"| {case.label} | {' | '.join(f'{span:.1f}' for span in spans)} | {ratio:.2f} | {ideal(case, count):.2f} |"


if __name__ == "__main__":
    main()
