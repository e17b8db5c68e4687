"""The schema of a task YAML. A mistake is answered with the file, the key and what is allowed."""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from lmms_fast.errors import TaskError

# The C loader where PyYAML was built with it: a tenth of the time, and a list of all tasks reads every file.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEFAULT = "default"
FORMATS = (".parquet", ".jsonl", ".json", ".csv", ".tsv")
"""Data files that are read directly."""
_MARK = re.compile(r"\{(\w+)\}")
"""In a file's name: where each value of its `family` stands in the name of a task."""
_EXTENDS_MAX = 3
_VALUES_MAX, _DEPTH_MAX = 100_000, 50


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HubSource(_Strict):
    """One place on the Hugging Face hub where the dataset lives."""

    path: str
    config: str | None = None
    revision: str | None = None


class Join(_Strict):
    """Columns that another part of the dataset holds, such as the pictures that many questions share."""

    config: str
    split: str
    column: str
    """Of the rows …"""
    key: str
    """… and the one there that has the same value, once each."""
    take: tuple[str, ...] = Field(min_length=1)
    """Columns to be had from there."""


class Shots(_Strict):
    """Worked examples: the first rows of another split, under the name `shots` in the prompt's template."""

    split: str
    count: int = Field(gt=0)


class Shared(_Strict):
    """Cells of a column may hold, instead of a picture, the key of the row of the same file that holds it.

    VLMEvalKit's files do so where several questions are asked about one picture.
    """

    column: str
    key: str
    """The column whose value they hold."""


