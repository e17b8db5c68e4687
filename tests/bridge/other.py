"""A bridge to an evaluator that does not exist: what the seam asks of one, and nothing else."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lmms_fast.tasks.foreign import Answer, Mark, Marks, Rows
from lmms_fast.tasks.spec import Group, Task
from lmms_fast.types import Aggregate, Doc, Prediction

COUNT = 4
calls: list[tuple[Sequence[Answer], int, Path | None, Path]] = []
"""What `score` was given."""
looked_into: list[Sequence[Path]] = []
"""Folders that `load` was given."""


def names(include: Sequence[Path]) -> Sequence[str]:
    """Two tasks and their group."""
    return ["other:one", "other:two", "other:both"]


def load(name: str, include: Sequence[Path]) -> Task | Group:
    """A task without templates of its own."""
    looked_into.append(include)
    if name == "other:both":
        return Group.model_validate({"group": name, "about": "x", "tasks": ["other:one", "other:two"],
                                     "metrics": ["share", "words"], "file": "x"})  # fmt: skip
    return Task.model_validate({
        "task": name, "benchmark": "x", "about": "x", "source": "x", "licence": "x", "file": "x",
        "dataset": {"hub": "some/where"}, "prompt": {"turns": "messages"}, "target": {"column": "target"},
        "score": {"extract": "text"}, "repeats": 2 if name == "other:two" else 1,
        "foreign": {"name": name.partition(":")[2], "version": "1", "code": "x"},
    })  # fmt: skip


def rows(task: Task, data_dir: Path | None) -> Rows:
    """A system turn, and a picture between two texts."""
    return Rows(docs, COUNT, "nowhere")


def docs() -> Iterator[Doc]:
    """The rows."""
    for row in range(COUNT):
        out = io.BytesIO()
        Image.new("RGB", (8, 8), (row, 0, 0)).save(out, "PNG")
        turn = [{"text": f"Row {row}: "}, {"image": out.getvalue()}, {"text": " is it so? "}]
        yield {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": turn}],
               "target": ["yes"]}  # fmt: skip


def score(task: Task, answers: Sequence[Answer], asked: int, data_dir: Path | None, folder: Path) -> Marks:
    """One is right that begins with y; row 3 has no number of its own."""
    calls.append((answers, asked, data_dir, folder))
    each: dict[tuple[str, int], Mark] = {}
    for one in answers:
        value = None if one.id == "3" else float(one.text.startswith("y"))
        each[one.id, one.repeat] = Mark(Prediction(one.text or None, "other"), value)
    values = [one.value for one in each.values() if one.value is not None]
    words: Any = sum(len(one.text) for one in answers)
    failed = asked - len(answers)
    folder.mkdir(exist_ok=True)
    (folder / "handed in.txt").write_text(str(words))
    return Marks(
        each,
        (Aggregate("share", None, sum(values) / len(values), None, len(answers), 0, failed),
         Aggregate("words", None, words, None, len(answers), 0, failed)),
        {"remark": {"kept": "as it is"}},
        ("handed in.txt",),
    )  # fmt: skip
