"""The parts of judging, each by itself: a journal that is followed, the cache, families, places."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from lmms_fast.journal.cache import ReplyCache
from lmms_fast.journal.records import Record, sample_record
from lmms_fast.journal.store import Journal
from lmms_fast.metrics.agreement import agreement
from lmms_fast.report.family import family, same_family
from lmms_fast.report.judgements import audited
from lmms_fast.server.command import environment
from lmms_fast.server.spec import ServerSpec
from lmms_fast.server.tune import beside, devices
from lmms_fast.types import Failure, Response, Sample, Usage


def record(number: int) -> Record:
    """A sample as the journal has it."""
    return sample_record(Sample("t", str(number), (), ("x",)), number, ())


def reply(key: str, text: str = "1") -> Response:
    """An answer."""
    return Response(key, text, None, "stop", Usage(3, 1), 0.1, 1, "there")


def test_a_journal_is_followed_while_it_is_written(tmp_path: Path) -> None:
    """What was there before, damaged lines left out, then what comes, until there is no more."""
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        for number in range(3):
            journal.append(record(number), reply(f"t/{number}#0"))
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(whole[0] + b"{}\n" + whole[2])
    with Journal(path) as journal:
        assert journal.damaged == 1
        heard: list[str] = []
        two, four = threading.Event(), threading.Event()

        def listen() -> None:
            for _, outcome in journal.follow():
                heard.append(outcome.key)
                {2: two, 4: four}.get(len(heard), threading.Event()).set()

        thread = threading.Thread(target=listen)
        thread.start()
        assert two.wait(10)
        journal.append(record(7), reply("t/7#0"))
        journal.append(record(8), Failure("t/8#0", "timeout", "late", 1))
        assert four.wait(10)
        assert thread.is_alive()
        journal.no_more()
        thread.join(10)
        assert not thread.is_alive()
        assert heard == ["t/0#0", "t/2#0", "t/7#0", "t/8#0"]
        assert [outcome.key for _, outcome in journal.follow()] == heard
        assert journal.outcome("t/7#0") == reply("t/7#0")
        assert journal.outcome("t/9#0") is None


def test_one_who_follows_can_leave(tmp_path: Path) -> None:
    """Before there is no more, and without another line."""
    with Journal(tmp_path / "journal.jsonl") as journal:
        gone = threading.Event()
        thread = threading.Thread(target=lambda: list(journal.follow(gone.is_set)))
        thread.start()
        journal.wake()
        gone.set()
        journal.wake()
        thread.join(10)
        assert not thread.is_alive()


def test_replies_are_kept_across_runs(tmp_path: Path) -> None:
    """By question and vote; the first that was kept counts, and it is known that nobody was asked."""
    path = tmp_path / "deep" / "judgements.sqlite"
    with ReplyCache(path) as cache:
        cache.put("d", 0, reply("a/d#0", "1"))
        cache.put("d", 1, reply("a/d#1", "0"))
    with ReplyCache(path) as cache, ReplyCache(path) as other:
        found = cache.get("d", 0, "b/d#0")
        assert found is not None
        assert (found.key, found.text, found.attempts, found.usage) == ("b/d#0", "1", 0, Usage(3, 1))
        assert other.get("d", 1, "k") is not None
        assert other.get("e", 0, "k") is None
        other.put("d", 0, reply("c/d#0", "another"))
    with ReplyCache(path) as cache:
        assert (found := cache.get("d", 0, "k")) is not None
        assert found.text == "1"


def test_a_run_that_writes_does_not_hold_up_another(tmp_path: Path) -> None:
    """What cannot be written now is written later."""
    path = tmp_path / "judgements.sqlite"
    with ReplyCache(path) as cache:
        with sqlite3.connect(path) as other:
            other.execute("BEGIN IMMEDIATE")
            started = time.monotonic()
            for number in range(130):
                cache.put(f"d{number}", 0, reply("k"))
            assert time.monotonic() - started < 2
            assert cache.get("d0", 0, "k") is None
        other.close()
        cache.put("last", 0, reply("k"))
    with ReplyCache(path) as cache:
        assert all(cache.get(name, 0, "k") for name in ("d0", "d129", "last"))
        assert cache.trouble is None


@pytest.mark.parametrize("content", [b"", b"no table at all, but a text" * 99])
def test_a_cache_that_cannot_be_used_is_empty(tmp_path: Path, content: bytes) -> None:
    """It is a help, and never a reason to fail."""
    path = tmp_path / "judgements.sqlite"
    path.write_bytes(content)
    with ReplyCache(path) as cache:
        assert cache.get("d", 0, "k") is None
        cache.put("d", 0, reply("k"))
        assert (cache.trouble is None) == (not content)
    (tmp_path / "file").write_text("")
    with ReplyCache(tmp_path / "file" / "below.sqlite") as cache:
        cache.put("d", 0, reply("k"))
        assert cache.trouble


def test_a_reply_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    """A row of another version, or by another hand."""
    path = tmp_path / "judgements.sqlite"
    with ReplyCache(path) as cache:
        cache.put("d", 0, reply("k"))
    with sqlite3.connect(path) as table:
        table.execute("UPDATE replies SET reply = ?", (b'{"text": 1}',))
    with ReplyCache(path) as cache:
        assert cache.get("d", 0, "k") is None
        assert cache.trouble


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o-2024-11-20", "OpenAI"), ("o3-mini", "OpenAI"), ("openai/gpt-5", "OpenAI"),
        ("anthropic/claude-3.5-sonnet", "Anthropic"), ("gemini-1.5-pro", "Google"), ("google/gemma-3-27b-it", "Google"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen"), ("QVQ-72B", "Qwen"), ("OpenGVLab/InternVL2-8B", "InternLM"),
        ("llava-hf/llava-1.5-7b-hf", None), ("meta-llama/Llama-3.2-11B-Vision", "Llama"), ("phi-3.5-vision", "Phi"),
        ("dolphin-2", None), ("stand-in", None), ("lmms-fast-tiny", None), ("yield-model", None),
        ("HuggingFaceTB/SmolVLM-Instruct", "SmolVLM"), ("deepseek-vl2", "DeepSeek"), ("THUDM/glm-4v-9b", "GLM"),
    ],
)  # fmt: skip
def test_families(model: str, expected: str | None) -> None:
    """By name, whoever serves it; a part of another word is none."""
    assert family(model) == expected


def test_same_family() -> None:
    """Two of one line, or the very same model; two that are not known are not one family."""
    assert same_family("gpt-4o", "openai/gpt-4-turbo") == "OpenAI"
    assert same_family("gpt-4o", "claude-3-opus") is None
    assert same_family("mine", "mine") == "mine"
    assert same_family("mine", "yours") is None


def test_agreement() -> None:
    """Cohen's own example (1960): 50 cases, 20 and 15 agreed, κ 0.4; scores are one where they are to a decimal."""
    pairs = [(1.0, 1.0)] * 20 + [(1.0, 0.0)] * 5 + [(0.0, 1.0)] * 10 + [(0.0, 0.0)] * 15
    found = agreement(pairs)
    assert (found.n, found.raw) == (50, 0.7)
    assert found.kappa == pytest.approx(0.4)
    assert agreement([(0.31, 0.29), (0.7, 0.7)]).raw == 1.0
    assert agreement([(1.0, 1.0)] * 3).kappa is None
    assert agreement([]).raw is None


