"""Where a set's files are: a folder given by the user, the cache, or their public repository at the pinned commit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from lmms_fast.errors import DataError
from lmms_fast.journal.cache import cache_home
from lmms_fast.parity.entries import Entry, Files

VARIABLE = "LMMS_FAST_PARITY_DIR"
_HOST = "https://raw.githubusercontent.com"
_TIMEOUT_S = 60.0
_LARGEST = 256 << 20


def cache_dir() -> Path:
    """Where fetched files are kept."""
    return cache_home() / "parity"


def locate(entry: Entry, folder: Path | None) -> list[Path]:
    """Every file of a set, those of the set first, on this machine afterwards. Raises DataError with one sentence.

    In a folder a file is at ``OWNER+NAME/PATH``; what is not there is taken from the cache or fetched.
    """
    return [_file(source, path, blob, folder) for source in entry.sources() for path, blob in source.files.items()]


def _file(source: Files, path: str, blob: str | None, folder: Path | None) -> Path:
    place = source.repo.replace("/", "+")
    if folder is not None and (given := folder / place / path).is_file():
        _checked(given.read_bytes(), blob, str(given))
        return given
    cached = cache_dir() / place / source.commit / path
    if not cached.is_file():
        content = _download(f"{_HOST}/{source.repo}/{source.commit}/{quote(path)}")
        _checked(content, blob, f"{source.repo}/{path}")
        _keep(cached, content)
    return cached


def blob_hash(content: bytes) -> str:
    """The name git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _checked(content: bytes, blob: str | None, name: str) -> None:
    if blob is not None and blob_hash(content) != blob:
        raise DataError(f"{name}: is not the file that was published (git blob {blob}); remove it to fetch it again.")


def _download(url: str) -> bytes:
    import httpx  # noqa: PLC0415  (needed for files that are not at hand)

    try:
        with httpx.stream("GET", url, timeout=_TIMEOUT_S, follow_redirects=False) as answer:
            if answer.status_code != 200:
                raise DataError(f"{url}: the server answers {answer.status_code}; the file may have been withdrawn.")
            return _body(answer.iter_bytes(), url)
    except httpx.HTTPError as error:
        raise DataError(
            f"{url}: cannot be fetched ({type(error).__name__}: {error}); with a network run this again, without one "
            f"name a folder that has the files as OWNER+NAME/PATH with --dir or {VARIABLE}."
        ) from None


def _body(parts: Iterable[bytes], url: str) -> bytes:
    content = bytearray()
    for part in parts:
        content += part
        if len(content) > _LARGEST:
            raise DataError(f"{url}: is larger than {_LARGEST >> 20} MiB.")
    return bytes(content)


def _keep(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + f".{os.getpid()}.tmp")
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}).") from None
