"""tasks/README.md: its examples are loaded and evaluated, its names exist, its table is up to date."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmms_fast import evaluate
from lmms_fast.data.feed import Selection, feed_task
from lmms_fast.data.source import open_source
from lmms_fast.errors import UsageError
from lmms_fast.metrics.tables import AGGREGATORS, EXTRACTORS, MATCHERS, READERS
from lmms_fast.report.verdict import rules_of
from lmms_fast.tasks.catalog import Catalog, bundled_dir
from lmms_fast.tasks.page import END, MARK, markdown_table, write_table
from lmms_fast.tasks.rubric import Asker
from lmms_fast.tasks.spec import Group, Task, load_file
from tests.catalogue.hub import picture, write
from tests.servers.stand_in import StandIn, completion

PAGE = bundled_dir() / "README.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced examples."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


EXAMPLE, *MORE = blocks("yaml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The example as a file, and its data as a copy of the hub's."""
    (tmp_path / "road_signs.yaml").write_text(EXAMPLE)
    rows: list[dict[str, Any]] = [
        {"id": f"s{n}", "image": picture(f"sign {n}"), "question": f"What does sign {n} mean?",
         "options": ["stop", "go", "turn", "wait"], "answer": "ABCD"[n % 4], "country": ["NO", "PT"][n % 2]}
        for n in range(8)
    ]  # fmt: skip
    write(tmp_path / "data", {("acme/road-signs", None, "test"): rows}, {})
    return tmp_path


def test_a_benchmark_in_25_lines(folder: Path, stand_in: StandIn) -> None:
    """The first example, evaluated on an endpoint that always says B."""
    assert len(EXAMPLE.splitlines()) <= 25
    stand_in.behave = lambda number, body: _says("B")
    result = evaluate("road_signs", stand_in.url, include_path=[folder], data_dir=folder / "data",
                      output_dir=folder / "run")  # fmt: skip
    assert result.samples == 8
    assert [(one.metric, one.group, one.value) for one in result.tasks["road_signs"].aggregates] == [
        ("accuracy", None, 0.25), ("accuracy", "country=NO", 0.0), ("accuracy", "country=PT", 0.5),
    ]  # fmt: skip
    # They may arrive in any order.
    asked = min((body["messages"][-1]["content"] for body in stand_in.asked), key=lambda parts: parts[1]["text"])
    assert [part["type"] for part in asked] == ["image_url", "text"]
    assert asked[1]["text"] == ("What does sign 0 mean?\nA. stop\nB. go\nC. turn\nD. wait\n"
                                "Answer with the option's letter from the given choices directly.")  # fmt: skip


def _says(text: str) -> Any:
    from aiohttp import web

    return web.json_response(completion(text))


@pytest.mark.parametrize("block", MORE, ids=[block.split(":", 1)[0] for block in MORE])
def test_every_other_example(folder: Path, block: str) -> None:
    """As a change of the first: it is loaded, its rules exist, its samples are made."""
    (folder / "road_signs_hooks.py").write_text(blocks("python")[0])
    (folder / "more.yaml").write_text(f"extends: road_signs.yaml\ntask: more\n{block}")
    task = load_file(folder / "more.yaml")
    assert isinstance(task, Task)
    for variant in ("default", *task.prompt_variants):
        rules_of(task.prompted_by(variant))
        source = open_source(task, folder / "data")
        fed = list(feed_task(task.prompted_by(variant), source, Selection(), lambda _: False))
        assert len(fed) == 8
    if task.score.judge:
        Asker(task)


def test_the_examples_show_what_the_text_is_about() -> None:
    """One for each of them."""
    shown = {key for block in MORE for key in yaml.safe_load(block)}
    assert shown == {"scoring_variants", "prompt_variants", "score", "target", "submission", "hooks"}


def test_every_key_is_there() -> None:
    """What a task file may say."""
    declared = {name for name, field in Task.model_fields.items() if field.init is not False} - {"file"}
    declared |= Group.model_fields.keys() - {"file", "metrics"}
    assert sorted(name for name in declared if f"`{name}`" not in TEXT) == []


def test_every_rule_that_is_named_exists() -> None:
    """In the lines that begin with what they list."""
    for kind, table in (("extract", EXTRACTORS), ("match", MATCHERS), ("report", AGGREGATORS)):
        line = re.search(rf"^- {kind}: (.*?)(?=^-|^$)", TEXT, re.DOTALL | re.MULTILINE)
        assert line is not None
        assert {*re.findall(r"`(\w+)`", line[1])} <= {*table}
    readers = re.search(r"into a score \((.*?)\).*?compares \((.*?)\)", TEXT, re.DOTALL)
    assert readers is not None
    assert {*re.findall(r"`(\w+)`", readers[1] + readers[2])} <= {*READERS}


def test_the_table_is_up_to_date() -> None:
    """`lmms-fast tasks list --markdown --into tasks/README.md` writes it."""
    table = TEXT.partition(MARK)[2].partition(END)[0]
    assert table == markdown_table(Catalog().listed()) + "\n"


def test_a_table_is_written_between_the_marks(tmp_path: Path) -> None:
    """Once and again; a file without marks stays as it is."""
    page = tmp_path / "page.md"
    page.write_text(f"a\n{MARK}old\n{END}\nb\n")
    for table in ("| new |", "| newer |"):
        write_table(page, table)
        assert page.read_text() == f"a\n{MARK}{table}\n{END}\nb\n"
    page.write_text("nothing")
    with pytest.raises(UsageError, match="to write between"):
        write_table(page, "x")
    assert page.read_text() == "nothing"
