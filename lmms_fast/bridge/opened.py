"""A task of lmms-eval with its data: from the hub, or from the local copies of --data-dir."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
from lmms_eval.api.task import ConfigurableMessagesTask, ConfigurableTask
from lmms_eval.tasks import TaskManager
from loguru import logger
from PIL import ImageFile
from tenacity import RetryError, stop_after_attempt

from lmms_fast.errors import DataError, TaskError
from lmms_fast.tasks.spec import Task

_SHARD = re.compile(r"(?P<split>.+?)(-\d+-of-\d+)?\.(?P<kind>parquet|jsonl|json|csv)")
_BUILDERS = {"jsonl": "json"}

ImageFile.LOAD_TRUNCATED_IMAGES = False  # lmms-eval sets it; half a picture is none
ConfigurableTask.download.retry.stop = stop_after_attempt(1)  # a copy that is not there now is not there in a minute
os.environ.setdefault("HF_HOME", str(Path.home() / ".cache" / "huggingface"))  # some of its tasks want it said


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What its code prints goes to standard error, or is left out: standard output belongs to results."""
    logger.disable("")
    with contextlib.redirect_stdout(sys.stderr):
        yield


@functools.lru_cache(maxsize=4)
def manager(include: tuple[Path, ...]) -> TaskManager:
    """Its index of tasks, with folders of the user's own."""
    with quiet():
        return TaskManager(verbosity="ERROR", include_path=[str(folder) for folder in include] or None)


def open_task(task: Task, data_dir: Path | None) -> Any:
    """The task, loaded anew, so that nothing its code keeps in variables is left from before. Raises LmmsFastError."""
    foreign = task.foreign
    assert foreign is not None
    name = foreign.name
    with quiet(), copies_in(data_dir):
        try:
            found = manager(foreign.include)._load_individual_task_or_group(name, task_type="chat")[name]
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
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _advice(task: Task, data_dir: Path | None) -> str:
    if data_dir is not None:
        return "."
    path = task.dataset.hub[0].path
    return f". Without a network, fetch a copy elsewhere (`hf download --repo-type dataset {path} --local-dir " \
           f"DIR/{path}`) and pass --data-dir DIR."  # fmt: skip


@contextlib.contextmanager
def copies_in(data_dir: Path | None) -> Iterator[None]:
    """`datasets.load_dataset` as lmms-eval, and the task code that is imported meanwhile, see it: local copies only."""
    if data_dir is None:
        yield
        return
    original = datasets.load_dataset
    datasets.load_dataset = _from_copies(data_dir.absolute(), original)
    try:
        yield
    finally:
        datasets.load_dataset = original


def _from_copies(data_dir: Path, original: Callable[..., Any]) -> Callable[..., Any]:
    def load_dataset(path: str, name: str | None = None, *, split: Any = None, **more: Any) -> Any:
        if "/" not in path or os.path.exists(path):
            return original(path, name, split=split, **more)
        folders = [folder for folder in (data_dir / path, data_dir / path.rpartition("/")[2]) if folder.is_dir()]
        if not folders:
            raise FileNotFoundError(f"--data-dir {data_dir} has no folder {path}, a copy of that dataset")
        wanted = str(split).partition("[")[0] if split is not None else None
        kind, files = _splits(folders[0], name)
        if not files or (wanted is not None and wanted not in files):
            what = f"split '{wanted}'" if wanted else "data"
            raise FileNotFoundError(f"{folders[0]} has no file of {what}{f' of {name}' if name else ''}")
        # One by one: splits of a dataset need not have the same columns.
        found = {one: original(kind, data_files={one: files[one]}, split=split or one, cache_dir=more.get("cache_dir"))
                 for one in ([wanted] if wanted else files)}  # fmt: skip
        return found[wanted] if wanted else datasets.DatasetDict(found)

    return load_dataset


def _splits(folder: Path, config: str | None) -> tuple[str, dict[str, list[str]]]:
    """The kind of files, and those of each split; of a configuration where folders are named so."""
    found = [(path, match) for path in sorted(folder.rglob("*")) if (match := _SHARD.fullmatch(path.name))]
    named = [one for one in found if config in one[0].relative_to(folder).parts]
    kinds: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, match in named or found:
        kinds[_BUILDERS.get(match["kind"], match["kind"])][match["split"]].append(str(path))
    kind = next((one for one in ("parquet", "json", "csv") if one in kinds), "parquet")
    return kind, dict(kinds[kind])


def chosen(docs: Any, rows: Sequence[int]) -> Any:
    """Some of the documents, in a form that filters take."""
    return docs.select(rows) if hasattr(docs, "select") else [docs[row] for row in rows]