def test_the_slice_of_an_audit() -> None:
    """About the share that is asked for, and a larger share has all of a smaller."""
    keys = [f"t/{number}#0" for number in range(4000)]
    small, large = ({key for key in keys if audited(key, share)} for share in (0.05, 0.2))
    assert 140 < len(small) < 260
    assert 680 < len(large) < 920
    assert small < large
    assert all(audited(key, 1.0) for key in keys)


def test_a_second_server_stands_beside_the_first_where_it_can() -> None:
    """On GPUs of its own, else in the memory that the first leaves, else after it; on cores alone always after it."""
    first, judge = ServerSpec("a", tp=2), ServerSpec("b", tp=2)
    eight = tuple(map(str, range(8)))
    placed = beside([first], judge, "cuda", eight)
    assert placed is not None
    assert placed.devices == ("2", "3")
    variables = environment(placed, platform="cuda", api_key="k", cores=[0], memory_bytes=1 << 34)
    assert variables["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert beside([first], judge, "cuda", eight[:3]) is None
    shared = beside([ServerSpec("a", gpu_memory_utilization=0.6)], ServerSpec("b"), "cuda", ("0",))
    assert shared is not None
    assert (shared.devices, shared.gpu_memory_utilization) == ((), 0.35)
    assert beside([ServerSpec("a", gpu_memory_utilization=0.9)], ServerSpec("b"), "cuda", ("0",)) is None
    assert beside([first], judge, "cpu", ()) is None


def test_devices(tmp_path: Path) -> None:
    """As the environment names them, else all that the driver knows."""
    for name in ("0000:01", "0000:02"):
        (tmp_path / name).mkdir()
    assert devices({}, tmp_path) == ("0", "1")
    assert devices({"CUDA_VISIBLE_DEVICES": "3, 5"}, tmp_path) == ("3", "5")
    assert devices({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == ()
    assert devices({}, tmp_path / "none") == ()
