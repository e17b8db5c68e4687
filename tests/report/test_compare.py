"""`compare`: which runs it refuses, what it says of those it takes, and why samples came out otherwise."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from lmms_fast.cli.app import main
from lmms_fast.report.compare import Comparison, NotComparable, as_json, causes, compare
from lmms_fast.report.compare_check import definitions
from lmms_fast.report.compare_page import page
from lmms_fast.report.compare_pairs import Pairs, cause
from lmms_fast.report.compare_show import escaped, markdown
from tests.report.runs import asked, broken_prompt, copied, line, written
from tests.servers.stand_in import StandIn, completion

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}|[x](javascript:alert(3))"


def lmms_fast(*words: str) -> subprocess.CompletedProcess[str]:
    """The command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(list(words))
    code = ended.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


# Why a sample came out otherwise


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (line("1", 1.0), line("1", None), "not measured"),
        (line("1", None), line("1", 0.0), "not measured"),
        (line("1", 1.0, text="It is B", answer="B"), line("1", 0.0, text="It is C", answer="C"), "model"),
        (line("1", 0.0, text="C", answer="C"), line("1", 1.0, text="B", answer="B"), "model"),
        # The same text, and something else was found in it.
        (line("1", 1.0, text="(B)", answer="B"), line("1", 0.0, text="(B)", answer=None), "parser"),
        (line("1", 1.0, text="<think>x</think>(B)", answer="B"), line("1", 0.0, text="(B)", answer=None), "parser"),
        # The same answer, by other rules right.
        (line("1", 1.0, text="B", answer="B"), line("1", 0.0, text="B.", answer="B"), "parser"),
        # Another text, and what it says in the end was not read.
        (line("1", 1.0, text="B", answer="B"), line("1", 0.0, text="Not C:\n\n**It is (B)**.", answer="C"), "parser"),
        (line("1", 1.0, text="A", answer="A"), line("1", 0.0, text="It is B", answer=None), "model"),
        (line("1", 1.0, text="4", answer="4"), line("1", 0.0, text="There are 14", answer="14"), "model"),
        (line("1", 1.0), line("1", 0.0, finish="length"), "truncation"),
        (line("1", 0.0, finish="length"), line("1", 1.0), "truncation"),
        (line("1", 1.0, finish="length"), line("1", 0.0), "model"),  # the better one was cut off
        (line("1", 1.0, finish="length", text="a"), line("1", 0.0, finish="length", text="b"), "model"),
        (line("1", 1.0, text="x", judgements=[{}]), line("1", 0.0, text="x", judgements=[{}]), "judge"),
        (line("1", 1.0, text="x", judgements=[{}]), line("1", 0.0, text="y", judgements=[{}]), "model"),
        (line("1", 1.0), line("1", 0.0, target=["no"]), "target"),
        (line("1", 1.0), line("1", 0.0, messages=[{"role": "user", "parts": ["What?"]}]), "prompt"),
        (line("1", 1.0, pictures=["a"]), line("1", 0.0, pictures=["b"]), "prompt"),
    ],
)  # fmt: skip
def test_causes(before: dict[str, Any], after: dict[str, Any], why: str) -> None:
    """One cause for each, the first in the order of the record that holds."""
    assert cause(before, after) == why


def test_clusters(tmp_path: Path) -> None:
    """Questions on one picture, repeats of one question, and rotations belong together; a shared example does not."""
    lines = [
        line("1", 1.0, pictures=["example", "a"], groups={"circular_id": "1"}),
        line("2", 1.0, pictures=["example", "a", "b"], groups={"circular_id": "2"}),
        line("3", 1.0, pictures=["example", "b"], groups={"circular_id": "3"}),
        line("4", 1.0, pictures=["example", "c"], groups={"circular_id": "7"}),
        line("5", 1.0, pictures=["example", "d"], groups={"circular_id": "7"}),
        line("6", 1.0, pictures=["example"], groups={"circular_id": "6"}),
        line("6", 1.0, pictures=["example"], groups={"circular_id": "6"}, repeat=1),
    ]
    run = written(tmp_path / "a", lines)
    found = Pairs(run, run, "t")
    clusters = found.clusters(None)
    assert clusters["1", 0] == clusters["2", 0] == clusters["3", 0]
    assert clusters["6", 0] == clusters["6", 1]
    assert len(set(clusters.values())) == 4
    assert len(set(found.clusters("circular").values())) == 3
    # Pictures drawn at random join all in the end; then only equal sets do.
    chain = [line(str(number), 1.0, pictures=[f"p{number // 2}", f"p{number // 2 + 1}"]) for number in range(40)]
    run = written(tmp_path / "b", chain)
    assert len(set(Pairs(run, run, "t").clusters(None).values())) == 20