class Dataset(_Strict):
    """Where the rows come from: the hub (sources are tried in order), or files beside the YAML."""

    hub: tuple[HubSource, ...] = ()
    files: tuple[str, ...] = ()
    """Or a folder of pictures in subfolders: each is a row of `image` and `label`."""
    split: str = "test"
    join: Join | None = None
    shots: Shots | None = None
    shared: Shared | None = None

    @field_validator("files", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("hub", mode="before")
    @classmethod
    def _bare_path(cls, value: Any) -> Any:
        items = (value,) if isinstance(value, str | dict) else value
        if not isinstance(items, tuple | list):
            return value
        return tuple({"path": item} if isinstance(item, str) else item for item in items)

    @model_validator(mode="after")
    def _one_kind(self) -> Dataset:
        if bool(self.hub) == bool(self.files):
            raise ValueError("give either `hub` or `files`")
        if self.shared and len(self.files) != 1:
            raise ValueError("`shared` is for one file of `files`")
        return self


class Interleave(_Strict):
    """Placeholders in the text that stand for pictures."""

    pattern: str
    """Regular expression with one group, for example ``<image (\\d+)>``."""
    column: str
    """Column of the picture, ``{}`` standing for the group: ``image_{}``."""
    in_front: bool = False
    """Whether the pictures, one per placeholder, stand before the text, which keeps its placeholders."""

    @field_validator("pattern")
    @classmethod
    def _with_a_group(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if groups != 1:
            raise ValueError(f"the regular expression needs one group, and has {groups}")
        return value

    @field_validator("column")
    @classmethod
    def _with_a_place(cls, value: str) -> str:
        if value.count("{}") != 1 or value.count("{") != 1 or value.count("}") != 1:
            raise ValueError("write the column's name with {} where the group stands, such as image_{}")
        return value


class TextPart(_Strict):
    """A Jinja template over the row's columns, `choices_text` and the task's `tables`."""

    text: str
    interleave: Interleave | None = None


class Draw(_Strict):
    """An outline drawn on a picture before it is sent. Both are Jinja expressions over the row, in pixels."""

    box: str | None = None
    """``[left, top, right, bottom]``."""
    polygon: str | None = None
    """``[x, y, x, y, …]``."""
    colour: str = "red"
    width: int = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _one(self) -> Draw:
        if (self.box is None) == (self.polygon is None):
            raise ValueError("give `box` or `polygon`")
        return self


class ImagePart(_Strict):
    """Columns that hold one picture, or a list of them."""

    image: tuple[str, ...] = Field(min_length=1)
    optional: bool = False
    """Whether rows may lack it; elsewhere a sample without its picture is not measured."""
    draw: Draw | None = None
    canvas: int | None = Field(default=None, gt=0, le=4096)
    """The pictures are sent as one, side by side, each of so many pixels in height or width (`media.draw.Pasted`)."""

    @field_validator("image", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class PagesPart(_Strict):
    """Pages of a PDF file that lies in the dataset's repository."""

    pdf: str
    """Template of the file's path there."""
    pages: str
    """Jinja expression: numbers from 1, as a list or a text that spells one; none of them is no picture."""
    dpi: int = Field(default=144, gt=0, le=600)


Part = TextPart | ImagePart | PagesPart
_PARTS: dict[str, type[BaseModel]] = {"text": TextPart, "image": ImagePart, "pdf": PagesPart}


def _kind(part: Any) -> str:
    """Which part it is, by its telling key: a mistake is then named by that part alone."""
    if isinstance(part, dict):
        return next((model.__name__ for key, model in _PARTS.items() if key in part), "")
    return type(part).__name__


class Prompt(_Strict):
    """The turn that is sent: parts in order."""

    system: str | None = None
    user: tuple[
        Annotated[
            Annotated[TextPart, Tag("TextPart")]
            | Annotated[ImagePart, Tag("ImagePart")]
            | Annotated[PagesPart, Tag("PagesPart")],
            Discriminator(_kind, "part", "a part has the key `text`, `image`, or `pdf` with `pages`"),
        ],
        ...,
    ] = ()
    turns: str | None = None
    """Instead, a column with the whole conversation: a list of ``{role, content}``, the content a text or a list of
    ``{text: …}``, ``{image: …}`` and ``{missing: …}``, the reason why a picture cannot be had."""

    @model_validator(mode="after")
    def _one(self) -> Prompt:
        if bool(self.user) == bool(self.turns):
            raise ValueError("give `user`, the parts of the turn, or `turns`, a column that holds them")
        return self


class Target(_Strict):
    """Accepted answers: a template, a column that may hold several, or an expression that makes several."""

    template: str | None = None
    column: str | None = None
    """A list, a string that spells a Python list, or a plain value."""
    expression: str | None = None
    """Jinja, without braces: ``answers | map(attribute='answer')``."""

    @model_validator(mode="after")
    def _one(self) -> Target:
        if [self.template, self.column, self.expression].count(None) != 2:
            raise ValueError("give a template string, `column: NAME` or `expression: …`")
        return self


class Generation(_Strict):
    """Request settings of the benchmark; command-line flags win."""

    max_tokens: int = Field(default=1024, gt=0)
    temperature: float = Field(default=0.0, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: tuple[str, ...] = Field(default=(), max_length=4)  # vLLM refuses a fifth
    extra: dict[str, Any] = {}


class Rule(_Strict):
    """A named function of `lmms_fast.metrics` and its options."""

    name: str
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Rubric(_Strict):
    """What a judge model is asked where rules cannot tell, and how its reply is read.

    The templates see `question` (the text that was asked), `response` (without its thinking), `answer` (what the rules
    found, or ""), `target`, `choices`, `choices_text`, `groups`, `facts` and `swapped`.
    """

    prompt: str
    system: str | None = None
    pictures: bool = False
    """Whether the judge sees the sample's pictures."""
    read: Rule
    """A reader of `lmms_fast.metrics`: the reply to a score, or to an answer that `match` then compares."""
    form: dict[str, Any] | None = None
    """JSON schema of the reply, for endpoints that hold a model to one."""
    when: Literal["always", "no_answer"] = "always"
    votes: int = Field(default=1, ge=1)
    """How often the same is asked; with more than one at a temperature above 0."""
    combine: Literal["mean", "majority"] = "mean"
    """Of the votes' scores. Of answers it is always the majority."""
    swap: bool = False
    """Whether everything is asked once more with `swapped` true, for a template that then puts the two answers it
    compares in the other order."""
    model: str | None = None
    """The judge that published numbers rest on; another one gives other numbers."""
    max_tokens: int = Field(default=1024, gt=0)
    temperature: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _votes_may_differ(self) -> Rubric:
        if self.votes > 1 and self.temperature == 0:
            raise ValueError("`votes` at temperature 0 are all the same; give a `temperature`")
        return self

    @property
    def version(self) -> str:
        """Names what is asked and how it is read."""
        content = self.model_dump(mode="json", exclude_defaults=True, exclude={"model"})
        return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=4).hexdigest()


class Scoring(_Strict):
    """Response text → prediction → score. `extract` is one rule, or a chain in which each reads what the last found."""

    extract: tuple[Rule, ...] = Field(min_length=1)
    match: Rule = Rule(name="exact")
    judge: Rubric | None = None

    @field_validator("extract", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else (value,)


class ScoringVariant(_Strict):
    """Another rule for the same responses (`--scoring NAME`): what it leaves out is as in the task."""

    about: str
    """How its numbers differ, and why."""
    score: Scoring | None = None
    report: tuple[Rule, ...] | None = None


class PromptVariant(_Strict):
    """Another prompt (`--prompt-variant NAME`): what it leaves out is as in the task."""

    about: str
    models: tuple[str, ...] = ()
    """Patterns (``*qwen*vl*``) of lower-case model names for which it is the default."""
    prompt: Prompt | None = None
    generation: Generation | None = None


def _is_name(value: str) -> bool:
    """True for a file's name that leads into no other folder."""
    return Path(value).name == value and value not in ("", "..") and "\0" not in value


class Submission(_Strict):
    """The file that a benchmark's server takes.

    Values are Jinja expressions over `id`, `row`, `answer` (the extracted one, "" where there is none), `response` (the
    response without its thinking), `target`, `choices`, `groups` and `facts`.
    """

    file: str
    form: Literal["list", "lines", "map", "pairs", "xlsx"] = "list"
    """A JSON list, JSON lines, one JSON object of key to value, a list of objects of one key, or a spreadsheet."""
    record: dict[str, str] = Field(min_length=1)
    """Field to value; for `map` and `pairs` the fields are `key` and `value`."""

    @field_validator("file")
    @classmethod
    def _inside_the_run(cls, value: str) -> str:
        if not _is_name(value):
            raise ValueError("give a name without folders; the file is written into the run's own")
        return value

    @model_validator(mode="after")
    def _as_the_form_has_it(self) -> Submission:
        if self.form in ("map", "pairs") and self.record.keys() != {"key", "value"}:
            raise ValueError(f"the fields of the form `{self.form}` are `key` and `value`")
        return self


class Foreign(_Strict):
    """Whose code makes a task's questions and scores its answers: an evaluator that a bridge leads to."""

    name: str
    """The task's name there."""
    version: str
    code: str
    """Hash of the task's own files there."""
    include: tuple[Path, ...] = Field(default=(), exclude=True)
    """Folders of the user's own that it looks into."""


class Task(_Strict):
    """One task file, resolved (`extends` merged, defaults filled in)."""

    task: str
    benchmark: str
    about: str
    source: str
    """Paper or repository that defines prompt and metric."""
    licence: str
    dataset: Dataset
    where: str | None = None
    """Jinja expression: rows for which it is false are not asked."""
    each: tuple[str, ...] | str = ()
    """Each row is asked once per value, which the templates see as `each` (a picture with four questions) with its
    `number`: values, or the Jinja expression that makes them out of the row."""
    id: str = "{{ row }}"
    """Template of the sample's id; must be unique."""
    prompt: Prompt
    choices: str | tuple[str, ...] = ()
    """A column with the list of options, an expression in braces that makes it, or the columns of one option each."""
    target: Target | None = None
    """None where the answers are withheld: such a task is not scored, and ends in its `submission` file."""
    groups: dict[str, str] = {}
    """Template per name of what to aggregate by; later ones see earlier ones."""
    facts: dict[str, str] = {}
    """Template per name of what scoring, a judge or the submission file needs of the row beside the answers."""
    tables: dict[str, dict[str, str]] = {}
    """Constants for the templates."""
    keep_together: str | None = None
    """Jinja expression (mostly a column); --limit never parts rows for which it is equal, wherever they stand."""
    generation: Generation = Generation()
    prompt_variants: dict[str, PromptVariant] = {}
    prompt_variant: str = Field(default=DEFAULT, init=False)
    """Which one this is."""
    score: Scoring
    report: tuple[Rule, ...] = (Rule(name="mean"),)
    """Aggregations; the first one's first number is the task's headline."""
    scoring_variants: dict[str, ScoringVariant] = {}
    submission: Submission | None = None
    size: int | None = None
    """Rows of the published split, for lists of tasks; what counts is the data."""
    fidelity: str | None = None
    """What shows that the scores match: published outputs reproduced, a reference that agrees, or the facts only."""
    family: tuple[Annotated[str, Field(pattern=r"^[\w.+-]+$")], ...] = Field(default=(), min_length=1)
    """Of a file ``x_{part}.yaml``: a task for each value, which stands for ``{part}`` in every text of the file. Such a
    task itself has none."""
    hooks: str | None = None
    """Python file beside the YAML with ``prepare(doc) -> doc``."""
    repeats: int = Field(default=1, gt=0)
    """How often each sample is asked where --repeats says no more."""
    foreign: Foreign | None = Field(default=None, init=False)
    """For a task that another evaluator defines; `score` and `report` then only describe it."""
    file: Path = Field(exclude=True)

    @field_validator("hooks")
    @classmethod
    def _beside_the_yaml(cls, value: str | None) -> str | None:
        if value is not None and not _is_name(value):
            raise ValueError("give the name of a file in the YAML's own folder; only that folder was named by the user")
        return value

    @field_validator("target", mode="before")
    @classmethod
    def _bare_template(cls, value: Any) -> Any:
        return {"template": value} if isinstance(value, str) else value

    def prompted_by(self, variant: str) -> Task:
        """The task with the prompt of a variant; itself where it has none of that name."""
        if variant not in self.prompt_variants:
            return self
        other = self.prompt_variants[variant]
        return self.model_copy(update={
            "prompt": other.prompt or self.prompt,
            "generation": other.generation or self.generation,
            "prompt_variant": variant,
        })  # fmt: skip

    def variant_for(self, model: str) -> str:
        """The prompt variant that is the default for a model of that name."""
        name = model.lower()
        return next((variant for variant, other in self.prompt_variants.items()
                     if any(fnmatch.fnmatchcase(name, pattern) for pattern in other.models)), DEFAULT)  # fmt: skip

    def scored_by(self, variant: str) -> Task:
        """The task with the rules of a scoring variant. Raises KeyError for a name it does not have."""
        other = self.scoring_variants[variant]
        return self.model_copy(update={
            "score": other.score or self.score, "report": other.report or self.report, "scoring_variants": {},
        })  # fmt: skip

    def digest(self) -> str:
        """Hash of everything that decides prompts and scores; two runs with equal digests are comparable."""
        content = self.model_dump(mode="json", exclude_defaults=True, exclude=_DESCRIBES)
        hasher = hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=8)
        if self.hooks:
            hasher.update((self.file.parent / self.hooks).read_bytes())
        return hasher.hexdigest()


_DESCRIBES = {"benchmark", "about", "source", "licence", "size", "fidelity", "scoring_variants", "prompt_variants",
              "submission"}  # fmt: skip
"""What a task says about itself, and what does not touch the scores of this run."""


class Group(_Strict):
    """A named set of tasks; `weight` says how its headline is averaged."""

    group: str
    about: str
    tasks: tuple[str, ...] = Field(min_length=1)
    weight: Literal["equal", "size", "none"] = "equal"
    metrics: tuple[str, ...] = ()
    """Which of the tasks' numbers are averaged; their headlines by default."""
    file: Path = Field(exclude=True)

    @field_validator("tasks")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(name.endswith((".yaml", ".yml", *FORMATS)) for name in value):
            raise ValueError("give names of tasks, no files; hooks run only from folders that the user named")
        return value


_OWN = frozenset({"file", "foreign", "prompt_variant"})
"""Fields that no file sets: a bridge's code runs only for a task that was asked for by the bridge's name."""


def members(path: Path) -> dict[str, str]:
    """The tasks of a family's file, and the value of each; none for another file. Raises TaskError."""
    if (mark := _MARK.search(path.stem)) is None:
        return {}
    family = load_file(path)
    return {path.stem.replace(mark[0], value): value for value in getattr(family, "family", ())}


def load_file(path: Path, member: str | None = None) -> Task | Group:
    """Read one task or group file; of a family, the whole or one member. Raises TaskError with file, key and what is
    allowed.

    `extends` names a file, or several of which the later ones win; a null takes away what they say.
    """
    content = _without_nulls(_resolved(path, _EXTENDS_MAX))
    stem, mark = path.stem, _MARK.search(path.stem)
    if (mark is None) == ("family" in content):
        raise TaskError(f"{path}: `family` and a name such as x_{{part}}.yaml, in which its values stand, go together.")
    if mark is not None and member is not None:
        content = _filled({key: value for key, value in content.items() if key != "family"}, mark[1], member)
        stem = stem.replace(mark[0], member)
    if taken := _OWN & content.keys():
        raise TaskError(f"{path}: `{min(taken)}` is what the program says of a task, and no key of a file.")
    model: type[Task | Group] = Group if "group" in content else Task
    try:
        found = model.model_validate({**content, "file": path})
    except ValidationError as error:
        raise TaskError(_sentence(path, model, error)) from None
    name = found.group if isinstance(found, Group) else found.task
    if name != stem:
        raise TaskError(f"{path}: the name is '{name}' but the file is {path.name}; a task is found by its file name.")
    return found


def _filled(content: Any, mark: str, value: str) -> Any:
    """The same with the value for ``{mark}`` in every text; ``{{ mark }}`` is a template's."""
    match content:
        case dict():
            return {key: _filled(item, mark, value) for key, item in content.items()}
        case list():
            return [_filled(item, mark, value) for item in content]
        case str():
            return re.sub(rf"(?<!\{{)\{{{mark}\}}(?!\}})", value, content)
        case _:
            return content


def _resolved(path: Path, deep: int) -> dict[str, Any]:
    content = _read(path)
    above = content.pop("extends", None) or []
    parents = above if isinstance(above, list) else [above]
    if not deep and parents:
        raise TaskError(f"{path}: extends files more than {_EXTENDS_MAX} deep; a file may not extend itself.")
    if len(parents) > _EXTENDS_MAX:
        raise TaskError(f"{path}: extends more than {_EXTENDS_MAX} files.")
    base: dict[str, Any] = {}
    for parent in parents:
        base = _merge(base, _resolved(path.parent / str(parent), deep - 1))
    return _merge(base, content)


def _read(path: Path) -> dict[str, Any]:
    try:
        state = path.stat()
    except OSError as error:
        raise TaskError(f"{path}: cannot be read ({error.strerror}).") from None
    return dict(_parsed(path, state.st_mtime_ns, state.st_size))


@functools.cache
def _parsed(path: Path, mtime_ns: int, size: int) -> Mapping[str, Any]:
    """A file's content; that of a file which many extend is made once."""
    try:
        content = yaml.load(path.read_bytes(), Loader=_LOADER)
    except OSError as error:
        raise TaskError(f"{path}: cannot be read ({error.strerror}).") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise TaskError(f"{path}:{where}: not valid YAML: {getattr(error, 'problem', error)}.") from None
    except (ValueError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        # PyYAML takes a date that is none, or `!!bool x`, for what it says it is.
        raise TaskError(f"{path}: a value is not what YAML takes it for ({type(error).__name__}: {error}).") from None
    if not isinstance(content, dict):
        raise TaskError(f"{path}: a task file is a mapping with keys such as task, dataset, prompt.")
    _check_values(path, content)
    return content


def _check_values(path: Path, content: dict[Any, Any]) -> None:
    """Refuse what cannot be written into a run's files, and what aliases (``*x``) have made endless."""
    left: list[tuple[Any, int]] = [(content, 0)]
    seen = 0
    while left:
        item, depth = left.pop()
        seen += 1
        if seen > _VALUES_MAX or depth > _DEPTH_MAX:
            raise TaskError(
                f"{path}: more than {_VALUES_MAX:,} values, or {_DEPTH_MAX} inside each other; aliases count as what "
                "they stand for."
            )
        match item:
            case dict() as value:
                if odd := [key for key in value if not isinstance(key, str)]:
                    raise TaskError(f"{path}: the key {odd[0]!r} is read as {type(odd[0]).__name__}; put it in quotes.")
                left += [(one, depth + 1) for one in (*value, *value.values())]
            case list() as value:
                left += [(one, depth + 1) for one in value]
            case str() as value:
                try:
                    value.encode()
                except UnicodeEncodeError:
                    raise TaskError(f"{path}: {value!r} holds half of a character.") from None
            case None | bool() | float():
                pass
            case int() as value if abs(value) < 2**63:
                pass
            case value:
                raise TaskError(f"{path}: {value!r} is read as {type(value).__name__}; put it in quotes.")


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged


def _without_nulls(content: dict[str, Any]) -> dict[str, Any]:
    return {key: _without_nulls(value) if isinstance(value, dict) else value
            for key, value in content.items() if value is not None}  # fmt: skip


def _sentence(path: Path, model: type[Task | Group], error: ValidationError) -> str:
    first = error.errors()[0]
    tags = {part.__name__ for part in _PARTS.values()}  # which are in no file
    location = [str(place) for place in first["loc"] if place not in tags]
    key = ".".join(location)
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    where = f"{path}{_line_of(path, location)}: `{key}`" if key else f"{path}"
    if first["type"] == "extra_forbidden":
        return f"{where} is not a key here; allowed: {', '.join(_allowed(model, first['loc']))}.{more}"
    says = first["msg"].removeprefix("Value error, ")
    says = says.replace("valid tuple", "list").replace("valid dictionary", "mapping")
    return f"{where}: {says}.{more}"


def _line_of(path: Path, location: list[str]) -> str:
    """``:LINE`` of the key, followed as deep as the file itself has it."""
    node = yaml.compose(path.read_bytes(), Loader=_LOADER)
    line: int | None = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            match = next((pair for pair in node.value if pair[0].value == part), None)
            if match is None:
                break
            line, node = match[0].start_mark.line + 1, match[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
    return f":{line}" if line else ""


def _allowed(model: type[Task | Group], location: tuple[int | str, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {
        **{part.__name__: part for part in _PARTS.values()},
        "dataset": Dataset, "hub": HubSource, "prompt": Prompt, "interleave": Interleave,
        "target": Target, "generation": Generation, "score": Scoring, "report": Rule,
        "extract": Rule, "match": Rule, "judge": Rubric, "read": Rule, "join": Join, "shots": Shots, "draw": Draw,
        "shared": Shared,
        "scoring_variants": ScoringVariant, "prompt_variants": PromptVariant, "submission": Submission,
    }  # fmt: skip
    for part in reversed(location[:-1]):
        if part in models:
            return list(models[str(part)].model_fields)
    names = [name for name in model.model_fields if name not in _OWN] + ["extends"]
    return names if model is Group else [*names, "group", "tasks", "weight"]  # it may have meant to be a group
