"""Whatever happens to a journal's bytes: it opens, its sound lines are there, and writing goes on."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from lmms_fast.errors import LmmsFastError, UsageError
from lmms_fast.journal.records import decode_line, encode_line, sample_of, sample_record
from lmms_fast.journal.rundir import RunDir, read_json
from lmms_fast.journal.store import Journal
from lmms_fast.types import Failure, Message, Outcome, Response, Sample, Usage
from tests.fuzz.often import often
from tests.fuzz.test_fuzz_answers import JSON

WHOLE = range(5)


def _line(number: int) -> bytes:
    sample = Sample("t", f"id{number}", (Message("user", ("What?",)),), ("A",), ("x", "y"), {"g": "1"})
    outcome: Outcome = Response(sample.key, f"text {number}", None, "stop", Usage(3, 1), 0.5, 1, "here")
    if number == 3:
        outcome = Failure(sample.key, "timeout", "slow", 5)
    return encode_line(sample_record(sample, number, ()), outcome)


LINES = [_line(number) for number in WHOLE]
CONTENT = b"".join(LINES)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The journal with pieces cut out of it and bytes put into it."""
    content = bytearray(CONTENT)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        content[start : start + draw(st.integers(0, 60))] = draw(st.binary(max_size=30))
    return bytes(content)


def _open_and_use(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    whole = content[: content.rfind(b"\n") + 1].split(b"\n")
    sound = {number for number in WHOLE if LINES[number].rstrip() in whole}
    with Journal(path) as journal:
        assert {f"t/id{number}#0" for number in sound} <= set(journal.index)
        assert len(journal.index) + journal.damaged <= len(whole) - 1
        record, outcome, *_ = decode_line(_line(9))
        journal.append(record, outcome)
        order = list(dict.fromkeys(entry.task for entry in journal.index.values()))
        for record, *_ in journal.read(order):
            sample_of(record)
    with Journal(path) as journal:
        assert "t/id9#0" in journal.index


@often(150)
@given(damaged())
def test_a_damaged_journal(tmp_path: Path, content: bytes) -> None:
    """Bytes lost, changed or put in anywhere."""
    _open_and_use(tmp_path / "journal.jsonl", content)


@often(60)
@given(st.binary(max_size=400))
def test_no_journal_at_all(tmp_path: Path, content: bytes) -> None:
    """A file of anything."""
    _open_and_use(tmp_path / "journal.jsonl", content)


@st.composite
def strange_lines(draw: st.DrawFn) -> bytes:
    """A line of JSON with one value, somewhere in it, replaced by another."""
    line: Any = orjson.loads(LINES[draw(st.sampled_from([0, 3]))])
    place: Any = line
    while True:
        name = draw(st.sampled_from(sorted(place)))
        if not isinstance(place[name], dict) or not place[name] or draw(st.booleans()):
            break
        place = place[name]
    if draw(st.booleans()):
        place[name] = draw(JSON)
    else:
        del place[name]
    return orjson.dumps(line)


@often(120)
@given(strange_lines() | JSON.map(orjson.dumps))
def test_lines_of_another_shape(tmp_path: Path, line: bytes) -> None:
    """JSON that we did not write costs itself only; what is taken for a line can be scored and counted."""
    _open_and_use(tmp_path / "journal.jsonl", LINES[1] + line + b"\n" + LINES[2])
    try:
        record, outcome, *_ = decode_line(line)
    except ValueError:
        return
    sample = sample_of(record)
    assert hash((sample.task, sample.repeat, record["row"] + 1, *sample.target, *sample.choices)) is not None
    if isinstance(outcome, Response):
        assert (outcome.usage.prompt_tokens or 0) + len(outcome.text) is not None


@often(60)
@given(st.binary(max_size=60) | JSON.map(orjson.dumps))
def test_any_manifest(tmp_path: Path, content: bytes) -> None:
    """An object, or a sentence."""
    (tmp_path / "manifest.json").write_bytes(content)
    with contextlib.suppress(UsageError):
        assert isinstance(read_json(tmp_path / "manifest.json"), dict)
    with RunDir(tmp_path) as run, contextlib.suppress(LmmsFastError):
        run.claim({"model": "m"})