# May they be compared?


def _lines(**more: Any) -> list[dict[str, Any]]:
    return [line(str(number), float(number % 2), **more) for number in range(20)]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"identity": {"temperature": 0.7}}, "temperature: the default and 0.7"),
        ({"identity": {"max_tokens": 9}}, "max_tokens"),
        ({"identity": {"extra_body": {"top_k": 1}}}, "extra_body"),
        ({"identity": {"system_prompt": "Be brief."}}, "system prompt: the default and Be brief."),
        ({"identity": {"image": {"max_pixels": 9}}}, "media policy (--image)"),
        ({"identity": {"tasks": {"t": "0123"}}}, "its definition (prompt, generation settings"),
        ({"identity": {"imported": "x"}}, "were imported"),
        ({"lines": _lines()[:-3]}, "3 samples are only in the first run, such as '17'"),
        ({"lines": [*_lines(), line("x", 1.0)]}, "1 samples are only in the second run, such as 'x'"),
        ({"lines": [*_lines(), *_lines(repeat=1)]}, "each sample was asked 1 and 2 times"),
        ({"lines": _lines(target=["no"])}, "the accepted answers or choices of 20 of 20 samples differ"),
        ({"lines": _lines(messages=[{"role": "user", "parts": ["What?"]}])}, "the prompts of 20 of 20 samples differ"),
        ({"lines": _lines(pictures=["other"])}, "the pictures of 20 of 20 samples differ"),
        ({"judge": {"model": "other", "seed": 0, "gen": {}},
          "lines": _lines(judgements=[{"judge": "other", "rubric": "1", "reply": "1"}])}, "judges none and other"),
    ],
)  # fmt: skip
def test_refused_with_the_reason(tmp_path: Path, other: dict[str, Any], says: str) -> None:
    """Whatever they should share; --anyway takes them and keeps saying so."""
    options = {"lines": _lines(), **other}
    runs = [written(tmp_path / "a", _lines()), written(tmp_path / "b", **options)]
    with pytest.raises(NotComparable, match=re.escape(says)):
        compare(runs)
    found = compare(runs, anyway=True)
    assert says in " ".join(map(str, found.differences))
    assert says in json.dumps(as_json(found), ensure_ascii=False)
    assert "Not alike" in page(found)
    assert "NOT ALIKE" in markdown(found)


def test_two_rubrics_of_one_judge(tmp_path: Path) -> None:
    """The judge is the same, and was told something else."""
    judge = {"model": "j", "seed": 0, "gen": {}}
    runs = [written(tmp_path / rubric, _lines(judgements=[{"judge": "j", "rubric": rubric, "reply": "1"}]), judge=judge)
            for rubric in ("r1", "r2")]  # fmt: skip
    with pytest.raises(NotComparable, match="another rubric"):
        compare(runs)


def test_what_may_differ(tmp_path: Path) -> None:
    """Model, weights, seed and the limit, where the samples are the same."""
    runs = [written(tmp_path / "a", _lines()),
            written(tmp_path / "b", _lines(), identity={"weights": "x", "seed": 3, "limit": 20.0})]  # fmt: skip
    [other] = compare(runs).others
    assert other.tasks[0].verdict == "no difference shown"


