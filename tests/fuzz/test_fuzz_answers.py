"""Whatever a server sends: an answer with the fields it says it has, or a failure; never an exception."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from lmms_fast.endpoints.classify import backoff_s, classify, lacks_media, message, retry_after_s, used_up_s
from lmms_fast.endpoints.load import parse_load
from lmms_fast.endpoints.redact import redact
from lmms_fast.endpoints.wire import parse
from lmms_fast.journal.records import decode_line, encode_line, sample_record
from lmms_fast.metrics import EXTRACTORS, MATCHERS, Extractor, Matcher, Step, boxes, extracted
from lmms_fast.types import Response, Sample
from tests.fuzz.often import often

PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=9)
NAMES = st.sampled_from(["choices", "message", "content", "usage", "prompt_tokens", "completion_tokens", "text", "type",
                         "reasoning", "reasoning_content", "refusal", "finish_reason", "error", "detail", "code",
                         "id"]) | st.text(max_size=4)  # fmt: skip
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
                    max_leaves=20)  # fmt: skip


@st.composite
def completions(draw: st.DrawFn) -> Any:
    """A chat completion, any part of which may be something else."""
    odd = st.integers(0, 9).map(lambda number: number == 0)
    message_ = {"role": "assistant", "content": draw(st.text() | st.none() | JSON), "reasoning": draw(PLAIN),
                "refusal": draw(PLAIN)}  # fmt: skip
    choice = {"index": 0, "message": draw(JSON) if draw(odd) else message_, "finish_reason": draw(PLAIN | JSON)}
    usage = {"prompt_tokens": draw(PLAIN | JSON), "completion_tokens": draw(PLAIN | JSON)}
    return {"choices": draw(JSON) if draw(odd) else [choice], "usage": draw(JSON) if draw(odd) else usage}


def _check(body: bytes) -> None:
    sample = Sample("t", "i", (), ("A",))
    outcome = parse(sample.key, body, latency_s=0.1, attempts=1, served_by="s")
    if isinstance(outcome, Response):
        usage = outcome.usage
        assert isinstance(outcome.text, str)
        assert all(isinstance(text, str | None) for text in (outcome.reasoning, outcome.finish_reason))
        assert all(isinstance(count, int | None) for count in (usage.prompt_tokens, usage.completion_tokens))
    else:
        assert outcome.kind == "malformed"
        assert len(outcome.detail) < 700
    _, again, *_ = decode_line(encode_line(sample_record(sample, 0, ()), outcome))
    assert again == outcome


@often(150)
@given(st.binary(max_size=300) | JSON.map(orjson.dumps))
@example(b"[" * 1010 + b"]" * 1010)
def test_any_body(body: bytes) -> None:
    """Bytes of every kind, JSON of every shape."""
    _check(body)
    assert isinstance(message(body), str)
    assert lacks_media(200, body) is False


@often(250)
@given(completions(), st.integers(0, 400))
def test_nearly_a_completion(content: Any, cut: int) -> None:
    """Where one field is of another kind, and cut off anywhere."""
    body = orjson.dumps(content)
    _check(body)
    _check(body[:cut])


@often(200)
@given(st.text(max_size=300) | st.lists(st.sampled_from(
    ["A", "(B)", "**", "the answer is ", "yes", "no", "not ", "\\boxed{", "}", "1,000", "3.5", "1e9", "-", ".", " ",
     "\n", "<think>", "</think>", "[", "½", "²", "9" * 5000])).map("".join))  # fmt: skip
def test_any_answer_can_be_scored(text: str) -> None:
    """By every rule, for every kind of question."""
    rules: list[Extractor | Matcher] = [*EXTRACTORS.values(), *MATCHERS.values()]
    facts = {fact: "" for rule in rules for fact in rule.needs}
    for choices, target in ((("a cat", "a dog"), ("A",)), ((), ("3.5", "yes"))):
        sample = Sample("t", "i", (), target, choices, facts=facts)
        for rule in EXTRACTORS:
            found = extracted(sample, text, [Step(rule, {"pattern": r"[A-Z]"} if rule == "regex" else {})])
            for name, match in MATCHERS.items():
                golds = ("[0.1, 0.2, 0.5, 0.4]",) if name in boxes.MATCHERS else target
                assert 0 <= match(found, replace(sample, target=golds)).value <= 1


NUMBERS = st.sampled_from(["nan", "inf", "-inf", "-1", "1e999", "²", "٣", "0", "6m0s", "20ms", "9" * 400 + "h", "1_0",
                           "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Oct 99999 07:28:00 GMT",
                           "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359", ""])  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "Location", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
                     "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]),
    NUMBERS | st.text(max_size=12),
)  # fmt: skip


@often(250)
@given(st.integers(100, 999), st.binary(max_size=120) | JSON.map(orjson.dumps), HEADERS)
@example(200, b"", {"x-ratelimit-remaining-requests": "²"})
@example(503, b"", {"Retry-After": "Mon, 01 Jan 0001 00:00:00 +2359"})
def test_any_refusal(status: int, body: bytes, headers: dict[str, str]) -> None:
    """A kind, a sentence of readable length, and waits that can be waited for."""
    refusal = classify(status, body, headers)
    assert refusal.kind
    assert len(refusal.detail) < 1000
    for wait_s in (refusal.retry_after_s, retry_after_s(headers), used_up_s(headers)):
        assert wait_s is None or (wait_s >= 0 and not math.isnan(wait_s))
    assert 0 <= backoff_s(1, random.Random(0)) <= 30


def test_an_error_nested_deeply() -> None:
    """Apart from the others, since Hypothesis allows more recursion than a run has."""
    assert message(b"[" * 1010 + b"]" * 1010)


def test_an_error_does_not_command_the_terminal() -> None:
    """Its sentence ends on a screen."""
    assert message(b'{"error": "no\\u001b[2Jyes\\u009b2J"}') == "no [2Jyes 2J"
    assert "\x1b" not in message(b"\x1b]0;title\x07 no JSON")


@often(150)
@given(st.lists(st.sampled_from(["vllm:num_requests_running", "sglang:token_usage", "# HELP", '{a="b"}', " ", "\n",
                                 "\n", "nan", "1e400", "-3", "x"]) | st.text(max_size=3)).map("".join))  # fmt: skip
def test_any_page_of_metrics(text: str) -> None:
    """A reading or none."""
    load = parse_load(text)
    assert load is None or all(isinstance(getattr(load, name), float | int) for name in load.__dataclass_fields__)


@often(100)
@given(st.text(), st.text(), st.text(min_size=8))
def test_the_key_is_taken_out(before: str, after: str, key: str) -> None:
    """Of text and of bytes alike, wherever it stands."""
    assert key not in redact(before + "\0" + key + "\0" + after, key).replace("[key]", "\0")
    said = (before + key + after).encode()
    assert redact(said, key).decode() == redact(said.decode(), key)
    assert redact(said, None) == redact(said, "short") == said
