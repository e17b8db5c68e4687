"""The records that pass between the rooms. Frozen, slotted, standard library only.

One sample's way: `Doc` → `Sample` → (request bytes) → `Outcome` (`Response` | `Failure`) → `Prediction` → `Score`.
A `Failure` has no text, so nothing can score it as an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Doc = Mapping[str, Any]
"""A dataset row as stored, media undecoded."""

FailureKind = Literal[
    "connection",  # refused, reset, cut off
    "timeout",
    "rate_limit",  # 429
    "server",  # 5xx
    "malformed",  # 200 whose body is not a chat completion
    "bad_request",  # 400 and 422
    "too_long",  # 400 that says the prompt exceeds the context
    "media",  # we could not read the picture, or the server said it could not
    "auth",  # 401, 403
    "quota",  # the account has nothing left
    "not_found",  # 404: model or path
]
TRANSIENT: frozenset[FailureKind] = frozenset({"connection", "timeout", "rate_limit", "server", "malformed"})
"""Kinds that may pass when tried again; the others are final."""
FATAL: frozenset[FailureKind] = frozenset({"auth", "quota", "not_found"})
"""Kinds that every further request to that endpoint would meet."""


class Stored(Protocol):
    """Where bytes lie until they are needed: a `Path`, or an address on the network (`media.fetch.Remote`)."""

    def read_bytes(self) -> bytes:
        """All of them."""
        ...


@dataclass(frozen=True, slots=True)
class Media:
    """One picture as it was stored."""

    source: bytes | Stored
    """Encoded bytes (JPEG, PNG, …), or where they lie; read only when the request is built."""
    kind: Literal["image"] = "image"

    def read(self) -> bytes:
        """The encoded bytes. Raises OSError if a file cannot be read, media.BadMedia if an address cannot."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; `parts` keep the order of text and media that the task declared."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Media, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One question to be scored."""

    task: str
    id: str
    """Unique within the task."""
    messages: tuple[Message, ...]
    target: tuple[str, ...]
    """Accepted answers; for multiple choice the letter(s). Empty where the answers are withheld (test splits)."""
    choices: tuple[str, ...] = ()
    """Option texts in letter order; empty for open questions."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Values to aggregate by (subject, category, image …)."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What scoring, a judge or a submission file needs of the row beside the answers (answer type, precision …)."""
    repeat: int = 0

    @property
    def key(self) -> str:
        """The sample's name in a run: ``task/id#repeat``."""
        return f"{self.task}/{self.id}#{self.repeat}"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them; None where it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What a model answered."""

    key: str
    text: str
    reasoning: str | None
    """The server's separate reasoning field; thinking that stays inside `text` is cut off at scoring."""
    finish_reason: str | None
    usage: Usage
    latency_s: float
    """From the first byte sent to the last received, of the attempt that succeeded."""
    attempts: int
    served_by: str
    refusal: str | None = None
    """Why there is no text, where the model or the provider says so."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that could not be measured."""

    key: str
    kind: FailureKind
    detail: str
    attempts: int
    served_by: str | None = None

    @property
    def final(self) -> bool:
        """True when trying again cannot help."""
        return self.kind not in TRANSIENT


Outcome = Response | Failure


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a rule found in a response."""

    answer: str | tuple[str | float, ...] | None
    """None: no answer found, which is never right and is counted apart. A tuple: several readings, any of which may
    match (open questions)."""
    rule: str
    """Which rule decided, for the sample browser."""

    @property
    def first(self) -> str | float:
        """The answer, of several readings the first; "" where there is none."""
        found = self.answer[0] if isinstance(self.answer, tuple) else self.answer
        return "" if found is None else found


@dataclass(frozen=True, slots=True)
class Score:
    """The verdict on one sample: 1.0 right, 0.0 wrong, between for graded metrics."""

    value: float
    prediction: Prediction
    parts: Mapping[str, float] = field(default_factory=dict)
    """Further numbers of the same sample, where a metric has several (IoU at five thresholds, ROUGE-1/2/L), 0 to 1."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """No rule can tell whether a response is right; a judge model has to be asked."""

    prediction: Prediction
    """What the rules found before."""


@dataclass(frozen=True, slots=True)
class Together:
    """An answer that has no number of its own, only together with the others: CIDEr, a submission file, pass@k."""

    prediction: Prediction


@dataclass(frozen=True, slots=True)
class Scored:
    """One sample as the aggregations see it."""

    id: str
    repeat: int
    groups: Mapping[str, str]
    value: float | None
    """None: not measured."""
    answered: bool
    """False: measured, but no answer was found (then `value` is 0)."""
    parts: Mapping[str, float] = field(default_factory=dict)
    answer: str | tuple[str | float, ...] | None = None
    """As in `Prediction`, for aggregations that compare answers over many samples (F1, CIDEr)."""
    target: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    """Their digests: samples that share one are not independent of each other."""

    def part(self, name: str | None) -> float | None:
        """The named number, `value` without a name or where the sample has no such part (bounds replace `value`)."""
        return self.value if name is None else self.parts.get(name, self.value)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One number over many samples."""

    metric: str
    group: str | None
    """``column=value``, or None for the task's headline."""
    value: float | None
    """None over nothing (n = 0)."""
    stderr: float | None
    n: int
    """Samples the value rests on: those measured."""
    n_no_answer: int
    n_failed: int
    low: float | None = None
    """With samples that were not measured: the value if all of them were wrong, and if all were right."""
    high: float | None = None
    interval: tuple[float, float] | None = None
    """95 % of such intervals hold the value over all questions of the kind that was asked; of what was measured."""
    method: str = ""
    """How the interval was made (`metrics.interval`)."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a server says about itself at one moment. Over several engines behind one address: sums, but `kv_cache` of
    the fullest."""

    running: float
    """Requests in the engine's batch."""
    waiting: float
    """Requests the engine has and does not work on yet; those whose media are still being prepared are in neither."""
    kv_cache: float
    """Share in use, 0 to 1."""
    preemptions: float
    prefix_queries: float
    """Tokens looked up in the prefix cache since the server started, and found there."""
    prefix_hits: float
    media_queries: float
    """Media looked up in the cache of prepared media, and found there."""
    media_hits: float
    front_end_cpu_s: float
    """CPU of the API process since it started; 0 where it does not say (vLLM with several of them)."""
