"""A long run through faults and kills: ``python -m bench.soak [--count 20000] [--rate 0.05] [--kills 3] [--readme]``.

Once undisturbed, then against a server that misbehaves in every passing way (`tests.servers.faulty`) for a share of the
requests, with `kill -9` at even distances, each followed by the same command. The results must be the same, byte for
byte, nothing lost and nothing twice, and no session may hold more memory, files or sockets than the undisturbed one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.measure import machine, publish
from tests.faults import work
from tests.servers.faulty import Fault, Faulty

CONCURRENCY = 64
VOLATILE = ("latency_s", "attempts", "served_by")
PASSING: tuple[Fault, ...] = (
    {"name": "429", "retry_after": "0"}, {"name": "429"}, {"name": "500"}, {"name": "502", "body": "<html>C</html>"},
    {"name": "503", "retry_after": "0"}, {"name": "503"}, {"name": "504"}, {"name": "529"},
    {"name": "slow", "seconds": 0.5}, {"name": "hang"}, {"name": "half then hang"}, {"name": "reset"},
    {"name": "reset mid-body"}, {"name": "cut off"}, {"name": "cut-off chunks"}, {"name": "truncated JSON"},
    {"name": "wrong type"}, {"name": "no choices"}, {"name": "event stream"}, {"name": "parts"}, {"name": "HTML"},
    {"name": "error with 200"}, {"name": "invalid UTF-8"}, {"name": "stale"}, {"name": "closed"},
    {"name": "out of order"}, {"name": "huge", "megabytes": 65, "total": 5}, {"name": "no HTTP"},
    {"name": "bad header"}, {"name": "bad gzip"}, {"name": "die", "total": 5},
)  # fmt: skip
_EVERY_S = 0.05
_LEAKS = re.compile(r"Traceback|never retrieved|was destroyed|ResourceWarning|unclosed")


@dataclass(slots=True)
class Session:
    """One process of the evaluator, watched from outside."""

    name: str
    seconds: float = 0.0
    answered: int = 0
    peak_bytes: int = 0
    files: list[int] = field(default_factory=list)
    """Open file descriptors over time, and how many of them are sockets."""
    sockets: list[int] = field(default_factory=list)

    def row(self) -> str:
        """Of the table. What is open at the end is what is left while the results are written."""
        return (f"| {self.name} | {self.answered:,} | {self.seconds:.1f} s | {self.peak_bytes / 1e6:.0f} MB "
                f"| {max(self.files)} | {max(self.sockets)} | {self.files[-1]} | {self.sockets[-1]} |")  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="A long run through faults and kills.")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md or docs/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Faulty() as server:
        base, count, kills = Path(name), options.count, options.kills
        task = work.write(base / "task", count)
        server.plan()
        sessions = [_watch("undisturbed", task, server, base / "plain", None)]
        server.plan(*PASSING, rate=options.rate, seed=options.seed)
        for number in range(kills):
            goal = count * (number + 1) // (kills + 1)
            sessions.append(_watch(f"with faults, killed at {goal:,}", task, server, base / "soak", goal))
        sessions.append(_watch("with faults, to the end", task, server, base / "soak", None))
        stats = server.stats()
        _check(base / "plain", base / "soak", count, sessions)
    # An answer is lost where the client is killed, or the server cuts everybody off, while it is on its way.
    lost, met = stats["repeats"], stats["faults"]
    cuts = kills + met.get("die", 0)
    if lost > cuts * CONCURRENCY:
        raise SystemExit(f"{lost} right answers were asked for again, more than {cuts} cuts explain")
    publish("soak", [
        "| session | answers | time | peak memory | most files | of them sockets | files at the end | sockets |",
        "|---|---|---|---|---|---|---|---|", *(session.row() for session in sessions), "",
        f"{count:,} samples, {CONCURRENCY} in flight, {options.rate:.0%} of the requests met one of {len(PASSING)} "
        f"faults ({sum(met.values()):,} of {stats['requests']:,} requests; {met.get('huge', 0)} were answered with "
        f"65 MB), {kills} × `kill -9`: results.json is the same byte for byte, every sample is in the journal, none "
        f"was answered twice, and {lost} answers on their way at a kill, or when the server died ({cuts - kills} ×), "
        f"were asked for again. {machine()}.",
    ], options.readme)  # fmt: skip


def _watch(name: str, task: Path, server: Faulty, out: Path, kill_at: int | None) -> Session:
    """Run the command; with `kill_at`, until the journal has so many lines. Raises SystemExit when it fails."""
    command = [*work.command(task, server.url, out), "--concurrency", str(CONCURRENCY), "--request-timeout", "3",
               "--max-attempts", "8"]  # fmt: skip
    session, journal = Session(name), out / "journal.jsonl"
    began, before = time.perf_counter(), _lines(journal)
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONWARNINGS": "always::ResourceWarning"},
    ) as process:  # fmt: skip
        while process.poll() is None:
            _sample(process.pid, session)
            if kill_at is not None and _lines(journal) >= kill_at:
                process.kill()
            time.sleep(_EVERY_S)
        said = process.stderr.read() if process.stderr else ""
    session.seconds, session.answered = time.perf_counter() - began, _lines(journal) - before
    if (kill_at is None and process.returncode != 0) or _LEAKS.search(said):
        raise SystemExit(f"{name}: exit code {process.returncode}\n{said}")
    return session


def _sample(pid: int, session: Session) -> None:
    """Memory and descriptors at this moment; nothing when the process has just ended."""
    folder = Path(f"/proc/{pid}")
    try:
        status = (folder / "status").read_text()
        links = [os.readlink(path) for path in (folder / "fd").iterdir()]
    except OSError:
        return
    if found := re.search(r"VmHWM:\s+(\d+) kB", status):
        session.peak_bytes = int(found[1]) * 1024
        session.files.append(len(links))
        session.sockets.append(sum(link.startswith("socket:") for link in links))


def _lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def _check(plain: Path, soak: Path, count: int, sessions: list[Session]) -> None:
    """Raises SystemExit when something was lost, came twice, differs or piled up."""
    wrong: list[str] = []
    first = sessions[0]
    if (plain / "results.json").read_bytes() != (soak / "results.json").read_bytes():
        wrong.append("results.json differs")
    if _samples(plain) != _samples(soak):
        wrong.append("the samples files differ")
    answers = Counter(line["key"] for line in work.journal(soak) if "response" in line)
    if len(answers) != count:
        wrong.append(f"{count - len(answers)} samples are not in the journal")
    if twice := sum(times > 1 for times in answers.values()):
        wrong.append(f"{twice} samples were answered twice")
    for session in sessions[1:]:
        if session.peak_bytes > 1.25 * first.peak_bytes + 5 * (70 << 20):  # up to five huge bodies at a time
            wrong.append(f"{session.name}: {session.peak_bytes / 1e6:.0f} MB")
        if max(session.sockets) > 2 * CONCURRENCY + 8:
            wrong.append(f"{session.name}: {max(session.sockets)} sockets")
    if sessions[-1].files[-1] > first.files[-1]:
        wrong.append(f"{sessions[-1].files[-1]} files are open at the end, {first.files[-1]} without faults")
    if wrong:
        raise SystemExit("; ".join(wrong))


def _samples(out: Path) -> list[Any]:
    """Lines of the samples file without what differs between two equal runs."""
    lines: list[Any] = []
    with (out / "samples_faults.jsonl").open("rb") as file:
        for text in file:
            line = json.loads(text)
            for name in VOLATILE:
                line.get("response", {}).pop(name, None)
            lines.append(line)
    return lines


if __name__ == "__main__":
    main()
