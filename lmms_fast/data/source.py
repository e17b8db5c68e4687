"""Rows of a task: from files beside its YAML, from a local copy of the dataset, or from the hub.

Pictures are never decoded here, and rows are read in small batches, so memory does not grow with the dataset.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from lmms_fast.data.copies import read_record
from lmms_fast.data.layout import by_name
from lmms_fast.errors import DataError
from lmms_fast.media.encode import BadMedia
from lmms_fast.tasks.files import Columns, Lookup, count_rows, read_rows
from lmms_fast.tasks.foreign import bridge_of
from lmms_fast.tasks.render import Files, inside
from lmms_fast.tasks.spec import HubSource, Join, Shared, Task
from lmms_fast.types import Doc


@dataclass(frozen=True, slots=True)
class Source:
    """Where a task's rows come from, resolved."""

    rows: Callable[[Columns], Iterator[Doc]]
    """Rows in order; with columns named, only those, where the format can leave out the others."""
    root: Path | None
    """Folder that media paths start from and must stay in; None for the hub, whose rows hold the bytes."""
    count: int | None
    """Rows; None when only reading them all would tell."""
    origin: str
    """What the run records: a hub path with its revision, or a folder."""
    shots: Callable[[], list[Doc]] = list
    """The task's worked examples."""
    file: Files = lambda _: None
    """Other files of the dataset's repository, by their path there."""


def open_source(task: Task, data_dir: Path | None) -> Source:
    """Find a task's rows. Raises DataError with what to do when they cannot be had."""
    if task.foreign is not None:
        found = bridge_of(task).rows(task, data_dir)
        return Source(lambda _: found.docs(), None, found.count, found.origin)
    if task.dataset.files:
        source = _from_files([task.file.parent / name for name in task.dataset.files], task)
        return source if task.dataset.shared is None else _shared(source, task.dataset.shared, task)
    return _from_hub(task) if data_dir is None else _from_copy(task, data_dir)


def _from_copy(task: Task, data_dir: Path) -> Source:
    dataset = task.dataset
    source = _from_files(_local_copy(task, data_dir, None, dataset.split), task)
    if dataset.join:
        others = _from_files(_local_copy(task, data_dir, dataset.join.config, dataset.join.split), task)
        source = _joined(source, dataset.join, task, {doc[dataset.join.key]: doc for doc in others.rows(None)})
    if dataset.shots:
        examples = _from_files(_local_copy(task, data_dir, None, dataset.shots.split), task)
        source = replace(source, shots=_first(examples, dataset.shots.count))
    folders = [folder for hub in dataset.hub for folder in _folders_of(hub, task, data_dir)]
    return replace(source, file=lambda name: next(filter(None, (inside(folder, name) for folder in folders)), None))


def _first(source: Source, count: int) -> Callable[[], list[Doc]]:
    return lambda: list(islice(source.rows(None), count))


def _joined(source: Source, join: Join, task: Task, others: Mapping[Any, Doc]) -> Source:
    """Rows with the columns that another part of the dataset has for them."""

    def rows(columns: Columns) -> Iterator[Doc]:
        if columns is not None and not columns & set(join.take):
            yield from source.rows(columns)
            return
        for doc in source.rows(None):
            if doc[join.column] not in others:
                where = f"{join.config}/{join.split}"
                raise DataError(f"task {task.task}: {join.column} {doc[join.column]!r} is not in {where}.")
            other = others[doc[join.column]]
            yield {**doc, **{name: other[name] for name in join.take}}

    return replace(source, rows=rows)


def _from_files(paths: list[Path], task: Task) -> Source:
    for path in paths:
        if not path.exists():
            raise DataError(f"task {task.task}: data file {path} does not exist.")
    try:
        counts = [count_rows(path) for path in paths]
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(_broken(task, paths, error)) from None

    def rows(columns: Columns) -> Iterator[Doc]:
        for path in paths:
            try:
                yield from read_rows(path, columns)
            except (pa.ArrowInvalid, OSError, ValueError) as error:
                raise DataError(_broken(task, [path], error)) from None

    total = None if None in counts else sum(count for count in counts if count is not None)
    root = paths[0] if paths[0].is_dir() else paths[0].parent
    return Source(rows, root, total, str(root))


def _shared(source: Source, shared: Shared, task: Task) -> Source:
    """Rows with the picture of another one, where they hold its key instead."""

    def rows(columns: Columns) -> Iterator[Doc]:
        if columns is not None and shared.column not in columns:
            yield from source.rows(columns)
            return
        path = task.file.parent / task.dataset.files[0]
        try:
            others = Lookup(path, shared.key, shared.column)
        except (ValueError, OSError) as error:
            raise DataError(_broken(task, [path], error)) from None
        for doc in source.rows(None):
            value = str(doc[shared.column])
            yield {**doc, shared.column: others[value]} if value in others else doc

    return replace(source, rows=rows)


def _broken(task: Task, paths: list[Path], error: Exception) -> str:
    names = ", ".join(path.name for path in paths)
    detail = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"task {task.task}: {names} in {paths[0].parent} is truncated or not what its name says ({detail}); "
        "fetch the file again."
    )


