"""Task files: prompts exactly as declared, mistakes answered with file, line and what is allowed."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lmms_fast.data.feed import Fed, Selection, feed_task
from lmms_fast.data.source import open_source
from lmms_fast.errors import DataError, TaskError
from lmms_fast.report.verdict import rules_of
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.page import line_of
from lmms_fast.tasks.render import as_list, defused, environment, fenced
from lmms_fast.tasks.spec import Dataset, HubSource, Task, load_file
from lmms_fast.types import Media


def picture(shade: int) -> dict[str, Any]:
    """A picture as the hub stores it."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": f"{shade}.png"}


def mmmu_row(**fields: Any) -> dict[str, Any]:
    """A row with MMMU's columns."""
    row: dict[str, Any] = {
        "id": "validation_Art_Theory_3", "question": "What is <image 1>?", "options": "['a cat', 'a dog']",
        "explanation": "", **{f"image_{number}": None for number in range(1, 8)}, "img_type": "['Photo']",
        "answer": "B", "topic_difficulty": "Easy", "question_type": "multiple-choice", "subfield": "x",
    }  # fmt: skip
    return {**row, "image_1": picture(1), **fields}


def feed(name: str, rows: list[dict[str, Any]], folder: Path, **selection: Any) -> list[Fed]:
    """Samples of a bundled task from a parquet file in the hub's layout."""
    task = Catalog().load(name)
    assert isinstance(task, Task)
    where = folder / task.dataset.hub[0].path / "data"
    where.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), where / f"{task.dataset.split}-00000-of-00001.parquet")
    return list(feed_task(task, open_source(task, folder), Selection(**selection), lambda _: False))


def shown(fed: Fed) -> list[str]:
    """Parts of the user's turn, pictures by their shade."""
    parts = []
    for part in fed.sample.messages[-1].parts:
        if isinstance(part, Media):
            parts.append(f"<{Image.open(io.BytesIO(part.read())).getpixel((0, 0))[0]}>")  # type: ignore[index]
        else:
            parts.append(part)
    return parts


def test_every_bundled_task_is_sound() -> None:
    """Schema, rules and aggregations of all files."""
    for name in Catalog().names():
        found = Catalog().load(name)
        if isinstance(found, Task):
            rules_of(found)


def test_mmmu_interleaves_pictures_by_number(tmp_path: Path) -> None:
    """Repeated and out-of-order references each get the picture they name, in options too."""
    row = mmmu_row(question="See <image 2>, then <image 1>.", options="['like <image 2>', 'none']", image_2=picture(2))
    (fed,) = feed("mmmu_val", [row], tmp_path)
    assert shown(fed) == [
        "See", "<2>", ", then", "<1>", ".\nA. like", "<2>",
        "B. none\n\nAnswer with the option's letter from the given choices directly.",
    ]  # fmt: skip
    assert fed.sample.groups == {"subject": "Art_Theory", "domain": "Art and Design"}
    assert fed.sample.target == ("B",)


def test_mmmu_open_question(tmp_path: Path) -> None:
    """No options block, several gold answers, all seven pictures."""
    pictures = {f"image_{number}": picture(number) for number in range(1, 8)}
    text = " ".join(f"<image {number}>" for number in range(1, 8))
    row = mmmu_row(question_type="open", options="[]", answer="['3.5', '7/2']", question=text, **pictures)
    (fed,) = feed("mmmu_val", [row], tmp_path)
    assert shown(fed) == [*(f"<{number}>" for number in range(1, 8)),
                          "Answer the question using a single word or phrase."]  # fmt: skip
    assert fed.sample.target == ("3.5", "7/2")
    assert fed.sample.choices == ()


def test_mmmu_without_its_picture_is_not_measured(tmp_path: Path) -> None:
    """A question about a picture that is not there must not be asked without it."""
    (fed,) = feed("mmmu_val", [mmmu_row(image_1=None)], tmp_path)
    assert fed.failure is not None
    assert fed.failure.kind == "media"


