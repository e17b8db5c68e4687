"""Is a run good enough? A policy's rules against a run, and a baseline.

Every rule looks at a 95 % interval (of `compare_tests`): of the difference to the baseline on shared samples for
`max_drop`, of the score itself for `min`.

    the whole interval is on the good side of the limit     pass
    the whole interval is on the bad side                   fail
    the limit lies inside it                                inconclusive: more samples would tell, and how many is said
    with `strict`, the number itself is on the bad side     fail, wherever the interval ends

Too much that was not measured, and runs that were not asked and scored alike, are inconclusive, too. The gate fails if
any rule fails; else it is inconclusive if any rule is. Each rule stands for itself: one whose run is exactly as bad as
is just allowed fails in 2.5 % of the cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmms_fast.errors import EXIT_GATE_FAILED, EXIT_INCONCLUSIVE, EXIT_OK, UsageError
from lmms_fast.report import compare_check as check
from lmms_fast.report.compare import LOWER_IS_BETTER, Measure, alone, measure_of, refusal
from lmms_fast.report.compare_check import Difference
from lmms_fast.report.compare_pairs import Flip, Pairs
from lmms_fast.report.compare_show import escaped, number, rows
from lmms_fast.report.compare_tests import Contrast
from lmms_fast.report.finished import FinishedRun
from lmms_fast.tasks.spec import Task

Verdict = Literal["pass", "fail", "inconclusive"]
EXIT_CODES: Mapping[Verdict, int] = {"pass": EXIT_OK, "fail": EXIT_GATE_FAILED, "inconclusive": EXIT_INCONCLUSIVE}
_WORST_SHOWN = 10


class Limits(BaseModel):
    """What a task has to keep to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_drop: float | None = Field(default=None, ge=0)
    """How much worse than the baseline the metric may be."""
    min: float | None = None
    """What the metric has to reach; for one that counts errors, what it may not exceed."""
    max_not_measured: float | None = Field(default=None, ge=0, le=1)
    """Share of the samples that may have no score, in each run."""
    metric: str | None = None
    """The task's headline by default."""

    def over(self, others: Limits) -> Limits:
        """These, and where they say nothing the others."""
        return Limits(**{**others.model_dump(exclude_none=True), **self.model_dump(exclude_none=True)})


class Policy(BaseModel):
    """The rules of a gate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    defaults: Limits = Limits()
    """For every task of the run."""
    tasks: dict[str, Limits] = {}
    strict: bool = False

    def limits(self, run: FinishedRun) -> dict[str, Limits]:
        """Task → what it has to keep to, in the run's order. Raises UsageError for a task that it lacks, or no rule."""
        for name in self.tasks:
            if name not in run.tasks:
                what = "is a group; name its tasks" if name in run.results.get("groups", {}) else "is no task of it"
                raise UsageError(f"{name}: {what}; {run.path} has {', '.join(run.tasks)}.")
        found = {name: self.tasks.get(name, Limits()).over(self.defaults) for name in run.tasks}
        found = {name: one for name, one in found.items() if (one.max_drop, one.min) != (None, None)}
        if not found:
            raise UsageError("the gate has no rule; give --max-drop TASK=0.01, --min TASK=0.5 or --policy FILE.")
        return found


def load_policy(path: Path) -> Policy:
    """Read a policy's YAML. Raises UsageError with file, key and what is wrong."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}).") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: a policy is a mapping with the keys {', '.join(Policy.model_fields)}.")
    try:
        return Policy.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            model = Policy if len(first["loc"]) == 1 else Limits
            raise UsageError(f"{path}: `{key}` is not a key here; allowed: {', '.join(model.model_fields)}.") from None
        raise UsageError(f"{path}: `{key}`: {first['msg']}.") from None


@dataclass(frozen=True, slots=True)
class Ruled:
    """What one rule of the policy says."""

    task: str
    rule: Literal["max_drop", "min", "measured"]
    verdict: Verdict
    says: str
    """In a sentence, with the numbers."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What all rules say together."""

    run: FinishedRun
    baseline: FinishedRun | None
    differences: Sequence[Difference]
    """In how the two were asked and scored."""
    rules: Sequence[Ruled]
    worse: Mapping[str, Sequence[Flip]]
    """By task, the samples that the baseline has better."""

    @property
    def verdict(self) -> Verdict:
        """The worst of the rules' own."""
        said = {rule.verdict for rule in self.rules}
        return next((one for one in ("fail", "inconclusive") if one in said), "pass")

    @property
    def exit_code(self) -> int:
        """0, 3 or 4."""
        return EXIT_CODES[self.verdict]


