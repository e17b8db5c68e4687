"""Runs in the forms of others: the same samples, and lmms-eval's names for what it has, too."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web

from lmms_fast import evaluate, import_responses
from lmms_fast.cli.app import main
from lmms_fast.report.export.formats import export
from lmms_fast.report.export.rows import prompt
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.spec import Task
from tests.catalogue.hub import everything, write
from tests.servers.stand_in import StandIn, answer_to, completion

REAL = Path(__file__).parent / "lmms_eval_0_7_3"
"""What lmms-eval 0.7.3 wrote of two small tasks (`--log_samples`), down to one line and the results' keys."""
NOT_OURS = {"git_branch", "lmms_eval_version", "efficiency", "system_instruction_sha", "fewshot_as_multiturn",
            "chat_template", "chat_template_sha", "start_time", "end_time", "total_evaluation_time_seconds"}
"""What it says of itself, of templates that endpoints apply, and times, which would make equal runs' files differ."""
FORMULA = "=HYPERLINK(\"http://evil\")\x1b[31m"


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def run(tmp_path: Path, stand_in: StandIn) -> Path:
    """Each question twice, by two sets of rules; every seventh request fails for good, one answer is a formula."""

    def behave(number: int, body: dict[str, Any]) -> web.Response | None:
        if number % 7 == 3:
            return web.Response(status=400, text="no")
        return web.json_response(completion(FORMULA if number == 1 else answer_to({"messages": [body, number]})))

    stand_in.behave = behave
    return evaluate("smoke", endpoint=stand_in.url, limit=8, repeats=2, output_dir=tmp_path / "run", concurrency=1,
                    output_format="lmms-eval,parquet,csv").path  # fmt: skip


def test_parquet(run: Path) -> None:
    """A row for each sample and repeat, in order; lists are lists, groups and tokens columns of their own."""
    for task in ("smoke_yesno", "smoke_choice"):
        lines = read(run / f"samples_{task}.jsonl")
        table = pq.read_table(run / "export" / "parquet" / f"samples_{task}.parquet")
        rows = table.to_pylist()
        assert [(row["id"], row["repeat"], row["score"]) for row in rows] == [
            (line["id"], line["repeat"], line["score"]) for line in lines
        ]  # fmt: skip
        for row, line in zip(rows, lines, strict=True):
            assert row["target"] == line["target"]
            assert row["choices"] == line["choices"]
            assert row["outcome"] == line["outcome"]
            assert row["response"] == (line["response"]["text"] if "response" in line else None)
            assert (row["failure_kind"] == "bad_request") is ("failure" in line)
            assert row["prompt"] == prompt(line["messages"])
            assert {name: row[f"groups.{name}"] for name in line["groups"]} == line["groups"]
        assert str(table.schema.field("score").type) == "double"
        assert {row["prompt_tokens"] for row in rows if row["response"] is not None} == {7}


def test_csv(run: Path) -> None:
    """The same rows; nothing is a formula or a command."""
    found = []
    for path in sorted((run / "export" / "csv").iterdir()):
        assert b"\x1b" not in path.read_bytes()
        with path.open(newline="") as file:
            rows = [*csv.DictReader(file)]
        assert len(rows) == len(read(run / f"{path.stem}.jsonl"))
        assert json.loads(rows[0]["target"])
        found += [row["response"] for row in rows]
        assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
    assert found.count("'=HYPERLINK(\"http://evil\")\N{REPLACEMENT CHARACTER}[31m") == 1


