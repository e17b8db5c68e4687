"""Outcomes and samples ↔ journal lines.

A line holds the sample as asked (media by digest) beside its outcome, so a run can be re-scored and read years later
without the dataset or the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from lmms_fast.types import Failure, Media, Outcome, Response, Sample, Usage

Record = dict[str, Any]


def sample_record(
    sample: Sample, row: int, digests: Sequence[str], changes: Sequence[Sequence[str]] = ()
) -> Record:
    """A sample without media bytes. `digests` and `changes` are those of `wire.Body`."""
    pictures = ({"image": name, **({"changed": why} if why else {})}
                for name, why in zip(digests, changes or ((),) * len(digests), strict=True))  # fmt: skip
    return {
        "task": sample.task,
        "id": sample.id,
        "repeat": sample.repeat,
        "row": row,
        "messages": [
            {
                "role": message.role,
                "parts": [next(pictures, {"image": "?"}) if isinstance(part, Media) else part
                          for part in message.parts],
            }
            for message in sample.messages
        ],
        "target": sample.target,
        "choices": sample.choices,
        "groups": sample.groups,
        "facts": sample.facts,
    }


def sample_of(record: Record) -> Sample:
    """The part of a sample that scoring needs; messages stay in the record."""
    return Sample(
        task=record["task"],
        id=record["id"],
        messages=(),
        target=tuple(record["target"]),
        choices=tuple(record["choices"]),
        groups=record["groups"],
        facts=record.get("facts", {}),
        repeat=record["repeat"],
    )


def encode_line(sample: Record, outcome: Outcome, max_tokens: int | None = None) -> bytes:
    """One journal line, newline included. `max_tokens` marks an answer asked again with more room."""
    kind = "response" if isinstance(outcome, Response) else "failure"
    line: dict[str, object] = {"key": outcome.key, "sample": sample, kind: outcome}
    if max_tokens is not None:
        line["max_tokens"] = max_tokens
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def decode_line(raw: bytes) -> tuple[Record, Outcome, int | None]:
    """The sample as asked, its outcome, and `max_tokens`. Raises ValueError for what `encode_line` did not write."""
    try:
        line = orjson.loads(raw)
        record, outcome = line["sample"], _outcome_of(line)
        sample = sample_of(record)
        same = line["key"] == outcome.key == sample.key
        names = (*sample.groups.values(), *sample.facts.values())
        texts = [sample.task, sample.id, *sample.target, *sample.choices, *names]
        max_tokens = line.get("max_tokens")
        counts = [record["row"], sample.repeat, outcome.attempts, max_tokens or 0]
        if isinstance(outcome, Response):
            texts += [outcome.text, *(one or "" for one in (outcome.reasoning, outcome.finish_reason, outcome.refusal))]
            counts += [outcome.usage.prompt_tokens or 0, outcome.usage.completion_tokens or 0]
        else:
            texts += [outcome.kind, outcome.detail]
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a journal line: {type(error).__name__}") from None
    if not (same and all(isinstance(one, str) for one in texts) and all(isinstance(one, int) for one in counts)):
        raise ValueError("not a journal line: a field of another kind, or keys that differ")
    return record, outcome, max_tokens


def _outcome_of(line: Record) -> Outcome:
    if "response" in line:
        fields = line["response"]
        return Response(**{**fields, "usage": Usage(**fields["usage"])})
    return Failure(**line["failure"])
