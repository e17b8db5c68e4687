"""Prompt and scoring variants, choices, targets and pictures that a task file declares."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lmms_fast.errors import TaskError
from lmms_fast.report.verdict import rules_of
from lmms_fast.tasks.render import MediaMissing, Renderer
from lmms_fast.tasks.spec import Task, load_file
from lmms_fast.types import Media, Sample

TASK = """\
task: mine
benchmark: test
about: Variants.
source: this test
licence: none
dataset: {files: mine.parquet}
prompt: {user: [{text: "plain {{ choices_text }}"}]}
target: B
score: {extract: letter}
"""


def task(folder: Path, more: str = "", base: str = TASK) -> Task:
    """A task file with some more keys."""
    (folder / "mine.yaml").write_text(base + more)
    found = load_file(folder / "mine.yaml")
    assert isinstance(found, Task)
    return found


def render(found: Task, **row: Any) -> Sample:
    """The sample of a row."""
    return Renderer(found).render(row, 0, None)


VARIANTS = """\
prompt_variants:
  terse:
    about: For models that talk too much.
    models: ["*talker*"]
    prompt: {user: [{text: "terse"}]}
scoring_variants:
  lmms-eval:
    about: The first character.
    score: {extract: {name: regex, options: {pattern: "^."}}}
    report: [{name: mean, options: {metric: first}}]
"""


def test_a_prompt_variant_is_found_by_the_models_name(tmp_path: Path) -> None:
    """Its pattern is matched without case; a named variant that the task lacks leaves it as it is."""
    found = task(tmp_path, VARIANTS)
    assert found.variant_for("Org/Big-Talker-7B") == "terse"
    assert found.variant_for("other") == "default"
    terse = found.prompted_by("terse")
    assert render(terse).messages[0].parts == ("terse",)
    assert (terse.prompt_variant, found.prompted_by("none").prompt_variant) == ("terse", "default")
    assert terse.digest() != found.digest()


def test_a_scoring_variant_changes_the_rules_and_not_the_run(tmp_path: Path) -> None:
    """The responses of one run are scored by both."""
    found = task(tmp_path, VARIANTS)
    assert rules_of(found.scored_by("lmms-eval")).extract[0].name == "regex"
    assert found.scored_by("lmms-eval").report[0].options == {"metric": "first"}
    assert task(tmp_path).digest() == found.digest()


def test_a_variants_rules_are_checked_with_the_tasks(tmp_path: Path) -> None:
    """A slip in a variant shows before anything is asked."""
    with pytest.raises(TaskError, match="'regexp' is not a rule"):
        rules_of(task(tmp_path, VARIANTS.replace("name: regex", "name: regexp")))


@pytest.mark.parametrize(
    ("declared", "row", "options"),
    [
        ("options", {"options": ["x", "y"]}, ("x", "y")),
        ("[A, B, C]", {"A": "x", "B": "y", "C": None}, ("x", "y")),
        ('"{{ [A, B] | reject(\'eq\', \'nan\') }}"', {"A": "x", "B": "nan"}, ("x",)),
    ],
)
def test_choices(tmp_path: Path, declared: str, row: dict[str, Any], options: tuple[str, ...]) -> None:
    """A column with the list, one column per option, or an expression."""
    assert render(task(tmp_path, f"choices: {declared}\n"), **row).choices == options


def test_targets_by_expression(tmp_path: Path) -> None:
    """Several answers out of a column of mappings; the letter of an option; none where they are withheld."""
    base = TASK.replace("target: B\n", "")
    found = task(tmp_path, "target: {expression: \"answers | map(attribute='answer')\"}\n", base)
    assert render(found, answers=[{"answer": "x"}, {"answer": "y"}]).target == ("x", "y")
    found = task(tmp_path, "target: {expression: 'letters[choices.index(gold)]'}\nchoices: options\n", base)
    assert render(found, options=["a", "b"], gold="b").target == ("B",)
    assert render(task(tmp_path, "", base)).target == ()


def test_a_column_keeps_its_name(tmp_path: Path) -> None:
    """Whatever else the templates know by it."""
    found = task(tmp_path, 'facts: {a: "{{ number }}", b: "{{ each }}", c: "{{ doc }}"}\n')
    assert render(found, number=7, each="x", doc="y").facts == {"a": "7", "b": "x", "c": "y"}


def test_facts_see_groups(tmp_path: Path) -> None:
    """What scoring needs of the row beside the answers."""
    found = task(tmp_path, 'groups: {kind: "{{ k }}"}\nfacts: {precision: "{{ p }}", of: "{{ kind }}!"}\n')
    sample = render(found, k="int", p=2)
    assert (sample.groups, sample.facts) == ({"kind": "int"}, {"precision": "2", "of": "int!"})


def _png(colour: str = "white", size: tuple[int, int] = (20, 10)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


PICTURE = TASK.replace('[{text: "plain {{ choices_text }}"}]', "[{image: PART}]")


def test_pictures_of_several_columns_may_be_missing(tmp_path: Path) -> None:
    """Where the task says so, and only there."""
    declared = PICTURE.replace("image: PART", "image: [one, two, three], optional: true")
    parts = render(task(tmp_path, "", declared), one=_png(), two=None, three="").messages[0].parts
    assert [part.read() for part in parts if isinstance(part, Media)] == [_png()]
    with pytest.raises(MediaMissing, match="'one' holds no picture"):
        render(task(tmp_path, "", declared.replace(", optional: true", "")), one=None, two=None, three=None)


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_picture_as_base64_text(tmp_path: Path, prefix: str, wrapped: bool) -> None:
    """As VLMEvalKit's tables and some datasets keep it."""
    encode = base64.encodebytes if wrapped else base64.b64encode
    text = prefix + encode(_png(size=(300, 200))).decode()
    (part,) = render(task(tmp_path, "", PICTURE.replace("PART", "one")), one=text).messages[0].parts
    assert isinstance(part, Media)
    assert part.read() == _png(size=(300, 200))


