"""The request path's HTTP, against a real server."""

from __future__ import annotations

import gzip
from dataclasses import replace

import orjson
import pytest

from lmms_fast.endpoints.presets import Endpoint, Profile
from lmms_fast.endpoints.transport import Transport, TransportError
from tests.servers.plain import plain
from tests.servers.stand_in import StandIn

PIECES = (b'{"model":"m"', b',"messages":[{"role":"user","content":"x"}]}')


def _endpoint(root: str) -> Endpoint:
    return Endpoint("e", Profile("e", f"{root}/v1", ()), "m")


async def test_pieces_arrive_as_one_body(stand_in: StandIn) -> None:
    """Small, and larger than what is written at once."""
    async with Transport(5) as transport:
        for text in ("x", "y" * 3_000_000):
            tail = b',"messages":' + orjson.dumps([{"role": "user", "content": text}]) + b"}"
            answer = await transport.post(_endpoint(stand_in.url), (b'{"model":"m"', tail))
            assert answer.status == 200
            assert stand_in.asked[-1] == {"model": "m", "messages": [{"role": "user", "content": text}]}


async def test_a_proxy_of_the_environment_is_used(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY carries the request to a host that only the proxy knows, unless NO_PROXY names the host."""
    monkeypatch.setenv("http_proxy", stand_in.url)
    monkeypatch.delenv("no_proxy", raising=False)
    async with Transport(5) as transport:
        answer = await transport.post(_endpoint("http://model.invalid"), PIECES)
    assert answer.status == 200
    assert len(stand_in.asked) == 1
    monkeypatch.setenv("no_proxy", "model.invalid")
    async with Transport(5) as transport:
        with pytest.raises(TransportError) as caught:
            await transport.post(_endpoint("http://model.invalid"), PIECES)
    assert caught.value.kind == "connection"


KEY = "sk-canary-of-the-transport"


async def test_what_a_server_sends_back_holds_no_key() -> None:
    """Neither the body, whatever it is, nor the headers of a refusal, nor the words for a broken answer."""
    said = f'{{"error": "you sent Bearer {KEY}"}}'.encode()
    reply = [(400, {"Retry-After": "3", "Location": f"http://h/?key={KEY}"}, said)]
    async with Transport(5) as transport:
        with plain(lambda path: reply[0]) as server:
            endpoint = replace(_endpoint(server.url), api_key=KEY)
            answer = await transport.post(endpoint, PIECES)
            assert server.asked[0][1]["authorization"] == f"Bearer {KEY}"
            assert answer.body == b'{"error": "you sent Bearer [key]"}'
            assert (answer.headers["retry-after"], answer.headers["location"]) == ("3", "http://h/?key=[key]")
            reply[0] = (200, {}, said)
            assert KEY.encode() not in (await transport.post(endpoint, PIECES)).body
            reply[0] = (200, {KEY + " no header": "x"}, b"")
            with pytest.raises(TransportError) as caught:
                await transport.post(endpoint, PIECES)
    assert "canary" not in str(caught.value)


async def test_a_proxy_keeps_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is part of the proxy's address, which stands in the sentence about a proxy that refuses."""
    monkeypatch.delenv("no_proxy", raising=False)
    with plain(lambda path: (407, {}, b"")) as server:
        monkeypatch.setenv("https_proxy", server.url.replace("//", "//user:password@"))
        async with Transport(5) as transport:
            with pytest.raises(TransportError, match="407") as caught:
                await transport.post(_endpoint("https://model.invalid"), PIECES)
    assert server.url.removeprefix("http://") in str(caught.value)
    assert "password@" not in str(caught.value)


@pytest.mark.parametrize("zipped", [False, True])
async def test_an_endless_answer_is_given_up(zipped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its size in memory: a server cannot fill ours, not with a small answer that unfolds either."""
    monkeypatch.setattr("lmms_fast.endpoints.transport._ANSWER_BYTES", 100_000)
    body = b" " * 5_000_000
    headers = {"Content-Encoding": "gzip"} if zipped else {}
    with plain(lambda path: (200, headers, gzip.compress(body) if zipped else body)) as server:
        async with Transport(5) as transport:
            with pytest.raises(TransportError, match="more than") as caught:
                await transport.post(_endpoint(server.url), PIECES)
    assert caught.value.kind == "malformed"
