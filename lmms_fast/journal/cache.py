"""What judges said, kept across runs: the same question to the same judge is asked once."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from lmms_fast.types import Response, Usage

_EVERY = 64
_WAIT_S, _WAIT_LAST_S = 0.01, 5.0  # on the event loop, and when all is over


def cache_home() -> Path:
    """``$XDG_CACHE_HOME/lmms-fast``, by default below ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lmms-fast"


class ReplyCache:
    """A table of replies by the digest of their question and the number of the vote; several runs may use it at once.

    It is a help only: one that cannot be read or written is empty, and says why in `trouble`.
    """

    def __init__(self, path: Path) -> None:
        self.trouble: str | None = None
        self._new: list[tuple[str, bytes]] = []
        self._table: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._table = sqlite3.connect(path, timeout=2.0, check_same_thread=False)
            # A crash may lose the last replies, never the table; they are in their run's journal, too.
            self._table.execute("PRAGMA journal_mode=WAL")
            self._table.execute("PRAGMA synchronous=NORMAL")
            self._table.execute("CREATE TABLE IF NOT EXISTS replies (question TEXT PRIMARY KEY, reply BLOB NOT NULL)")
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def get(self, digest: str, vote: int, key: str) -> Response | None:
        """The reply as that to `key`, if there is one."""
        if self._table is None:
            return None
        try:
            asked = self._table.execute("SELECT reply FROM replies WHERE question = ?", (_name(digest, vote),))
            found = asked.fetchone()
            return None if found is None else _response(found[0], key)
        except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
            self._give_up(error)
            return None

    def put(self, digest: str, vote: int, reply: Response) -> None:
        """Remember a reply; written with some others."""
        self._new.append((_name(digest, vote), orjson.dumps(reply)))
        if len(self._new) % _EVERY == 0:
            self._write(_WAIT_S)

    def _write(self, wait_s: float) -> None:
        """All that is new, unless another run is writing for so long: then it is written with what comes."""
        if self._table is None:
            return
        try:
            self._table.execute(f"PRAGMA busy_timeout = {wait_s * 1000:.0f}")
            with self._table:
                self._table.executemany("INSERT OR IGNORE INTO replies VALUES (?, ?)", self._new)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or wait_s == _WAIT_LAST_S:
                self._give_up(error)
        except sqlite3.Error as error:
            self._give_up(error)
        else:
            self._new.clear()

    def _give_up(self, error: Exception) -> None:
        self.trouble = str(error)
        if self._table is not None:
            self._table.close()
            self._table = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write(_WAIT_LAST_S)
        if self._table is not None:
            self._table.close()


def _name(digest: str, vote: int) -> str:
    return f"{digest}#{vote}"


def _response(stored: bytes, key: str) -> Response:
    fields = orjson.loads(stored)
    return Response(**{**fields, "key": key, "usage": Usage(**fields["usage"]), "attempts": 0})
