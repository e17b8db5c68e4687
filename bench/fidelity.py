"""Our scores beside lmms-eval's on generated responses: ``python -m bench.fidelity [TASK …] [--readme]``.

Rows of tests/catalogue (the hub's schema) are multiplied with other golds and options, each gets one response
(`bench.fidelity_work`), and both sides score it: theirs inside its own environment (`bench.fidelity_peer`), ours by the
scoring variant `lmms-eval` where the task has one, else by the default. What differs is put down to a reason of
`bench.fidelity_reasons`; what has none is shown. Needs ``pip install lmms-eval`` in an environment of its own.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.fidelity_reasons import NOT_COMPARED, UNEXPLAINED, Case, reading_of, reason_of
from bench.fidelity_work import NoRows, responses, work
from lmms_fast.errors import LmmsFastError
from lmms_fast.metrics.score import judged, score
from lmms_fast.metrics.tables import AGGREGATORS
from lmms_fast.report.verdict import rules_of
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Aggregate, Sample, Score, Scored, Undecided
from tests.catalogue.hub import everything

VARIANT = "lmms-eval"
CAPTIONS = {"CIDEr", "ROUGE_L", "Bleu_4"}
ENVIRONMENT = Path(__file__).parent / ".envs/lmms-eval/bin/python"
KEPT = Path(__file__).parent / "fidelity.json"
Both = Mapping[str, float | None]


@dataclass(frozen=True)
class Found:
    """What the comparison of one task came to."""

    task: str
    version: str = ""
    n: int = 0
    same: int = 0
    scoring: str = "default"
    reasons: dict[str, int] = field(default_factory=dict)
    aggregates: dict[str, tuple[float | None, Any]] = field(default_factory=dict)
    """Ours and theirs by their name, over all responses."""
    note: str = ""
    """Why there is no comparison."""
    examples: dict[str, list[str]] = field(default_factory=dict)


class Peer:
    """The other evaluator's process; started again where it ended or said nothing for two minutes."""

    def __init__(self, python: Path, folder: Path, extra: str) -> None:
        self._python, self._folder, self._extra = python, folder, extra
        self._process: subprocess.Popen[str] | None = None

    def ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """One job's result."""
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        timer = threading.Timer(120, self._end, [process])
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        if not line:
            self._process = None
            return {"error": "the other process ended, or was ended after two minutes"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._end(self._process)

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        os.killpg(process.pid, signal.SIGKILL)  # its own group, with what it started

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self._python), str(Path(__file__).with_name("fidelity_peer.py"))], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, cwd=self._folder, stderr=(self._folder / "peer.log").open("a"),
            start_new_session=True,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self._folder), "FIDELITY_OUT": str(self._folder),
                 "PYTHONHASHSEED": "0",
                 "LC_ALL": "C.UTF-8", "PYTHONPATH": self._extra, "JAVA_TOOL_OPTIONS": "-Dfile.encoding=UTF-8"},
        )  # fmt: skip


def compare(task: Task, peer: Peer, folder: Path, count: int) -> Found:
    """One task."""
    name = task.task
    if why := _not_compared(task):
        return Found(name, note=why)
    try:
        file, fed = work(task, everything().datasets, folder, count)
    except NoRows:
        return Found(name, note="no rows")
    samples = [one.sample for one in fed]
    texts = list(responses(task, samples, everything().right.get(name)))
    rules = task.scored_by(VARIANT) if VARIANT in task.scoring_variants else task
    captions = any(rule.name == "captions" for rule in rules.report)
    reading = reading_of(name)
    theirs = peer.ask({
        "task": name, "file": str(file), "folder": str(folder / name), "split": task.dataset.split,
        "responses": _numbered([one.row for one in fed], texts),
        "singles": not captions and reading.__qualname__.startswith("single."),
    })  # fmt: skip
    if "error" in theirs:
        return Found(name, note=theirs["error"])
    ours = [_score(sample, text, rules) for sample, text in zip(samples, texts, strict=True)]
    reasons: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for sample, text, mine, raw in zip(samples, texts, ours, theirs["cases"], strict=True):
        case = Case(name, sample, text, mine, raw, None if captions else reading(raw, sample))
        if not captions and not _agree(case):
            reason = reason_of(case)
            reasons[reason] += 1
            examples.setdefault(reason, []).append(case.shown())
    scored = [_scored(sample, mine) for sample, mine in zip(samples, ours, strict=True)]
    aggregates = [one for rule in rules.report for one in AGGREGATORS[rule.name](scored, rule.options)]
    return Found(name, theirs["version"], len(samples), len(samples) - reasons.total(),
                 "default" if rules is task else VARIANT, dict(reasons), _aggregates(aggregates, theirs["whole"]),
                 examples={reason: some[:6] for reason, some in examples.items()})  # fmt: skip


