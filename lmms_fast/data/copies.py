"""The record of datasets that were fetched ahead: which files, of which revision, with their checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from lmms_fast.errors import DataError, StorageError

RECORD = "lmms-fast-data.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stored(_Record):
    """A file as it was fetched."""

    size: int
    sha256: str


class Part(_Record):
    """The files of one split of a configuration."""

    config: str | None
    split: str
    files: tuple[str, ...]


class Repository(_Record):
    """What was fetched of a dataset's repository; paths are those there."""

    revision: str
    """The commit that `asked` stood for."""
    asked: str
    parts: tuple[Part, ...] = ()
    files: dict[str, Stored] = {}


class Copies(_Record):
    """All that was fetched into a folder."""

    repositories: dict[str, Repository] = {}

    def files(self, path: str, config: str | None, split: str) -> tuple[str, ...]:
        """Of a repository's split; none where it was not fetched."""
        parts = self.repositories[path].parts if path in self.repositories else ()
        return next((part.files for part in parts if (part.config, part.split) == (config, split)), ())


def read_record(data_dir: Path) -> Copies | None:
    """None where nothing was fetched into the folder by us. Raises DataError for a record that is damaged."""
    path = data_dir / RECORD
    try:
        return Copies.model_validate(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError, ValidationError) as error:
        detail = str(error).splitlines()[0]
        raise DataError(f"{path}: is damaged ({detail}); fetch again with `lmms-fast tasks data pull`.") from None


def write_record(data_dir: Path, copies: Copies) -> None:
    """Replace it in one step. Raises StorageError."""
    path = data_dir / RECORD
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(orjson.dumps(copies.model_dump(), option=orjson.OPT_INDENT_2) + b"\n")
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror}).") from None


def hashed(path: Path) -> Stored:
    """Size and checksum of a file. Raises OSError."""
    with path.open("rb") as file:
        return Stored(size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def differences(data_dir: Path, copies: Copies) -> Iterator[tuple[str, str | None]]:
    """Every recorded file with what is wrong with it; None where nothing is."""
    for name, repository in copies.repositories.items():
        for file, stored in repository.files.items():
            yield f"{name}/{file}", _difference(data_dir / name / file, stored)


def _difference(path: Path, stored: Stored) -> str | None:
    try:
        if (size := path.stat().st_size) != stored.size:
            return f"differs: {size:,} bytes, {stored.size:,} were fetched"
        return None if hashed(path) == stored else "differs: another content of the same size"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
