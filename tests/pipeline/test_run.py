"""Whole runs against a real HTTP server: accounting, resume, kills."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from lmms_fast import evaluate
from lmms_fast.api import rescore
from lmms_fast.errors import EndpointError, UsageError
from lmms_fast.tasks.catalog import bundled_dir
from tests.servers.stand_in import Misdeed, StandIn, completion

VOLATILE = ("latency_s", "attempts", "served_by")


def samples(path: Path) -> list[dict[str, Any]]:
    """All samples lines, without what differs between two equal runs."""
    lines = []
    for file in sorted(path.glob("samples_*.jsonl")):
        for text in file.read_text().splitlines():
            line = json.loads(text)
            for name in VOLATILE:
                line.get("response", {}).pop(name, None)
            lines.append(line)
    return lines


def test_a_whole_run(stand_in: StandIn, tmp_path: Path) -> None:
    """Every sample asked once, scored, and written down without its picture's bytes."""
    result = evaluate("smoke", stand_in.url, output_dir=tmp_path / "r", limit=10)
    assert len(stand_in.asked) == 40
    assert result.samples == 40
    assert result.failed == 0
    lines = samples(tmp_path / "r")
    assert {line["outcome"] for line in lines} <= {"correct", "wrong", "no_answer"}
    right = [line["score"] for line in lines if line["task"] == "smoke_yesno"]
    assert result.score("smoke_yesno") == pytest.approx(sum(right) / 10)
    assert len(lines[0]["messages"][0]["parts"][0]["image"]) == 32


def test_failures_are_not_answers(stand_in: StandIn, tmp_path: Path) -> None:
    """Failed samples are left out of the score and counted; retries happen only where they can help."""
    def behave(number: int, body: dict[str, Any]) -> web.Response | None:
        text = body["messages"][0]["content"][1]["text"]
        if "many" in text:
            return web.json_response({"error": {"message": "maximum context length is 8 tokens"}}, status=400)
        return web.json_response(completion("yes"))

    stand_in.behave = behave
    result = evaluate(["smoke_count", "smoke_yesno"], stand_in.url, output_dir=tmp_path / "r", limit=10)
    assert len(stand_in.asked) == 20
    assert result.score("smoke_count") is None
    assert result.failures == {"too_long": 10}
    assert result.tasks["smoke_count"].aggregates[0].n == 0
    assert result.tasks["smoke_yesno"].aggregates[0].n == 10


def test_transient_failures_are_tried_again(stand_in: StandIn, tmp_path: Path) -> None:
    """A 429 with Retry-After 0 and a 500 pass; the answer counts its attempts."""
    refusals = iter([web.json_response({}, status=429, headers={"Retry-After": "0"}),
                     web.Response(body=b"{not json", content_type="application/json")])  # fmt: skip
    stand_in.behave = lambda number, body: next(refusals, None)
    result = evaluate("smoke_yesno", stand_in.url, output_dir=tmp_path / "r", limit=1, concurrency=1)
    assert result.failed == 0
    assert len(stand_in.asked) == 3
    line = json.loads((tmp_path / "r" / "samples_smoke_yesno.jsonl").read_text())
    assert line["response"]["attempts"] == 3


@pytest.mark.parametrize(("misdeed", "kind"), [("hang", "timeout"), ("reset", "connection"), ("cut off", "connection")])
def test_no_complete_answer_is_no_answer(stand_in: StandIn, tmp_path: Path, misdeed: Misdeed, kind: str) -> None:
    """A hanging, resetting or cutting server costs attempts; what it began to say is never scored."""
    stand_in.behave = lambda number, body: misdeed if number < 2 else None
    options: dict[str, Any] = {"limit": 2, "concurrency": 2, "request_timeout": 0.3}
    once = evaluate("smoke_yesno", stand_in.url, output_dir=tmp_path / "a", max_attempts=1, **options)
    assert once.failures == {kind: 2}
    assert once.score("smoke_yesno") is None
    again = evaluate("smoke_yesno", stand_in.url, output_dir=tmp_path / "a", max_attempts=1, **options)
    assert again.failed == 0


def test_pictures_that_cannot_be_sent_are_not_measured(stand_in: StandIn, tmp_path: Path) -> None:
    """A corrupt, a cut and an empty picture are counted by kind; the rest of the task goes on."""
    table = pq.read_table(bundled_dir() / "smoke" / "smoke_count.parquet").slice(0, 6).to_pylist()
    table[0]["image"]["bytes"] = b"not a picture"
    table[1]["image"]["bytes"] = b""
    table[2]["image"] = None
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "smoke_count.parquet")
    for name in ("_smoke.yaml", "smoke_count.yaml"):
        (tmp_path / name).write_text((bundled_dir() / "smoke" / name).read_text())
    result = evaluate(str(tmp_path / "smoke_count.yaml"), stand_in.url, output_dir=tmp_path / "r")
    assert result.failures == {"media": 3}
    assert len(stand_in.asked) == 3
    assert result.tasks["smoke_count"].aggregates[0].n == 3


