"""`gate`: pass, fail or inconclusive, by which rule, with which exit code."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from aiohttp import web

from lmms_fast.errors import UsageError
from lmms_fast.report.compare_tests import Paired, of_means
from lmms_fast.report.finished import FinishedRun
from lmms_fast.report.gate import Gate, Limits, Policy, gate, held, junit, load_policy, markdown
from tests.report.runs import asked, broken_prompt, line, written
from tests.report.test_compare import HOSTILE, lmms_fast
from tests.servers.stand_in import StandIn


def _run(path: Path, wrong: int, n: int = 400, **more: Any) -> FinishedRun:
    return written(path, [line(str(number), float(number >= wrong)) for number in range(n)], **more)


def _gate(run: FinishedRun, baseline: FinishedRun | None = None, *, strict: bool = False, anyway: bool = False,
          **limits: Any) -> Gate:  # fmt: skip
    return gate(run, baseline, Policy(tasks={"t": Limits(**limits)}, strict=strict), anyway=anyway)


@pytest.mark.parametrize(
    ("wrong", "max_drop", "verdict"),
    [(0, 0.02, "pass"), (2, 0.05, "pass"), (40, 0.02, "fail"), (10, 0.02, "inconclusive"), (4, 0.02, "inconclusive"),
     (1, 0.0, "inconclusive"), (8, 0.0, "fail")],
)  # fmt: skip
def test_a_drop(tmp_path: Path, wrong: int, max_drop: float, verdict: str) -> None:
    """By where the interval of the difference lies."""
    found = _gate(_run(tmp_path / "b", wrong), _run(tmp_path / "a", 0), max_drop=max_drop)
    assert found.verdict == verdict
    assert found.exit_code == {"pass": 0, "fail": 3, "inconclusive": 4}[verdict]
    [rule] = found.rules
    assert ("it would take about" in rule.says) == (verdict == "inconclusive")


def test_what_it_would_take_is_enough(tmp_path: Path) -> None:
    """With as many samples as it says, and the same shares, the gate can tell."""
    found = _gate(_run(tmp_path / "b", 6), _run(tmp_path / "a", 0), max_drop=0.025)
    assert found.verdict == "inconclusive"
    words = found.rules[0].says.split()
    n = int(words[words.index("about") + 1].replace(",", ""))
    assert 400 < n < 4000
    more = _gate(_run(tmp_path / "d", round(0.015 * n), n), _run(tmp_path / "c", 0, n), max_drop=0.025)
    assert more.verdict == "pass"


def test_a_better_run_passes_and_few_samples_do_not(tmp_path: Path) -> None:
    """Equal answers of twenty samples do not show that no hundredth was lost."""
    assert _gate(_run(tmp_path / "b", 0), _run(tmp_path / "a", 40), max_drop=0.0).verdict == "pass"
    few = _gate(_run(tmp_path / "d", 0, 20), _run(tmp_path / "c", 0, 20), max_drop=0.01)
    assert few.verdict == "inconclusive"


def test_strict_fails_by_the_number_itself(tmp_path: Path) -> None:
    """Where the interval alone would leave it open; what is within the limit stays open."""
    base = _run(tmp_path / "a", 0)
    assert _gate(_run(tmp_path / "b", 10), base, max_drop=0.02, strict=True).verdict == "fail"
    assert _gate(_run(tmp_path / "c", 4), base, max_drop=0.02, strict=True).verdict == "inconclusive"


@pytest.mark.parametrize(("least", "verdict"), [(0.5, "pass"), (0.9, "inconclusive"), (0.95, "fail")])
def test_a_least_score(tmp_path: Path, least: float, verdict: str) -> None:
    """Needs no baseline: 360 of 400, which is 0.867 to 0.926."""
    assert _gate(_run(tmp_path / "a", 40), min=least).verdict == verdict


def test_a_least_score_over_clusters_and_no_mean(tmp_path: Path) -> None:
    """Pictures with several questions are as many as there are pictures; F1 is made again without each."""
    dice = random.Random(4)
    right = [dice.random() < 0.9 for _ in range(160)]
    lines = [line(str(number), float(one), text="yes" if one else "no", target=["yes"], pictures=[f"p{number // 4}"])
             for number, one in enumerate(right)]  # fmt: skip
    found = _gate(written(tmp_path / "a", lines), min=0.7)
    assert found.verdict == "pass"
    assert _gate(written(tmp_path / "b", lines, "f1"), min=0.7, metric="f1").verdict == "pass"
    with pytest.raises(UsageError, match="has no metric 'f2'; it has"):
        _gate(written(tmp_path / "c", lines, "f1"), min=0.7, metric="f2")


def test_fewer_errors_are_better(tmp_path: Path) -> None:
    """Word error rates: a drop is a rise, and `min` is the most there may be."""
    def lines(errors: int) -> list[dict[str, Any]]:
        return [line(str(number), 0.5, text="one two three four" if number >= errors else "one two three more",
                     target=["one two three four"]) for number in range(200)]  # fmt: skip

    good, bad = written(tmp_path / "a", lines(2), "wer"), written(tmp_path / "b", lines(120), "wer")
    assert _gate(bad, good, max_drop=2).verdict == "fail"
    assert _gate(good, bad, max_drop=0).verdict == "pass"
    assert (_gate(bad, min=5).verdict, _gate(good, min=5).verdict) == ("fail", "pass")


def test_too_much_not_measured_is_inconclusive(tmp_path: Path) -> None:
    """In either run; how much is too much is the policy's."""
    lines = [line(str(number), None if number < 20 else 1.0) for number in range(400)]
    part, base = written(tmp_path / "b", lines), _run(tmp_path / "a", 0)
    for run, other in ((part, base), (base, part)):
        found = _gate(run, other, max_drop=0.05)
        assert found.verdict == "inconclusive"
        assert "20 of 400 samples" in found.rules[-1].says
    assert _gate(part, base, max_drop=0.05, max_not_measured=0.1).verdict == "pass"


