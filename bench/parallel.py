"""Replicas of ours against vLLM's own data parallel: ``python -m bench.parallel [--rounds 2] [--readme]``.

The same work on the same machine by ``--dp 2``, two servers that the client chooses between, and by one server that is
given ``--data-parallel-size 2``, with as many API processes as vLLM takes for it by itself. First distinct pictures,
then several questions on each, and at the end an engine is killed in the middle of a run. Each round launches either
once, in turns, with nothing else on the machine; an evaluation is a whole process on servers that are ready and warm.

Beside the rates stands the CPU that the servers took for a request. Other work on the machine spoils both: replicas on
a CPU are bound to a core each, and the one whose core is taken holds up the end.

With a GPU for each: ``--model Qwen/Qwen2.5-VL-7B-Instruct``, also ``--parallel 8``; what follows ``--`` goes to vLLM,
both ways. Without one both share few cores, so what is reported is their ratio: what each makes of the same cores. It
tells what the extra processes cost, whether a picture is found again, and what a death takes along; not how either
grows with GPUs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench import work
from bench.gpu import devices
from bench.measure import machine, pss, publish, run
from lmms_fast.server import kept
from lmms_fast.server.command import installed
from lmms_fast.server.tune import keeps_media

PER_PICTURE = 5
WARM_UP = 64
KILL_AT = 1 / 3
"""Of the answers."""
_LOOK_S = 0.05


@dataclass(slots=True)
class Setup:
    """A way to have several engines, and what it gave."""

    name: str
    flags: tuple[str, ...]
    server_args: tuple[str, ...]
    ready_s: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    """Bytes of all processes of the servers (PSS), after the work."""
    rates: dict[int, list[float]] = field(default_factory=dict)
    """Requests a second, by questions on a picture."""
    cpu_ms: dict[int, list[float]] = field(default_factory=dict)
    """Of all processes of the servers, a request."""
    found_again: list[float] = field(default_factory=list)
    """Share of the media that the servers found in their cache, several questions on each."""
    sent_once: bool = False
    """Whether our client sends a picture once only."""
    killed: list[Killed] = field(default_factory=list)

    def command(self, task: Path, out: Path, concurrency: int) -> list[str]:
        """An evaluation on its servers, which are left running."""
        to_vllm = ["--", *self.server_args] if self.server_args else []
        return [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--keep-server", "--tasks", str(task),
                "-o", str(out), "--concurrency", str(concurrency), *self.flags, *to_vllm]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Killed:
    """A run of which an engine was killed."""

    answered: int
    restarts: int
    pause_s: float
    """The longest time without an answer, from the kill on."""
    rest_s: float
    """From the kill to the last answer."""


def session(out: Path, count: int) -> dict[str, Any]:
    """The manifest's record of a run, and its timing. Raises SystemExit when it did other work than was meant."""
    found: dict[str, Any] = json.loads((out / "manifest.json").read_text())["sessions"][-1]
    if found["timing"]["samples"] != count:
        raise SystemExit(f"{out}: {found['timing']['samples']} samples were answered instead of {count}")
    return found


def ask(setup: Setup, folder: Path, options: argparse.Namespace, count: int, per_picture: int, seed: int) -> Any:
    """One evaluation; its record."""
    task = work.write(folder, count, per_picture=per_picture, seed=seed)
    out = folder / f"run-{setup.name}"
    run(setup.command(task, out, options.concurrency))
    return session(out, count)


def measure(setup: Setup, base: Path, options: argparse.Namespace, number: int) -> None:
    """Launch, work, look at the memory; in the last round also kill."""
    with _servers_of_one_setup():
        record = ask(setup, base / "warm", options, WARM_UP, 1, seed=1)
        setup.ready_s.append(record["timing"]["start_up_s"])
        setup.sent_once = all(keeps_media(one.command) for one in kept.running())
        for turn in range(options.passes):
            for per_picture in (1, PER_PICTURE):
                # Servers remember pictures, so each evaluation has new ones, the same for both setups.
                place = base / f"{number}-{turn}-{per_picture}"
                before = _cpu_s()
                record = ask(setup, place, options, options.count, per_picture, seed=2 + options.passes * number + turn)
                cpu_ms = 1000 * (_cpu_s() - before) / options.count
                timing = record["timing"]
                rate = options.count / (timing["sending_s"] + timing["tail_s"])
                setup.rates.setdefault(per_picture, []).append(rate)
                setup.cpu_ms.setdefault(per_picture, []).append(cpu_ms)
                if per_picture > 1 and timing["server"] and (share := timing["server"]["media_hit_share"]) is not None:
                    setup.found_again.append(share)
                told = f"round {number}, {setup.name}, {per_picture} a picture: {rate:.1f}/s, {cpu_ms:.1f} ms"
                print(told, file=sys.stderr, flush=True)
        setup.memory.append(pss(_processes()))
        if number == options.rounds - 1:
            setup.killed.append(kill(setup, base / "killed", options))
            print(f"{setup.name}: {setup.killed[-1]}", file=sys.stderr, flush=True)


