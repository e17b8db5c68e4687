"""lmms-eval's filters, process_results and aggregations over the answers to a task, as its evaluator runs them.

Only answers take part: a request that failed has none, and a question whose repeats were not all answered is left out
with all of them. The order is that of the documents, in one thread, after `random` and numpy were seeded as lmms-eval
seeds them, so that equal answers give equal numbers, dice included.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from lmms_eval.api.instance import Instance
from lmms_eval.api.reasoning import parse_reasoning_tags_config, strip_reasoning_tags
from lmms_eval.api.registry import get_aggregation
from lmms_eval.filters.transformation import StripThinkingFilter

from lmms_fast.bridge import network
from lmms_fast.bridge.opened import chosen, open_task, quiet, reason, seeded
from lmms_fast.errors import LmmsFastError, TaskError
from lmms_fast.metrics.interval import with_interval_of_mean
from lmms_fast.tasks.foreign import Answer, Mark, Marks
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Aggregate, Prediction

_THINKING = '[["<think>", "</think>"], ["<analysis>", "</analysis>"]]'  # the default of its command line
_NOTHING = "[invalid]"  # what its filters give where they find no answer
Metrics = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Part:
    """What one filter's answers came to."""

    name: str
    answers: list[Any]
    metrics: list[Metrics]
    """By document."""


def score_answers(
    task: Task, answers: Sequence[Answer], asked: int, data_dir: Path | None, folder: Path
) -> Marks:
    """Numbers, and files in `folder`. Raises TaskError where the task's code fails, AskedNetwork, DataError."""
    by_row: defaultdict[int, list[Answer]] = defaultdict(list)
    for one in sorted(answers, key=lambda one: (int(one.id), one.repeat)):
        by_row[int(one.id)].append(one)
    repeats = max(map(len, by_row.values()), default=0)
    complete = {row: given for row, given in by_row.items() if len(given) == repeats}
    if not complete:
        return Marks({}, ())
    folder = folder.absolute()
    folder.mkdir(exist_ok=True)
    before = _files(folder)
    with quiet(), seeded():
        opened = open_task(task, data_dir)
        opened.args = _Arguments(output_path=str(folder), process_with_media=False, reasoning_tags=_THINKING)
        with contextlib.chdir(folder), network.watched(task.task):
            parts = list(_parts(task, opened, complete))
            each = _marks(opened, parts[0], complete, by_row)
            n = len(complete) * repeats
            counting = [each[one.id, one.repeat] for given in complete.values() for one in given]
            silent = sum(one.prediction.answer is None for one in counting)
            aggregates, beside = _aggregated(task, opened, parts, (n, silent, asked - n))
    after = _files(folder)
    wrote = sorted(str(path.relative_to(folder)) for path in after if after[path] != before.get(path))
    return Marks(each, tuple(aggregates), beside, tuple(wrote))


class _Arguments(Namespace):
    """Stands for the command line that lmms-eval was called with; nothing else was said there."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Some tasks take it for a mapping."""
        return vars(self).get(name, default)


def _files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def _parts(task: Task, opened: Any, complete: Mapping[int, Sequence[Answer]]) -> Iterator[_Part]:
    rows = list(complete)
    docs = opened.eval_docs_no_media
    instances = [Instance("generate_until", ("",), 0, {"task": opened.config.task, "doc_id": row,
                                                       "repeats": len(complete[row])},
                          resps=[one.text for one in complete[row]]) for row in rows]  # fmt: skip
    tags = parse_reasoning_tags_config(cli_value=_THINKING, task_value=opened.config.reasoning_tags)
    if tags is None and opened.config.auto_strip_thinking:
        for ensemble in opened._filters:
            ensemble.filters.insert(0, StripThinkingFilter())
    with _named(task, "its filters fail"):
        for ensemble in opened._filters:
            ensemble.apply(instances, chosen(docs, rows))
    for name in instances[0].filtered_resps:
        found = [_without_thinking(one.filtered_resps[name], tags) for one in instances]
        metrics = []
        for row, answer in zip(rows, found, strict=True):
            with _named(task, f"its process_results fails on document {row}"):
                # Without its retries, which hide for ten seconds what went wrong.
                metrics.append(inspect.unwrap(type(opened).process_results)(opened, docs[row], [answer]))
            if network.met():
                return
        yield _Part(name, found, metrics)


