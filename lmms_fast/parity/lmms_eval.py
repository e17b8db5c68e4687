"""Lines of a samples file of lmms-eval → rows of answers as `import` reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lmms_fast.errors import DataError
from lmms_fast.parity.readers import Row

NUMBER = "doc_id"
"""A document's place in its data set."""


def is_samples(rows: Sequence[Row]) -> bool:
    """Whether these rows are lmms-eval's, of any version since 0.2, or our export of them."""
    return bool(rows) and NUMBER in rows[0] and ("filtered_resps" in rows[0] or "resps" in rows[0])


def answers(lines: Sequence[Row]) -> list[Row]:
    """A row for each response: the fields of `doc` where the file has it, and `doc_id`, `target`, `prompt`, `response`,
    `repeat`.

    The response is what the model said (`resps`), and what a filter left of it only where that is not kept (lmms-eval
    0.7 drops it where they are equal). Raises DataError for likelihoods.
    """
    return [row for line in lines for row in _row(line)]


def _row(line: Row) -> Iterator[Row]:
    doc = line.get("doc")
    doc = doc if isinstance(doc, Mapping) else {}
    golds = doc.get("target")
    prompt = line.get("input", next(iter(line.get("arguments") or ()), None))
    for repeat, text in enumerate(_texts(line.get("resps", line.get("filtered_resps")))):
        yield {
            **doc, NUMBER: line[NUMBER], "target": golds if isinstance(golds, list) else line.get("target"),
            "response": text, "repeat": repeat, **({"prompt": prompt} if isinstance(prompt, str) else {}),
        }  # fmt: skip


def _texts(said: Any) -> list[str]:
    """Of one or several requests, each with one or several responses: all of them."""
    if not isinstance(said, list):
        return ["" if said is None else str(said)]
    if any(isinstance(one, list) and len(one) == 2 and str(one[1]) in ("True", "False") for one in said):
        raise DataError("lmms-eval's likelihoods are no answers, so there is nothing to score again")
    return [text for one in said for text in _texts(one)] if said else [""]
