"""One dataset row and a task → one `Sample`: exactly what will be asked."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lmms_fast.errors import TaskError
from lmms_fast.tasks.spec import ImagePart, Interleave, Task
from lmms_fast.types import Doc, Media, Message, Sample, Stored

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class MediaMissing(Exception):
    """A row lacks a picture that its prompt needs, or names one it must not; the sample cannot be measured."""


Remote = Callable[[str], Stored]
"""An http(s) address → where its bytes can be had."""
_Find = Callable[[Any, str], Media]


class Renderer:
    """A task's templates, compiled once. Without `remote`, rows that name media by address are refused."""

    def __init__(self, task: Task, remote: Remote | None = None) -> None:
        # StrictUndefined: a misspelt column is an error, not an empty string inside a prompt.
        environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        environment.globals = dict(task.tables)
        self._task, self._remote = task, remote
        self._prepare = _hook(task)
        try:
            self._id = environment.from_string(task.id)
            self._parts = [
                part if isinstance(part, ImagePart) else (environment.from_string(part.text), part.interleave)
                for part in task.prompt.user
            ]
            self._target = environment.from_string(task.target.template) if task.target.template else None
            self._groups = {name: environment.from_string(text) for name, text in task.groups.items()}
        except (jinja2.TemplateSyntaxError, SyntaxError, RecursionError) as error:
            raise TaskError(f"{task.file}: template error: {error}.") from None

    def render(
        self, doc: Doc, row: int, root: Path | None, repeat: int = 0, system_prompt: str | None = None
    ) -> Sample:
        """The sample of a row. `root` is the folder that media paths start from and must stay in; None: there is none.

        Raises MediaMissing if a picture is absent, TaskError if a template does not fit the row.
        """
        doc = self._prepare(doc)
        choices = self._choices(doc)
        names = {**doc, "row": row, "choices": choices, "choices_text": choices_text(choices)}
        try:
            parts = tuple(self._render_parts(names, functools.partial(as_media, root=root, remote=self._remote)))
            groups: dict[str, str] = {}
            for name, template in self._groups.items():
                groups[name] = template.render(names, **groups)
            sample_id = self._id.render(names)
            target = self._render_target(names)
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            columns = ", ".join(doc)
            raise TaskError(f"{self._task.file}: row {row}: {error}. The row has: {columns}.") from None
        system = system_prompt if system_prompt is not None else self._task.prompt.system
        messages: tuple[Message, ...] = (Message("user", parts),)
        if system:
            messages = (Message("system", (system,)), *messages)
        return Sample(self._task.task, sample_id, messages, target, choices, groups, repeat)

    def _choices(self, doc: Doc) -> tuple[str, ...]:
        declared = self._task.choices
        if isinstance(declared, str):
            return as_list(self._column(doc, declared))
        return tuple(str(value) for name in declared if (value := self._column(doc, name)) not in (None, ""))

    def _column(self, doc: Doc, name: str) -> Any:
        if name not in doc:
            raise TaskError(f"{self._task.file}: the data has no column '{name}'; it has: {', '.join(doc)}.")
        return doc[name]

    def _render_target(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        if self._target is not None:
            return (self._target.render(names),)
        return as_list(self._column(names, self._task.target.column or ""))

    def _render_parts(self, names: Mapping[str, Any], find: _Find) -> Iterator[str | Media]:
        for part in self._parts:
            if isinstance(part, ImagePart):
                value = self._column(names, part.image)
                for item in value if isinstance(value, list) else [value]:
                    yield find(item, part.image)
            else:
                template, interleave = part
                text = template.render(names)
                if interleave is None:
                    yield text
                else:
                    yield from _interleave(text, interleave, names, find)


def choices_text(choices: tuple[str, ...]) -> str:
    """Options one per line: ``A. text``."""
    return "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False))


def as_list(value: Any) -> tuple[str, ...]:
    """Values of a column that holds a list, a string that spells a Python list, or one plain value."""
    if value is None:
        return ()
    if isinstance(value, str):
        text = value.strip()
        if not (text.startswith("[") and text.endswith("]")):
            return (value,)
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return (text,)  # an answer such as "[0, 1)" or "[x]" is a text in brackets, not a list
    if isinstance(value, list | tuple):
        return tuple(str(item) for item in value)
    return (str(value),)


def as_media(value: Any, column: str, root: Path | None, remote: Remote | None = None) -> Media:
    """A picture as datasets store it: ``{bytes, path}``, plain bytes, a path below `root`, or an address.

    Raises MediaMissing. A dataset is not trusted with the disk or the network: what it names is sent to an endpoint.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes) and value:
        return Media(value)
    if not isinstance(value, str) or not value:
        raise MediaMissing(f"column '{column}' holds no picture")
    shown = f"column '{column}': {value[:120]!r}"
    if value.lower().startswith(("http://", "https://")):
        if remote is None:
            raise MediaMissing(f"{shown} is an address, and media are fetched only with --allow-media-urls")
        return Media(remote(value))
    if root is None:
        raise MediaMissing(f"{shown} is a path, and rows from the hub have no folder; fetch a copy, pass --data-dir")
    try:
        path = _inside(root, value)
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, links in a circle
        path = None
    if path is None:
        raise MediaMissing(f"{shown} does not name a file inside the dataset's folder")
    return Media(path)


def _inside(root: Path, name: str) -> Path | None:
    """The file of that name, unless it lies elsewhere; links are followed, for what they point at would be read."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        return None
    path = (root / path).resolve()
    return path if path.is_relative_to(root.resolve()) and path.is_file() else None


def _interleave(text: str, rule: Interleave, names: Mapping[str, Any], find: _Find) -> Iterator[str | Media]:
    """Text pieces (stripped, empty ones dropped) and pictures in the order in which the text refers to them."""
    position = 0
    for match in re.finditer(rule.pattern, text):
        column = rule.column.format(match.group(1))
        if names.get(column) is None:
            raise MediaMissing(f"the text refers to {match.group(0)} but column '{column}' is empty")
        if piece := text[position : match.start()].strip():
            yield piece
        yield find(names[column], column)
        position = match.end()
    if piece := text[position:].strip():
        yield piece


def _hook(task: Task) -> Callable[[Doc], Doc]:
    if task.hooks is None:
        return lambda doc: doc
    path = task.file.parent / task.hooks
    spec = importlib.util.spec_from_file_location(f"lmms_fast_hooks_{task.task}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise TaskError(f"{task.file}: hooks file {path} is missing.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        prepare: Callable[[Doc], Doc] = module.prepare
    except Exception as error:  # the user's own code
        raise TaskError(f"{task.file}: hooks file {path.name}: {type(error).__name__}: {error}.") from None
    return prepare
