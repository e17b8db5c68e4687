"""Data files without a task file: what they are taken for, written down and run."""

from __future__ import annotations

import base64
import csv
import io
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lmms_fast import evaluate
from lmms_fast.api import rescore
from lmms_fast.data.feed import Fed, Selection, feed_task
from lmms_fast.data.source import open_source
from lmms_fast.errors import TaskError
from lmms_fast.report.verdict import rules_of
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.draft import draft
from lmms_fast.tasks.guess import Guess, guess_file
from lmms_fast.tasks.spec import Task, load_file
from lmms_fast.types import Media
from tests.servers.stand_in import StandIn

Rows = list[dict[str, Any]]


def png(shade: int) -> bytes:
    """A picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", (9, 7), (shade, 0, 0)).save(out, "PNG")
    return out.getvalue()


def text(shade: int) -> str:
    """The same as base64."""
    return base64.b64encode(png(shade)).decode()


def write(path: Path, rows: Rows) -> Path:
    """A data file of the kind that its name says."""
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".json":
            path.write_text(json.dumps(rows))
        case kind:
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0], delimiter="\t" if kind == ".tsv" else ",")
                writer.writeheader()
                writer.writerows(rows)
    return path


def feed(task: Task) -> list[Fed]:
    """Its samples."""
    return list(feed_task(task, open_source(task, None), Selection(), lambda _: False))


def shown(fed: Fed) -> list[str]:
    """Parts of the turn, pictures by their shade."""
    return [f"<{Image.open(io.BytesIO(part.read())).getpixel((0, 0))[0]}>"  # type: ignore[index]
            if isinstance(part, Media) else part for part in fed.sample.messages[-1].parts]  # fmt: skip


def guessed(path: Path) -> tuple[Guess, list[Fed]]:
    """What a file is taken for, and its samples; the same is had of the task file that is written of it."""
    guess = guess_file(path)
    rules_of(guess.task)
    fed = feed(guess.task)
    assert [one.failure for one in fed if one.failure] == []
    written = path.parent / f"{guess.task.task}.yaml"
    written.write_text(draft(guess, written))
    task = load_file(written)
    assert isinstance(task, Task)
    assert task.model_dump(exclude={"file"}) == guess.task.model_dump(exclude={"file"})
    assert [one.sample for one in feed(task)] == [one.sample for one in fed]
    return guess, fed


def circular() -> Rows:
    """A file of VLMEvalKit: two options and four, two rotations, pictures that other rows hold."""
    rows: Rows = []
    for index in range(4):
        rows.append({
            "index": index, "question": f"What is {index}?", "hint": "Look." if index == 0 else "",
            "A": "one", "B": "two", "C": "three" if index else "", "D": "four" if index else "",
            "answer": "ABCA"[index],
            "category": "xy"[index % 2], "l2-category": "pq"[index // 2],
            "image": "0" if index == 1 else text(10 + index), "split": "dev",
        })  # fmt: skip
    turned = [{**row, "index": 1_000_000 + row["index"], "A": row["B"], "B": row["A"], "image": str(row["index"] or 0)}
              for row in rows]  # fmt: skip
    for row in turned:
        row["answer"] = {"A": "B", "B": "A"}.get(row["answer"], row["answer"])
        row["image"] = "0" if row["image"] == "1" else row["image"]
    return rows + turned


def test_a_file_of_vlmevalkit(tmp_path: Path) -> None:
    """Base64 pictures shared by index, options in columns, rotations that count together, breakdowns."""
    guess, fed = guessed(write(tmp_path / "MyBench.tsv", circular()))
    assert guess.lines == (
        "rows: 8",
        "question: column question",
        "pictures: image (base64); a cell may be the index of the row with the picture",
        "options: columns A–D",
        "answer: column answer, the letter",
        "scored: letter",
        "before the question: column hint",
        "id: column index; circular: rows 1,000,000 apart are one question, right if all are; "
        "3 of 4 lack rotations and do not count",
        "by: category, l2_category",
    )
    assert shown(fed[0]) == ["<10>", "Look.\nWhat is 0?\nA. one\nB. two\n"
                             "Answer with the option's letter from the given choices directly."]  # fmt: skip
    assert [shown(one)[0] for one in fed] == ["<10>", "<10>", "<12>", "<13>"] * 2
    assert [one.sample.target for one in fed] == [("A",), ("B",), ("C",), ("A",), ("B",), ("A",), ("C",), ("B",)]
    assert fed[5].sample.groups == {
        "category": "y", "l2_category": "p", "circular_id": "1", "rotations": "4", "vanilla": "0"
    }  # fmt: skip
    assert len(list(feed_task(guess.task, open_source(guess.task, None), Selection(limit=2.0), lambda _: False))) == 2


LETTERED = [{"question": f"q{n}", "options": ["red", "blue", "green"], "answer": "ABC"[n % 3]} for n in range(4)]


def changed(**columns: Any) -> Rows:
    """The rows above with columns given as lists, or taken away with None."""
    return [{name: value for name, value in {**row, **{key: values[n] for key, values in columns.items()
                                                       if values is not None}}.items()
             if name not in columns or columns[name] is not None} for n, row in enumerate(LETTERED)]  # fmt: skip


@pytest.mark.parametrize("kind", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    """Options as a list, or as the text that spells one."""
    _, fed = guessed(write(tmp_path / f"mine{kind}", LETTERED))
    assert [one.sample.choices for one in fed] == [("red", "blue", "green")] * 4
    assert [one.sample.target for one in fed] == [("A",), ("B",), ("C",), ("A",)]


@pytest.mark.parametrize(
    ("answers", "line"),
    [
        (["A", "B", "C", "A"], "the letter"),
        (["(A)", "b", "C.", "a"], "the letter"),
        (["red", "blue", "green", "red"], "the option's text"),
        ([" red", "blue ", "green", "red"], "the option's text"),
        ([0, 1, 2, 0], "the option's number from 0"),
        (["1", "2", "3", "1"], "the option's number from 1"),
    ],
)
def test_how_the_right_option_is_named(tmp_path: Path, answers: list[Any], line: str) -> None:
    """Always the same targets."""
    guess, fed = guessed(write(tmp_path / "mine.jsonl", changed(answer=answers)))
    assert f"answer: column answer, {line}" in guess.lines
    assert [one.sample.target for one in fed] == [("A",), ("B",), ("C",), ("A",)]


@pytest.mark.parametrize(
    ("answers", "scored", "targets"),
    [
        (["yes", "no", "yes", "no"], "yes or no", ["yes", "no", "yes", "no"]),
        (["Yes.", "No", "YES", "no"], "yes or no", ["yes", "no", "yes", "no"]),
        ([True, False, True, True], "yes or no", ["yes", "no", "yes", "yes"]),
        ([3, 4, 0, 12], "the first number", ["3", "4", "0", "12"]),
        (["a dog", "3.5", "x", "y"], "first line, exact but for capitals", ["a dog", "3.5", "x", "y"]),
    ],
)
def test_open_answers(tmp_path: Path, answers: list[Any], scored: str, targets: list[str]) -> None:
    """The rule follows from what all answers are."""
    guess, fed = guessed(write(tmp_path / "mine.jsonl", changed(options=None, answer=answers)))
    assert f"scored: {scored}" in guess.lines
    assert [one.sample.target for one in fed] == [(target,) for target in targets]


def test_several_accepted_answers(tmp_path: Path) -> None:
    """Any of a list is right."""
    guess, fed = guessed(write(tmp_path / "mine.csv", changed(options=None, answer=["['a', 'b']", "c", "['d']", "e"])))
    assert "answer: column answer, any of the list" in guess.lines
    assert [one.sample.target for one in fed] == [("a", "b"), ("c",), ("d",), ("e",)]


def test_withheld_answers(tmp_path: Path) -> None:
    """None in the file, or none in some rows: asked, kept, not scored, and said."""
    guess, fed = guessed(write(tmp_path / "mine.csv", changed(options=None, answer=None)))
    assert "answer: none in the file; responses are kept and not scored" in guess.lines
    assert fed[0].sample.target == ()
    assert shown(fed[0]) == ["q0"]
    guess, fed = guessed(write(tmp_path / "part.csv", changed(options=None, answer=["x", "", "nan", "y"])))
    assert "answer: column answer; 2 rows have none and are not scored" in guess.lines
    assert [one.sample.target for one in fed] == [("x",), (), (), ("y",)]


def test_columns_that_pandas_left_empty(tmp_path: Path) -> None:
    """Its nan is no option and no hint."""
    rows = [{"Question": "q", "A": "x", "B": "y", "C": "nan" if n else "z", "Answer": "A", "hint": "nan" if n else "h"}
            for n in range(3)]  # fmt: skip
    _, fed = guessed(write(tmp_path / "mine.tsv", rows))
    assert [one.sample.choices for one in fed] == [("x", "y", "z"), ("x", "y"), ("x", "y")]
    assert [shown(one)[0].startswith("h\n") for one in fed] == [True, False, False]


def test_columns_that_some_rows_lack(tmp_path: Path) -> None:
    """JSON lines may leave out what is empty."""
    rows: Rows = [{"question": "q", "A": "x", "B": "y", "C": "z", "hint": "h", "answer": "C"},
                  {"question": "q", "A": "x", "B": "y", "answer": "B"}]  # fmt: skip
    _, fed = guessed(write(tmp_path / "mine.jsonl", rows))
    assert [one.sample.choices for one in fed] == [("x", "y", "z"), ("x", "y")]


def test_pictures_of_every_kind(tmp_path: Path) -> None:
    """Bytes, the hub's records, lists, several columns, paths beside the file, base64 in a list that is spelled."""
    (tmp_path / "p").mkdir()
    for shade in range(4):
        (tmp_path / "p" / f"{shade}.png").write_bytes(png(shade))
    kinds: dict[str, tuple[str, dict[str, list[Any]], str]] = {
        "bytes": (".parquet", {"image": [png(n) for n in range(4)]}, "image (bytes)"),
        "hub": (".parquet", {"image": [{"bytes": png(n), "path": None} for n in range(4)]}, "image (bytes)"),
        "lists": (".parquet", {"images": [[{"bytes": png(n), "path": None}] for n in range(4)]}, "images (bytes)"),
        "paths": (".csv", {"image_path": [f"p/{n}.png" for n in range(4)]}, "image_path (files beside it)"),
        "spelled": (".tsv", {"image": [f"['{text(n)}']" for n in range(4)]}, "image (base64)"),
        "data_url": (".jsonl", {"x": [f"data:image/png;base64,{text(n)}" for n in range(4)]}, "x (base64)"),
    }
    for name, (kind, columns, line) in kinds.items():
        guess, fed = guessed(write(tmp_path / f"{name}{kind}", changed(**columns)))
        assert f"pictures: {line}" in guess.lines, name
        assert [shown(one)[0] for one in fed] == ["<0>", "<1>", "<2>", "<3>"], name
    missing = {"image_1": [png(1)] * 4, "image_2": [png(2), None, None, png(2)]}
    guess, fed = guessed(write(tmp_path / "several.parquet", changed(**missing)))
    assert "pictures: image_1, image_2 (bytes)" in guess.lines
    assert [len(shown(one)) for one in fed] == [3, 2, 2, 3]
    asked = ["<image 2> or <image 1>?", "<image 1>", "see <image 1>", "<image 1>"]
    guess, fed = guessed(write(tmp_path / "placed.parquet", changed(**missing, question=asked)))
    assert shown(fed[0])[:3] == ["<2>", "or", "<1>"]


