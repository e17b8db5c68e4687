"""Bodies are valid JSON with the stored bytes inside; error dialects are understood."""

import base64
import io
import random
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lmms_fast.endpoints.classify import backoff_s, classify, message, retry_after_s, used_up_s
from lmms_fast.endpoints.presets import PRESETS, find_key, resolve
from lmms_fast.endpoints.wire import build, head, parse
from lmms_fast.errors import UsageError
from lmms_fast.media.encode import BadMedia, digest, to_send
from lmms_fast.types import Failure, Media, Message, Response


def _picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (9, 7), (1, 2, 3)).save(out, kind, lossless=True)
    return out.getvalue()


@given(st.text(), st.text())
def test_body_is_what_a_json_encoder_would_write(text: str, system: str) -> None:
    """Joined from parts, yet valid for any text; the picture's bytes pass through untouched."""
    data = _picture("JPEG")
    body = build((Message("system", (system,)), Message("user", (Media(data), text))), {"max_tokens": 5})
    assert orjson.loads(head("m") + b"".join(body.pieces)) == {
        "model": "m",
        "max_tokens": 5,
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": [
                {"type": "image_url",
                 "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(data).decode()}},
                {"type": "text", "text": text},
            ]},
        ],
    }  # fmt: skip


def test_a_named_body_differs_only_in_the_names() -> None:
    """With `named` each picture carries its digest; by reference the picture is null and all else the same."""
    pictures = [_picture("JPEG"), _picture("PNG")]
    messages = (Message("user", (Media(pictures[0]), "one", Media(pictures[1]), "two")),)
    plain, named = build(messages, {"max_tokens": 5}), build(messages, {"max_tokens": 5}, named=True)
    assert plain.by_reference is None
    assert named.by_reference is not None
    whole = orjson.loads(head("m") + b"".join(named.pieces))
    short = orjson.loads(head("m") + named.by_reference)
    parts = [part for part in whole["messages"][0]["content"] if part["type"] == "image_url"]
    assert [part["uuid"] for part in parts] == [digest(picture) for picture in pictures] == list(named.digests)
    for part in parts:
        part["image_url"] = None
    assert short == whole
    for part in parts:
        del part["uuid"]
    without = orjson.loads(head("m") + b"".join(plain.pieces))
    for part in without["messages"][0]["content"]:
        if part["type"] == "image_url":
            part["image_url"] = None
    assert without == whole


@pytest.mark.parametrize(("kind", "mime"), [("PNG", "image/png"), ("WEBP", "image/webp"), ("BMP", "image/png")])
def test_formats(kind: str, mime: str) -> None:
    """Known formats pass through; others become PNG without loss."""
    data = _picture(kind)
    sent = to_send(data)
    assert sent.mime == mime
    assert (sent.data == data) == (kind != "BMP")
    assert Image.open(io.BytesIO(sent.data)).convert("RGB").getpixel((4, 4)) == (1, 2, 3)


@pytest.mark.parametrize("data", [b"", b"not a picture", _picture("PNG")[:20]])
def test_corrupt_picture_is_refused(data: bytes) -> None:
    """Before it costs a request."""
    with pytest.raises(BadMedia):
        to_send(data)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": "x"}]}', b"[]", b"null",
     b'{"choices": [{"message": {"content": 5}}]}', b'{"choices": [{"mess'],
)  # fmt: skip
def test_a_200_that_is_no_completion_is_a_failure(body: bytes) -> None:
    """Never an empty answer."""
    outcome = parse("k", body, latency_s=0, attempts=1, served_by="s")
    assert isinstance(outcome, Failure)
    assert outcome.kind == "malformed"


def test_null_content_is_an_empty_answer() -> None:
    """The model said nothing: measured, and scored as no answer."""
    outcome = parse("k", b'{"choices": [{"message": {"content": null}, "finish_reason": "length"}]}', latency_s=0,
                    attempts=1, served_by="s")  # fmt: skip
    assert isinstance(outcome, Response)
    assert (outcome.text, outcome.finish_reason) == ("", "length")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, '{"error": {"message": "This model\'s maximum context length is 1024 tokens."}}', "too_long"),
        (400, '{"error": {"message": "Failed to load image: cannot identify image file"}}', "media"),
        (400, '{"object": "error", "message": "bad temperature"}', "bad_request"),
        (401, '{"error": "Unauthorized"}', "auth"),
        (404, '{"detail": "no model"}', "not_found"),
        (429, '[{"error": {"message": "quota"}}]', "rate_limit"),
        (500, "EngineCore encountered an issue", "server"),
        (503, '{"error": {"message": "busy"}}', "server"),
        (529, '{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}', "server"),
        (408, "", "timeout"),
        (413, "", "too_long"),
        (400, '{"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}}', "too_long"),
        (400, '{"error": {"code": "content_filter", "message": "The response was filtered"}}', "filtered"),
        (403, '{"error": {"message": "Your chosen model requires moderation and your input was flagged"}}', "filtered"),
        (429, '{"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}', "quota"),
        (402, '{"error": {"message": "Insufficient credits"}}', "quota"),
        (301, "", "not_found"),
        (204, "", "malformed"),
        (304, "", "malformed"),
        (400, '{"error": {"message": "1 validation error:' + " x" * 100 + ' input_value=flagged"}}', "bad_request"),
    ],
)
def test_kinds(status: int, body: str, kind: str) -> None:
    """Status and body decide what may pass and what is final."""
    assert classify(status, body.encode(), {}).kind == kind


def test_error_sentences() -> None:
    """Every dialect's sentence is found."""
    assert message(b'{"error": {"message": "m"}}') == "m"
    assert message(b'{"error": "Unauthorized"}') == "Unauthorized"
    assert message(b'[{"error": {"message": "g"}}]') == "g"
    assert message(b'{"detail": "d"}') in ("d", "{'detail': 'd'}")
    assert message(b"plain") == "plain"


def test_backoff_is_bounded() -> None:
    """Full jitter below 30 s."""
    rng = random.Random(1)
    assert all(0 <= backoff_s(attempt, rng) <= 30 for attempt in range(1, 20))
    assert max(backoff_s(3, rng) for _ in range(200)) <= 4


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("Wed, 25 Nov 2026 12:00:30 GMT", 30.0), ("soon", None), ("", None)],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    """Seconds or an HTTP date."""
    noon = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
    assert retry_after_s({"Retry-After": text}, lambda: noon) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1s"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-requests": "0"}, 0.0),
    ],
)
def test_used_up_limits(headers: dict[str, str], seconds: float | None) -> None:
    """Only what is at zero counts."""
    assert used_up_s(headers) == seconds



@pytest.mark.parametrize(
    "text", ["http://h:8000", "http://h:8000/", "http://h:8000/v1", "http://h:8000/v1/chat/completions"]
)
def test_urls_with_and_without_path(text: str) -> None:
    """All spellings mean the same server."""
    assert resolve(text).base_url == "http://h:8000/v1"


def test_url_with_credentials_is_refused() -> None:
    """A key in a URL would end up in the manifest."""
    with pytest.raises(UsageError, match="must not carry a key"):
        resolve("http://user:secret@h:8000")


def test_keys() -> None:
    """From the environment, named in the sentence when absent."""
    openai = PRESETS["openai"]
    assert find_key(openai, None, {"OPENAI_API_KEY": "k"}) == "k"
    assert find_key(openai, "MINE", {"MINE": "m", "OPENAI_API_KEY": "k"}) == "m"
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        find_key(openai, None, {})
