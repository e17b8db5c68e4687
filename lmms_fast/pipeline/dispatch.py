"""The one door to endpoints: take a slot, make an attempt, give the slot back; wait between attempts without one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiolimiter import AsyncLimiter

from lmms_fast.endpoints.classify import backoff_s, classify, lacks_media
from lmms_fast.endpoints.pool import Pool
from lmms_fast.endpoints.presets import Endpoint
from lmms_fast.endpoints.transport import Answer, Transport, TransportError
from lmms_fast.endpoints.wire import Body, head, parse
from lmms_fast.errors import EndpointError
from lmms_fast.events import Notify, RequestRetried, RequestStarted
from lmms_fast.pipeline.slots import Slots, Turn
from lmms_fast.types import Failure, Outcome, Response


@dataclass(frozen=True, slots=True)
class _Refused:
    failure: Failure
    retry_after_s: float | None


class Dispatcher:
    """Sends bodies and returns outcomes. At most `concurrency` attempts are out at once."""

    def __init__(
        self,
        pool: Pool,
        transport: Transport,
        *,
        concurrency: int,
        rpm: float | None,
        max_attempts: int,
        notify: Notify,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._pool, self._transport, self._notify = pool, transport, notify
        self._slots = Slots(concurrency)
        self._rate = AsyncLimiter(rpm, 60) if rpm else None
        self._max_attempts = max_attempts
        self._sleep = sleep
        # Jitter only; no result depends on it.
        self._rng = rng or random.Random()

    async def ask(self, key: str, body: Body) -> Outcome:
        """The outcome of a request, after retries. Raises EndpointError when no request of the run can succeed."""
        for attempt in range(1, self._max_attempts + 1):
            if self._rate is not None:
                await self._rate.acquire()
            async with self._slots.turn(body.digests if self._pool.keeps_media else ()) as turn:
                self._notify(RequestStarted(key, attempt))
                outcome = await self._attempt(key, body, attempt, turn)
            if isinstance(outcome, Response):
                return outcome
            failure = outcome.failure
            if failure.kind == "auth":
                raise EndpointError(f"{failure.served_by}: {failure.detail}. The key is not accepted; stopping.")
            if failure.final or attempt == self._max_attempts:
                return failure
            wait_s = backoff_s(attempt, outcome.retry_after_s, self._rng)
            self._notify(RequestRetried(key, failure.kind, failure.detail, wait_s))
            await self._sleep(wait_s)
        raise AssertionError("unreachable: the last attempt returns")

    async def _attempt(self, key: str, body: Body, attempt: int, turn: Turn) -> Response | _Refused:
        with self._pool.borrow() as endpoint:
            try:
                answer = await self._send(endpoint, body, turn)
            except TransportError as error:
                if error.kind == "connection":
                    self._pool.rest(endpoint)
                return _Refused(Failure(key, error.kind, str(error), attempt, endpoint.name), None)
            if answer.status != 200:
                refusal = classify(answer.status, answer.body, answer.headers)
                return _Refused(_failure(key, refusal.kind, refusal.detail, attempt, endpoint), refusal.retry_after_s)
            parsed = parse(key, answer.body, latency_s=answer.latency_s, attempts=attempt, served_by=endpoint.name)
            if isinstance(parsed, Failure):
                return _Refused(parsed, None)
            self._slots.arrived(turn)
            return parsed

    async def _send(self, endpoint: Endpoint, body: Body, turn: Turn) -> Answer:
        """Without the media if the server has them; should it have dropped them in the meantime, with them."""
        start = head(endpoint.model)
        if turn.by_reference and body.by_reference is not None:
            answer = await self._transport.post(endpoint, (start, body.by_reference))
            if not lacks_media(answer.status, answer.body):
                return answer
            self._slots.forget(body.digests)
        return await self._transport.post(endpoint, (start, *body.pieces))


def _failure(key: str, kind: str, detail: str, attempt: int, endpoint: Endpoint) -> Failure:
    return Failure(key, kind, detail, attempt, endpoint.name)  # type: ignore[arg-type]
