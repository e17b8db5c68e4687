"""One dataset row and a task → one `Sample`: exactly what will be asked."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lmms_fast.errors import TaskError
from lmms_fast.media.draw import Drawn, Pasted
from lmms_fast.media.encode import from_base64
from lmms_fast.media.header import read_header
from lmms_fast.media.pdf import Page
from lmms_fast.tasks.spec import Draw, ImagePart, Interleave, PagesPart, Part, Task, TextPart
from lmms_fast.types import Doc, Media, Message, Sample, Stored

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PAGES_MAX = 200


class MediaMissing(Exception):
    """A row lacks a picture that its prompt needs, or names one it must not; the sample cannot be measured."""


T = TypeVar("T")
Remote = Callable[[str], Stored]
"""An http(s) address → where its bytes can be had."""
Files = Callable[[str], Stored | None]
"""The path of a file in the dataset's repository → where its bytes can be had; None: nowhere."""
_Find = Callable[[Any, str], Media]
_Part = Callable[[Mapping[str, Any], _Find], Iterator[str | Media]]


def environment(tables: Mapping[str, Any]) -> jinja2.Environment:
    """Jinja as tasks use it: sandboxed; a misspelt column is an error, not an empty string inside a prompt."""
    found = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    found.globals = {**tables, "letters": LETTERS}
    # As they are: escaped, a character beyond the first 65,536 is two halves, which `as_list` would leave apart.
    found.policies["json.dumps_kwargs"] = {"sort_keys": True, "ensure_ascii": False}
    found.filters["lettered"] = lettered
    found.filters["as_list"] = as_list
    found.filters["fenced"] = fenced
    found.filters["defused"] = defused
    found.filters["picture_size"] = picture_size
    found.filters["find_all"] = find_all
    found.filters["replaced"] = replaced
    found.filters["shuffled"] = shuffled
    return found


def expression(env: jinja2.Environment, text: str) -> Callable[[Mapping[str, Any]], Any]:
    """What a Jinja expression makes of names; one that does not exist raises, as it would in a template."""
    compiled = env.compile_expression(text, undefined_to_none=False)

    def evaluate(names: Mapping[str, Any]) -> Any:
        value = compiled(names)
        if isinstance(value, jinja2.Undefined):
            str(value)  # raises
        return value

    return evaluate