def test_older_rules_are_found_by_scoring_again(tmp_path: Path) -> None:
    """Two versions of lmms-fast are alike where the rules of today give all the stored scores."""
    told = [line(str(number), 1.0, text="yes") for number in range(20)]
    session = [{"spec": {"tasks": ["t"], "include_path": []}, "versions": {"lmms-fast": "older"}}]
    runs = [written(tmp_path / "a", told), written(tmp_path / "b", told, sessions=session)]
    assert not compare(runs).differences
    wrong = [*told[:-1], line("19", 0.0, text="yes")]
    runs = [written(tmp_path / "c", told), written(tmp_path / "d", wrong, sessions=session)]
    with pytest.raises(NotComparable, match="give 1 of their samples another score"):
        compare(runs)


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    """Exit code 1, no traceback."""
    written(tmp_path / "a", _lines())
    written(tmp_path / "b", _lines()[1:])
    for words, says in (
        ([str(tmp_path / "a")], "two runs or more"),
        ([str(tmp_path / "a"), str(tmp_path / "none")], "not a run directory"),
        ([str(tmp_path / "a"), str(tmp_path / "a"), "--tasks", "u"], "has no task u"),
        ([str(tmp_path / "a"), str(tmp_path / "b")], "only in the first run"),
    ):
        done = lmms_fast("compare", *words)
        assert done.returncode == 1
        assert says in done.stderr
        assert "Traceback" not in done.stderr


# The numbers


def test_three_runs_each_against_the_first_with_holm(tmp_path: Path) -> None:
    """The correction is over all tests that are made together."""
    right = [line(str(number), 1.0) for number in range(100)]
    worse = [line(str(number), float(number >= 6)) for number in range(100)]
    found = compare([written(tmp_path / "a", right), written(tmp_path / "b", worse), written(tmp_path / "c", right)])
    b, c = (other.tasks[0] for other in found.others)
    assert b.tested is not None
    assert (b.tested.difference, b.tested.p) == pytest.approx((-0.06, 2 / 64))
    assert b.adjusted == pytest.approx(4 / 64)
    assert (b.verdict, c.verdict) == ("no difference shown", "no difference shown")
    assert (c.adjusted, c.flips) == (1.0, [])


def test_repeats_are_averaged_and_stay_together(tmp_path: Path) -> None:
    """Four answers to each of 25 questions are 25 units."""
    def lines(right: float) -> list[dict[str, Any]]:
        dice = random.Random(1)
        return [line(str(number), float(dice.random() < right), repeat=repeat)
                for number in range(25) for repeat in range(4)]  # fmt: skip

    [other] = compare([written(tmp_path / "a", lines(0.9)), written(tmp_path / "b", lines(0.4))]).others
    [task] = other.tasks
    assert task.tested is not None
    assert (task.tested.clusters, task.tested.method, task.verdict) == (25, "paired t", "worse")
    assert task.measured == 100


def test_not_measured_is_left_out_and_told(tmp_path: Path) -> None:
    """The numbers rest on what both have measured."""
    first = [line(str(number), 1.0) for number in range(50)]
    second = [line(str(number), None if number < 10 else 1.0) for number in range(50)]
    [other] = compare([written(tmp_path / "a", first), written(tmp_path / "b", second)]).others
    [task] = other.tasks
    assert (task.first, task.second, task.measured, task.not_measured) == (1.0, 1.0, 40, (0.0, 0.2))
    assert causes(task.flips) == {"not measured": {"one_side": 10}}


def _of(tmp_path: Path, report: str, lines: list[list[dict[str, Any]]], groups: tuple[str, ...] = ()) -> Comparison:
    both = zip("ab", lines, strict=True)
    return compare([written(tmp_path / name, one, report, groups=groups) for name, one in both])


