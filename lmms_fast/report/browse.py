"""The samples of a run as blocks inside a page: a table of all of them, and what each holds in chunks, gzipped and in
base64, so that no text of a model or a data set can end the block that it is in."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import orjson
import pybase64

from lmms_fast.report.shown import answer_of, label_of, line_of, shown, signs

CHUNK = 64
"""Samples that are unpacked together."""
_ROWS = 200_000
_TEXT, _SHORT, _PREVIEW = 20_000, 2_000, 110
_TEXT_BYTES = 64 << 20
"""Base64 of all chunks; samples after it have their line in the table only."""
_VALUES = 400
"""Different values of a column that can be chosen from."""

_COLUMNS = ("task", "id", "repeat", "outcome", "score", "rule", "answer", "target", "prompt", "latency", "tokens",
            "picture")  # fmt: skip


class _Names:
    """Values by number, as they come."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def of(self, name: str) -> int:
        return self.numbers.setdefault(name, len(self.numbers))


@dataclass(slots=True)
class Blocks:
    """Takes samples in, writes chunks out; the table comes at the end."""

    out: BinaryIO
    samples: int = 0
    size: int = 0
    chunks: int = 0
    without_text: int = 0
    """Samples for whose texts there was no room."""
    left_out: int = 0
    """Samples that are not even in the table."""
    _columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _COLUMNS})
    _names: dict[str, _Names] = field(default_factory=lambda: {name: _Names() for name in ("task", "outcome", "rule")})
    _groups: dict[str, tuple[_Names, list[int]]] = field(default_factory=dict)
    _chunk: list[Any] = field(default_factory=list)

    def add(self, line: Mapping[str, Any], pictures: Sequence[int]) -> None:
        """Take in a line of the samples file, with the numbers of its pictures."""
        if self.samples >= _ROWS:
            self.left_out += 1
            return
        for name, value in _row(line, pictures).items():
            self._columns[name].append(self._names[name].of(value) if name in self._names else value)
        for column, value in line["groups"].items():
            names, values = self._groups.setdefault(label_of(column), (_Names(), []))
            values.extend([-1] * (self.samples - len(values)))
            values.append(names.of(label_of(str(value))))
        self.samples += 1
        full = self.size >= _TEXT_BYTES
        self.without_text += full
        self._chunk.append(None if full else _details(line, iter(pictures)))
        if len(self._chunk) == CHUNK:
            self._write()

    def _write(self) -> None:
        self.size += write_block(self.out, f"chunk-{self.chunks}", packed(self._chunk))
        self.chunks += 1
        self._chunk = []

    def table(self) -> bytes:
        """All samples, a line each, by columns; to be called when all were added."""
        if self._chunk:
            self._write()
        columns = {
            column: {"names": list(names.numbers), "values": values + [-1] * (self.samples - len(values))}
            for column, (names, values) in self._groups.items()
            if len(names.numbers) <= _VALUES
        }
        return packed({"chunk": CHUNK, "n": self.samples, "rows": self._columns, "groups": columns,
                       "names": {name: list(known.numbers) for name, known in self._names.items()}})  # fmt: skip



def _row(line: Mapping[str, Any], pictures: Sequence[int]) -> dict[str, Any]:
    prediction, response = line.get("prediction") or {}, line.get("response") or {}
    answer = answer_of(prediction.get("answer"))
    score = line.get("score")
    return {
        "task": label_of(line["task"]),
        "id": label_of(line["id"]),
        "repeat": line["repeat"],
        "outcome": label_of(line["outcome"]),
        "score": None if score is None else round(score, 4),
        "rule": label_of(prediction.get("rule") or "–"),
        "answer": None if answer is None else label_of(answer),
        "target": label_of(" | ".join(line["target"])),
        "prompt": line_of(_question(line["messages"]), _PREVIEW),
        "latency": round(response["latency_s"], 3) if response else None,
        "tokens": response["usage"].get("completion_tokens") if response else None,
        "picture": pictures[0] if pictures else -1,
    }


def _question(messages: Sequence[Mapping[str, Any]]) -> str:
    """The first text of the last turn."""
    texts = (part for turn in reversed(messages) for part in turn["parts"] if isinstance(part, str) and part.strip())
    return next(texts, "")


def _details(line: Mapping[str, Any], pictures: Any) -> dict[str, Any]:
    """What is shown of one sample, without what is empty."""
    prediction = line.get("prediction") or {}
    found = {
        "turns": [{"role": shown(str(turn["role"]), 20), "parts": [_part(part, pictures) for part in turn["parts"]]}
                  for turn in line["messages"]],
        "target": [shown(one, _SHORT) for one in line["target"]],
        "choices": [shown(one, _SHORT) for one in line["choices"]],
        "groups": {label_of(name): line_of(str(value), 200) for name, value in line["groups"].items()},
        "facts": {label_of(name): shown(str(value), _SHORT) for name, value in (line.get("facts") or {}).items()},
        "answer": None if (answer := answer_of(prediction.get("answer"))) is None else shown(answer, _SHORT),
        "parts": line.get("parts"),
        "judgements": _judgements(line),
        "scorings": {label_of(name): _verdict(one) for name, one in (line.get("scorings") or {}).items()},
        **_outcome(line),
        "longer": None if (longer := line.get("longer")) is None else {
            "outcome": longer.get("outcome"), **_verdict(longer), **_outcome(longer),
            "judgements": _judgements(longer),
        },
    }  # fmt: skip
    kept: dict[str, Any] = signs({name: value for name, value in found.items() if value not in (None, [], {})})
    return kept


def _part(part: Any, pictures: Any) -> Any:
    if isinstance(part, str):
        return shown(part, _TEXT)
    return {"picture": next(pictures, -1), "changed": [str(one)[:40] for one in part.get("changed", ())]}


def _outcome(line: Mapping[str, Any]) -> dict[str, Any]:
    if (response := line.get("response")) is not None:
        kept = {name: response.get(name) for name in ("finish_reason", "latency_s", "attempts")}
        texts = {name: response.get(name) and shown(response[name], _TEXT) for name in ("reasoning", "refusal")}
        where = line_of(response["served_by"], 120)
        return {"response": {"text": shown(response["text"], _TEXT), **texts, **kept, "usage": response["usage"],
                             "served_by": where}}  # fmt: skip
    failure = line.get("failure") or {}
    return {"failure": {"kind": failure.get("kind"), "detail": shown(str(failure.get("detail")), _SHORT),
                        "attempts": failure.get("attempts")}}  # fmt: skip


def _verdict(line: Mapping[str, Any]) -> dict[str, Any]:
    prediction = line.get("prediction") or {}
    answer = answer_of(prediction.get("answer"))
    return {"score": line.get("score"), "answer": answer and shown(answer, _SHORT),
            "rule": shown(prediction.get("rule") or "", 200)}  # fmt: skip


def _judgements(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{name: shown(str(value), _TEXT) for name, value in one.items() if value is not None}
            for one in line.get("judgements") or ()]  # fmt: skip


def packed(content: Any) -> bytes:
    """As a block holds it."""
    found: bytes = pybase64.b64encode(gzip.compress(orjson.dumps(content), 6, mtime=0))
    return found


def write_block(out: BinaryIO, name: str, content: bytes) -> int:
    """A block of data that no browser runs; its size. `content` has no `<`."""
    return out.write(b'<script type="text/plain" id="%s">%s</script>\n' % (name.encode(), content))