def mme_rows(count: int) -> list[dict[str, Any]]:
    """Pairs of questions on one picture."""
    return [
        {"question_id": f"code/{number // 2}.png", "image": picture(number // 2), "category": "code_reasoning",
         "question": f"Is it {number}? Please answer yes or no.", "answer": ["Yes", "No"][number % 2]}
        for number in range(count)
    ]  # fmt: skip


def test_mme_prompt(tmp_path: Path) -> None:
    """The benchmark's own instruction is replaced by the short one."""
    fed = feed("mme", mme_rows(2), tmp_path)
    assert shown(fed[0]) == ["<0>", "Is it 0?\nAnswer the question using a single word or phrase."]
    assert fed[0].sample.groups == {"category": "code_reasoning", "question_id": "code/0.png"}


@pytest.mark.parametrize(("limit", "taken"), [(1.0, 2), (3.0, 4), (4.0, 4), (0.1, 2), (99.0, 10)])
def test_limit_keeps_pairs_whole(tmp_path: Path, limit: float, taken: int) -> None:
    """MME's accuracy+ needs both questions of a picture."""
    assert len(feed("mme", mme_rows(10), tmp_path, limit=limit)) == taken


def test_repeats_and_ids(tmp_path: Path) -> None:
    """Chosen ids are found anywhere in the data."""
    fed = feed("mme", mme_rows(6), tmp_path, sample_ids=frozenset({"code/2.png-5"}), repeats=2)
    assert [one.sample.key for one in fed] == ["mme/code/2.png-5#0", "mme/code/2.png-5#1"]


def test_truncated_parquet_is_one_sentence(tmp_path: Path) -> None:
    """A half-finished download names its file."""
    where = tmp_path / "MME"
    where.mkdir()
    pq.write_table(pa.Table.from_pylist(mme_rows(4)), where / "test-00000-of-00001.parquet")
    content = (where / "test-00000-of-00001.parquet").read_bytes()
    (where / "test-00000-of-00001.parquet").write_bytes(content[: len(content) // 2])
    task = Catalog().load("mme")
    assert isinstance(task, Task)
    with pytest.raises(DataError, match=r"test-00000-of-00001\.parquet.*truncated"):
        open_source(task, tmp_path)


def test_unknown_task_suggests() -> None:
    """A typing slip gets the name that was meant."""
    with pytest.raises(TaskError, match="Did you mean mmmu_val"):
        Catalog().select(["mmmu_vall"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("promt: {}", r"mine\.yaml:\d+: `promt` is not a key here; allowed: .*prompt"),
        ("generation: {max_tokens: -1}", r"mine\.yaml:\d+: `generation\.max_tokens`"),
        ("dataset: {files: a.parquet, hub: b}", "either `hub` or `files`"),
        ("report: mean", r"`report`: Input should be a list"),
        ("foreign: {name: a, version: b, code: c}", "`foreign` is what the program says of a task"),
        ("submission: {file: ../a.json, record: {a: id}}", r"`submission\.file`: give a name without folders"),
        ("submission: {file: a.json, form: map, record: {a: id}}", "fields of the form `map` are `key` and `value`"),
        ("x: [", r"mine\.yaml: line \d+, column \d+: not valid YAML"),
    ],
)
def test_a_mistake_names_file_line_and_key(tmp_path: Path, change: str, says: str) -> None:
    """What, where, what is allowed."""
    smoke = Catalog().load("smoke_yesno").file
    base = smoke.read_text().replace("extends: _smoke.yaml", "benchmark: b\nsource: s\nlicence: l")
    key = change.split(":", maxsplit=1)[0]
    lines = [line for line in base.replace("task: smoke_yesno", "task: mine").splitlines() if not line.startswith(key)]
    (tmp_path / "mine.yaml").write_text("\n".join([*lines, change]))
    with pytest.raises(TaskError, match=says):
        load_file(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"image": "a", "optinal": True}, r"`prompt\.user\.0\.optinal` .*allowed: image, optional, draw"),
        ({"pdf": "a"}, r"`prompt\.user\.0\.pages`: Field required"),
        ({"imag": "a"}, r"`prompt\.user\.0`: a part has the key `text`, `image`, or `pdf`"),
        ("a", r"`prompt\.user\.0`: a part has the key `text`, `image`, or `pdf`"),
    ],
)
def test_a_mistake_in_a_part(tmp_path: Path, part: Any, says: str) -> None:
    """It is told what that part has, not what others lack."""
    mine = HOOKED.replace("{{ question }}", "x").replace('    - text: "x"', f"    - {json.dumps(part)}")
    (tmp_path / "hooked.yaml").write_text(mine)
    with pytest.raises(TaskError, match=says):
        load_file(tmp_path / "hooked.yaml")


def test_a_mistake_in_a_group(tmp_path: Path) -> None:
    """It is told what a group has, not what a task has."""
    (tmp_path / "mine.yaml").write_text("group: mine\nabout: x\ntasks: [a]\nwieght: none\n")
    with pytest.raises(TaskError, match="`wieght` is not a key here; allowed: group, about, tasks, weight, metrics"):
        load_file(tmp_path / "mine.yaml")


