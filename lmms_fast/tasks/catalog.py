"""From the names a user types to task files. A task is found by its file name, so nothing is parsed to look it up but
families, whose tasks are named inside.

A data file is a name too: its task is guessed.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lmms_fast.errors import TaskError
from lmms_fast.tasks.foreign import bridge_to
from lmms_fast.tasks.spec import FORMATS, Group, Task, load_file, members

if TYPE_CHECKING:
    from lmms_fast.tasks.guess import Guess

_YAML = (".yaml", ".yml")
_PACKAGE = Path(__file__).resolve().parent.parent


def task_name(path: Path) -> str:
    """What the task of a data file, or of a folder, is called."""
    stem = path.stem if path.name.endswith(FORMATS) else path.name
    return "".join(char if char.isalnum() or char in "_-." else "_" for char in stem).strip(".") or "data"


def bundled_dir() -> Path:
    """The `tasks/` that ships with the project: inside the wheel, or beside the package in a checkout."""
    inside = _PACKAGE / "_tasks"
    return inside if inside.is_dir() else _PACKAGE.parent / "tasks"


def may_run_hooks(task: Task, include: Iterable[Path]) -> bool:
    """Whether code beside a task that a run directory names may run: that of our own tasks, and in folders that were
    named now. The directory may be someone else's, so what it records counts for nothing."""
    trusted = [folder.resolve() for folder in (*include, bundled_dir())]
    return not task.hooks or any(task.file.parent.resolve().is_relative_to(one) for one in trusted)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a run evaluates: tasks in the order named, each once, and the groups that were asked for."""

    tasks: tuple[Task, ...]
    groups: tuple[Group, ...]
    guessed: tuple[Guess, ...] = field(default=())
    """What data files without a task file were taken for."""

    def prompted(self, variant: Callable[[Task], str]) -> Selection:
        """The same with each task's prompt in the variant that `variant` names."""
        return replace(self, tasks=tuple(task.prompted_by(variant(task)) for task in self.tasks))


class Catalog:
    """Task files by name. Folders given by the user come first, so that a task there replaces a bundled one."""

    def __init__(self, include: Sequence[Path] = (), foreign: Sequence[Path] | None = None) -> None:
        """`foreign`: the folders in which bridges look for tasks, whose code runs; all of `include` by default."""
        for folder in include:
            if not folder.is_dir():
                raise TaskError(f"--include-path {folder}: no such folder.")
        self._foreign = tuple(include if foreign is None else foreign)
        self._trusted = [*include, bundled_dir()]
        self._files: dict[str, tuple[Path, str | None]] = {}
        """By name: the file, and which member of its family."""
        self._families: dict[str, tuple[Path, frozenset[str]]] = {}
        """By its own name: the file, and the names of its tasks."""
        self._guesses: dict[Path, Guess] = {}
        for root in reversed(self._trusted):
            for path in sorted([*root.glob("*.yaml"), *root.glob("*/*.yaml")]):
                if path.name.startswith("_"):
                    continue
                if family := members(path):
                    self._families[path.stem] = path, frozenset(family)
                    self._files |= {name: (path, member) for name, member in family.items()}
                else:
                    self._files[path.stem] = path, None

    def names(self) -> list[str]:
        """Names of all tasks and groups, sorted."""
        return sorted(self._files)

    def listed(self, pattern: str = "*") -> list[Task | Group]:
        """What matches, a family as one where all of it does. Raises TaskError."""
        names = set(fnmatch.filter(self._files, pattern))
        for family, (path, tasks) in self._families.items():
            if tasks <= names and all(self._files[name][0] == path for name in tasks):
                names = names - tasks | {family}
        return [self.load(name) for name in sorted(names)]

    def load(self, name: str) -> Task | Group:
        """The task or group of that name (or YAML path), or what a data file is taken for. Raises TaskError; suggests
        near names.
        """
        if (bridge := bridge_to(name)) is not None:
            return bridge.load(name, self._foreign)
        if name.endswith(_YAML):
            return load_file(Path(name).resolve())
        if self.is_data(name):
            return self.guess(name).task
        if name in self._families:
            return load_file(self._families[name][0])
        if name not in self._files:
            near = difflib.get_close_matches(name, self._files, n=3)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise TaskError(f"unknown task '{name}'.{hint} `lmms-fast tasks list` shows all.")
        return load_file(*self._files[name])

    def is_data(self, name: str) -> bool:
        """Whether the name is that of a data file, or of a folder."""
        return name.endswith(FORMATS) or (name not in self._files and Path(name).is_dir())

    def guess(self, name: str) -> Guess:
        """What a data file is taken for. Raises TaskError."""
        from lmms_fast.tasks.guess import guess_file  # noqa: PLC0415  (reads files, which lists of tasks do not need)

        path = Path(name).absolute()
        if path not in self._guesses:
            self._guesses[path] = guess_file(path)
        return self._guesses[path]

    def kept(self, name: str, definition: Callable[[str], Path]) -> str:
        """For a data file, the task file that a run has kept of it, where it has."""
        path = definition(task_name(Path(name)))
        return str(path) if self.is_data(name) and path.is_file() else name

    def lasting(self, name: str) -> str:
        """The name as it can be given from any folder: that of a file becomes its whole path."""
        return str(Path(name).absolute()) if name.endswith(_YAML) or self.is_data(name) else name

    def select(self, names: Sequence[str]) -> Selection:
        """Tasks and groups for what the user typed: names, groups, wildcards, YAML paths."""
        tasks: dict[str, Task] = {}
        groups: dict[str, Group] = {}
        for name in self._expand(names):
            for found in self._flatten(name, ()):
                if isinstance(found, Group):
                    groups[found.group] = found
                    continue
                other = tasks.setdefault(found.task, found)
                if other.file != found.file:
                    raise TaskError(f"{found.file} and {other.file} are both called '{found.task}'; rename one.")
        if not tasks:
            raise TaskError("no task was named: --tasks NAME[,NAME…]; `lmms-fast tasks list` shows all.")
        return Selection(tuple(tasks.values()), tuple(groups.values()), tuple(self._guesses.values()))

    def _expand(self, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            if not any(char in name for char in "*?[") or name.endswith(_YAML) or self.is_data(name):
                yield name
                continue
            bridge = bridge_to(name)
            matched = fnmatch.filter(self.names() if bridge is None else bridge.names(self._foreign), name)
            if not matched:
                raise TaskError(f"no task matches '{name}'; `lmms-fast tasks list` shows all.")
            yield from matched

    def _flatten(self, name: str, above: tuple[str, ...]) -> Iterator[Task | Group]:
        if name in above:
            raise TaskError(f"group '{name}' contains itself: {' → '.join([*above, name])}.")
        found = self.load(name)
        if isinstance(found, Task) and found.family:
            yield from (load_file(found.file, member) for member in found.family)
            return
        yield found
        if isinstance(found, Group):
            for member in found.tasks:
                yield from self._flatten(member, (*above, name))
