"""Tasks that another evaluator defines, and what its bridge offers; none is imported before such a task is named."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from lmms_fast.errors import TaskError
from lmms_fast.tasks.spec import Group, Task
from lmms_fast.types import Aggregate, Doc, Prediction

BRIDGES = {"lmms-eval:": "lmms_fast.bridge.lmms_eval"}
"""How the names of its tasks begin → the module."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A task's rows as its evaluator shows them: `messages` as `Prompt.turns` takes them, and `target`, a list."""

    docs: Callable[[], Iterator[Doc]]
    count: int
    origin: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; a request that failed has none."""

    id: str
    """Of the sample."""
    repeat: int
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What the evaluator's code makes of one answer."""

    prediction: Prediction
    value: float | None
    """0 to 1. None: it has a number only together with the others."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What the evaluator's code makes of all answers to a task."""

    each: Mapping[tuple[str, int], Mark]
    """By id and repeat."""
    aggregates: tuple[Aggregate, ...]
    beside: Mapping[str, Any] = field(default_factory=dict)
    """What it gives that is no number."""
    files: tuple[str, ...] = ()
    """What it wrote, below the folder."""


class Bridge(Protocol):
    """A module that makes another evaluator's tasks run here. What it raises is a LmmsFastError of one sentence."""

    def names(self, include: Sequence[Path]) -> Sequence[str]:
        """All tasks and groups, prefix included. `include` are folders of the user's own."""
        ...

    def load(self, name: str, include: Sequence[Path]) -> Task | Group:
        """The task or group, without its data."""
        ...

    def rows(self, task: Task, data_dir: Path | None) -> Rows:
        """What the task asks."""
        ...

    def score(
        self, task: Task, answers: Sequence[Answer], asked: int, data_dir: Path | None, folder: Path
    ) -> Marks:
        """Score the answers together. `asked` samples were to be answered; `folder` takes the files that it writes."""
        ...


def bridge_to(name: str) -> Bridge | None:
    """The bridge that a task's name asks for. Raises TaskError where what it leads to is not installed."""
    for prefix, module in BRIDGES.items():
        if name.startswith(prefix):
            try:
                return cast(Bridge, importlib.import_module(module))
            except ImportError as error:
                what = prefix.rstrip(":")
                raise TaskError(
                    f"{name}: {what} cannot be used here ({error}); `pip install {what}` into the environment of "
                    "lmms-fast."
                ) from None
    return None


def bridge_of(task: Task) -> Bridge:
    """The bridge of a task that has one (`task.foreign`)."""
    found = bridge_to(task.task)
    assert found is not None, task.task
    return found