def test_two_pictures_in_a_cell(tmp_path: Path) -> None:
    """VLMEvalKit spells a list."""
    rows = changed(image=[f"['{text(n)}', '{text(n + 1)}']" for n in range(4)], index=[4, 5, 6, 7])
    _, fed = guessed(write(tmp_path / "mine.tsv", rows))
    assert shown(fed[1])[:2] == ["<1>", "<2>"]


def test_a_folder_of_classes(tmp_path: Path) -> None:
    """Each picture's folder is its class."""
    for number, name in enumerate(["cat", "cat", "dog", "emu"]):
        (tmp_path / "animals" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "animals" / name / f"{number}.png").write_bytes(png(number))
    guess, fed = guessed(tmp_path / "animals")
    assert "options: the classes, cat, dog, emu" in guess.lines
    assert [(one.sample.id, one.sample.target) for one in fed] == [
        ("cat/0.png", ("A",)), ("cat/1.png", ("A",)), ("dog/2.png", ("B",)), ("emu/3.png", ("C",)),
    ]  # fmt: skip
    assert [shown(one)[0] for one in fed] == ["<0>", "<1>", "<2>", "<3>"]
    assert fed[2].sample.groups == {"class": "dog"}
    (tmp_path / "splits" / "train" / "cat").mkdir(parents=True)
    with pytest.raises(TaskError, match="name the folder of one of them"):
        guess_file(tmp_path / "splits")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskError, match=r"class/picture\.jpg"):
        guess_file(tmp_path / "empty")


