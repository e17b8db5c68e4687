"""A line of a samples file → one flat row: what nests becomes `groups.NAME`, `parts.NAME`, or JSON text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

Line = Mapping[str, Any]

_LISTS = ("target", "choices", "pictures")
_COUNTS = ("repeat", "row", "attempts", "prompt_tokens", "completion_tokens")
_NUMBERS = ("score", "latency_s")
_ORDER = ("task", "id", "repeat", "row", "outcome", "score", "answer", "rule", "target", "choices", "response",
          "reasoning", "finish_reason", "refusal", "failure_kind", "failure", "prompt", "pictures", "judgements",
          "longer", "latency_s", "attempts", "prompt_tokens", "completion_tokens", "served_by")  # fmt: skip
_NAMED = {"groups": str, "facts": str, "parts": float, "scorings": float}
"""What becomes a column for each name in it, and what that holds."""


def columns(lines: Iterable[Line]) -> dict[str, type]:
    """The columns that these lines need, in their order, with what they hold."""
    named: dict[str, dict[str, type]] = {kind: {} for kind in _NAMED}
    for line in lines:
        for kind, held in _NAMED.items():
            named[kind] |= {f"{kind}.{name}": held for name in line.get(kind) or ()}
    fixed = {name: list if name in _LISTS else int if name in _COUNTS else float if name in _NUMBERS else str
             for name in _ORDER}  # fmt: skip
    return fixed | {name: held for kind in named.values() for name, held in sorted(kind.items())}


def row(line: Line) -> dict[str, Any]:
    """The row of a line; a column that it lacks is left out. `answer` of several readings is JSON."""
    prediction, said, failed = line.get("prediction") or {}, line.get("response") or {}, line.get("failure") or {}
    answer = prediction.get("answer")
    usage = said.get("usage") or {}
    return {
        "task": line["task"], "id": line["id"], "repeat": line["repeat"], "row": line["row"],
        "outcome": line["outcome"], "score": line["score"],
        "answer": answer if answer is None or isinstance(answer, str) else _json(answer),
        "rule": prediction.get("rule"), "target": list(line["target"]), "choices": list(line["choices"]),
        "response": said.get("text"), "reasoning": said.get("reasoning"), "finish_reason": said.get("finish_reason"),
        "refusal": said.get("refusal"), "failure_kind": failed.get("kind"), "failure": failed.get("detail"),
        "prompt": prompt(line["messages"]), "pictures": [*pictures(line["messages"])],
        "judgements": _json(line["judgements"]) if line.get("judgements") else None,
        "longer": _json(line["longer"]) if line.get("longer") else None,
        "latency_s": said.get("latency_s"), "attempts": (said or failed).get("attempts"),
        "prompt_tokens": usage.get("prompt_tokens"), "completion_tokens": usage.get("completion_tokens"),
        "served_by": (said or failed).get("served_by"),
        **{f"groups.{name}": value for name, value in (line.get("groups") or {}).items()},
        **{f"facts.{name}": value for name, value in (line.get("facts") or {}).items()},
        **{f"parts.{name}": value for name, value in (line.get("parts") or {}).items()},
        **{f"scorings.{name}": value["score"] for name, value in (line.get("scorings") or {}).items()},
    }  # fmt: skip


def prompt(messages: Sequence[Mapping[str, Any]]) -> str:
    """The question as text: `<image>` where a picture stands, a line with the role before every turn but a lone one of
    the user."""
    turns = ["".join(part if isinstance(part, str) else "<image>" for part in turn["parts"]) for turn in messages]
    if [turn["role"] for turn in messages] == ["user"]:
        return turns[0]
    return "\n".join(f"[{turn['role']}]\n{text}" for turn, text in zip(messages, turns, strict=True))


def pictures(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The digests of what was shown, in order."""
    return (part["image"] for turn in messages for part in turn["parts"] if not isinstance(part, str))


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
