"""Whatever stands in a task file: a task, or one sentence that says what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from lmms_fast.errors import UsageError
from lmms_fast.report.verdict import rules_of
from lmms_fast.tasks.catalog import bundled_dir
from lmms_fast.tasks.render import MediaMissing, Renderer
from lmms_fast.tasks.spec import Task, load_file
from tests.fuzz.often import often

WHOLE = (bundled_dir() / "mmmu" / "mmmu_val.yaml").read_text(encoding="utf-8").replace("task: mmmu_val", "task: t")
PIECES = [
    "task: t", "prompt:", "  user:", "    - text: x", "- ", ": ", "&a ", "*a", "!!bool x", "!!int ''", "!!set {a}", "'",
    "2001-99-99", "2001-01-01", "!!timestamp x", "<<: *a", "? [a]", "{{ x }}", "{% for", '"', "|", ">", "\t", "\n",
    "\n", "\n  ", "extends: _smoke.yaml", "[", "]", "{", "}", "0x", "1_0", ".nan", "9" * 30, "~", "!!binary =",
]  # fmt: skip
ROWS: list[dict[str, Any]] = [{}, {"id": "validation_Art_1", "question": "<image 1>?", "options": "['a', 'b']",
                                   "answer": "A", "question_type": "open", "image_1": b"x"}]  # fmt: skip


def _load(folder: Path, content: bytes) -> None:
    """Everything short of asking; only sentences come out of it."""
    path = folder / "t.yaml"
    path.write_bytes(content)
    try:
        found = load_file(path)
        if not isinstance(found, Task):
            return
        rules_of(found)
        assert found.digest()
        renderer = Renderer(found)
    except UsageError as error:
        _is_sentence(error)
        return
    for row in ROWS:
        try:
            renderer.render(row, 0, folder)
        except UsageError as error:
            _is_sentence(error)
        except MediaMissing:
            pass


def _is_sentence(error: UsageError) -> None:
    assert str(error).strip().endswith((".", ")"))
    assert "Traceback" not in str(error)


@often(200)
@given(st.text(max_size=60).map(str.encode) | st.binary(max_size=60)
       | st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: "".join(pieces).encode()))  # fmt: skip
@example(b"task: t\ndataset:\n  hub:\n")
@example(b"!!bool x")
@example(b"a: 2001-99-99")
@example(b"a: &a [*a]")
@example(b"a: " + b"[" * 400 + b"]" * 400)
@example("task: t\nabout: \U0001f600".encode("utf-16"))
@example(b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (letter, letter, b",".join([b"*%c" % (letter - 1)] * 9)) for letter in range(98, 110)))
def test_any_text(tmp_path: Path, content: bytes) -> None:
    """YAML of every kind, and no YAML."""
    _load(tmp_path, content)


@often(200)
@given(st.integers(0, len(WHOLE)), st.integers(0, 40), st.sampled_from(PIECES) | st.text(max_size=8))
def test_a_task_with_a_slip(tmp_path: Path, at: int, length: int, put_in: str) -> None:
    """A sound file with a piece taken out and another put in."""
    _load(tmp_path, (WHOLE[:at] + put_in + WHOLE[at + length :]).encode(errors="replace"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["{{ x }}", "{{ question }}", "{{ 1 // 0 }}", "{{ 'a' + 1 }}", "{% raw %}", "{{ ''.__class__ }}",
                       "(", "(a)", "image_{}", "..", "regex", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=6,
)  # fmt: skip


@often(150)
@given(st.data())
def test_a_value_of_another_kind(tmp_path: Path, data: st.DataObject) -> None:
    """One value, at any depth of a sound file, replaced by any other."""
    content: Any = yaml.safe_load(WHOLE)
    place: Any = content
    while True:
        key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(VALUES)
    _load(tmp_path, yaml.safe_dump(content, allow_unicode=False).encode())
