"""A judge beside the model: ``python -m bench.judge [--runs 3] [--readme]``.

What answering alone takes, judging alone (`lmms-fast score RUN --judge …` over the answers of the first), and both in
one run. Two servers, each with so many slots and such a latency. Seconds are the servers': from the first request that
reaches either to the last reply of either, so Python's start, the data set's opening and the report are in none of
them; one column has whole processes. No judgement is known before, unless a line says so.
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
TEXT, PICTURES = "bench_judged", "bench_shown"
"""Tasks: the judge gets text alone, or the picture with it."""
AUTO = ("--concurrency", "64", "--judge-concurrency", "auto")
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
    task: str = TEXT
    slots: int = SLOTS
    limits: tuple[str, ...] = ("--concurrency", str(SLOTS), "--judge-concurrency", str(SLOTS))
    rounds: list[tuple[Did, Did, Did]] = field(default_factory=list)
    """Answering, judging, both."""


CASES = (
    Case("both 0.2 s", "0.2", "0.2"),
    Case("both 0.2 s, the judge is shown the pictures, too", "0.2", "0.2", PICTURES),
    Case("both lognormal, median 0.2 s, sigma 1", "lognormal:0.2:1", "lognormal:0.2:1"),
    Case("judge 4 × slower: 0.1 and 0.4 s", "0.1", "0.4"),
    Case("model 4 × slower: 0.4 and 0.1 s", "0.4", "0.1"),
    Case("both 0.2 s, 64 slots, `--judge-concurrency auto`", "0.2", "0.2", slots=64, limits=AUTO),
)


def write(folder: Path, count: int) -> Path:
    """The standard work with a rubric in place of a rule, as two tasks in this folder."""
    work.write(folder, count)
    plain, _, _ = work.TASK.partition("score:")
    for name, rubric in ((TEXT, RUBRIC), (PICTURES, RUBRIC + "    pictures: true\n")):
        (folder / f"{name}.yaml").write_text(plain.replace("bench_mc", name) + rubric)
    return folder


def command(*words: str | Path | int) -> list[str]:
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


def apart_and_together(case: Case, folder: Path, count: int) -> tuple[Did, Did, Did]:
    """Answering, judging, both, each with a cache of its own that is empty."""
    with pair(case.model, case.judge, case.slots) as (model, judge), scratch() as base:
        servers = (model, judge)
        evaluation = command("eval", "--endpoint", model.url, "--tasks", folder / f"{case.task}.yaml", *case.limits,
                             "--max-failures", count, "-o")  # fmt: skip
        judging = command("score", base / "run", *judged_by(judge), *case.limits[2:])
        return (
            measure(servers, [*evaluation, str(base / "run")], base / "1", (count, 0)),
            measure(servers, judging, base / "2", (0, count)),
            measure(servers, [*evaluation, str(base / "both"), *judged_by(judge)], base / "3", (count, count)),
        )


def at_one_server(folder: Path, count: int) -> tuple[Did, Did]:
    """Answering alone, and with the model judging itself."""
    slots = str(ONE_SERVER_SLOTS)
    with mock_server("--latency", ONE_SERVER_S, "--slots", slots, "--say", "1") as one, scratch() as base:
        words = command("eval", "--endpoint", one.url, "--tasks", folder / f"{TEXT}.yaml", "--concurrency", slots,
                        "--max-failures", count, "-o")  # fmt: skip
        return (
            measure((one,), [*words, str(base / "alone")], base / "1", (count,)),
            measure((one,), [*words, str(base / "both"), *judged_by(one)], base / "2", (2 * count,)),
        )


def known_before(folder: Path, count: int) -> tuple[Did, Did]:
    """The same evaluation twice, in folders of their own: the second finds every judgement."""
    with pair("0.2", "0.2", SLOTS) as (model, judge), scratch() as base:
        words = command("eval", "--endpoint", model.url, "--tasks", folder / f"{TEXT}.yaml", "--concurrency", SLOTS,
                        *judged_by(judge), "-o")  # fmt: skip
        return (
            measure((model, judge), [*words, str(base / "first")], base / "cache", (count, count)),
            measure((model, judge), [*words, str(base / "second")], base / "cache", (count, 0)),
        )


def at_once(folder: Path, count: int, judged: str | None) -> Did:
    """Servers that take no time: what is left is ours. `judged` names the task, where a judge is asked."""
    with pair("0", "0", count) as (model, judge), scratch() as base:
        words = command("eval", "--endpoint", model.url, "--tasks", folder / f"{judged or TEXT}.yaml", "--concurrency",
                        IN_FLIGHT, "-o", base / "run", "--max-failures", count)  # fmt: skip
        with_judge = (*judged_by(judge), "--judge-concurrency", str(IN_FLIGHT)) if judged else ()
        return measure((model, judge), [*words, *with_judge], base / "cache", (count, count if judged else 0))


@contextmanager
def pair(model: str, judge: str, slots: int) -> Iterator[tuple[MockServer, MockServer]]:
    """Two servers with these latencies."""
    with (
        mock_server("--latency", model, "--slots", str(slots)) as one,
        mock_server("--latency", judge, "--slots", str(slots), "--say", "1") as other,
    ):  # fmt: skip
        yield one, other


def ideal(case: Case, count: int) -> float:
    """The ratio of a client that takes no time: each answer goes to the judge the moment it is there. (With latencies
    that are drawn, another order gives another number.)"""
    begun = [0.0] * count
    alone = max(_through(latency_of, begun, case.slots)[-1] for latency_of in (case.model, case.judge))
    return _through(case.judge, _through(case.model, begun, case.slots), case.slots)[-1] / alone


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
    parser.add_argument("--readme", action="store_true", help="write the table into README.md or docs/")
    options = parser.parse_args()
    count, (few, many) = options.count, options.counts
    one_server: list[tuple[Did, Did]] = []
    twice: list[tuple[Did, Did]] = []
    kinds = (None, TEXT, PICTURES)
    cost: dict[tuple[int, str | None], list[Did]] = {(size, kind): [] for size in (few, many) for kind in kinds}
    with tempfile.TemporaryDirectory() as name:
        folders = {size: write(Path(name) / str(size), size) for size in (count, few, many)}
        for number in range(options.runs):
            for case in CASES:
                case.rounds.append(apart_and_together(case, folders[count], count))
                told(number, case.label, case.rounds[-1])
            one_server.append(at_one_server(folders[count], count))
            told(number, "one server", one_server[-1])
            twice.append(known_before(folders[count], count))
            told(number, "known before", twice[-1])
            for (size, kind), found in cost.items():
                found.append(at_once(folders[size], size, kind))
                told(number, f"{size:,} at once, {kind or 'not judged'}", found[-1:])
    perfect = 2 * count * float(ONE_SERVER_S) / ONE_SERVER_SLOTS
    alone, both = (median(one.span_s for one in column) for column in zip(*one_server, strict=True))
    first, second = (median(one.span_s for one in column) for column in zip(*twice, strict=True))
    cpu = {what: median(one.usage.cpu_s for one in found) for what, found in cost.items()}
    answer, text, pictures = (1000 * (cpu[many, kind] - cpu[few, kind]) / (many - few) for kind in kinds)
    rates = {kind: many / median(one.span_s for one in cost[many, kind]) for kind in kinds}
    publish("judge", [
        "| latency of model and judge | answering alone, s | judging alone, s | both together, s | together / longer "
        "| whole processes | no time in the client |",
        "|---|---|---|---|---|---|---|", *(row(case, count) for case in CASES), "",
        f"{count:,} samples with pictures of 90 kB, {SLOTS} slots at each server where a line says nothing else, from "
        "the first request to the last reply by the servers' clock; the last column is a simulation. One server with "
        f"{ONE_SERVER_SLOTS} slots of {ONE_SERVER_S} s for both: {both:.1f} s, {both / perfect:.2f} × the "
        f"{perfect:.1f} s of {2 * count:,} requests (answering alone {2 * alone / perfect:.2f} × its half). The first "
        f"line again in another folder, every judgement known: {max(two.requests[1] for _, two in twice)} requests to "
        f"the judge, {second:.1f} s after {first:.1f} s. Servers that answer at once, {IN_FLIGHT} in flight: an answer "
        f"costs {answer:.2f} ms of CPU, its judgement {text - answer:.2f} ms by text and {pictures - answer:.2f} ms "
        f"with the picture; {rates[None]:,.0f} answers/s, {rates[TEXT]:,.0f} judged answers/s. {machine()}, median of "
        f"{options.runs} interleaved runs.",
    ], options.readme)  # fmt: skip


def told(number: int, label: str, found: Sequence[Did]) -> None:
    """A round's figures, while others are on their way."""
    spans = ", ".join(f"{one.span_s:.2f} ({one.usage.wall_s:.2f}; CPU {one.usage.cpu_s:.2f})" for one in found)
    print(f"round {number}, {label}: {spans} s", file=sys.stderr, flush=True)


def row(case: Case, count: int) -> str:
    """One line of the table; the ratios are the medians of the rounds'."""
    spans = " | ".join(f"{median(one.span_s for one in column):.1f}" for column in zip(*case.rounds, strict=True))
    ratio = median(both.span_s / max(one.span_s, two.span_s) for one, two, both in case.rounds)
    whole = median(both.usage.wall_s / max(one.usage.wall_s, two.usage.wall_s) for one, two, both in case.rounds)
    perfect = "–" if case.limits is AUTO else f"{ideal(case, count):.2f}"
    return f"| {case.label} | {spans} | {ratio:.2f} | {whole:.2f} | {perfect} |"


if __name__ == "__main__":
    main()