def test_a_failed_rule_outweighs_an_open_one(tmp_path: Path) -> None:
    """Also where the runs may not be compared."""
    other = _run(tmp_path / "a", 0, identity={"temperature": 1.0})
    found = _gate(_run(tmp_path / "b", 200), other, max_drop=0.02, min=0.9)
    assert [rule.verdict for rule in found.rules] == ["inconclusive", "fail"]
    assert found.exit_code == 3
    assert "temperature" in found.rules[0].says
    assert _gate(_run(tmp_path / "c", 200), other, max_drop=0.02, anyway=True).verdict == "fail"


def test_false_failures_are_rare() -> None:
    """A run that is exactly as much worse as is allowed fails in about one of forty cases."""
    dice = random.Random(9)
    failed = 0
    for _ in range(1000):
        cells = [(1.0, 0.0) if (u := dice.random()) < 0.09 else (0.0, 1.0) if u < 0.13 else (1.0, 1.0)
                 for _ in range(200)]  # fmt: skip
        tested = of_means([Paired(*cell, number) for number, cell in enumerate(cells)])
        assert tested is not None
        failed += held(tested, 1.0, -0.05, strict=False, n=200)[0] == "fail"
    assert 10 <= failed <= 40


# Policies


def test_a_policy_file(tmp_path: Path) -> None:
    """Defaults hold for every task of the run; what a task says goes first; flags over both."""
    path = tmp_path / "policy.yaml"
    path.write_text("defaults: {max_drop: 0.02, max_not_measured: 0.05}\ntasks:\n  t: {max_drop: 0.2, min: 0.5}\n")
    policy = load_policy(path)
    assert policy.limits(_run(tmp_path / "a", 0)) == {"t": Limits(max_drop=0.2, min=0.5, max_not_measured=0.05)}
    _run(tmp_path / "b", 40)
    words = ["gate", str(tmp_path / "b"), "--baseline", str(tmp_path / "a"), "--policy", str(path)]
    assert lmms_fast(*words).returncode == 0
    assert lmms_fast(*words, "--max-drop", "t=0.02").returncode == 3
    assert lmms_fast(*words, "--max-drop", "0.02").returncode == 0  # the task's own limit is nearer


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("taks: {}", "`taks` is not a key here; allowed: defaults, tasks, strict"),
        ("tasks: {t: {max_dorp: 1}}", "`tasks.t.max_dorp` is not a key here; allowed: max_drop, min,"),
        ("tasks: {t: {max_drop: much}}", "`tasks.t.max_drop`: Input should be a valid number"),
        ("tasks: {t: {max_drop: -1}}", "greater than or equal to 0"),
        ("- a", "a policy is a mapping"),
        ("a: [", "not valid YAML"),
        ("defaults: {max_not_measured: 0.1}", "the gate has no rule"),
        ("tasks: {u: {min: 0}}", "u: is no task of it"),
        ("tasks: {t: {max_drop: 0}}", "needs a --baseline"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    """Exit code 1: nothing was judged."""
    (tmp_path / "p.yaml").write_text(text)
    _run(tmp_path / "a", 0)
    done = lmms_fast("gate", str(tmp_path / "a"), "--policy", str(tmp_path / "p.yaml"))
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_flags_that_are_none(tmp_path: Path) -> None:
    """TASK=NUMBER, not below 0."""
    _run(tmp_path / "a", 0)
    for flag in (["--max-drop", "t=much"], ["--min", "t=-1"], ["--max-drop", "t="], ["--max-drop", "nan"], []):
        done = lmms_fast("gate", str(tmp_path / "a"), *flag)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


# What is left behind


def test_junit_and_summaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A case for each rule; the summary goes where the CI job shows it, after what is there."""
    (tmp_path / "summary.md").write_text("before\n")
    _run(tmp_path / "a", 0)
    _run(tmp_path / "b", 40)
    words = ["gate", str(tmp_path / "b"), "--baseline", str(tmp_path / "a"), "--max-drop", "t=0.02", "--min", "0.5"]
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    done = lmms_fast(*words, "--junit", str(tmp_path / "j.xml"), "--markdown", str(tmp_path / "g.md"), "--json")
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert (told["verdict"], len(told["worse"]["t"])) == ("fail", 40)
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    assert [case.get("name") for case in suite] == ["max_drop", "min"]
    assert suite[0][0].tag == "failure"
    summary = (tmp_path / "g.md").read_text()
    assert "❌ fail" in summary
    assert "40 samples of t came out worse" in summary
    assert (tmp_path / "summary.md").read_text() == "before\n" + summary


def test_hostile_strings_in_what_is_left_behind(tmp_path: Path) -> None:
    """XML that can be read, and Markdown that is text."""
    odd = HOSTILE.replace("/", "") + "\x00\x1b"
    lines = [[line(f"{odd}{number}", score) for number in range(40)] for score in (1.0, 0.0)]
    runs = [written(tmp_path / name, one, identity={"model": odd}) for name, one in zip("ab", lines, strict=True)]
    found = _gate(runs[1], runs[0], max_drop=0.1)
    ElementTree.fromstring(junit(Gate(found.run, None, (), found.rules, {})))
    text = markdown(found)
    assert "<script" not in text.replace("\\<", "")
    assert "[x]" not in text


# On real runs


def test_a_broken_prompt_is_caught(tmp_path: Path, stand_in: StandIn) -> None:
    """A seeded regression over HTTP: open without --anyway, since the prompts differ; with it the gate fails."""
    before = asked(stand_in, tmp_path / "before")
    after = asked(stand_in, tmp_path / "after", task=str(broken_prompt(tmp_path / "tasks")))
    words = ["gate", str(after.path), "--baseline", str(before.path), "--max-drop", "0.05"]
    refused = lmms_fast(*words)
    assert refused.returncode == 4
    assert "the prompts of 80 of 80 samples differ" in refused.stdout
    done = lmms_fast(*words, "--anyway", "--json")
    assert done.returncode == 3
    assert {one["cause"] for one in json.loads(done.stdout)["worse"]["smoke_count"]} == {"prompt"}
    assert lmms_fast("gate", str(after.path), "--min", "smoke_count=0.9").returncode == 3  # needs no baseline
    again = asked(stand_in, tmp_path / "again")
    same = lmms_fast("gate", str(again.path), "--baseline", str(before.path), "--max-drop", "0.05")
    assert same.returncode == 0, same.stdout


def test_a_server_that_fails_is_not_a_drop(tmp_path: Path, stand_in: StandIn) -> None:
    """What was not measured is not counted as wrong: nobody can tell."""
    before = asked(stand_in, tmp_path / "before")
    after = asked(stand_in, tmp_path / "after", lambda id, gold: web.Response(status=400, text="no"))
    done = lmms_fast("gate", str(after.path), "--baseline", str(before.path), "--max-drop", "0.05")
    assert done.returncode == 4
    assert "80 of 80 samples" in done.stdout
