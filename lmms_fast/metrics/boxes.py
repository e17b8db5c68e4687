"""Boxes and points in a response, against a gold box.

A box is the JSON text ``[left, top, right, bottom]``, as an extractor's answer and as a target; a point ``[x, y]``.
Both are in shares of the picture's sides, but for `json_boxes` and `best_iou`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any

import orjson

from lmms_fast.errors import TaskError
from lmms_fast.metrics.plain import readings
from lmms_fast.metrics.rule import Extractor, Matcher, Options, one_of
from lmms_fast.types import Prediction, Sample

Numbers = Sequence[float]

_LARGEST = 1e9  # no coordinate; areas of larger ones overflow

# Possessive repetitions (`++`, `?+`): none gives back what it took, so no run of digits or blanks is walked twice.
_N = r"-?[0-9]++(?:\.[0-9]++)?+"
_NUMBER = re.compile(_N)
_SHARE = re.compile(rf"({_N})(?:\s*+(%))?+")
_INSIDE = rf"\s*+({_N})\s*+,\s*+({_N})\s*+,\s*+({_N})\s*+,\s*+({_N})\s*+"
_SQUARE = re.compile(rf"\[{_INSIDE}\]")
_BRACKETS = re.compile(rf"[\[(]{_INSIDE}[\])]")
_FOUR = re.compile(rf"(?<![\d.]){_N}(?:[,\s]++{_N}){{3}}")


# Extractors


def _box(text: str, _: Sample, options: Options) -> Prediction:
    """The first four numbers in brackets, with commas between.

    `brackets`: ``any``, square or round (the default; ScreenSpot, arXiv 2401.10935, as lmms-eval reads it), ``square``
    (its RefCOCO tasks) or ``none``: the first four numbers of the text, for models that write
    ``<box>(1, 2), (3, 4)</box>``. `numbers`: ``shares`` of the picture's sides, taken as they are (the default);
    ``thousandths``; ``auto``: thousandths where one of them is above 1.
    """
    unit, brackets = options.get("numbers", "shares"), options.get("brackets", "any")
    if brackets == "none":
        box = _numbers(islice((match[0] for match in _NUMBER.finditer(text)), 4), 4)
    else:
        match = (_SQUARE if brackets == "square" else _BRACKETS).search(text)
        box = _numbers(match.groups(), 4) if match else None
    if box is not None and (unit == "thousandths" or (unit == "auto" and max(box) > 1)):
        box = [number / 1000 for number in box]
    return _found(box, "box")


def _point(text: str, sample: Sample, options: Options) -> Prediction:
    """The point a model would click: ScreenSpot-v2 and -Pro (arXiv 2410.23218, 2504.07981) as lmms-eval reads it.

    In order: the centre of ``<bbox>…</bbox>`` with four numbers; the first ``[x, y]`` or ``(x y)``; ``x: … y: …``; the
    centre of the first four numbers where a word begins with "bbox", "box" or "rect"; the first two numbers. ``%``
    divides by 100. Where either is above 1 they are `beyond_one`: ``pixels`` (the default) of a picture whose size is
    in the facts `width` and `height`, or ``thousandths``. Four numbers that nothing calls a box give its corner.
    """
    point, rule = _written_point(text)
    if point is not None and max(point) > 1:
        width, height, *_ = [1000.0] * 2 if options.get("beyond_one") == "thousandths" else _sides(sample)
        point = [point[0] / width, point[1] / height]
    return _found(point, rule)


_TWO = re.compile(rf"[\[(]\s*+{_SHARE.pattern}(?:\s*+,\s*+|\s++){_SHARE.pattern}\s*+[\])]")
_X = re.compile(rf"\bx[\"']?\s*+[:=]\s*+[\"']?{_SHARE.pattern}", re.IGNORECASE)
_Y = re.compile(_X.pattern.replace("x", "y", 1), re.IGNORECASE)
_CALLED_BOX = re.compile(r"\b(?:bbox|box|rect)", re.IGNORECASE)


def _written_point(text: str) -> tuple[list[float] | None, str]:
    lower = text.lower()
    start = lower.find("<bbox>")
    end = lower.find("</bbox>", start)
    if 0 <= start < end and (box := _shares(lower[start:end], 4)):
        return _centre(box), "point: bbox"
    if match := _TWO.search(text):
        return _numbers_of(match.groups()), "point: brackets"
    # By hand, since `x.*?y` would look for the y again from every x.
    if (x := _X.search(text)) and (y := _Y.search(text, x.end())):
        return _numbers_of((*x.groups(), *y.groups())), "point: x and y"
    if _CALLED_BOX.search(text) and (box := _shares(text, 4)):
        return _centre(box), "point: box"
    return _shares(text, 2), "point: first numbers"


def _shares(text: str, count: int) -> list[float] | None:
    """The first numbers of a text; fewer are none."""
    found = [group for match in islice(_SHARE.finditer(text), count) for group in match.groups()]
    return _numbers_of(found) if len(found) == 2 * count else None


def _numbers_of(pairs: Sequence[str | None]) -> list[float] | None:
    """Numbers out of (digits, ``%`` or None), one pair after the other."""
    found = _numbers((digits or "" for digits in pairs[::2]), len(pairs) // 2)
    return found and [number / 100 if sign else number for number, sign in zip(found, pairs[1::2], strict=True)]


def _json_boxes(text: str, _: Sample, __: Options) -> Prediction:
    """Every box of a JSON answer, as it is written; several are several readings.

    JSON: the first fenced block, the whole text, what is between the outermost ``[…]``, then ``{…}``. A box is a list
    of four numbers, however deep; of an object that has keys such as ``bbox_2d`` only those are looked at. Without
    JSON: every four numbers with nothing but commas or blanks between.
    """
    for part in _json_parts(text):
        try:
            boxes = _boxes_in(orjson.loads(part))
        except orjson.JSONDecodeError:
            continue
        if boxes:
            return Prediction(tuple(dict.fromkeys(map(_written, boxes))), "json_boxes: json")
    found = (_numbers(_NUMBER.findall(match[0]), 4) for match in _FOUR.finditer(text))
    readings = tuple(dict.fromkeys(_written(box) for box in found if box))
    return Prediction(readings or None, "json_boxes: numbers")


_BOX_KEYS = ("bbox_2d", "bbox", "box", "coordinates", "coord", "location", "position")


def _json_parts(text: str) -> Iterator[str]:
    start = text.find("```")
    end = text.find("```", start + 3)
    if 0 <= start < end:
        yield text[start + 3 : end].strip().removeprefix("json")
    yield text
    for opening, closing in ("[]", "{}"):
        yield text[text.find(opening) : text.rfind(closing) + 1] if opening in text else ""


def _boxes_in(value: Any) -> list[list[float]]:
    """In the order in which they are written. Without recursion: JSON may be nested deeper than Python's stack."""
    boxes: list[list[float]] = []
    left = [value]
    while left:
        match left.pop():
            case list() as items:
                if len(items) == 4 and (box := _as_numbers(items)):
                    boxes.append(box)
                else:
                    left += reversed(items)
            case dict() as items:
                named = [items[key] for key in _BOX_KEYS if key in items]
                left += reversed(named or list(items.values()))
    return boxes