FAMILY = """\
task: part_{part}
family: [one, two]
benchmark: b
about: The part {part}.
source: s
licence: l
dataset: {hub: {path: a/b, config: "{part}"}}
choices: "{{ [part, 'x'] }}"
prompt:
  user:
    - text: "{part} of {{part}} and {{ part }}; {{ choices | lettered('({letter}) {text}') }}"
target: a
score: {extract: text}
"""


@pytest.fixture
def parts(tmp_path: Path) -> Catalog:
    """A catalogue with a family of two."""
    (tmp_path / "part_{part}.yaml").write_text(FAMILY)
    return Catalog([tmp_path])


def test_a_family_is_a_task_for_each_value(parts: Catalog) -> None:
    """Which stands in every text of the file, and nowhere in braces of Jinja's; the two are no one's equal."""
    one, two = parts.load("part_one"), parts.load("part_two")
    assert isinstance(one, Task)
    assert isinstance(two, Task)
    assert (one.task, one.about, one.dataset.hub[0].config, one.family) == ("part_one", "The part one.", "one", ())
    assert one.prompt.user[0].text == (  # type: ignore[union-attr]
        "one of {{part}} and {{ part }}; {{ choices | lettered('({letter}) {text}') }}"
    )
    assert one.digest() != two.digest()


@pytest.mark.parametrize("named", ["part_{part}", "part_*", "file", "part_one,part_two"])
def test_a_family_is_chosen(parts: Catalog, tmp_path: Path, named: str) -> None:
    """By its own name, its file, a pattern, or one by one."""
    names = [str(tmp_path / "part_{part}.yaml")] if named == "file" else named.split(",")
    assert [task.task for task in parts.select(names).tasks] == ["part_one", "part_two"]


def test_a_family_is_one_line_of_a_list(parts: Catalog) -> None:
    """Where all of it matches."""
    assert [line_of(found)[:2] for found in parts.listed("part_*")] == [("part_{part}", "2 tasks")]
    assert [line_of(found)[:2] for found in parts.listed("part_o*")] == [("part_one", "?")]
    assert "part_{part}" not in parts.names()


def test_a_file_of_the_name_comes_before_a_family(parts: Catalog, tmp_path: Path) -> None:
    """In the folder that comes first, as with other names."""
    mine = tmp_path / "mine"
    mine.mkdir()
    changed = FAMILY.replace("family: [one, two]\n", "").replace("{part}", "one").replace("The part", "Mine")
    (mine / "part_one.yaml").write_text(changed)
    catalog = Catalog([mine, tmp_path])
    assert [found.about for found in catalog.listed("part_*")] == ["Mine one.", "The part two."]


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("part_{part}", ("family: [one, two]\n", ""), "go together"),
        ("part", ("part_{part}", "part"), "go together"),
        ("part_{part}", ("[one, two]", "[]"), "`family`.*at least 1"),
        ("part_{part}", ("[one, two]", "[../one]"), r"`family\.0`"),
        ("part_{part}", ("task: part_{part}", "task: part_one"), "the name is 'part_one' but the file is"),
    ],
)
def test_a_mistake_in_a_family(tmp_path: Path, name: str, change: tuple[str, str], says: str) -> None:
    """Told as others are."""
    (tmp_path / f"{name}.yaml").write_text(FAMILY.replace(*change))
    with pytest.raises(TaskError, match=says):
        Catalog([tmp_path]).load(name)


def test_hub_in_short() -> None:
    """One path, one mapping, or a list of either."""
    whole = HubSource(path="lmms-lab/MME")
    for value in ("lmms-lab/MME", {"path": "lmms-lab/MME"}, ["lmms-lab/MME"], [whole]):
        assert Dataset.model_validate({"hub": value}).hub == (whole,)


def test_as_list() -> None:
    """Brackets alone do not make a list."""
    assert as_list("['a', 'b']") == ("a", "b")
    assert as_list("[]") == ()
    assert as_list("[x + 1]") == ("[x + 1]",)
    assert as_list("[{[1]: 2}]") == ("[{[1]: 2}]",)
    assert as_list("[" * 9999 + "]" * 9999) == ("[" * 9999 + "]" * 9999,)
    assert as_list(["a", 2]) == ("a", "2")
    assert as_list("plain") == ("plain",)


def test_lists_in_facts_are_had_back() -> None:
    """What `tojson` writes of texts, `as_list` reads, be they of any alphabet."""
    texts = ("a \U0001f600", "'b' & <c>", "é \\ \n", "")
    assert as_list(environment({}).from_string("{{ texts | tojson }}").render(texts=texts)) == texts