def test_resume_asks_only_what_is_missing(stand_in: StandIn, tmp_path: Path) -> None:
    """Failures that may pass are asked again; answers are not."""
    stand_in.behave = lambda number, body: web.Response(status=500) if number < 3 else None
    first = evaluate("smoke_yesno", stand_in.url, output_dir=tmp_path / "r", limit=8, max_attempts=1)
    assert first.failures == {"server": 3}
    second = evaluate("smoke_yesno", stand_in.url, output_dir=tmp_path / "r", limit=8, max_attempts=1)
    assert second.failed == 0
    assert len(stand_in.asked) == 8 + 3
    evaluate("smoke_yesno", stand_in.url, output_dir=tmp_path / "r", limit=8)
    assert len(stand_in.asked) == 8 + 3
    with pytest.raises(UsageError, match="limit: was 8"):
        evaluate("smoke_yesno", stand_in.url, output_dir=tmp_path / "r", limit=9)


def test_score_again_needs_no_model(stand_in: StandIn, tmp_path: Path) -> None:
    """The journal alone gives the same result."""
    evaluate("smoke", stand_in.url, output_dir=tmp_path / "r", limit=5)
    before = (tmp_path / "r" / "results.json").read_bytes(), samples(tmp_path / "r")
    for file in (tmp_path / "r").glob("samples_*"):
        file.unlink()
    rescore(tmp_path / "r")
    assert ((tmp_path / "r" / "results.json").read_bytes(), samples(tmp_path / "r")) == before