def _not_compared(task: Task) -> str:
    if task.target is None:
        return "answers withheld"
    if task.score.judge is not None:
        return "judged"
    return next((why for pattern, why in NOT_COMPARED.items() if fnmatch.fnmatchcase(task.task, pattern)), "")


def _numbered(rows: Sequence[int], texts: Sequence[str]) -> list[tuple[int, int, str]]:
    """Each text with its row, and its place among those of that row."""
    before: Counter[int] = Counter()
    found = []
    for row, text in zip(rows, texts, strict=True):
        found.append((row, before[row], text))
        before[row] += 1
    return found


def _score(sample: Sample, text: str, rules: Task) -> Score | Undecided:
    scoring = rules_of(rules)
    return score(sample, text, scoring) if scoring.judge is None else judged(sample, text, scoring)


def _agree(case: Case) -> bool:
    if isinstance(case.ours, Undecided) or case.theirs is None:
        return isinstance(case.ours, Undecided) and bool(case.raw["asked"])
    return math.isclose(case.ours.value, case.theirs, abs_tol=6e-4)  # some of theirs are rounded


def _scored(sample: Sample, mine: Score | Undecided) -> Scored:
    found = mine if isinstance(mine, Score) else None
    return Scored(sample.id, 0, sample.groups, None if found is None else found.value,
                  found is not None and found.prediction.answer is not None, {} if found is None else found.parts,
                  None if found is None else found.prediction.answer, sample.target)  # fmt: skip


def _aggregates(ours: Sequence[Aggregate], theirs: Mapping[str, Any]) -> dict[str, tuple[float | None, Any]]:
    """Theirs by name with ours of the same name (or of its end); their first with our headline where no name fits."""
    named = {one.metric: one.value for one in reversed(ours) if one.group is None}
    found: dict[str, tuple[float | None, Any]] = {}
    for name, value in theirs.items():
        short = name.partition(",")[0]
        match = next(
            (key for key in sorted(named, key=len, reverse=True) if short == key or short.endswith(f"_{key}")), None
        )
        if match is not None:
            found[name] = named[match], value
    if not found and theirs and ours:
        name, value = next(iter(theirs.items()))
        found[name] = ours[0].value, value
    return found


def table(found: Sequence[Found]) -> str:
    """Markdown."""
    lines = [
        "| task | scoring | n | same | deviations by reason | aggregate, ours / theirs |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        reasons = "; ".join(
            f"{reason}: {count}" for reason, count in sorted(one.reasons.items(), key=lambda item: -item[1])
        )
        shown = "; ".join(
            f"{name} {_number(ours)} / {_number(theirs)}" for name, (ours, theirs) in list(one.aggregates.items())[:4]
        )
        lines.append(
            f"| `{one.task}` | {one.scoring} | {one.n:,} | {one.same:,} | {one.note or reasons or '–'} | {shown} |"
        )
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)[:40]