def _without_thinking(answer: Any, tags: Any) -> Any:
    if tags is None:
        return answer
    if isinstance(answer, list):
        return [_without_thinking(one, tags) for one in answer]
    return strip_reasoning_tags(answer, tags) if isinstance(answer, str) else answer


@contextlib.contextmanager
def _named(task: Task, what: str) -> Iterator[None]:
    try:
        yield
    except LmmsFastError:
        raise
    except Exception as error:  # the task's own code
        raise TaskError(f"task {task.task}: {what}: {reason(error)}. The answers are kept; `lmms-fast score` scores "
                        "them again.") from None  # fmt: skip


def _marks(
    opened: Any, part: _Part, complete: Mapping[int, Sequence[Answer]], by_row: Mapping[int, Sequence[Answer]]
) -> dict[tuple[str, int], Mark]:
    """For each answer what was found in it, and its number: the first one that is from 0 to 1 for all documents."""
    key = opened.config.score_key or "score"
    numbers = [{name: number for name, value in one.items() if (number := _number(value, key)) is not None}
               for one in part.metrics]  # fmt: skip
    wrong = {name for one in numbers for name, number in one.items() if not 0 <= number <= 1}
    own = [next((number for name, number in one.items() if name not in wrong), None) for one in numbers]
    filtered = dict(zip(complete, zip(part.answers, own, strict=True), strict=True))
    marks: dict[tuple[str, int], Mark] = {}
    for row, given in by_row.items():
        for one in given:
            found, value = filtered.get(row, (one.text, None)) if len(given) == 1 else (one.text, None)
            marks[one.id, one.repeat] = Mark(Prediction(_shown(found), "lmms-eval"), value)
    return marks


def _shown(answer: Any) -> str | None:
    text = str(answer[0] if isinstance(answer, list) and answer else answer).strip()
    return None if text in ("", _NOTHING) else text


def _number(value: Any, key: str) -> float | None:
    if isinstance(value, Mapping):
        value = value.get(key)
    return float(value) if isinstance(value, bool | int | float | np.number) and math.isfinite(value) else None


def _aggregated(
    task: Task, opened: Any, parts: Sequence[_Part], counts: tuple[int, int, int]
) -> tuple[list[Aggregate], dict[str, Any]]:
    """Each metric that has an aggregation, by each filter; and what came out that is no number."""
    n, silent, failed = counts
    aggregates: list[Aggregate] = []
    beside: dict[str, Any] = {}
    for part in parts:
        items: defaultdict[str, list[Any]] = defaultdict(list)
        for metrics in part.metrics:
            for name, value in metrics.items():
                items[name].append(value)
        for name, values in items.items():
            if (function := opened.aggregation().get(name)) is None:
                continue
            label = name if part.name == "none" else f"{name},{part.name}"
            with _named(task, f"its aggregation of {name} fails"):
                takes_args = "args" in inspect.signature(function).parameters
                value = function(values, args=opened.args) if takes_args else function(values)
            number = _number(value, "")
            if number is None:
                if value is not None:
                    beside[label] = orjson.loads(orjson.dumps(value, default=str, option=_AS_JSON))
                continue
            found = Aggregate(label, None, number, None, n, silent, failed)
            if function is get_aggregation("mean") and all(isinstance(one, bool | int | float) for one in values):
                shares = all(0 <= one <= 1 for one in values)
                found = with_interval_of_mean(found, list(map(float, values)), (0.0, 1.0) if shares else None)
                if failed and len(values) == n and shares:
                    low, high = sum(values) / (n + failed), (sum(values) + failed) / (n + failed)
                    found = replace(found, low=low, high=high)
            aggregates.append(found)
    return aggregates, beside


_AS_JSON = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
