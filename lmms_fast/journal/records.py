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


def sample_record(sample: Sample, row: int, digests: Sequence[str]) -> Record:
    """A sample without media bytes. `digests` are in the order of the media in the messages."""
    names = iter(digests)
    return {
        "task": sample.task,
        "id": sample.id,
        "repeat": sample.repeat,
        "row": row,
        "messages": [
            {
                "role": message.role,
                "parts": [{"image": next(names, "?")} if isinstance(part, Media) else part for part in message.parts],
            }
            for message in sample.messages
        ],
        "target": sample.target,
        "choices": sample.choices,
        "groups": sample.groups,
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
        repeat=record["repeat"],
    )


def encode_line(sample: Record, outcome: Outcome) -> bytes:
    """One journal line, newline included."""
    kind = "response" if isinstance(outcome, Response) else "failure"
    return orjson.dumps({"key": outcome.key, "sample": sample, kind: outcome}, option=orjson.OPT_APPEND_NEWLINE)


def outcome_of(line: Record) -> Outcome:
    """The outcome a line holds."""
    if "response" in line:
        fields = dict(line["response"])
        return Response(**{**fields, "usage": Usage(**fields["usage"])})
    return Failure(**line["failure"])
