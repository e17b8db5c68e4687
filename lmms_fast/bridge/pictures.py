"""Pictures that go through another evaluator's code → the bytes they were stored as, where they are still the same.

Such code takes decoded pictures and gives decoded pictures back, mostly after `convert("RGB")`. Decoding and encoding
them cost more than all the rest of a request. So the pictures it gets are files that are not decoded before somebody
looks, remember their bytes (Pillow copies `info` along), and are sent as stored if nobody did, or if the pixels have
not changed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, ImageFile

_KEY = "lmms-fast stored"


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
    """What `datasets` would give: upright, and in the feature's mode."""
    if value is None:
        return None
    data = value.get("bytes") or _read(value.get("path"))
    if data is None or feature.mode is not None:
        return feature.decode_example(value)
    picture = _opened(data)
    return picture if picture.getexif().get(ExifTags.Base.Orientation) is None else feature.decode_example(value)


def _read(path: str | None) -> bytes | None:
    return Path(path).read_bytes() if path and Path(path).is_file() else None


def _opened(data: bytes) -> Image.Image:
    """A picture that remembers its bytes. Converted to the mode it has, it is another such, and not decoded either."""
    picture = Image.open(io.BytesIO(data))
    picture.info[_KEY] = data
    decode = picture.convert

    def convert(mode: str | None = None, *more: Any, **named: Any) -> Image.Image:
        if mode == picture.mode and not more and not named and _untouched(picture):
            return _opened(data)
        return decode(mode, *more, **named)

    picture.convert = convert  # type: ignore[method-assign]
    return picture


def _untouched(picture: Image.Image) -> bool:
    """Whether nobody has had its pixels: until then the file has parts to decode."""
    return isinstance(picture, ImageFile.ImageFile) and bool(picture.tile) and picture.tell() == 0


def encoded(picture: Image.Image) -> bytes:
    """The stored bytes of a picture whose pixels are as they were, else PNG. Raises OSError."""
    data = picture.info.get(_KEY)
    if isinstance(data, bytes) and (_untouched(picture) or _same(picture, Image.open(io.BytesIO(data)))):
        return data
    out = io.BytesIO()
    shown = picture if picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else picture.convert("RGB")
    shown.save(out, "PNG", compress_level=1)  # without loss at any level; this one takes a third of the time
    return out.getvalue()


def _same(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode and one.size == other.size and one.tobytes() == other.tobytes()