def _numbers(written: Iterator[str] | Sequence[str], count: int) -> list[float] | None:
    found = _as_numbers([float(number) for number in written])
    return found if found and len(found) == count else None


def _as_numbers(items: Sequence[Any]) -> list[float] | None:
    """None where an item is no number, or one that no picture can have as a coordinate."""
    if all(isinstance(one, int | float) and not isinstance(one, bool) and abs(one) <= _LARGEST for one in items):
        return [float(one) for one in items]
    return None


def _found(numbers: Numbers | None, rule: str) -> Prediction:
    return Prediction(_written(numbers) if numbers else None, rule)


def _written(numbers: Numbers) -> str:
    return "[" + ", ".join(str(int(number)) if number.is_integer() else repr(number) for number in numbers) + "]"


def _centre(box: Numbers) -> list[float]:
    return [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]


def _sides(sample: Sample) -> list[float]:
    """What the numbers of a box are shares of. Where a fact is no size, 1: what it divides stays out of the picture."""
    return [_side(sample, "width"), _side(sample, "height")] * 2


def _side(sample: Sample, fact: str) -> float:
    try:
        side = float(sample.facts.get(fact, 1))
    except ValueError:
        return 1.0
    return side if 0 < side <= _LARGEST else 1.0


# Matchers

_THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)