class Renderer:
    """A task's templates, compiled once. Without `remote`, rows that name media by address are refused."""

    def __init__(
        self, task: Task, remote: Remote | None = None, shots: Sequence[Doc] = (), file: Files = lambda _: None
    ) -> None:
        self._task, self._remote, self._shots, self._file = task, remote, shots, file
        self._env = environment(task.tables)
        self._prepare = _hook(task)
        try:
            self._id = self._env.from_string(task.id)
            self._parts = [self._part_rule(part) for part in task.prompt.user]
            self._where = self._expression(task.where) if task.where else None
            self._each = self._expression(task.each) if isinstance(task.each, str) else None
            self._unit = self._expression(task.keep_together) if task.keep_together else None
            self._choices_of = self._choices_rule()
            self._target_of = self._target_rule()
            self._groups = {name: self._env.from_string(text) for name, text in task.groups.items()}
            self._facts = {name: self._env.from_string(text) for name, text in task.facts.items()}
        except (jinja2.TemplateSyntaxError, SyntaxError, RecursionError) as error:
            raise TaskError(f"{task.file}: template error: {error}.") from None

    def prepare(self, doc: Doc) -> Doc:
        """The row as the task's hook leaves it."""
        return self._prepare(doc)

    def wanted(self, doc: Doc, row: int) -> bool:
        """Whether the task asks about this row. Raises TaskError."""
        if self._where is None:
            return True
        where = self._where
        return bool(self._guarded(row, doc, lambda: where({**doc, "row": row})))

    def unit(self, doc: Doc, row: int) -> Any:
        """What rows that belong together have in common; the row itself where the task keeps none together."""
        if self._unit is None:
            return row
        unit = self._unit
        return self._guarded(row, doc, lambda: unit({**doc, "row": row}))

    def questions(self, doc: Doc, row: int) -> Sequence[Any]:
        """What the task asks about the row: a value for each of its questions. Raises TaskError."""
        if self._each is None:
            return self._task.each or ("",)
        each = self._each
        return self._guarded(row, doc, lambda: list(each({**doc, "doc": doc, "row": row})))

    def unit_columns(self) -> frozenset[str] | None:
        """The columns that `wanted` and `unit` read; None where a hook may need any."""
        if self._task.hooks is not None:
            return None
        sources = [text for text in (self._task.where, self._task.keep_together) if text]
        names = {
            name
            for text in sources
            for name in jinja2.meta.find_undeclared_variables(self._env.parse("{{ " + text + " }}"))
        }
        return frozenset(names - {"row"} - self._env.globals.keys())

    def render(
        self, doc: Doc, row: int, root: Path | None, repeat: int = 0, system_prompt: str | None = None,
        question: tuple[int, Any] = (0, ""),
    ) -> Sample:  # fmt: skip
        """The sample of a prepared row, for one of its questions. `root` is the folder that media paths start from and
        must stay in; None: there is none.

        Raises MediaMissing if a picture is absent, TaskError if a template does not fit the row.
        """
        ours = {"doc": doc, "shots": self._shots, "number": question[0], "each": question[1]}
        names: dict[str, Any] = {**ours, **doc, "row": row}  # a column of that name is what its task means
        find = functools.partial(as_media, root=root, remote=self._remote)

        def make() -> Sample:
            names["choices"] = choices = self._choices_of(names)
            names["choices_text"] = choices_text(choices)
            messages = self._messages(names, find)
            groups: dict[str, str] = {}
            for name, template in self._groups.items():
                groups[name] = template.render(names, **groups)
            facts = {name: template.render(names, **groups) for name, template in self._facts.items()}
            if system := system_prompt if system_prompt is not None else self._task.prompt.system:
                messages = (Message("system", (system,)), *(one for one in messages if one.role != "system"))
            return Sample(self._task.task, self._id.render(names), messages, self._target_of(names), choices, groups,
                          facts, repeat)  # fmt: skip

        return self._guarded(row, doc, make)

    def _messages(self, names: Mapping[str, Any], find: _Find) -> tuple[Message, ...]:
        """The turns, the task's system turn apart."""
        if (column := self._task.prompt.turns) is not None:
            return tuple(_turn(turn, column, find) for turn in self._column(names, column))
        return (Message("user", tuple(chain.from_iterable(part(names, find) for part in self._parts))),)

    def _guarded(self, row: int, doc: Doc, make: Callable[[], T]) -> T:
        """What a template makes of a row. Raises TaskError where it does not fit."""
        try:
            return make()
        except (
            jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, re.error
        ) as error:  # fmt: skip
            columns = ", ".join(doc)
            raise TaskError(f"{self._task.file}: row {row}: {error}. The row has: {columns}.") from None

    def _expression(self, text: str | None) -> Callable[[Mapping[str, Any]], Any]:
        return expression(self._env, text or "")

    def _choices_rule(self) -> Callable[[Mapping[str, Any]], tuple[str, ...]]:
        declared = self._task.choices
        if isinstance(declared, tuple):
            return lambda names: tuple(
                str(value) for name in declared if (value := self._column(names, name)) not in (None, "")
            )
        if "{{" in declared:
            evaluate = self._expression(declared.strip().removeprefix("{{").removesuffix("}}"))
            return lambda names: as_list(evaluate(names))
        return lambda names: as_list(self._column(names, declared))

    def _target_rule(self) -> Callable[[Mapping[str, Any]], tuple[str, ...]]:
        target = self._task.target
        if target is None:
            return lambda _: ()
        if target.template is not None:
            template = self._env.from_string(target.template)
            return lambda names: (template.render(names),)
        if target.expression is not None:
            evaluate = self._expression(target.expression)
            return lambda names: as_list(evaluate(names))
        column = target.column or ""
        return lambda names: as_list(self._column(names, column))

    def _column(self, doc: Doc, name: str) -> Any:
        if name not in doc:
            raise TaskError(f"{self._task.file}: the data has no column '{name}'; it has: {', '.join(doc)}.")
        return doc[name]

    def _part_rule(self, part: Part) -> _Part:
        match part:
            case ImagePart():
                return self._image_rule(part)
            case PagesPart():
                return self._pages_rule(part)
            case _:
                return self._text_rule(part)

    def _pages_rule(self, part: PagesPart) -> _Part:
        path, numbers = self._env.from_string(part.pdf), self._expression(part.pages)

        def pages(names: Mapping[str, Any], _: _Find) -> Iterator[str | Media]:
            wanted, name = as_list(numbers(names)), path.render(names)
            if len(wanted) > _PAGES_MAX:
                raise MediaMissing(f"{len(wanted)} pages of {name[:120]!r}; at most {_PAGES_MAX} are shown")
            if not wanted:
                return
            if (document := self._file(name)) is None:
                raise MediaMissing(f"the dataset's copy has no file {name[:120]!r}; fetch all of it")
            for place, number in enumerate(wanted, 1):
                yield Media(Page(document, int(number), part.dpi, place == len(wanted)))

        return pages

    def _image_rule(self, part: ImagePart) -> _Part:
        shape = self._expression(part.draw.box or part.draw.polygon) if part.draw else None

        def pictures(names: Mapping[str, Any], find: _Find) -> Iterator[str | Media]:
            for column in part.image:
                value = names.get(column) if part.optional else self._column(names, column)
                if part.optional and value in (None, "", []):
                    continue
                if isinstance(value, str) and value.startswith("["):  # a list, as files of text spell it
                    value = list(as_list(value))
                for item in value if isinstance(value, list) else [value]:
                    found = find(item, column)
                    yield found if shape is None or part.draw is None else _drawn(found, part.draw, shape(names))

        def canvas(names: Mapping[str, Any], find: _Find) -> Iterator[str | Media]:
            if found := tuple(one for one in pictures(names, find) if isinstance(one, Media)):
                yield Media(Pasted(found, part.canvas or 1))

        return pictures if part.canvas is None else canvas

    def _text_rule(self, part: TextPart) -> _Part:
        template, rule = self._env.from_string(part.text), part.interleave
        if rule is None:
            return lambda names, _: iter((template.render(names),))
        return lambda names, find: _interleave(template.render(names), rule, names, find)


