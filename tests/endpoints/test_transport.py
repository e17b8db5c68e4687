"""The request path's HTTP, against a real server."""

from __future__ import annotations

import orjson
import pytest

from lmms_fast.endpoints.presets import Endpoint, Profile
from lmms_fast.endpoints.transport import Transport, TransportError
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