def _iou(prediction: Prediction, sample: Sample, _: Options) -> dict[str, float]:
    """Intersection over union with the gold box, of several boxes the best.

    Parts: `IoU`; whether it reaches t, as `ACC@t` for t = 0.1, 0.3, 0.5, 0.7 and 0.9; `Center_ACC`, whether the centre
    of the box is in the gold box, its edges included.
    """
    return _best([box for reading in readings(prediction) if (box := _read(reading, 4))], _gold(sample))


def _best_iou(prediction: Prediction, sample: Sample, _: Options) -> dict[str, float]:
    """As `iou`, against a gold box in pixels, whatever the unit of the boxes in the answer.

    Each is tried as pixels and as thousandths of the picture's sides (facts `width` and `height`), and the best counts.
    That choice knows the gold, as in lmms-eval's tasks ``refcoco_grounding``.
    """
    sides = _sides(sample)
    boxes = [box for reading in readings(prediction) if (box := _read(reading, 4))]
    scaled = [[number * side / 1000 for number, side in zip(box, sides, strict=True)] for box in boxes]
    return _best([*boxes, *scaled], _gold(sample))


def _best(boxes: Sequence[Numbers], gold: Numbers) -> dict[str, float]:
    best = max(boxes, key=lambda box: _overlap(box, gold), default=None)
    overlap = _overlap(best, gold) if best else 0.0
    inside = float(best is not None and _contains(gold, _centre(best)))
    return {"IoU": overlap, **{f"ACC@{least}": float(overlap >= least) for least in _THRESHOLDS}, "Center_ACC": inside}


def _overlap(one: Numbers, other: Numbers) -> float:
    """Intersection over union; 0 for boxes that do not meet, or have no area."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return min(1.0, common / (sum(areas) - common))


def _contains(box: Numbers, point: Numbers) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _point_in_box(prediction: Prediction, sample: Sample, _: Options) -> float:
    """Whether the point is in a gold box, its edges included (ScreenSpot, arXiv 2401.10935)."""
    points = [point for reading in readings(prediction) if (point := _read(reading, 2))]
    gold = _gold(sample)
    return float(any(_contains(gold, point) for point in points))


def _read(reading: str | float, count: int) -> list[float] | None:
    try:
        found = orjson.loads(reading) if isinstance(reading, str) else None
    except orjson.JSONDecodeError:
        return None
    return _as_numbers(found) if isinstance(found, list) and len(found) == count else None


def _gold(sample: Sample) -> list[float]:
    """The gold box. Raises TaskError where the target is none: a score of 0 would pass for the model's."""
    box = _read(sample.target[0], 4) if sample.target else None
    if box is None:
        raise TaskError(f"score.match: the target of sample {sample.id} is no box such as [0.1, 0.2, 0.5, 0.4].")
    return box


_SIZE = frozenset({"width", "height"})

EXTRACTORS: Mapping[str, Extractor] = MappingProxyType(
    {
        "box": Extractor(
            _box,
            frozenset({"brackets", "numbers"}),
            one_of("score.extract", brackets=("any", "square", "none"), numbers=("shares", "thousandths", "auto")),
        ),
        "point": Extractor(
            _point, frozenset({"beyond_one"}), one_of("score.extract", beyond_one=("pixels", "thousandths")), _SIZE
        ),
        "json_boxes": Extractor(_json_boxes),
    }
)

MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {
        "iou": Matcher(_iou),
        "best_iou": Matcher(_best_iou, needs=_SIZE),
        "point_in_box": Matcher(_point_in_box),
    }
)