def _turn(turn: Mapping[str, Any], column: str, find: _Find) -> Message:
    """A turn as a row spells it. Raises ValueError, MediaMissing."""
    role, content = turn["role"], turn["content"]
    if role not in ("system", "user", "assistant"):
        raise ValueError(f"column '{column}' holds a turn of {role!r}; known are system, user and assistant")
    items = [{"text": content}] if isinstance(content, str) else content
    if missing := next((item["missing"] for item in items if item.get("missing")), None):
        raise MediaMissing(missing)
    return Message(role, tuple(find(item["image"], column) if item.get("text") is None else str(item["text"])
                               for item in items))  # fmt: skip


def _drawn(media: Media, draw: Draw, numbers: Iterable[float]) -> Media:
    shape: Literal["box", "polygon"] = "box" if draw.box else "polygon"
    return Media(Drawn(media, shape, tuple(map(float, numbers)), draw.colour, draw.width))


def picture_size(value: Any) -> tuple[int, int]:
    """Width and height of a picture of the row, in pixels. Raises ValueError where its bytes are not in the row."""
    data = value.get("bytes") if isinstance(value, Mapping) else from_base64(value) if isinstance(value, str) else value
    header = read_header(data) if isinstance(data, bytes) else None
    if header is None:
        raise ValueError("picture_size: the row holds no bytes of a picture")
    return header.width, header.height


def lettered(choices: Sequence[str], pattern: str = "{letter}. {text}") -> str:
    """Options one per line, written as `pattern` says."""
    return "\n".join(pattern.format(letter=letter, text=text) for letter, text in zip(LETTERS, choices, strict=False))


