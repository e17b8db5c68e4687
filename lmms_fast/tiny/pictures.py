"""Seeded pictures of coloured shapes, and questions about them that cannot be answered without looking."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

SIZE = 64
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 165, 70),
    "blue": (45, 80, 220),
    "yellow": (235, 200, 30),
    "purple": (145, 55, 180),
    "black": (25, 25, 25),
}
SHAPES = ("circle", "square", "triangle", "cross")
COUNTS = ("one", "two", "three", "four")

Kind = Literal["choice", "yesno", "short", "count"]
KINDS: tuple[Kind, ...] = ("choice", "yesno", "short", "count")


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape in a picture; centre and radius in pixels."""

    colour: str
    name: str
    x: int
    y: int
    radius: int


@dataclass(frozen=True, slots=True)
class Question:
    """A picture with a question, its answer, and for multiple choice the options."""

    kind: Kind
    shapes: tuple[Shape, ...]
    question: str
    answer: str
    options: tuple[str, ...] = ()
    about: str = ""
    tint_seed: int = 0

    @property
    def prompt(self) -> str:
        """The text of the user's turn, exactly as the smoke tasks send it."""
        if self.kind == "choice":
            lines = "\n".join(f"{letter}. {option}" for letter, option in zip("ABCD", self.options, strict=True))
            return f"{self.question}\n{lines}\nAnswer with the option's letter from the given choices directly."
        if self.kind == "yesno":
            return f"{self.question}\nAnswer yes or no."
        return f"{self.question}\nAnswer the question using a single word or phrase."


def draw(question: Question) -> Image.Image:
    """The picture: flat shapes on a light background, each tinted a little so that no two files are alike."""
    tints = np.random.default_rng(question.tint_seed)
    background = tuple(int(value) for value in tints.integers(225, 256, 3))
    picture = Image.new("RGB", (SIZE, SIZE), background)
    brush = ImageDraw.Draw(picture)
    for shape in question.shapes:
        tint = tints.integers(-18, 19, 3)
        fill = tuple(int(min(255, max(0, base + t))) for base, t in zip(COLOURS[shape.colour], tint, strict=True))
        _draw_shape(brush, shape, fill)
    return picture


def png(question: Question) -> bytes:
    """The picture as a PNG file."""
    out = io.BytesIO()
    draw(question).save(out, "PNG")
    return out.getvalue()


def ask(kind: Kind, rng: random.Random) -> Question:
    """A random question of a kind."""
    return _ASK[kind](rng)


def _draw_shape(brush: ImageDraw.ImageDraw, shape: Shape, fill: tuple[int, ...]) -> None:
    x, y, r = shape.x, shape.y, shape.radius
    if shape.name == "circle":
        brush.ellipse((x - r, y - r, x + r, y + r), fill=fill)
    elif shape.name == "square":
        side = round(r * 0.86)
        brush.rectangle((x - side, y - side, x + side, y + side), fill=fill)
    elif shape.name == "triangle":
        brush.polygon([(x, y - r), (x - r, y + round(r * 0.8)), (x + r, y + round(r * 0.8))], fill=fill)
    else:
        arm = max(2, round(r * 0.34))
        brush.rectangle((x - r, y - arm, x + r, y + arm), fill=fill)
        brush.rectangle((x - arm, y - r, x + arm, y + r), fill=fill)


def _single(rng: random.Random) -> Shape:
    radius = rng.randint(15, 23)
    place = [rng.randint(radius + 1, SIZE - radius - 2) for _ in range(2)]
    return Shape(rng.choice(list(COLOURS)), rng.choice(SHAPES), place[0], place[1], radius)


def _pair(rng: random.Random) -> tuple[Shape, Shape]:
    """Two shapes side by side that differ in colour and in shape."""
    colours = rng.sample(list(COLOURS), 2)
    names = rng.sample(SHAPES, 2)
    xs = (rng.randint(15, 17), rng.randint(46, 48))
    first, second = (
        Shape(colour, name, x, rng.randint(18, 45), rng.randint(13, 15))
        for colour, name, x in zip(colours, names, xs, strict=True)
    )
    return first, second


def _picture(rng: random.Random) -> tuple[Shape, ...]:
    return _pair(rng) if rng.random() < 0.5 else (_single(rng),)


def _seed(rng: random.Random) -> int:
    return rng.getrandbits(32)


def _short(rng: random.Random) -> Question:
    shape = _single(rng)
    about = rng.choice(("colour", "shape"))
    question = "What colour is the shape?" if about == "colour" else "What shape is this?"
    answer = shape.colour if about == "colour" else shape.name
    return Question("short", (shape,), question, answer, about=about, tint_seed=_seed(rng))


def _count(rng: random.Random) -> Question:
    number = rng.randint(1, 4)
    cells = rng.sample([(16, 16), (48, 16), (16, 48), (48, 48)], number)
    shapes = tuple(
        Shape(rng.choice(list(COLOURS)), rng.choice(SHAPES), x + rng.randint(-2, 2), y + rng.randint(-2, 2),
              rng.randint(10, 13))
        for x, y in cells
    )  # fmt: skip
    return Question("count", shapes, "How many shapes are in the picture?", str(number), tint_seed=_seed(rng))


def _choice(rng: random.Random) -> Question:
    shapes = _picture(rng)
    asked = rng.choice(shapes)
    about = rng.choice(("colour", "shape"))
    if about == "colour":
        question = f"What colour is the {asked.name}?"
        answer, pool = asked.colour, list(COLOURS)
        traps = [shape.colour for shape in shapes if shape is not asked]
    else:
        question = f"What shape is {asked.colour}?"
        answer, pool = asked.name, list(SHAPES)
        traps = [shape.name for shape in shapes if shape is not asked]
    others = [word for word in pool if word != answer and word not in traps]
    options = [answer, *traps, *rng.sample(others, 3 - len(traps))]
    rng.shuffle(options)
    letter = "ABCD"[options.index(answer)]
    return Question("choice", shapes, question, letter, tuple(options), about, _seed(rng))


def _yesno(rng: random.Random) -> Question:
    shapes = _picture(rng)
    present = rng.random() < 0.5
    if present:
        asked = rng.choice(shapes)
        colour, name = asked.colour, asked.name
    else:
        colour, name = _absent(shapes, rng)
    article = f"Is there a {colour} {name}?"
    return Question("yesno", shapes, article, "yes" if present else "no", tint_seed=_seed(rng))


def _absent(shapes: tuple[Shape, ...], rng: random.Random) -> tuple[str, str]:
    """A colour and shape that no shape has together; near misses preferred, so that one of the two is not enough."""
    there = {(shape.colour, shape.name) for shape in shapes}
    shape = rng.choice(shapes)
    draws: list[Callable[[], tuple[str, str]]] = [
        lambda: (shape.colour, rng.choice(SHAPES)),
        lambda: (rng.choice(list(COLOURS)), shape.name),
        lambda: (rng.choice(list(COLOURS)), rng.choice(SHAPES)),
    ]
    draw_one = rng.choice(draws)
    while (found := draw_one()) in there:
        pass
    return found


_ASK: Mapping[Kind, Callable[[random.Random], Question]] = {
    "choice": _choice,
    "yesno": _yesno,
    "short": _short,
    "count": _count,
}