def test_a_folder_with_metadata(tmp_path: Path) -> None:
    """Its file names the pictures; labels without a question are classes."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for shade in range(4):
        (folder / f"{shade}.png").write_bytes(png(shade))
    names = [f"{n}.png" for n in range(4)]
    write(folder / "metadata.jsonl", changed(file_name=names))
    guess = guess_file(folder)
    assert guess.task.task == "mine"
    assert [shown(one)[0] for one in feed(guess.task)] == ["<0>", "<1>", "<2>", "<3>"]
    write(folder / "metadata.jsonl", changed(file_name=names, question=None, options=None, answer=None,
                                             label=["x", "y", "x", "y"]))  # fmt: skip
    assert [one.sample.target for one in feed(guess_file(folder).task)] == [("A",), ("B",), ("A",), ("B",)]


def test_many_classes_are_named(tmp_path: Path) -> None:
    """More than there are letters."""
    for number in range(30):
        (tmp_path / "many" / f"class{number}").mkdir(parents=True)
        (tmp_path / "many" / f"class{number}" / "0.png").write_bytes(png(number))
    _, fed = guessed(tmp_path / "many")
    assert fed[0].sample.target == ("class0",)
    assert "class29" in shown(fed[0])[1]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"question": None}, "no column is called question"),
        ({"question": None, "messages": ["x"] * 4}, "it looks like a chat"),
        ({"question": ["q", "", "q", "q"]}, "row 1 has no question"),
        ({"doc": ["x"] * 4, "l2-category": list("xyxy")}, "a column is called doc"),
        ({"question": [1, 2, 3, 4]}, "holds '1' in row 0, which is no text"),
        ({"options": [["x", "y"], [], ["x", "y"], ["x", "y"]]}, "row 1 has no options while others have"),
        ({"options": [["x", "y"]] * 4, "A": ["x"] * 4, "B": ["y"] * 4}, "options are in the columns A, B and in"),
        ({"answer": ["A", "B", "pink", "A"]}, "the answer 'pink' of row 2 is neither the letter of an option nor"),
        ({"answer": [1, 2, 1, 2]}, "whether options are counted from 0, from 1"),
        ({"answer": [["A", "B"], ["A"], ["A"], ["A"]]}, "where several are right, say whether any of them counts"),
        ({"options": [["B", "A", "C"]] * 4}, "the letter of one option and the text of another"),
        ({"options": None, "answer": [[{"answer": "x"}]] * 4}, r"map\(attribute='answer'\)"),
        ({"image": ["somewhere"] * 4}, "'somewhere', which is neither a picture nor the index of a row"),
        ({"image": ["gone.png"] * 4}, "names 'gone.png', which is not beside the file"),
        ({"options": None, "A": ["x"] * 4, "B": ["y", None, "y", "y"], "C": ["z"] * 4}, "row 1 has no option B but"),
        ({"x": [text(1)] * 4, "y": [text(2)] * 4}, "columns x, y hold pictures"),
    ],
)
def test_what_is_not_guessed(tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    """One sentence: the file, what is in doubt, what to write."""
    with pytest.raises(TaskError, match=says) as caught:
        guess_file(write(tmp_path / "mine.jsonl", changed(**columns)))
    assert str(caught.value).startswith(str(tmp_path / "mine.jsonl"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("mine.tsv", "", "has no rows"),
        ("mine.tsv", "question\tanswer\n", "has no rows"),
        ("mine.csv", "question,answer\na,b,c\n", "line 2 has 3 cells, the first line 2"),
        ("mine.csv", "question,answer\na,b\n\"c,d\ne,f\n", "a quotation mark in line 3 is not closed"),
        ("mine.jsonl", "{", "cannot be read as .jsonl"),
        ("mine.jsonl", "[1]\n", "row 0 is no object"),
        ("mine.json", "{", "cannot be read as .json"),
        ("mine.parquet", "what", "cannot be read as .parquet"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: str, says: str) -> None:
    """One sentence each."""
    (tmp_path / name).write_text(content)
    with pytest.raises(TaskError, match=says):
        guess_file(tmp_path / name)


def test_cells_of_several_lines(tmp_path: Path) -> None:
    """Quotation marks, empty lines and the end of the file without one; a picture is found behind them."""
    (tmp_path / "mine.tsv").write_text(
        'index\tquestion\tanswer\timage\r\n0\t"one ""1""\nand\n\nmore"\ta\t' + text(7) + "\r\n\r\n"
        '1\t5" wide\t"b"\t0\n2\t"two"\tc\t"' + text(9) + '"\n3\tq\td\t2'
    )
    _, fed = guessed(tmp_path / "mine.tsv")
    asked = [(shown(one)[0], shown(one)[1].rpartition("\n")[0], one.sample.target[0]) for one in fed]
    assert asked == [("<7>", 'one "1"\nand\n\nmore', "a"), ("<7>", '5" wide', "b"), ("<9>", "two", "c"),
                     ("<9>", "q", "d")]  # fmt: skip


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """Latin-1 is said to be unreadable, not guessed."""
    (tmp_path / "mine.csv").write_bytes("question,answer\nà,b\n".encode("latin-1"))
    with pytest.raises(TaskError, match="cannot be read"):
        guess_file(tmp_path / "mine.csv")


def test_a_mark_at_the_beginning(tmp_path: Path) -> None:
    """Excel's; no part of the first column's name."""
    (tmp_path / "mine.csv").write_bytes(b"\xef\xbb\xbfquestion,answer\r\nq,a\r\nr,b\r\n")
    _, fed = guessed(tmp_path / "mine.csv")
    assert [one.sample.target for one in fed] == [("a",), ("b",)]


NAMES = ["question", "answer", "answers", "options", "choices", "A", "B", "C", "image", "image_1", "image_2", "hint",
         "index", "id", "category", "l2-category", "label", "text", "doc", "row", "class", "None", "", "é", "a b"]
CELLS = [None, "", "nan", "A", "B", "yes", "No", 0, 1, 2, 1_000_001, 3.5, float("nan"), True, [], ["x", "y"], ["A"],
         "['x', 'y']", "[x", "x", "y", {"a": 1}, {"A": "x", "B": "y"}, text(1), [text(2)], "a.png", "http://x/y.png",
         "<image 1> hi", "{{ 1 }}", "{% if %}", "\ud83d", "'", '"\n', "\0", "x" * 200, 10**30, -1]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_anything(tmp_path: Path, seed: int) -> None:
    """A task whose every sample is made, or one sentence; whatever the columns are called and hold."""
    dice = random.Random(seed)
    made, refusals = 0, []
    for _ in range(100):
        names = ["question"] * (dice.random() < 0.9) + dice.sample(NAMES, dice.randint(0, 5))
        pools = {name: dice.sample(CELLS, dice.randint(1, 3)) for name in names}
        if dice.random() < 0.8:
            pools["question"] = ["q", "what <image 1>?"]
        rows = [{name: dice.choice(pool) for name, pool in pools.items() if dice.random() < 0.97} for _ in range(3)]
        (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        try:
            guess = guess_file(tmp_path / "mine.jsonl")
        except TaskError as error:
            refusals.append(str(error))
            continue
        made += len(feed(guess.task))
        (tmp_path / "mine.yaml").write_text(draft(guess, tmp_path / "mine.yaml"))
        written = load_file(tmp_path / "mine.yaml")
        assert written.model_dump(exclude={"file"}) == guess.task.model_dump(exclude={"file"})
    assert made > 20
    assert [one for one in refusals if "\n" in one] == []


def lmms_fast(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a folder."""
    return subprocess.run([sys.executable, "-m", "lmms_fast.cli.app", *words], capture_output=True, text=True,
                          check=False, cwd=cwd)  # fmt: skip