def gate(
    run: FinishedRun, baseline: FinishedRun | None, policy: Policy, *, anyway: bool = False,
    include: Sequence[Path] = (),
) -> Gate:  # fmt: skip
    """Hold a run against a policy. Raises UsageError for a policy that does not fit the run."""
    limits = policy.limits(run)
    if baseline is None and (needs := next((name for name, one in limits.items() if one.max_drop is not None), None)):
        raise UsageError(f"{needs}: max_drop needs a --baseline RUN.")
    known = check.definitions(run, include)
    earlier = {} if baseline is None else check.definitions(baseline, include)
    differences = [] if baseline is None else check.of_runs(baseline, run)
    whole = list(differences)
    rules: list[Ruled] = []
    worse: dict[str, Sequence[Flip]] = {}
    for name, one in limits.items():
        task = known.get(name)
        if one.max_drop is not None and baseline is not None:
            if name in baseline.tasks:
                pairs, either = Pairs(baseline, run, name), task or earlier.get(name)
                found = check.of_task(baseline, run, pairs, either)
                differences += found
                worse[name] = [flip for flip in pairs.flips() if flip.better is False]
                unlike = [*whole, *found]
                rules.append(Ruled(name, "max_drop", "inconclusive", refusal(unlike)) if unlike and not anyway else
                             _drop(pairs, either, one, policy.strict))  # fmt: skip
            else:
                rules.append(Ruled(name, "max_drop", "inconclusive", f"{baseline.path} has no such task"))
        if one.min is not None:
            rules.append(_least(alone(run, name, one.metric, task), one, policy.strict))
        rules += _measured([each for each in (run, baseline) if each is not None], name, one)
    return Gate(run, baseline, differences, rules, worse)


def _drop(pairs: Pairs, task: Task | None, limits: Limits, strict: bool) -> Ruled:
    measure = measure_of(pairs, task, limits.metric)
    tested, values = measure.test(), measure.both(())
    allowed = limits.max_drop or 0.0
    if tested is None or values is None:
        return Ruled(pairs.task, "max_drop", "inconclusive", _untested(pairs))
    sign = -1.0 if measure.metric in LOWER_IS_BETTER else 1.0
    verdict, more = held(tested, sign, -allowed, strict=strict, n=len(pairs.measured))
    return Ruled(
        pairs.task, "max_drop", verdict,
        f"{measure.metric} {number(values[0])} → {number(values[1])}, {tested.difference:+.4f} "
        f"(95 %: {tested.low:+.4f} … {tested.high:+.4f}, {tested.method}, n = {len(pairs.measured)}); "
        f"allowed drop {allowed:g}{more}",
    )  # fmt: skip


def _least(measure: Measure, limits: Limits, strict: bool) -> Ruled:
    pairs, tested, wanted = measure.pairs, measure.test(), limits.min or 0.0
    if tested is None:
        return Ruled(pairs.task, "min", "inconclusive", _untested(pairs))
    lower = measure.metric in LOWER_IS_BETTER
    sign = -1.0 if lower else 1.0
    verdict, more = held(tested, sign, sign * wanted, strict=strict, n=len(pairs.measured))
    return Ruled(
        pairs.task, "min", verdict,
        f"{measure.metric} {tested.difference:.4f} (95 %: {tested.low:.4f} … {tested.high:.4f}, "
        f"n = {len(pairs.measured)}); {'at most' if lower else 'at least'} {wanted:g} is asked for{more}",
    )  # fmt: skip


def _untested(pairs: Pairs) -> str:
    return (f"fewer than two independent groups of samples were measured ({len(pairs.measured)} of {len(pairs.keys)} "
            "samples have a score)")  # fmt: skip


def held(tested: Contrast, sign: float, limit: float, *, strict: bool, n: int) -> tuple[Verdict, str]:
    """The verdict on `sign` × number ≥ `limit`, and what it would take where there is none."""
    value = sign * tested.difference
    low, high = sorted((sign * tested.low, sign * tested.high))
    if low >= limit:
        return "pass", ""
    if high < limit:
        return "fail", ""
    if strict and value < limit:
        return "fail", "; the number itself is beyond it (strict)"
    enough = tested.enough(value - limit, n)
    if enough is None:
        return "inconclusive", "; no number of samples tells apart what is equal"
    return "inconclusive", f"; to tell, it would take about {max(enough, n + 1):,} samples with numbers like these"


