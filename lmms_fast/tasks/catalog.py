"""From the names a user types to task files. A task is found by its file name, so nothing is parsed to look it up."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lmms_fast.errors import TaskError
from lmms_fast.tasks.spec import Group, Task, load_file

_PACKAGE = Path(__file__).resolve().parent.parent


def bundled_dir() -> Path:
    """The `tasks/` that ships with the project: inside the wheel, or beside the package in a checkout."""
    inside = _PACKAGE / "_tasks"
    return inside if inside.is_dir() else _PACKAGE.parent / "tasks"


@dataclass(frozen=True, slots=True)
class Selection:
    """What a run evaluates: tasks in the order named, each once, and the groups that were asked for."""

    tasks: tuple[Task, ...]
    groups: tuple[Group, ...]

    def prompted(self, variant: Callable[[Task], str]) -> Selection:
        """The same with each task's prompt in the variant that `variant` names."""
        return replace(self, tasks=tuple(task.prompted_by(variant(task)) for task in self.tasks))


class Catalog:
    """Task files by name. Folders given by the user come first, so that a task there replaces a bundled one."""

    def __init__(self, include: Sequence[Path] = ()) -> None:
        for folder in include:
            if not folder.is_dir():
                raise TaskError(f"--include-path {folder}: no such folder.")
        self._trusted = [*include, bundled_dir()]
        self._files: dict[str, Path] = {}
        for root in reversed(self._trusted):
            for path in sorted([*root.glob("*.yaml"), *root.glob("*/*.yaml")]):
                if not path.name.startswith("_"):
                    self._files[path.stem] = path

    def names(self) -> list[str]:
        """Names of all tasks and groups, sorted."""
        return sorted(self._files)

    def load(self, name: str) -> Task | Group:
        """The task or group of that name (or YAML path). Raises TaskError; suggests near names."""
        if name.endswith((".yaml", ".yml")):
            return load_file(Path(name).resolve())
        if name not in self._files:
            near = difflib.get_close_matches(name, self._files, n=3)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise TaskError(f"unknown task '{name}'.{hint} `lmms-fast tasks list` shows all.")
        return load_file(self._files[name])

    def select(self, names: Sequence[str]) -> Selection:
        """Tasks and groups for what the user typed: names, groups, wildcards, YAML paths."""
        tasks: dict[str, Task] = {}
        groups: dict[str, Group] = {}
        for name in self._expand(names):
            for found in self._flatten(name, ()):
                if isinstance(found, Group):
                    groups[found.group] = found
                else:
                    tasks[found.task] = found
        if not tasks:
            raise TaskError("no task was named: --tasks NAME[,NAME…]; `lmms-fast tasks list` shows all.")
        return Selection(tuple(tasks.values()), tuple(groups.values()))

    def _expand(self, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            if not any(char in name for char in "*?[") or name.endswith((".yaml", ".yml")):
                yield name
                continue
            matched = fnmatch.filter(self.names(), name)
            if not matched:
                raise TaskError(f"no task matches '{name}'; `lmms-fast tasks list` shows all.")
            yield from matched

    def _flatten(self, name: str, above: tuple[str, ...]) -> Iterator[Task | Group]:
        if name in above:
            raise TaskError(f"group '{name}' contains itself: {' → '.join([*above, name])}.")
        found = self.load(name)
        yield found
        if isinstance(found, Group):
            for member in found.tasks:
                yield from self._flatten(member, (*above, name))