def main() -> None:
    """Compare, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", help="names or patterns; all by default")
    parser.add_argument("--python", type=Path, default=ENVIRONMENT, help="theirs")
    parser.add_argument(
        "--extra", default="", help="a folder of packages that their environment lacks (latex2sympy2_extended)"
    )
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--readme", action="store_true", help="print the table that was kept, without a comparison")
    parser.add_argument("--write", action="store_true", help="put what was kept into the task files")
    given = parser.parse_args()
    results = kept()
    if given.readme:
        print(table([one for one in results.values() if one.n]))
        return
    if given.write:
        for task in Catalog().select(given.tasks or ["*"]).tasks:
            if task.task in results:
                write(task, evidence(results[task.task]))
        return
    unexplained = False
    with tempfile.TemporaryDirectory() as folder:
        peer = Peer(given.python, Path(folder), given.extra)
        for task in Catalog().select(given.tasks or ["*"]).tasks:
            if task.dataset.hub:
                one = found(task, peer, Path(folder), given.count)
                keep(one)
                unexplained |= bool(one.reasons.keys() & UNEXPLAINED)
                print("\n".join(shown(one)), flush=True)
        peer.close()
    sys.exit(unexplained)


def found(task: Task, peer: Peer, folder: Path, count: int) -> Found:
    """One task, or why there is no comparison."""
    try:
        return compare(task, peer, folder, count)
    except LmmsFastError as error:
        return Found(task.task, note=str(error))


def shown(one: Found) -> Iterator[str]:
    """A line of the table, and an example of every deviation; six of what has no reason."""
    yield table([one]).splitlines()[-1]
    for reason, examples in one.examples.items():
        yield from (f"    {reason}: {example}" for example in examples[: 6 if reason in UNEXPLAINED else 1])


def evidence(one: Found) -> str:
    """What a task file may say of it; nothing where a deviation has no reason."""
    if not one.n or one.reasons.keys() & UNEXPLAINED:
        return ""
    who = f"lmms-eval {one.version}"
    if CAPTIONS & {name.partition("_")[2] for name in one.aggregates}:
        near = [isinstance(theirs, float) and ours is not None and math.isclose(ours, theirs, abs_tol=2e-3)
                for ours, theirs in one.aggregates.values()]  # fmt: skip
        same = f"{who} has the same BLEU, ROUGE-L and CIDEr, to 0.002, over 1,000 generated captions"
        return same if near and all(near) else ""
    found = f"{who} agrees{' with its variant' if one.scoring == VARIANT else ''} on 1,000 generated answers"
    if not one.reasons:
        return found
    but = [f"{reason} ({count})" for reason, count in sorted(one.reasons.items(), key=lambda item: -item[1])]
    return f"{found} but for: {', '.join(but)}"


def write(task: Task, said: str) -> None:
    """Put it into the task's file, beside what else the file says of its fidelity, or the file that it extends."""
    text = task.file.read_text()
    line = re.search(r'^fidelity: "?(.*?)"?\n', text, re.MULTILINE)
    parts = (line[1] if line else task.fidelity or "").split("; ")
    others = [part for part in parts if part not in ("", "null") and not part.startswith("lmms-eval ")]
    if not line and not said and parts == (others or [""]):
        return
    both = "; ".join([*others, *([said] if said else [])])
    new = f'fidelity: "{both}"\n' if both else "fidelity: null\n"
    if line:
        text = text.replace(line[0], new, 1)
    else:
        text = re.sub(r"^(task: .*\n)", lambda match: match[1] + new, text, count=1, flags=re.MULTILINE)
    task.file.write_text(text)


def kept() -> dict[str, Found]:
    """What was found so far, by task."""
    return {name: Found(**one) for name, one in json.loads(KEPT.read_text()).items()} if KEPT.exists() else {}


def keep(one: Found) -> None:
    """Write it to the others."""
    results = {**kept(), one.task: one}
    text = json.dumps({name: {**asdict(results[name]), "examples": {}} for name in sorted(results)}, indent=1)
    KEPT.write_text(text + "\n")


if __name__ == "__main__":
    main()