def test_lmms_eval(run: Path) -> None:
    """Every key that lmms-eval writes; a line for each question, with its repeats; none for what was not measured."""
    folder = run / "export" / "lmms-eval" / "stand-in"
    [results] = folder.glob("*_results.json")
    ours, real = json.loads(results.read_text()), json.loads((REAL / "results.json").read_text())
    assert set(real) - set(ours) == NOT_OURS
    assert {"model", "model_args", "batch_size", "limit", "gen_kwargs", "random_seed"} == set(ours["config"])
    assert set(ours["config"]) <= set(real["config"])
    assert set(real["usage"]["total"]) == set(ours["usage"]["total"])
    assert results.name.count("_") == 2
    numbers = json.loads((run / "results.json").read_text())
    for task, found in numbers["tasks"].items():
        [file] = folder.glob(f"*_samples_{task}.jsonl")
        assert file.name.removesuffix(f"_samples_{task}.jsonl") == results.name.removesuffix("_results.json")
        lines, theirs = read(file), read(REAL / "samples.jsonl")[0]
        metric = found["aggregates"][0]["metric"]
        assert {*theirs, "doc", "resps", "arguments", metric} - {"exact_match"} - set(lines[0]) == set()
        assert ours["results"][task][f"{metric},none"] == found["aggregates"][0]["value"]
        assert {f"{metric}_stderr,none", "alias"} <= set(ours["results"][task])
        assert ours["higher_is_better"][task] == {metric: True}
        assert ours["n-samples"][task]["effective"] == 16 - found["outcomes"].get("not_measured", 0)
        said = [line["response"]["text"] for line in read(run / f"samples_{task}.jsonl") if "response" in line]
        assert [text for line in lines for text in texts(line["resps"])] == said
        hashes = "".join(f"sample_{number}{line['doc_hash']}" for number, line in enumerate(lines))
        assert ours["task_hashes"][task] == hashlib.sha256(hashes.encode()).hexdigest()
    assert ours["results"]["smoke"]["mean,none"] == numbers["groups"]["smoke"]["value"]


def texts(said: list[Any]) -> list[str]:
    """Of one request, or of several with one response each."""
    return [one if isinstance(one, str) else one[0] for one in said]


def test_what_we_write_we_read(run: Path, tmp_path: Path) -> None:
    """Export and import: the same scores of what was measured, for every task."""
    folder = run / "export" / "lmms-eval" / "stand-in"
    numbers = json.loads((run / "results.json").read_text())["tasks"]
    for task in ("smoke_yesno", "smoke_choice", "smoke_short", "smoke_count"):
        [file] = folder.glob(f"*_samples_{task}.jsonl")
        again = import_responses(file, task, out=tmp_path / task)
        first, found = numbers[task]["aggregates"][0], again.tasks[task].aggregates[0]
        assert (found.value, found.n, found.n_no_answer) == (first["value"], first["n"], first["n_no_answer"])
        measured = {key: count for key, count in numbers[task]["outcomes"].items() if key != "not_measured"}
        assert dict(again.tasks[task].outcomes) == measured


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`export` says what it wrote; `score --output-format` does the same; other names are refused."""
    with pytest.raises(SystemExit) as ended:
        main(["export", str(run), "--format", "parquet", "-o", str(tmp_path / "out")])
    assert ended.value.code == 0
    assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == [
        f"samples_smoke_{kind}.parquet" for kind in ("choice", "yesno", "short", "count")
    ]  # fmt: skip
    before = export(run, "lmms-eval")[0].read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(["score", str(run), "--output-format", "lmms-eval"])
    assert ended.value.code == 0
    assert export(run, "lmms-eval")[0].read_bytes() == before  # of the same answers, the same file
    for words in (["export", str(run), "--format", "xml"], ["score", str(run), "--output-format", "xml"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 1


@pytest.mark.long
def test_every_task_that_has_numbers_comes_back(tmp_path: Path, stand_in: StandIn) -> None:
    """Groups, facts, options, several targets of the whole catalogue: every number, of every category, again."""
    tasks = [name for name in Catalog().names() if isinstance(task := Catalog().load(name), Task) and task.dataset.hub]
    write(tmp_path / "hub", everything().datasets, everything().files)
    result = evaluate(tasks, stand_in.url, data_dir=tmp_path / "hub", output_dir=tmp_path / "run")
    export(result.path, "lmms-eval", tmp_path / "out")
    counted = 0
    for name, task in result.tasks.items():
        [file] = [path for path in (tmp_path / "out").glob("*/*.jsonl") if path.stem.split("_samples_")[1] == name]
        if task.aggregates:
            again = import_responses(file, name, out=tmp_path / "again" / name, data_dir=tmp_path / "hub").tasks[name]
            assert again.aggregates == task.aggregates, name
            counted += 1
    assert counted > 400