def test_rotations_that_never_make_a_circle(tmp_path: Path) -> None:
    """Rows that no question has all of are questions of their own."""
    guess, fed = guessed(write(tmp_path / "MyBench.tsv", [{**row, "C": "three", "D": "four"} for row in circular()]))
    assert "but no question has as many as options: each row counts by itself" in guess.lines[-2]
    assert [step.name for step in guess.task.report] == ["mean"]
    assert "circular_id" not in fed[0].sample.groups


def test_evaluated_continued_and_scored_again(tmp_path: Path, stand_in: StandIn) -> None:
    """By a relative name; later from another folder, and scored without the data."""
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "mine.tsv", circular())
    run = tmp_path / "run"
    done = lmms_fast("eval", "--tasks", "mine.tsv", "--endpoint", stand_in.url, "--limit", "4", "-o", str(run),
                     "--json", cwd=tmp_path / "data")  # fmt: skip
    assert done.returncode == 0, done.stderr
    notices = [line["text"] for line in map(json.loads, done.stdout.splitlines()) if line["event"] == "Notice"]
    assert "question: column question" in notices[0]
    assert len(stand_in.asked) == 4
    again = lmms_fast("resume", str(run), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(stand_in.asked) == 4
    before = (run / "results.json").read_bytes()
    (tmp_path / "data" / "mine.tsv").rename(tmp_path / "elsewhere.tsv")
    assert rescore(run).tasks.keys() == {"mine"}
    assert (run / "results.json").read_bytes() == before
    gone = lmms_fast("resume", str(run), cwd=tmp_path)
    assert gone.returncode == 1
    assert "no such file" in gone.stderr


def test_two_of_one_name(tmp_path: Path) -> None:
    """Neither is left out silently."""
    for kind in ("csv", "jsonl"):
        write(tmp_path / f"mine.{kind}", LETTERED)
    with pytest.raises(TaskError, match="both called 'mine'"):
        Catalog().select([str(tmp_path / "mine.csv"), str(tmp_path / "mine.jsonl")])


def test_a_folder_with_pictures_is_evaluated(tmp_path: Path, stand_in: StandIn) -> None:
    """From Python too."""
    for number, name in enumerate(["cat", "dog"]):
        (tmp_path / "animals" / name).mkdir(parents=True)
        (tmp_path / "animals" / name / "0.png").write_bytes(png(number))
    result = evaluate(str(tmp_path / "animals"), stand_in.url, output_dir=tmp_path / "run")
    assert result.samples == 2


def test_new_writes_once(tmp_path: Path) -> None:
    """And what is there stays."""
    write(tmp_path / "my data.tsv", circular())
    done = lmms_fast("tasks", "new", "my data.tsv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "options: columns A–D" in done.stdout
    assert isinstance(load_file(tmp_path / "my_data.yaml"), Task)
    before = (tmp_path / "my_data.yaml").read_text()
    assert all(f"\n# {word}" in before for word in ("The right answer", "What is sent", "`extract` finds"))
    done = lmms_fast("tasks", "new", "my data.tsv", cwd=tmp_path)
    assert done.returncode == 1
    assert "is not overwritten" in done.stderr
    assert (tmp_path / "my_data.yaml").read_text() == before
    (tmp_path / "sub").mkdir()
    assert lmms_fast("tasks", "new", "my data.tsv", "--out", "sub/other.yaml", cwd=tmp_path).returncode == 0
    other = load_file(tmp_path / "sub" / "other.yaml")
    assert isinstance(other, Task)
    assert other.dataset.files == ("../my data.tsv",)
    assert len(feed(other)) == 8
    shown = lmms_fast("tasks", "check", "sub/other.yaml", "--limit", "1", cwd=tmp_path)
    assert "What is 0?" in shown.stdout
    shown = lmms_fast("tasks", "show", "my data.tsv", cwd=tmp_path)
    assert "# my_data, as guessed from my data.tsv" in shown.stdout