def test_numbers_that_are_no_means(tmp_path: Path) -> None:
    """F1, a share of pairs all right, a corpus of captions, word errors: made again by their own aggregation."""
    dice = random.Random(2)

    def said(right: float, number: int) -> dict[str, Any]:
        gold = ["yes", "no"][number % 2]
        answer = gold if dice.random() < right else ["no", "yes"][number % 2]
        return line(str(number), float(answer == gold), text=answer, target=[gold],
                    groups={"pair_id": str(number // 2)})  # fmt: skip

    lines = [[said(right, number) for number in range(200)] for right in (0.9, 0.6)]
    [task] = _of(tmp_path / "f1", "f1", lines).others[0].tasks
    assert task.tested is not None
    assert (task.tested.method, task.verdict) == ("paired jackknife over clusters", "worse")
    [task] = _of(tmp_path / "pairs", "pairs", lines, ("pair_id",)).others[0].tasks
    assert task.tested is not None
    assert (task.tested.clusters, task.verdict) == (100, "worse")
    words = ["a", "small", "brown", "dog", "runs", "over", "the", "green", "grass", "in", "our", "park", "today"]

    def caption(number: int, noise: float) -> dict[str, Any]:
        its = [words[(number * 7 + place * (1 + number % 5)) % len(words)] for place in range(9)]
        text = " ".join(word if dice.random() > noise else "thing" for word in its)
        return line(str(number), 0.5, text=text, target=[" ".join(its)])

    for report, worse in (("captions", "worse"), ("wer", "worse")):
        lines = [[caption(number, noise) for number in range(60)] for noise in (0.1, 0.5)]
        [task] = _of(tmp_path / report, report, lines).others[0].tasks
        assert (task.metric, task.verdict) == ({"captions": "CIDEr", "wer": "wer"}[report], worse)
        assert task.lower_is_better == (report == "wer")


def test_a_task_whose_file_is_another_now(tmp_path: Path, stand_in: StandIn) -> None:
    """The mean of its samples' scores, and that is said."""
    path = broken_prompt(tmp_path / "tasks")
    runs = [asked(stand_in, tmp_path / name, task=str(path)) for name in "ab"]
    assert list(definitions(runs[0])) == ["smoke_count"]
    path.write_text(path.read_text().replace("number_or_word", "text"))
    assert definitions(runs[0]) == {}
    [task] = compare(runs).others[0].tasks
    assert task.metric == "mean score"
    assert "not at hand" in (task.note or "")


# On real runs


def _worse(id: str, gold: str) -> str | web.Response | None:
    """What a worse server says: wrong, cut off, in a form that is not read, or nothing."""
    number = int(id.removeprefix("count-"))
    if number < 12:
        return "9"
    if number < 15:
        return web.json_response(completion("The picture shows a", "length"))
    if number < 18:
        return f"Of the 9 places, those with a shape are {gold}"
    return web.Response(status=400, text="no") if number < 20 else None


def test_a_worse_server_is_found_with_the_causes(tmp_path: Path, stand_in: StandIn) -> None:
    """The same prompts, so that nothing has to be forced; every cause with its number of samples."""
    before = asked(stand_in, tmp_path / "before")
    after = asked(stand_in, tmp_path / "after", _worse)
    done = lmms_fast("compare", str(before.path), str(after.path), "--json", "--html", str(tmp_path / "c.html"),
                     "--markdown", str(tmp_path / "c.md"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["runs"][0]["tasks"]["smoke_count"]
    assert found["verdict"] == "worse"
    assert found["baseline"] == before.results["tasks"]["smoke_count"]["aggregates"][0]["value"]
    assert found["value"] == after.results["tasks"]["smoke_count"]["aggregates"][0]["value"]
    assert found["causes"] == {"not measured": {"one_side": 2}, "truncation": {"worse": 3}, "parser": {"worse": 3},
                               "model": {"worse": 12}}  # fmt: skip
    assert found["value"] == pytest.approx(60 / 78)
    assert [flip["id"] for flip in found["flips"] if flip["cause"] == "truncation"] == [
        "count-012", "count-013", "count-014"
    ]  # fmt: skip
    assert "| smoke\\_count |" in (tmp_path / "c.md").read_text()
    html = (tmp_path / "c.html").read_text()
    assert html.count("data:image/jpeg;base64,") == 20
    plain = lmms_fast("compare", str(before.path), str(after.path))
    assert "truncation" in plain.stdout
    assert "worse" in plain.stdout


def test_a_broken_prompt_is_refused_and_with_anyway_named_as_the_cause(tmp_path: Path, stand_in: StandIn) -> None:
    """A task that lost its instruction: every sample that flips does so since it was asked something else."""
    before = asked(stand_in, tmp_path / "before")
    path = broken_prompt(tmp_path / "tasks")
    after = asked(stand_in, tmp_path / "after", task=str(path))
    refused = lmms_fast("compare", str(before.path), str(after.path))
    assert refused.returncode == 1
    assert "the prompts of 80 of 80 samples differ, such as that of 'count-000'" in refused.stderr
    assert refused.stdout == ""
    done = lmms_fast("compare", str(before.path), str(after.path), "--anyway", "--json",
                     "--html", str(tmp_path / "c.html"))  # fmt: skip
    assert done.returncode == 0
    found = json.loads(done.stdout)["runs"][0]
    assert found["tasks"]["smoke_count"]["causes"] == {"prompt": {"worse": 80}}
    assert found["tasks"]["smoke_count"]["verdict"] == "worse"
    assert any("prompts" in one for one in found["differences"])
    html = (tmp_path / "c.html").read_text()
    assert "Answer the question using a single word" in html  # both prompts, side by side
    assert "was asked" in html
    loud = lmms_fast("compare", str(before.path), str(after.path), "--anyway")
    assert "NOT ALIKE" in loud.stderr


# What models and data say is text


def test_hostile_strings_stay_text(tmp_path: Path) -> None:
    """In the page nothing of theirs is markup, nothing is run or loaded, and tables keep their columns."""
    lines = [
        [line(f"{HOSTILE}{number}", score, text=f"{HOSTILE}{score}", target=[HOSTILE],
              groups={HOSTILE: HOSTILE + str(number % 2)}, messages=[{"role": "user", "parts": [HOSTILE]}])
         for number in range(6)]
        for score in (1.0, 0.0)
    ]  # fmt: skip
    found = compare([written(tmp_path / HOSTILE.replace("/", ""), lines[0]), written(tmp_path / "b", lines[1])])
    html = page(found)
    assert "<script" not in html
    assert "<img" not in html
    assert "javascript:alert(3)" in html
    assert "{{7*7}}" in html
    assert "default-src 'none'" in html
    assert not re.findall(r"(?:src|href)=\"(?!data:image/jpeg)", html)
    text = markdown(found)
    assert "<script" not in text.replace("\\<", "")
    rows = [row for row in text.splitlines() if row.startswith("| \\<script")]
    assert len(rows) == 6
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}


def test_what_a_terminal_is_shown_obeys_nobody(tmp_path: Path) -> None:
    """No escape codes, and no line that begins as a CI runner's command does."""
    odd = "\x1b[2J\n::error::x\u202e"
    lines = [[line(f"{number}{odd}", score, groups={odd: odd + str(number)}) for number in range(6)]
             for score in (1.0, 0.0)]  # fmt: skip
    for name, one in zip("ab", lines, strict=True):
        written(tmp_path / name, one if name == "a" else [*one, line(f"x{odd}", 1.0)])
    for words in (["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--anyway"],
                  ["gate", str(tmp_path / "b"), "--baseline", str(tmp_path / "a"), "--max-drop", "0"]):  # fmt: skip
        done = lmms_fast(*words)
        said = done.stdout + done.stderr
        assert "::error::" in said
        assert not re.search("[\x1b\u202e]|^::", said, re.MULTILINE)


def test_pictures_are_those_that_were_asked_about(tmp_path: Path, stand_in: StandIn) -> None:
    """Not what the data hold now under the same id."""
    path = copied(tmp_path / "tasks")
    before = asked(stand_in, tmp_path / "before", task=str(path))
    after = asked(stand_in, tmp_path / "after", lambda id, gold: "9" if id < "count-003" else None, task=str(path))
    found = compare([before, after])
    assert page(found).count("data:image/jpeg;base64,") == 3
    data = path.with_suffix(".parquet")
    rows = pq.read_table(data).to_pylist()
    rows[0]["image"] = rows[9]["image"]
    pq.write_table(pa.Table.from_pylist(rows), data)
    assert page(found).count("data:image/jpeg;base64,") == 2
    assert page(found).count("the data have other ones now") == 1
    data.unlink()
    assert page(found).count("the data are not at hand") == 3


def test_escaping_of_markdown() -> None:
    """On one line, and no list."""
    assert escaped("- a\nb") == "\\- a b"
    assert escaped("a|b`c") == "a\\|b\\`c"