def kill(setup: Setup, folder: Path, options: argparse.Namespace) -> Killed:
    """A run in the middle of which an engine is killed. Raises SystemExit when it fails."""
    task, out = work.write(folder, options.count, seed=999), folder / f"run-{setup.name}"
    journal, said = out / "journal.jsonl", folder / f"{setup.name}.txt"
    with said.open("w") as text, subprocess.Popen(
        setup.command(task, out, options.concurrency), stdout=text, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        while process.poll() is None and _lines(journal) < options.count * KILL_AT:
            time.sleep(_LOOK_S)
        engines = [one for one in _processes() if "EngineCore" in " ".join(one.cmdline())]
        if len(engines) != options.parallel:
            raise SystemExit(f"{len(engines)} engines instead of {options.parallel}")
        engines[0].kill()
        killed_at = last_at = time.monotonic()
        pause_s, lines = 0.0, _lines(journal)
        while process.poll() is None:
            time.sleep(_LOOK_S)
            if (now_there := _lines(journal)) > lines:
                lines, now = now_there, time.monotonic()
                pause_s, last_at = max(pause_s, now - last_at), now
    if process.returncode:
        raise SystemExit(f"{setup.name}: exit code {process.returncode} after the kill\n{said.read_text()[-2000:]}")
    record = session(out, options.count)
    return Killed(lines, len(record.get("deaths", ())), pause_s, last_at - killed_at)


@contextlib.contextmanager
def _servers_of_one_setup() -> Iterator[None]:
    try:
        yield
    finally:
        for one in kept.running():
            kept.stop(one)


def _processes() -> list[psutil.Process]:
    """Of all servers that are kept."""
    guards = [psutil.Process(one.pid) for one in kept.running()]
    return [one for guard in guards for one in (guard, *guard.children(recursive=True))]


def _cpu_s() -> float:
    """That they have taken so far, together."""
    return sum(one.cpu_times().user + one.cpu_times().system for one in _processes())


def _lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def table(ours: Setup, theirs: Setup) -> list[str]:
    """What is comparable as ratios, each of pairs; the rest as it is."""
    def ratio(one: Sequence[float], other: Sequence[float]) -> str:
        return f"{median(first / second for first, second in zip(one, other, strict=True)):.2f}"

    shares = [f"{median(one.found_again):.0%}" if one.found_again else "not told" for one in (ours, theirs)]
    killed = [one.killed[-1] for one in (ours, theirs)]
    return [
        f"| | {ours.name} / {theirs.name} |", "|---|---|",
        f"| requests/s, distinct pictures | {ratio(ours.rates[1], theirs.rates[1])} |",
        f"| requests/s, {PER_PICTURE} questions on a picture "
        f"| {ratio(ours.rates[PER_PICTURE], theirs.rates[PER_PICTURE])} |",
        f"| the servers' CPU a request, distinct pictures | {ratio(ours.cpu_ms[1], theirs.cpu_ms[1])} |",
        f"| the same, {PER_PICTURE} questions on a picture "
        f"| {ratio(ours.cpu_ms[PER_PICTURE], theirs.cpu_ms[PER_PICTURE])} |",
        f"| time until ready | {ratio(ours.ready_s, theirs.ready_s)} |",
        f"| memory of all processes of the servers | {ratio(ours.memory, theirs.memory)} |", "",
        f"| | {ours.name} | {theirs.name} |", "|---|---|---|",
        f"| a picture is sent once only | {' | '.join('yes' if one.sent_once else 'no' for one in (ours, theirs))} |",
        f"| pictures found in the servers' cache, {PER_PICTURE} questions on each | {' | '.join(shares)} |",
        f"| an engine killed: answered in the end | {' | '.join(f'{one.answered:,}' for one in killed)} |",
        f"| longest time without an answer | {' | '.join(f'{one.pause_s:.1f} s' for one in killed)} |",
        f"| from the kill to the last answer | {' | '.join(f'{one.rest_s:.1f} s' for one in killed)} |",
    ]  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Replicas against data parallel inside vLLM.")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--passes", type=int, default=2, help="of the work on servers once launched")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--parallel", type=int, default=2, help="engines")
    parser.add_argument("--model", help="default: the bundled one")
    parser.add_argument("--readme", action="store_true", help="write the table into docs/")
    parser.add_argument("server_args", nargs="*", help="after `--`: for vLLM, both ways")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the servers outlive us
    model = ("--model", options.model) if options.model else ()
    count, more = str(options.parallel), tuple(options.server_args)
    inside = ("--data-parallel-size", count, "--api-server-count", count)
    setups = [Setup(f"`--dp {count}`", ("--dp", count, *model), more),
              Setup(f"`--data-parallel-size {count}`", model, (*inside, *more))]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_STATE_HOME"] = name  # the kept servers of this measurement are its own
        for number in range(options.rounds):
            for index, setup in enumerate(setups if number % 2 == 0 else setups[::-1]):
                measure(setup, Path(name) / f"work-{index}", options, number)
    publish("parallel", [
        *table(*setups), "",
        f"vLLM {installed()[1]}, {options.model or 'the bundled model'}, {devices(options.parallel)}, "
        f"{options.count:,} requests with pictures of 90 kB, {options.concurrency} in flight; {machine()}, medians of "
        f"{options.rounds} × {options.passes} runs in turns, the killed run once.",
    ], options.readme)  # fmt: skip


if __name__ == "__main__":
    main()
