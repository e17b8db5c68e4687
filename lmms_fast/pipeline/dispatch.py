"""The one door to endpoints: take a turn, make an attempt, give the turn back; wait between attempts without one."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from lmms_fast.endpoints.classify import Refusal, backoff_s, classify, lacks_media, used_up_s
from lmms_fast.endpoints.pool import Pool, Turn
from lmms_fast.endpoints.transport import Answer, Transport, TransportError
from lmms_fast.endpoints.wire import Body, head, parse
from lmms_fast.errors import EndpointError
from lmms_fast.events import Notice, Notify, RequestRetried, RequestStarted
from lmms_fast.types import FATAL, TRANSIENT, Failure, Outcome, Response, Usage

_REFUSALS = 10  # times --max-attempts that a request may be told to come later
_PAUSE_MAX_S = 600.0
_PACED_WAIT_S = 1.0
_BUSY = (503, 529)
_FATAL_WORDS = {
    "auth": "The key is not accepted",
    "quota": "The account has nothing left",
    "not_found": "The model or address is unknown there",
}


@dataclass(frozen=True, slots=True)
class _Again:
    """An attempt that gave no answer; the request may be tried again."""

    failure: Failure
    counts_as: Literal["refusal", "attempt", "trial"] = "attempt"
    told: bool = False
    """The server said how long to wait, and the pool does so."""


class Dispatcher:
    """Sends bodies and returns outcomes."""

    def __init__(
        self, pool: Pool, transport: Transport, *, max_attempts: int, notify: Notify, rng: random.Random | None = None
    ) -> None:
        self._pool, self._transport, self._notify = pool, transport, notify
        self._max_attempts = max_attempts
        # Jitter only; no result depends on it.
        self._rng = rng or random.Random()

    async def ask(self, key: str, body: Body) -> Outcome:
        """The outcome of a request, after retries.

        Raises EndpointError when no request of the run can succeed, pool.Closed when the run takes no more turns.
        """
        spent = {"attempt": 0, "refusal": 0, "trial": 0}
        waits = 0
        while True:
            number = sum(spent.values()) + 1
            async with self._pool.turn(body.digests) as turn:
                self._notify(RequestStarted(key, number))
                outcome = await self._attempt(key, body, number, turn)
            if not isinstance(outcome, _Again):
                return outcome
            spent[outcome.counts_as] += 1
            waits += not outcome.told
            failure = outcome.failure
            if spent["attempt"] >= self._max_attempts or spent["refusal"] >= _REFUSALS * self._max_attempts:
                return failure
            # A server that is out gives its place to another, or the pool waits for one; that is wait enough.
            wait_s = 0.0 if outcome.told or not turn.member.up else backoff_s(waits, self._rng)
            if outcome.counts_as == "refusal" and turn.member.limit.pace is not None:
                wait_s = min(wait_s, _PACED_WAIT_S)  # the pace is wait enough; longer, and places stay empty
            self._notify(RequestRetried(key, failure.kind, failure.detail, wait_s))
            await self._pool.back_off(wait_s)

    async def _attempt(self, key: str, body: Body, number: int, turn: Turn) -> Outcome | _Again:
        name = turn.member.endpoint.name
        try:
            answer = await self._send(body, turn)
        except TransportError as error:
            failure = Failure(key, error.kind, str(error), number, name)
            return self._troubled(turn, failure, unreachable=error.unreachable)
        if answer.status != 200:
            return self._refused(key, number, turn, answer)
        parsed = parse(key, answer.body, latency_s=answer.latency_s, attempts=number, served_by=name)
        if isinstance(parsed, Failure):
            return self._troubled(turn, parsed)
        self._pool.answered(turn, (parsed.usage.prompt_tokens or 0) + (parsed.usage.completion_tokens or 0))
        if (pause_s := used_up_s(answer.headers)) is not None:
            self._pool.pause(turn, min(pause_s, _PAUSE_MAX_S))
        return parsed

    def _refused(self, key: str, number: int, turn: Turn, answer: Answer) -> Outcome | _Again:
        refusal = classify(answer.status, answer.body, answer.headers)
        name, pause_s = turn.member.endpoint.name, refusal.retry_after_s
        if refusal.kind == "filtered":
            self._pool.answered(turn, 0)
            return Response(key, "", None, "content_filter", Usage(), answer.latency_s, number, name, refusal.detail)
        failure = Failure(key, refusal.kind, refusal.detail, number, name)
        if refusal.kind in FATAL:
            self._fatal(turn, refusal)
            return _Again(failure)
        if refusal.kind == "rate_limit" or (answer.status in _BUSY and pause_s is not None):
            self._pool.refused(turn, None if pause_s is None else min(pause_s, _PAUSE_MAX_S))
            return _Again(failure, "refusal", told=pause_s is not None)
        if refusal.kind in TRANSIENT:
            if answer.status in _BUSY:
                self._pool.refused(turn, None)
            return self._troubled(turn, failure)
        self._pool.answered(turn, 0)
        return failure

    def _troubled(self, turn: Turn, failure: Failure, *, unreachable: bool = False) -> _Again:
        """A server on trial costs a request no attempt while there is a better one."""
        free = self._pool.troubled(turn, failure.detail, unreachable=unreachable)
        return _Again(failure, "trial" if free else "attempt")

    def _fatal(self, turn: Turn, refusal: Refusal) -> None:
        """This endpoint cannot serve the run; the last one ends it."""
        name, what = turn.member.endpoint.name, _FATAL_WORDS[refusal.kind]
        was_known = turn.member not in self._pool.members
        if not self._pool.drop(turn.member):
            raise EndpointError(f"{name}: {refusal.detail}. {what}; stopping. What was answered is kept.")
        if not was_known:
            self._notify(Notice(f"{name}: {refusal.detail}. {what}; going on without it."))

    async def _send(self, body: Body, turn: Turn) -> Answer:
        """Without the media if the server has them; should it have dropped them in the meantime, with them."""
        endpoint = turn.member.endpoint
        start = head(endpoint.model)
        if turn.by_reference and body.by_reference is not None:
            answer = await self._transport.post(endpoint, (start, body.by_reference))
            if not lacks_media(answer.status, answer.body):
                return answer
            self._pool.forget(turn)
        return await self._transport.post(endpoint, (start, *body.pieces))