def _measured(runs: Sequence[FinishedRun], name: str, limits: Limits) -> Iterator[Ruled]:
    allowed = 0.01 if limits.max_not_measured is None else limits.max_not_measured
    for run in runs:
        outcomes = run.results["tasks"].get(name, {}).get("outcomes", {})
        total = sum(outcomes.values())
        missing = outcomes.get("not_measured", 0) + outcomes.get("not_judged", 0)
        not_asked = run.results["tasks"].get(name, {}).get("not_asked") or 0
        if missing + not_asked > allowed * (total + not_asked):
            yield Ruled(name, "measured", "inconclusive",
                        f"{missing + not_asked} of {total + not_asked} samples of {run.path} have no score, more than "
                        f"{allowed:.2%} (max_not_measured)")  # fmt: skip


def as_json(found: Gate) -> dict[str, Any]:
    """What `gate --json` prints."""
    return {
        "verdict": found.verdict, "exit_code": found.exit_code, "run": str(found.run.path),
        "baseline": None if found.baseline is None else str(found.baseline.path),
        "differences": [str(one) for one in found.differences],
        "rules": [{"task": one.task, "rule": one.rule, "verdict": one.verdict, "says": one.says}
                  for one in found.rules],
        "worse": {task: [{"id": flip.key[0], "repeat": flip.key[1], "cause": flip.cause} for flip in flips]
                  for task, flips in found.worse.items()},
    }  # fmt: skip


def markdown(found: Gate) -> str:
    """For the summary of a CI job."""
    marks = {"pass": "✅ pass", "fail": "❌ fail", "inconclusive": "❔ inconclusive"}
    against = "" if found.baseline is None else f" against {found.baseline.model} ({found.baseline.path})"
    parts = [f"## lmms-fast gate: {marks[found.verdict]}", "",
             escaped(f"{found.run.model} ({found.run.path}){against}"), ""]  # fmt: skip
    parts += rows(("task", "rule", "verdict", ""),
                  [(one.task, one.rule, marks[one.verdict], one.says) for one in found.rules])  # fmt: skip
    if found.differences:
        parts += ["", "**Not asked and scored alike:**", "", *(f"- {escaped(str(one))}" for one in found.differences)]
    for task, flips in found.worse.items():
        if flips:
            parts += ["", f"<details><summary>{len(flips)} samples of {escaped(task)} came out worse</summary>", "",
                      *rows(("sample", "cause"), [(f"{one.key[0]}#{one.key[1]}", one.cause)
                                                  for one in flips[:_WORST_SHOWN]])]  # fmt: skip
            if len(flips) > _WORST_SHOWN:
                parts += ["", f"and {len(flips) - _WORST_SHOWN} more."]
            parts += ["", "</details>"]
    return "\n".join(parts) + "\n"


def junit(found: Gate) -> bytes:
    """A JUnit report: a test case for each rule; one that is inconclusive is an error."""
    counts = {verdict: str(sum(one.verdict == verdict for one in found.rules)) for verdict in EXIT_CODES}
    totals = {"tests": str(len(found.rules)), "failures": counts["fail"], "errors": counts["inconclusive"]}
    root = ElementTree.Element("testsuites", {"name": "lmms-fast", **totals})
    suite = ElementTree.SubElement(root, "testsuite", {"name": "lmms-fast gate", "skipped": "0", "time": "0", **totals})
    for one in found.rules:
        case = ElementTree.SubElement(suite, "testcase", {"classname": f"lmms-fast.{_xml(one.task)}",
                                                          "name": one.rule, "time": "0"})  # fmt: skip
        if one.verdict == "pass":
            ElementTree.SubElement(case, "system-out").text = _xml(one.says)
        else:
            kind = "failure" if one.verdict == "fail" else "error"
            ElementTree.SubElement(case, kind, {"message": _xml(one.says), "type": one.verdict}).text = _xml(one.says)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold."""
    return "".join(char if char in "\t\n" or " " <= char <= "\ud7ff" or (char > "\udfff" and char not in "\ufffe\uffff")
                   else "�" for char in text)  # fmt: skip