def _local_copy(task: Task, data_dir: Path, config: str | None, split: str) -> list[Path]:
    """Data files of a split below `data_dir`, laid out as a hub download or flat; `config` None: the task's own."""
    if not data_dir.is_dir():
        raise DataError(f"--data-dir {data_dir}: no such folder.")
    tried: list[str] = []
    recorded = read_record(data_dir)
    for hub in task.dataset.hub:
        if recorded and (files := recorded.files(hub.path, config or hub.config, split)):
            return [data_dir / hub.path / file for file in files]
        for folder in _folders_of(hub, task, data_dir):
            if recorded and folder == data_dir:
                continue  # below it lie the other datasets that were fetched
            tried.append(str(folder))
            found = _split_files(folder, config or hub.config, split)
            if found:
                return found
    raise DataError(
        f"task {task.task}: no file of split '{split}' ({split}-*.parquet, {split}.jsonl, …) in any of "
        f"{', '.join(dict.fromkeys(tried))}; `lmms-fast tasks data pull {task.task} --to {data_dir}` fetches it."
    )


def _folders_of(hub: HubSource, task: Task, data_dir: Path) -> tuple[Path, ...]:
    """Where a copy of the dataset may lie."""
    owner, _, name = hub.path.rpartition("/")
    return data_dir / owner / name, data_dir / name, data_dir / task.task, data_dir


def _split_files(folder: Path, config: str | None, split: str) -> list[Path]:
    if not folder.is_dir():
        return []
    files = [path.relative_to(folder).as_posix() for pattern in ("*", "*/*", "*/*/*") for path in folder.glob(pattern)]
    return [folder / file for file in by_name(files, config, split)]


def _from_hub(task: Task) -> Source:
    dataset = task.dataset
    problems: list[str] = []
    for hub in dataset.hub:
        try:
            source = _hub_rows(hub, hub.config, dataset.split)
            if dataset.join:
                others = _HubIndex(_hub_table(hub, dataset.join.config, dataset.join.split), dataset.join.key)
                source = _joined(source, dataset.join, task, others)
            if dataset.shots:
                source = replace(source, shots=_first(_hub_rows(hub, hub.config, dataset.shots.split),
                                                      dataset.shots.count))  # fmt: skip
            return replace(source, file=partial(_HubFile, hub))
        except Exception as error:  # the library raises a dozen kinds, from OSError to its own
            problems.append(f"{hub.path}: {reason(error)}")
    raise DataError(
        f"task {task.task}: dataset not available ({'; '.join(problems)}). "
        "With a network, check the connection and, for a gated dataset, run `hf auth login` and accept its terms at "
        f"https://huggingface.co/datasets/{task.dataset.hub[0].path}; without one, fetch a copy elsewhere "
        f"(`lmms-fast tasks data pull {task.task} --to DIR`) and pass --data-dir DIR."
    )


def _hub_table(hub: HubSource, config: str | None, split: str) -> Any:
    import datasets  # noqa: PLC0415  (a second of imports, needed only here)

    datasets.disable_progress_bars()
    table = datasets.load_dataset(hub.path, config, split=split, revision=hub.revision)
    for column, feature in table.features.items():
        kind = feature.feature if isinstance(feature, datasets.Sequence | datasets.List) else feature
        if isinstance(kind, datasets.Image):
            raw = datasets.Image(decode=False)
            table = table.cast_column(column, raw if kind is feature else datasets.List(raw))
    return table


def _hub_rows(hub: HubSource, config: str | None, split: str) -> Source:
    table = _hub_table(hub, config, split)

    def rows(columns: Columns) -> Iterator[Doc]:
        if columns is None:
            return iter(table)
        return iter(table.select_columns([name for name in table.column_names if name in columns]))

    return Source(rows, None, len(table), _origin(hub))


@dataclass(frozen=True, slots=True)
class _HubFile:
    """A file of a repository; fetched, once for all runs, when its bytes are read."""

    hub: HubSource
    name: str

    def read_bytes(self) -> bytes:
        """Raises BadMedia, OSError."""
        if ".." in PurePosixPath(self.name).parts:
            raise BadMedia(f"{self.name[:200]!r} is not the name of a file")
        from huggingface_hub import hf_hub_download  # noqa: PLC0415  (as above)

        try:
            found = hf_hub_download(self.hub.path, self.name, repo_type="dataset", revision=self.hub.revision)
        except Exception as error:  # the library raises a dozen kinds, from OSError to its own
            raise BadMedia(f"{self.name[:200]!r} of {self.hub.path} was not fetched: {reason(error)}") from None
        return Path(found).read_bytes()


class _HubIndex(Mapping[Any, Doc]):
    """Rows of a table by the value of a column; read from its file when asked for."""

    def __init__(self, table: Any, key: str) -> None:
        self._table = table
        self._rows = {value: row for row, value in enumerate(table[key])}

    def __getitem__(self, key: Any) -> Doc:
        found: Doc = self._table[self._rows[key]]
        return found

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _origin(hub: HubSource) -> str:
    return f"{hub.path}@{hub.revision or 'main'}"


def reason(error: Exception) -> str:
    """Why the hub's library failed, in few words."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return "offline (HF_HUB_OFFLINE=1) and not in the cache"
    if "RevisionNotFoundError" in kinds:
        return "no such revision"
    if "GatedRepoError" not in kinds and "RepositoryNotFoundError" in kinds:
        return "no such dataset, or gated or private and not logged in"
    if "GatedRepoError" in kinds or "gated" in text.lower() or "401" in text or "403" in text:
        return "gated or private; not logged in, or its terms not accepted"
    if kinds & {"ConnectError", "TimeoutException", "ConnectionError"}:
        return f"no connection to the hub: {text[:200]}"
    return text[:200]
