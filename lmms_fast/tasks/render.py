"""One dataset row and a task → one `Sample`: exactly what will be asked."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lmms_fast.errors import TaskError
from lmms_fast.tasks.spec import ImagePart, Interleave, Task
from lmms_fast.types import Doc, Media, Message, Sample

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class MediaMissing(Exception):
    """A row lacks a picture that its prompt needs; the sample cannot be measured."""


class Renderer:
    """A task's templates, compiled once."""

    def __init__(self, task: Task) -> None:
        # StrictUndefined: a misspelt column is an error, not an empty string inside a prompt.
        environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        environment.globals = dict(task.tables)
        self._task = task
        self._prepare = _hook(task)
        try:
            self._id = environment.from_string(task.id)
            self._parts = [
                part if isinstance(part, ImagePart) else (environment.from_string(part.text), part.interleave)
                for part in task.prompt.user
            ]
            self._target = environment.from_string(task.target.template) if task.target.template else None
            self._groups = {name: environment.from_string(text) for name, text in task.groups.items()}
        except jinja2.TemplateSyntaxError as error:
            raise TaskError(f"{task.file}: template error: {error}.") from None

    def render(self, doc: Doc, row: int, root: Path, repeat: int = 0, system_prompt: str | None = None) -> Sample:
        """The sample of a row. `root` is the folder that relative media paths start from.

        Raises MediaMissing if a picture is absent, TaskError if a template does not fit the row.
        """
        doc = self._prepare(doc)
        choices = self._choices(doc)
        names = {**doc, "row": row, "choices": choices, "choices_text": choices_text(choices)}
        try:
            parts = tuple(self._render_parts(names, root))
            groups: dict[str, str] = {}
            for name, template in self._groups.items():
                groups[name] = template.render(names, **groups)
            sample_id = self._id.render(names)
            target = self._render_target(names)
        except jinja2.TemplateError as error:
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

    def _render_parts(self, names: Mapping[str, Any], root: Path) -> Iterator[str | Media]:
        for part in self._parts:
            if isinstance(part, ImagePart):
                value = self._column(names, part.image)
                for item in value if isinstance(value, list) else [value]:
                    yield as_media(item, root, part.image)
            else:
                template, interleave = part
                text = template.render(names)
                if interleave is None:
                    yield text
                else:
                    yield from _interleave(text, interleave, names, root)


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
        except (ValueError, SyntaxError):
            return (text,)  # an answer such as "[0, 1)" or "[x]" is a text in brackets, not a list
    if isinstance(value, list | tuple):
        return tuple(str(item) for item in value)
    return (str(value),)


def as_media(value: Any, root: Path, column: str) -> Media:
    """A picture as datasets store it: ``{bytes, path}``, plain bytes, or a path relative to `root`."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes) and value:
        return Media(value)
    if isinstance(value, str) and value:
        path = (root / value).resolve()
        # A dataset is not trusted with the rest of the disk: what it names would be sent to an endpoint.
        if not path.is_relative_to(root.resolve()):
            raise MediaMissing(f"column '{column}': {value} lies outside the dataset's folder")
        return Media(path)
    raise MediaMissing(f"column '{column}' holds no picture")


def _interleave(text: str, rule: Interleave, names: Mapping[str, Any], root: Path) -> Iterator[str | Media]:
    """Text pieces (stripped, empty ones dropped) and pictures in the order in which the text refers to them."""
    position = 0
    for match in re.finditer(rule.pattern, text):
        column = rule.column.format(match.group(1))
        if names.get(column) is None:
            raise MediaMissing(f"the text refers to {match.group(0)} but column '{column}' is empty")
        if piece := text[position : match.start()].strip():
            yield piece
        yield as_media(names[column], root, column)
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
    spec.loader.exec_module(module)
    prepare: Callable[[Doc], Doc] = module.prepare
    return prepare
