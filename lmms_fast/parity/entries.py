"""What a published set is. `sets.yaml` holds those we reproduce; other manifests have the same fields."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lmms_fast.errors import UsageError

OURS = Path(__file__).with_name("sets.yaml")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Files(BaseModel):
    """Files of a repository at a commit."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    files: dict[str, str | None]
    """Path in the repository to its git blob's hash, where that is known."""

    @field_validator("files", mode="before")
    @classmethod
    def _bare_list(cls, value: Any) -> Any:
        return dict.fromkeys(value) if isinstance(value, list) else value

    @field_validator("files")
    @classmethod
    def _inside(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        for name in value:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts:
                raise ValueError(f"'{name}' is no path inside a repository")
        return value


class Entry(Files):
    """One set: a model's outputs, what they are compared with, and the figures published for them."""

    name: str
    metric: str
    """The kind, as in `sets.KINDS`; what follows its name is for people."""
    expected: dict[str, Any]
    n: int | None = None
    also: tuple[Files, ...] = ()
    """Ground truth that lies elsewhere."""
    licence: str = ""
    kind: str = ""
    note: str = ""
    """What there is to know about the published files, for people."""

    def sources(self) -> Iterator[Files]:
        """All that has to be fetched."""
        yield self
        yield from self.also


def load(path: Path = OURS) -> dict[str, Entry]:
    """Entries of a manifest (YAML or JSON: a list) by name. Raises UsageError."""
    try:
        content = path.read_text(encoding="utf-8")
        found = json.loads(content) if path.suffix == ".json" else yaml.load(content, Loader=_LOADER)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read ({str(error).splitlines()[0]}).") from None
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise UsageError(f"{path}: a list of sets is expected, each with name, repo, commit, files, metric, expected.")
    try:
        entries = [Entry.model_validate(one) for one in found]
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path}: `{key}`: {first['msg'].removeprefix('Value error, ')}.") from None
    return {entry.name: entry for entry in entries}
