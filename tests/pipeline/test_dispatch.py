"""The one door to endpoints, against a real server that keeps media as vLLM does."""

from __future__ import annotations

import io
from typing import Any

from aiohttp import web
from PIL import Image

from lmms_fast.endpoints.limit import Fixed
from lmms_fast.endpoints.pool import Member, Pool
from lmms_fast.endpoints.presets import Endpoint, Profile
from lmms_fast.endpoints.transport import Transport
from lmms_fast.endpoints.wire import Body, build
from lmms_fast.pipeline.dispatch import Dispatcher
from lmms_fast.types import Failure, Media, Message, Response
from tests.servers.stand_in import StandIn


class Keeper:
    """vLLM's behaviour with named media: `image_url` null finds what came under that name before, or is refused."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.sent = self.named = 0

    def __call__(self, number: int, body: dict[str, Any]) -> web.Response | None:
        for part in body["messages"][0]["content"]:
            if part["type"] != "image_url":
                continue
            if part["image_url"] is not None:
                self.sent += 1
                self.kept.add(part.get("uuid", ""))
            elif part["uuid"] in self.kept:
                self.named += 1
            else:
                message = "Cache miss for image at index 0 but data is not provided."
                return web.json_response({"error": {"message": message}}, status=400)
        return None


def _body(shade: int, text: str) -> Body:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(out, "PNG")
    return build((Message("user", (Media(out.getvalue()), text)),), {"max_tokens": 1}, named=True)


async def _ask_all(stand_in: StandIn, bodies: list[Body], *, keeps_media: bool = True) -> None:
    endpoint = Endpoint("e", Profile("e", f"{stand_in.url}/v1", ()), "stand-in", keeps_media=keeps_media)
    async with Transport(5) as transport:
        pool = Pool([Member(endpoint, Fixed(2))])
        dispatcher = Dispatcher(pool, transport, max_attempts=1, notify=lambda _: None)
        for number, body in enumerate(bodies):
            assert isinstance(await dispatcher.ask(str(number), body), Response)


async def test_a_picture_is_sent_once(stand_in: StandIn) -> None:
    """Six questions on two pictures: two pictures on the wire."""
    stand_in.behave = keeper = Keeper()
    await _ask_all(stand_in, [_body(shade, text) for text in "abc" for shade in (1, 2)])
    assert (keeper.sent, keeper.named) == (2, 4)


async def test_a_picture_the_server_dropped_is_sent_again(stand_in: StandIn) -> None:
    """Its refusal is no failure of the sample, even where only one attempt is allowed."""
    stand_in.behave = keeper = Keeper()
    await _ask_all(stand_in, [_body(1, "a"), _body(1, "b")])
    assert keeper.named == 1
    endpoint_forgets = Keeper()
    forgetful = [_body(1, text) for text in "abcd"]

    def behave(number: int, body: dict[str, Any]) -> web.Response | None:
        if body["messages"][0]["content"][1]["text"] == "c" and body["messages"][0]["content"][0]["image_url"] is None:
            endpoint_forgets.kept.clear()
        return endpoint_forgets(number, body)

    stand_in.behave = behave
    await _ask_all(stand_in, forgetful)
    assert (endpoint_forgets.sent, endpoint_forgets.named) == (2, 2)


async def test_other_servers_get_every_picture(stand_in: StandIn) -> None:
    """Only a server known to keep media is sent names alone."""
    stand_in.behave = keeper = Keeper()
    await _ask_all(stand_in, [_body(1, text) for text in "abc"], keeps_media=False)
    assert (keeper.sent, keeper.named) == (3, 0)


async def test_a_trial_costs_no_attempt_where_another_is_well(stand_in: StandIn) -> None:
    """Even the only one that is allowed; with nobody else it counts, or a request that breaks servers had no end."""
    stand_in.behave = lambda number, body: web.Response(status=500) if number in (0, 2) else None
    first, second = (Member(Endpoint(name, Profile(name, f"{stand_in.url}/v1", ()), "stand-in"), Fixed(2))
                     for name in "ab")  # fmt: skip
    async with Transport(5) as transport:
        for members, expected in (([first, second], Response), ([first], Failure)):
            pool = Pool(members)
            pool.bring_back(first, on_trial=True)
            dispatcher = Dispatcher(pool, transport, max_attempts=1, notify=lambda _: None)
            assert isinstance(await dispatcher.ask("k", _body(1, "a")), expected)
            assert not first.up
    assert len(stand_in.asked) == 3