HOOKED = """\
task: hooked
benchmark: test
about: A row that YAML alone cannot ask.
source: this test
licence: none
dataset: {files: hooked.jsonl}
id: "{{ id }}"
prompt:
  user:
    - text: "{{ question }}"
target: "{{ answer }}"
score: {extract: text}
hooks: hooks.py
"""


def test_hooks_change_the_row_and_the_digest(tmp_path: Path) -> None:
    """Code beside the YAML prepares each row; another code is another task."""
    (tmp_path / "hooked.yaml").write_text(HOOKED)
    (tmp_path / "hooked.jsonl").write_text('{"id": 1, "question": "2+2", "answer": "4"}\n')
    (tmp_path / "hooks.py").write_text("def prepare(doc):\n    return {**doc, 'question': doc['question'] + '=?'}\n")
    task = Catalog([tmp_path]).load("hooked")
    assert isinstance(task, Task)
    (fed,) = feed_task(task, open_source(task, None), Selection(), lambda _: False)
    assert fed.sample.messages[0].parts == ("2+2=?",)
    before = task.digest()
    (tmp_path / "hooks.py").write_text("def prepare(doc):\n    return doc\n")
    assert task.digest() != before


@pytest.mark.parametrize("name", ["../hooks.py", "/etc/hooks.py", "deeper/hooks.py"])
def test_hooks_come_from_the_named_folder_only(tmp_path: Path, name: str) -> None:
    """The user named the YAML's folder; code from elsewhere does not run."""
    (tmp_path / "hooked.yaml").write_text(HOOKED.replace("hooks.py", name))
    with pytest.raises(TaskError, match="the YAML's own folder"):
        load_file(tmp_path / "hooked.yaml")


def test_files_extended_together(tmp_path: Path) -> None:
    """The later ones win, and a null takes away what they say."""
    smoke = Catalog().load("smoke_yesno").file
    variants = "scoring_variants: {strict: {about: x, score: {extract: text}}}"
    (tmp_path / "base.yaml").write_text(
        smoke.read_text().replace("extends: _smoke.yaml", f"benchmark: b\nsource: s\nlicence: l\n{variants}")
    )
    (tmp_path / "_other.yaml").write_text("about: Other.\ngeneration: {max_tokens: 7}\nscoring_variants: null\n")
    (tmp_path / "mine.yaml").write_text("extends: [base.yaml, _other.yaml]\ntask: mine\n")
    mine = load_file(tmp_path / "mine.yaml")
    assert isinstance(mine, Task)
    assert (mine.about, mine.generation.max_tokens, dict(mine.scoring_variants)) == ("Other.", 7, {})
    (tmp_path / "mine.yaml").write_text("extends: [base.yaml, base.yaml, base.yaml, base.yaml]\ntask: mine\n")
    with pytest.raises(TaskError, match="more than 3 files"):
        load_file(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text("extends: mine.yaml\ntask: mine\n")
    with pytest.raises(TaskError, match="may not extend itself"):
        load_file(tmp_path / "mine.yaml")


@pytest.mark.parametrize("text", ["", "a", "a ``` b", "```\n10\n```", "`" * 50, "~~~"])
def test_a_fenced_text_cannot_end_its_block(text: str) -> None:
    """Whatever backticks it holds."""
    first, *inside, last = fenced(text).split("\n")
    assert (first, "\n".join(inside)) == (last, text)
    assert set(first) == {"`"}
    assert first not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""), ("See [1] and [System of equations].", "See [1] and [System of equations]."),
        ("x [System] y\n[System]", "x [\\System] y\n[\\System]"), ("[ s\ny S\u200btem ]", "[\\ s\ny S\u200btem ]"),
        ("［Ｓｙｓｔｅｍ］", "［\\Ｓｙｓｔｅｍ］"), ("[Ѕуstеm]", "[\\Ѕуstеm]"),
        ("[\\System]", "[\\System]"), ("[" * 3, "[" * 3),
    ],
)  # fmt: skip
def test_a_defused_text_holds_no_marks(text: str, expected: str) -> None:
    """In whatever letters; all else is as it was."""
    assert defused(text, ["[System]"]) == expected


@pytest.mark.parametrize("text", ["``\u200b``", "｀｀｀｀", "``\u2060`\ufe0f`", "````\n```\n`` `"])
def test_a_fence_is_longer_than_what_looks_like_one(text: str) -> None:
    """With what is invisible between, or wide."""
    assert fenced(text).splitlines()[0] == "`" * 5
