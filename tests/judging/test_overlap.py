"""Judging goes on beside answering, from the first answers to the last. No clock decides: a model that waits to see its
earlier answers judged before it gives another would wait in vain for a judge that begins later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from tests.judging.work import Servers, evaluate, judges, servers, write
from tests.servers.stand_in import StandIn

pytestmark = pytest.mark.usefixtures("own_cache")

_PATIENCE_S = 15.0  # in vain, once; long enough for any machine


@dataclass
class Waiting(StandIn):
    """Answers when `ready` says so of the request's number, or after a long time, and then all others at once."""

    ready: Callable[[int], bool] = lambda number: True
    numbers: int = 0
    """Of requests for answers, so far."""
    in_vain: int | None = None
    """The first that was not ready in all that time."""

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """As any other, later."""
        if not judges(await request.json()):
            number, self.numbers = self.numbers, self.numbers + 1
            until = asyncio.get_running_loop().time() + _PATIENCE_S
            while self.in_vain is None and not self.ready(number):
                if asyncio.get_running_loop().time() > until:
                    self.in_vain = number
                await asyncio.sleep(0.002)
        return await super().chat(request)


def test_the_judge_keeps_up_with_the_model(tmp_path: Path) -> None:
    """At servers of their own: with four out at the model, an answer is given once the one eight before it is at the
    judge, all the way through."""
    model = Waiting()
    with servers(Servers(model)) as pair:
        model.ready = lambda number: len(pair.judge.asked) >= number - 8
        result = evaluate(write(tmp_path, 60), pair, tmp_path / "r", concurrency=4)
    assert model.in_vain is None
    assert (result.not_judged, len(pair.judge.asked)) == (0, 60)


def test_at_one_server_judgements_are_asked_between_answers(tmp_path: Path) -> None:
    """Through one door of two: the 40th answer is held back until a question for the judge comes by the other place."""
    both = Waiting()
    with servers(Servers(both)) as pair:
        both.ready = lambda number: number != 40 or any(map(judges, both.asked))
        result = evaluate(write(tmp_path, 80), pair, tmp_path / "r", judge_endpoint=both.url, concurrency=2)
    assert both.in_vain is None
    assert (result.not_judged, len(both.asked)) == (0, 160)