def test_wrong_key_stops_at_once(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that names the variable, no request sent, no key shown."""
    stand_in.key = "right"
    monkeypatch.setenv("LMMS_FAST_API_KEY", "wrong-secret")
    with pytest.raises(EndpointError, match="LMMS_FAST_API_KEY") as caught:
        evaluate("smoke", stand_in.url, output_dir=tmp_path / "r")
    assert "wrong-secret" not in str(caught.value)
    assert stand_in.asked == []


def test_unreachable_endpoint(tmp_path: Path) -> None:
    """Says where and what to do."""
    with pytest.raises(EndpointError, match=r"cannot reach http://127\.0\.0\.1:9/v1/models"):
        evaluate("smoke", "http://127.0.0.1:9", output_dir=tmp_path / "r")


def test_unknown_model(stand_in: StandIn, tmp_path: Path) -> None:
    """Lists what there is."""
    with pytest.raises(EndpointError, match="it serves: stand-in"):
        evaluate("smoke", stand_in.url, "other", output_dir=tmp_path / "r")


def test_two_endpoints_share_the_work(stand_in: StandIn, tmp_path: Path) -> None:
    """A pool of one server under two spellings: both are used, every sample is asked once."""
    other = stand_in.url.replace("127.0.0.1", "localhost")
    stand_in.delay_s = 0.01
    result = evaluate("smoke", [stand_in.url, other], output_dir=tmp_path / "r", limit=10)
    served = {json.loads(line)["response"]["served_by"]
              for line in (tmp_path / "r" / "journal.jsonl").read_text().splitlines()}  # fmt: skip
    assert served == {stand_in.url, other}
    assert len(stand_in.asked) == result.samples == 40


def test_full_disk(stand_in: StandIn, tmp_path: Path) -> None:
    """A journal that cannot grow stops the run with one sentence; with room again the run goes on, nothing lost."""
    words = [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--endpoint", stand_in.url, "--tasks", "smoke_yesno",
             "-o", str(tmp_path / "r"), "-q"]  # fmt: skip
    limited = ["bash", "-c", 'ulimit -f 12; exec "$@"', "bash", *words]  # files end at 12 KiB
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "journal.jsonl: cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    kept = (tmp_path / "r" / "journal.jsonl").read_bytes().count(b"\n")
    assert kept > 3
    asked = len(stand_in.asked)
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0
    assert len(stand_in.asked) - asked == 80 - kept


def test_killed_ten_times_ends_the_same(stand_in: StandIn, tmp_path: Path) -> None:
    """`kill -9` at random moments, the same command again: results as of an uninterrupted run, no answer asked twice
    except those in flight."""
    evaluate("smoke", stand_in.url, output_dir=tmp_path / "whole", concurrency=4)
    whole = len(stand_in.asked)
    stand_in.delay_s = 0.01
    command = [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--endpoint", stand_in.url, "--tasks", "smoke",
               "-o", str(tmp_path / "killed"), "--concurrency", "4", "-q"]  # fmt: skip
    rng = random.Random(3)
    journal = tmp_path / "killed" / "journal.jsonl"
    for _ in range(10):
        lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        goal = lines + rng.randint(1, 28)
        while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < goal):
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert samples(tmp_path / "killed") == samples(tmp_path / "whole")
    results = [(tmp_path / name / "results.json").read_bytes() for name in ("whole", "killed")]
    assert results[0] == results[1]
    assert len(stand_in.asked) - whole <= 320 + 10 * 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_a_run_that_continues(
    stand_in: StandIn, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """The documented exit codes, and nothing lost."""
    stand_in.delay_s = 0.05
    command = [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--endpoint", stand_in.url, "--tasks", "smoke_yesno",
               "-o", str(tmp_path / "r"), "--concurrency", "2"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "r" / "journal.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < 4:
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == code
    assert "The same command continues it" in said
    assert "Traceback" not in said


def test_cut_off_answers_are_asked_again_with_more_room(stand_in: StandIn, tmp_path: Path) -> None:
    """Only those, both scores are reported, the first stays the score; the same command asks nothing again."""
    def behave(number: int, body: dict[str, Any]) -> web.Response | None:
        if body["max_tokens"] >= 500:
            return web.json_response(completion("yes"))
        return web.json_response(completion("I think that", "length")) if number % 2 else None

    stand_in.behave = behave
    out = tmp_path / "r"
    first = evaluate("smoke_yesno", stand_in.url, output_dir=out, limit=10, concurrency=1)
    task = first.tasks["smoke_yesno"]
    assert (task.truncated, task.longer) == (5, None)
    assert task.no_answer["cut_off"] == 5
    for _ in range(2):
        result = evaluate("smoke_yesno", stand_in.url, output_dir=out, limit=10, retry_truncated=500)
        assert len(stand_in.asked) == 15
        again = result.tasks["smoke_yesno"].longer
        assert again is not None
        assert (again.asked, again.truncated) == (5, 0)
        assert result.score("smoke_yesno") == first.score("smoke_yesno")
        assert again.aggregates[0].n_no_answer == task.aggregates[0].n_no_answer - 5
        assert (again.aggregates[0].value or 0) >= (first.score("smoke_yesno") or 0)
    assert {body["max_tokens"] for body in stand_in.asked[10:]} == {500}
    results = json.loads((out / "results.json").read_text())["tasks"]["smoke_yesno"]
    assert results["longer"]["asked"] == 5
    assert rescore(out).tasks["smoke_yesno"].longer == again


def test_final_failures_are_asked_again_only_when_told_to(stand_in: StandIn, tmp_path: Path) -> None:
    """And what was not measured gives bounds."""
    stand_in.behave = lambda number, body: web.json_response({"error": "bad"}, status=400) if number < 4 else None
    out = tmp_path / "r"
    result = evaluate("smoke_yesno", stand_in.url, output_dir=out, limit=10, concurrency=1)
    headline = result.tasks["smoke_yesno"].aggregates[0]
    assert (headline.n, headline.n_failed) == (6, 4)
    right = 6 * (headline.value or 0)
    assert headline.low == pytest.approx(right / 10)
    assert headline.high == pytest.approx((right + 4) / 10)
    assert evaluate("smoke_yesno", stand_in.url, output_dir=out, limit=10).failed == 4
    assert len(stand_in.asked) == 10
    whole = evaluate("smoke_yesno", stand_in.url, output_dir=out, limit=10, retry_failed="all")
    assert len(stand_in.asked) == 14
    assert whole.failed == 0
    assert whole.tasks["smoke_yesno"].aggregates[0].low is None


def test_why_there_is_no_answer(stand_in: StandIn, tmp_path: Path) -> None:
    """Counted by reason, all of them measured and wrong."""
    refusal = completion("")
    refusal["choices"][0]["message"] = {"role": "assistant", "content": None, "refusal": "I will not"}
    flagged = web.json_response({"error": {"code": "content_filter", "message": "filtered"}}, status=400)
    answers: list[web.Response] = [
        web.json_response(completion("")), web.json_response(refusal), flagged,
        web.json_response(completion("well", "length")), web.json_response(completion("I'm sorry, I can't help.")),
        web.json_response(completion("perhaps")),
    ]  # fmt: skip
    stand_in.behave = lambda number, body: answers[number]
    result = evaluate("smoke_yesno", stand_in.url, output_dir=tmp_path / "r", limit=6, concurrency=1)
    task = result.tasks["smoke_yesno"]
    assert task.no_answer == {"content_filter": 1, "cut_off": 1, "empty": 1, "refused": 2, "unparsable": 1}
    assert task.outcomes == {"no_answer": 6}
    assert (result.failed, result.score("smoke_yesno")) == (0, 0.0)


def test_a_budget_of_tokens_ends_a_run(stand_in: StandIn, tmp_path: Path) -> None:
    """With a valid partial result, and how many were not asked."""
    result = evaluate("smoke_yesno", stand_in.url, output_dir=tmp_path / "r", budget="160tok", concurrency=1)
    assert 15 <= result.samples <= 20
    assert result.not_asked == 80 - result.samples
    assert evaluate("smoke_yesno", stand_in.url, output_dir=tmp_path / "r").not_asked == 0