def find_all(text: str, pattern: str) -> tuple[str, ...]:
    """What the group of a regular expression matches, place by place: the options inside a question."""
    return tuple(match[1] for match in re.finditer(pattern, text))


def replaced(text: str, pattern: str, by: str) -> str:
    """The text with every match of a regular expression replaced."""
    return re.sub(pattern, by, text)


def shuffled(values: Iterable[str], seed: str) -> tuple[str, ...]:
    """In an order that looks random and rests on the values and the seed alone, so that it is the same in every run."""
    return tuple(sorted(values, key=lambda value: (hashlib.blake2b(f"{seed}\0{value}".encode()).digest(), value)))


def choices_text(choices: tuple[str, ...]) -> str:
    """Options one per line: ``A. text``."""
    return lettered(choices)


def fenced(text: str) -> str:
    """The text between two lines of backticks, more of them than it holds in a row, so that it cannot end the block.

    Counted as a reader sees them, who sees no invisible characters between them, and takes what looks alike for one.
    """
    seen = "".join(one if one.isspace() else _seen(one) for one in text)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", seen)), default=0))
    return f"{fence}\n{text}\n{fence}"


def defused(text: str, marks: Sequence[str]) -> str:
    """The text with a backslash inside whatever a reader would take for one of the marks: ``[\\System]``.

    For a rubric in a benchmark's own words, where the response stands between marks that it may imitate: in any case,
    with or without blanks, with invisible characters between, or in letters that look alike.
    """
    seen = [(sign, place) for place, character in enumerate(text) for sign in _seen(character)]
    line = "".join(sign for sign, _ in seen)
    cuts = {seen[match.start()][1] + 1 for mark in marks
            for match in re.finditer(re.escape("".join(map(_seen, mark))), line)}  # fmt: skip
    return "\\".join(text[start:end] for start, end in pairwise(sorted({0, len(text), *cuts})))


_IGNORABLE = re.compile(
    r"[\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
_ALIKE = str.maketrans("аеорсухіѕјԁһпαεορυικνⅼˋ‵", "aeopcyxisjdhnaeopuiknl``")


@functools.lru_cache(maxsize=4096)
def _seen(character: str) -> str:
    """What a reader sees of a character, in lower case: nothing of blanks and of what is invisible."""
    plain = unicodedata.normalize("NFKC", character).casefold().translate(_ALIKE)
    return _IGNORABLE.sub("", plain)


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
    if isinstance(value, Iterable):  # lists, and what Jinja's filters return
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
    if (picture := from_base64(value)) is not None:
        return Media(picture)
    shown = f"column '{column}': {value[:120]!r}"
    if value.lower().startswith(("http://", "https://")):
        if remote is None:
            raise MediaMissing(f"{shown} is an address, and media are fetched only with --allow-media-urls")
        return Media(remote(value))
    if root is None:
        raise MediaMissing(f"{shown} is a path, and rows from the hub have no folder; fetch a copy, pass --data-dir")
    if (path := inside(root, value)) is None:
        raise MediaMissing(f"{shown} does not name a file inside the dataset's folder")
    return Media(path)


def inside(root: Path, name: str) -> Path | None:
    """The file of that name; None where there is none, or it lies elsewhere. Links are followed, for what they point at
    would be read.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        return None
    try:
        path = (root / path).resolve()
        return path if path.is_relative_to(root.resolve()) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, links in a circle
        return None


def _interleave(text: str, rule: Interleave, names: Mapping[str, Any], find: _Find) -> Iterator[str | Media]:
    """Text pieces (stripped, empty ones dropped) and pictures in the order in which the text refers to them.

    In front where the rule says so, and then the text is one piece and as it was.
    """
    position = 0
    for match in re.finditer(rule.pattern, text):
        column = rule.column.format(match.group(1))
        if names.get(column) is None:
            raise MediaMissing(f"the text refers to {match.group(0)} but column '{column}' is empty")
        if not rule.in_front and (piece := text[position : match.start()].strip()):
            yield piece
        yield find(names[column], column)
        position = match.end()
    if piece := text if rule.in_front else text[position:].strip():
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
