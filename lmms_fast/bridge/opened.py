"""A task of lmms-eval with its data: from the hub, or from the local copies of --data-dir."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from lmms_eval.api.task import ConfigurableMessagesTask, ConfigurableTask
from lmms_eval.tasks import TaskManager
from loguru import logger
from PIL import ImageFile
from tenacity import RetryError, stop_after_attempt

from lmms_fast.data.layout import by_card, by_name
from lmms_fast.errors import DataError, TaskError
from lmms_fast.tasks.spec import Task

_BUILDERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv"}
_SPLITS = ("test_split", "validation_split", "training_split", "fewshot_split")

datasets.disable_progress_bars()
ImageFile.LOAD_TRUNCATED_IMAGES = False  # lmms-eval sets it; half a picture is none
ConfigurableTask.download.retry.stop = stop_after_attempt(1)  # a copy that is not there now is not there in a minute
os.environ.setdefault("HF_HOME", str(Path.home() / ".cache" / "huggingface"))  # some of its tasks want it said


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What its code prints goes to standard error, or is left out: standard output belongs to results."""
    logger.disable("")
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def seeded(row: int = 0) -> Iterator[None]:
    """`random` and numpy as lmms-eval seeds them before it loads a task; by the row as well, where one is made alone.

    Some tasks shuffle while they are loaded: they must come out alike when questions are made and when they are scored.
    """
    state, numbers = random.getstate(), np.random.get_state()
    random.seed(row)
    np.random.seed(1234 + row)
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numbers)


@functools.lru_cache(maxsize=4)
def manager(include: tuple[Path, ...]) -> TaskManager:
    """Its index of tasks, with folders of the user's own."""
    with quiet():
        return TaskManager(verbosity="ERROR", include_path=[str(folder) for folder in include] or None)


def open_task(task: Task, data_dir: Path | None) -> Any:
    """The task, loaded anew, so that nothing its code keeps in variables is left from before. Raises LmmsFastError."""
    foreign = task.foreign
    assert foreign is not None
    name, known = foreign.name, manager(foreign.include)
    with quiet():
        try:
            config = known._get_config(name)
            with copies_in(data_dir, {config[key] for key in _SPLITS if config.get(key)}):
                found = known._load_individual_task_or_group(name, task_type="chat")[name]
        except Exception as error:
            what = f"task {task.task}: lmms-eval cannot open it: {reason(error)}"
            raise DataError(what + _advice(task, data_dir)) from None
    if not isinstance(found, ConfigurableMessagesTask):
        raise TaskError(f"task {task.task}: a Python class makes it, and the bridge carries what YAML files define.")
    return found


def reason(error: BaseException) -> str:
    """An exception in one line; the one inside, where it only says that there is one."""
    inner = error.last_attempt.exception() if isinstance(error, RetryError) else error.__cause__
    if inner is not None and isinstance(error, RetryError | datasets.exceptions.DatasetGenerationError):
        return reason(inner)
    lines = str(error).splitlines()
    if lines:
        return f"{type(error).__name__}: {lines[0][:300]}"
    where = traceback.extract_tb(error.__traceback__)[-1:]
    return " ".join([type(error).__name__, *(f"in {Path(one.filename).name}, line {one.lineno}" for one in where)])


def _advice(task: Task, data_dir: Path | None) -> str:
    if data_dir is not None:
        return "."
    path = task.dataset.hub[0].path
    return f". Without a network, fetch a copy elsewhere (`hf download --repo-type dataset {path} --local-dir " \
           f"DIR/{path}`) and pass --data-dir DIR."  # fmt: skip


@contextlib.contextmanager
def copies_in(data_dir: Path | None, splits: Collection[str]) -> Iterator[None]:
    """`datasets.load_dataset` as lmms-eval, and the task code that is imported meanwhile, see it: local copies only.

    `splits` are those to be had where code asks for all.
    """
    if data_dir is None:
        yield
        return
    original = datasets.load_dataset
    datasets.load_dataset = _from_copies(data_dir.absolute(), splits, original)
    try:
        yield
    finally:
        datasets.load_dataset = original


def _from_copies(data_dir: Path, splits: Collection[str], original: Callable[..., Any]) -> Callable[..., Any]:
    def load_dataset(path: str, name: str | None = None, *, split: Any = None, **more: Any) -> Any:
        if "/" not in path or os.path.exists(path):
            return original(path, name, split=split, **more)
        folder = next((one for one in (data_dir / path, data_dir / path.rpartition("/")[2]) if one.is_dir()), None)
        if folder is None:
            raise FileNotFoundError(f"--data-dir {data_dir} has no folder {path}, a copy of that dataset")
        wanted = splits if split is None else [str(split).partition("[")[0]]
        files = {one: found for one in wanted if (found := _files(folder, name, one))}
        if not files:
            config = f" of {name}" if name else ""
            raise FileNotFoundError(f"{folder} has no data file of split {' or '.join(sorted(wanted))}{config}")
        # One by one: splits of a dataset need not have the same columns.
        loaded = {one: original(_BUILDERS[found[0].suffix], data_files={one: list(map(str, found))},
                                split=split or one, cache_dir=more.get("cache_dir"))
                  for one, found in files.items()}  # fmt: skip
        return datasets.DatasetDict(loaded) if split is None else next(iter(loaded.values()))

    return load_dataset


def _files(folder: Path, config: str | None, split: str) -> list[Path]:
    there = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in _BUILDERS)
    card = folder / "README.md"
    told = by_card(there, card.read_text(encoding="utf-8"), config, split) if card.is_file() else None
    return [folder / name for name in (by_name(there, config, split) if told is None else told)]


def chosen(docs: Any, rows: Sequence[int]) -> Any:
    """Some of the documents, in a form that filters take."""
    return docs.select(rows) if hasattr(docs, "select") else [docs[row] for row in rows]