def test_the_size_of_a_picture(tmp_path: Path) -> None:
    """For boxes in shares of its sides."""
    found = task(tmp_path, 'facts: {width: "{{ (one | picture_size)[0] }}"}\n', PICTURE.replace("PART", "one"))
    assert render(found, one={"bytes": _png(), "path": "x.png"}).facts == {"width": "20"}
    with pytest.raises(TaskError, match="holds no bytes of a picture"):
        render(found, one=_png()[:3])


def test_an_outline_is_drawn(tmp_path: Path) -> None:
    """On the pixels of its edge and nowhere else, when the bytes are read."""
    declared = PICTURE.replace("image: PART", "image: one, draw: {box: '[x, y, x + w, y + h]'}")
    (part,) = render(task(tmp_path, "", declared), one=_png(), x=2, y=3, w=6, h=4).messages[0].parts
    assert isinstance(part, Media)
    picture = Image.open(io.BytesIO(part.read()))
    red = [(x, y) for x in range(20) for y in range(10) if picture.getpixel((x, y)) == (255, 0, 0)]
    edge = [(x, y) for x in range(2, 9) for y in range(3, 8) if x in (2, 8) or y in (3, 7)]
    assert red == edge


def test_pictures_on_one_canvas(tmp_path: Path) -> None:
    """Those that a row has, as one; none is none."""
    found = task(tmp_path, "", PICTURE.replace("image: PART", "image: [one, two, three], optional: true, canvas: 50"))
    (part,) = render(found, one=_png(), two=None, three=_png()).messages[0].parts
    assert isinstance(part, Media)
    assert Image.open(io.BytesIO(part.read())).size == (50, 50)
    assert render(found, one=None, two=None, three=None).messages[0].parts == ()


def test_pictures_in_front_of_a_text_that_refers_to_them(tmp_path: Path) -> None:
    """One per placeholder, in the order of the text, which is sent as it is."""
    part = "[{text: \"{{ q }}\\n\", interleave: {pattern: '<p(\\d)>', column: 'p{}', in_front: true}}]"
    found = task(tmp_path, "", TASK.replace('[{text: "plain {{ choices_text }}"}]', part))
    parts = render(found, q="<p2> and <p1>, <p2>?", p1=b"one", p2=b"two").messages[0].parts
    assert [part.read() if isinstance(part, Media) else part for part in parts] == [
        b"two", b"one", b"two", "<p2> and <p1>, <p2>?\n",
    ]  # fmt: skip
    assert render(found, q="none", p1=None).messages[0].parts == ("none\n",)


OPTIONS = """\
tables: {patterns: {option: '\\(([a-d])\\)', note: '\\[[^\\]]*\\]'}}
choices: "{{ q | find_all(patterns.option) }}"
facts: {q: "{{ q | replaced(patterns.note, '-') }}"}
"""


def test_templates_find_and_replace_patterns(tmp_path: Path) -> None:
    """Options that stand in the question, and remarks in it that are none of it."""
    sample = render(task(tmp_path, OPTIONS), q="(a) or (b) [sic] or (c) []?")
    assert (sample.choices, sample.facts["q"]) == (("a", "b", "c"), "(a) or (b) - or (c) -?")
    with pytest.raises(TaskError, match="unterminated"):
        render(task(tmp_path, OPTIONS.replace("'\\[[^\\]]*\\]'", "'['")), q="x")


def test_options_in_an_order_of_their_own(tmp_path: Path) -> None:
    """The same whatever the order they come in and whatever ran before; another for another row."""
    found = task(tmp_path, 'choices: "{{ options | shuffled(seed) }}"\n')
    orders = {seed: render(found, options=["w", "x", "y", "z"], seed=seed).choices for seed in "abcdefgh"}
    assert orders["a"] == render(found, options=["z", "y", "x", "w"], seed="a").choices == ("y", "z", "w", "x")
    assert len(set(orders.values())) > 4


PAGES = "[{pdf: 'documents/{{ name }}', pages: numbers, dpi: 72}, {text: x}]"


def test_pages_of_a_document(tmp_path: Path) -> None:
    """In the order that the row gives; a row that gives none is text alone."""
    found = task(tmp_path, "", TASK.replace('[{text: "plain {{ choices_text }}"}]', PAGES))
    files = {"documents/a.pdf": tmp_path / "a.pdf"}
    renderer = Renderer(found, file=files.get)

    def shown(**row: Any) -> list[Any]:
        *pages, text = renderer.render(row, 0, None).messages[0].parts
        assert text == "x"
        return [(page.source.document, page.source.number, page.source.dpi) for page in pages]  # type: ignore[union-attr]

    path = files["documents/a.pdf"]
    assert shown(name="a.pdf", numbers="[3, 1]") == [(path, 3, 72), (path, 1, 72)]
    assert shown(name="a.pdf", numbers=[2]) == [(path, 2, 72)]
    assert shown(name="b.pdf", numbers="[]") == []
    with pytest.raises(MediaMissing, match=r"no file 'documents/b\.pdf'"):
        shown(name="b.pdf", numbers=[1])
    with pytest.raises(MediaMissing, match="201 pages"):
        shown(name="a.pdf", numbers=[1] * 201)
