"""The bundled model is what its card says, and its questions cannot be answered without looking."""

from __future__ import annotations

import io
import json
import math
import random
import re
from collections import Counter
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from lmms_fast.tasks.catalog import bundled_dir
from lmms_fast.tiny import MODEL_DIR
from lmms_fast.tiny.pictures import KINDS, Kind, Question, ask, png
from lmms_fast.tiny.smoke_data import rows


def _weights() -> dict[str, dict[str, object]]:
    """Header of the safetensors file: an eight-byte length, then JSON."""
    with (MODEL_DIR / "model.safetensors").open("rb") as file:
        header: dict[str, dict[str, object]] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    return header


def test_small_and_counted() -> None:
    """bf16, at most 4 MB, one to two million parameters, as many as the card says."""
    tensors = _weights().values()
    assert {tensor["dtype"] for tensor in tensors} == {"BF16"}
    assert (MODEL_DIR / "model.safetensors").stat().st_size <= 4 << 20
    count = sum(math.prod(tensor["shape"]) for tensor in tensors)  # type: ignore[call-overload]
    assert 1_000_000 <= count <= 2_000_000
    assert f"{count:,} parameters" in (MODEL_DIR / "README.md").read_text()


def test_the_card_states_held_out_accuracy_per_kind() -> None:
    """At least 95 % on every kind of question."""
    card = (MODEL_DIR / "README.md").read_text()
    stated = {name: float(value) for name, value in re.findall(r"^\| (\w+) \| ([\d.]+)% \|$", card, re.MULTILINE)}
    assert set(stated) == {*KINDS, "mean"}
    assert min(stated.values()) >= 95.0


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_balanced(kind: Kind) -> None:
    """No answer is right so often that guessing it would pass."""
    rng = random.Random(5)
    answers = Counter(ask(kind, rng).answer for _ in range(2000))
    chance = {"choice": 1 / 4, "yesno": 1 / 2, "short": 1 / 8, "count": 1 / 4}[kind]
    assert max(answers.values()) / 2000 < chance + 0.05


def _present(question: Question, words: tuple[str, str]) -> bool:
    return words in {(shape.colour, shape.name) for shape in question.shapes}


def test_yes_and_no_are_true() -> None:
    """The answer follows from the shapes."""
    rng = random.Random(6)
    for _ in range(300):
        question = ask("yesno", rng)
        found = re.fullmatch(r"Is there a (\w+) (\w+)\?", question.question)
        assert found
        assert (question.answer == "yes") == _present(question, (found[1], found[2]))


def _pixels(row: dict[str, Any]) -> bytes:
    return Image.open(io.BytesIO(row["image"]["bytes"])).tobytes()


def test_smoke_data_are_what_the_script_makes() -> None:
    """The shipped questions can be made again, to the pixel."""
    for kind in KINDS:
        shipped = pq.read_table(bundled_dir() / "smoke" / f"smoke_{kind}.parquet").to_pylist()
        made = rows(kind)
        assert [row["answer"] for row in shipped] == [row["answer"] for row in made]
        assert list(map(_pixels, shipped)) == list(map(_pixels, made))


def test_pictures_repeat() -> None:
    """Seeded: the same question draws the same file."""
    first, second = (png(ask("choice", random.Random(3))) for _ in range(2))
    assert first == second
