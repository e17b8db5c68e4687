"""A redirect does not take the key to another server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from lmms_fast.cli.doctor import doctor
from lmms_fast.endpoints.presets import Endpoint, Profile
from lmms_fast.endpoints.probe import read_load, served_models
from lmms_fast.endpoints.transport import Transport
from tests.servers.plain import Plain, plain

KEY = "sk-canary-redirected"
BODY = b'{"data": [{"id": "m"}], "choices": [{"index": 0, "message": {"role": "assistant", "content": "red"}}]}'


@dataclass
class Pair:
    """The server that was named, which sends everyone on to another."""

    first: Plain
    second: Plain

    @property
    def endpoint(self) -> Endpoint:
        """The first."""
        return Endpoint("e", Profile("e", f"{self.first.url}/v1", ("LMMS_FAST_API_KEY",)), "m", KEY)


@pytest.fixture(params=[301, 302, 303, 307, 308])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two servers, for every kind of redirect."""
    with (
        plain(lambda path: (200, {"Content-Type": "application/json"}, BODY)) as second,
        plain(lambda path: (request.param, {"Location": second.url + path}, b"")) as first,
    ):
        yield Pair(first, second)


async def test_requests(pair: Pair) -> None:
    """They are not followed at all; the answer is the redirect itself."""
    async with Transport(5) as transport:
        answer = await transport.post(pair.endpoint, (b'{"model":"m"', b"}"))
    assert 300 <= answer.status < 400
    assert pair.first.asked[0][1]["authorization"] == f"Bearer {KEY}"
    assert pair.second.asked == []


async def test_the_list_of_models(pair: Pair) -> None:
    """Neither when an endpoint is tried."""
    assert await served_models(pair.endpoint.profile, KEY) is None
    assert len(pair.first.asked) == 1
    assert pair.second.asked == []


async def test_readings_of_the_load(pair: Pair) -> None:
    """Nor while a run goes on."""
    async with httpx.AsyncClient(timeout=5) as client:
        assert await read_load(client, pair.endpoint) is None
    assert pair.second.asked == []


def test_the_reference_client_of_doctor(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It follows redirects, without the key where they lead to another server."""
    monkeypatch.setenv("LMMS_FAST_API_KEY", KEY)
    first_reply = pair.first.reply
    pair.first.reply = lambda path: pair.second.reply(path) if path == "/v1/models" else first_reply(path)
    doctor(pair.first.url)
    assert [headers["authorization"] for _, headers in pair.first.asked] == [f"Bearer {KEY}"] * 3
    assert KEY not in str(pair.second.asked)
