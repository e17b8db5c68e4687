"""Pictures that went through another evaluator's code → the bytes they were stored as, where they are still the same.

Such code takes decoded pictures and gives decoded pictures back, mostly after `convert("RGB")`. Encoding them again
costs more than all the rest of a request, so each picture remembers where it came from (Pillow copies `info` along),
and its stored bytes are sent if its pixels have not changed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

_KEY = "lmms-fast stored"


@dataclass(frozen=True, slots=True, eq=False)
class _Stored:
    data: bytes
    decoded: Image.Image


def remembering(docs: Any) -> Any:
    """A `datasets.Dataset` whose rows hold decoded pictures that remember their bytes. Anything else is as it was."""
    import datasets  # noqa: PLC0415  (a second of imports)

    if not isinstance(docs, datasets.Dataset):
        return docs
    columns: dict[str, Any] = {}
    for name, feature in docs.features.items():
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, datasets.Image):
            raw = datasets.Image(decode=False)
            docs = docs.cast_column(name, raw if inner is feature else datasets.List(raw))
            columns[name] = inner
    return _Remembering(docs, columns) if columns else docs


class _Remembering:
    def __init__(self, docs: Any, columns: Mapping[str, Any]) -> None:
        self._docs, self._columns = docs, columns

    def __len__(self) -> int:
        return len(self._docs)

    def __getitem__(self, row: int) -> dict[str, Any]:
        doc = dict(self._docs[row])
        for name, feature in self._columns.items():
            value = doc[name]
            many = isinstance(value, list)
            doc[name] = [_decoded(one, feature) for one in value] if many else _decoded(value, feature)
        return doc

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[row] for row in range(len(self)))


def _decoded(value: Any, feature: Any) -> Any:
    """What `datasets` would give, with its bytes kept beside."""
    if value is None:
        return None
    picture = feature.decode_example(value)
    if data := value.get("bytes") or _read(value.get("path")):
        picture.info[_KEY] = _Stored(data, picture)
    return picture


def _read(path: str | None) -> bytes | None:
    return Path(path).read_bytes() if path and Path(path).is_file() else None


def encoded(picture: Image.Image) -> bytes:
    """The stored bytes of a picture whose pixels are as they were, else PNG. Raises OSError."""
    stored = picture.info.get(_KEY)
    if isinstance(stored, _Stored) and (picture is stored.decoded or _same(picture, stored.decoded)):
        return stored.data
    out = io.BytesIO()
    shown = picture if picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else picture.convert("RGB")
    shown.save(out, "PNG", compress_level=1)  # without loss at any level; this one takes a third of the time
    return out.getvalue()


def _same(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode and one.size == other.size and one.tobytes() == other.tobytes()
