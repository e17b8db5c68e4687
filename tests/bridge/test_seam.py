"""Another evaluator's tasks through the whole pipeline, by a bridge that stands in for one; runs everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lmms_fast import evaluate
from lmms_fast.api import import_responses, rescore
from lmms_fast.cli.app import main
from lmms_fast.errors import TaskError
from lmms_fast.tasks import foreign
from lmms_fast.tasks.catalog import Catalog
from tests.bridge import other
from tests.servers.stand_in import StandIn, completion


@pytest.fixture(autouse=True)
def _bridged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(foreign, "BRIDGES", {"other:": "tests.bridge.other", "gone:": "no_such_module_anywhere"})
    yield
    other.calls.clear()
    other.looked_into.clear()


def answering(number: int, body: dict[str, Any]) -> web.Response | None:
    """By the row that the text names: right, wrong, refused by the server, right."""
    row = int(body["messages"][-1]["content"][0]["text"][4])
    if row == 2:
        return web.json_response({"error": {"message": "this cannot be done"}}, status=400)
    return web.json_response(completion(["yes", "no", "", "yes indeed"][row]))


def test_a_task_of_another_evaluator_from_question_to_score(stand_in: StandIn, tmp_path: Path) -> None:
    """Its turns are sent as they are; its numbers, remarks and files are the result; a failure does not reach it."""
    stand_in.behave = answering
    result = evaluate("other:one", stand_in.url, output_dir=tmp_path / "run", max_failures=1)
    # They may arrive in any order.
    system, user = min((body["messages"] for body in stand_in.asked), key=lambda turns: turns[-1]["content"][0]["text"])
    assert system == {"role": "system", "content": "Be brief."}
    assert [part.get("text", part["type"]) for part in user["content"]] == ["Row 0: ", "image_url", " is it so? "]
    (answers, asked, data_dir, folder), = other.calls
    assert [one.text for one in answers] == ["yes", "no", "yes indeed"]
    assert (asked, data_dir, folder) == (4, None, tmp_path / "run")
    found = result.tasks["other:one"]
    assert found.outcomes == {"correct": 1, "wrong": 1, "not_measured": 1, "together": 1}
    assert [(one.metric, one.value, one.n, one.n_failed) for one in found.aggregates] == [
        ("share", 0.5, 3, 1), ("words", 15, 3, 1)]  # fmt: skip
    written = json.loads((tmp_path / "run" / "results.json").read_text())["tasks"]["other:one"]
    assert written["beside"] == {"remark": {"kept": "as it is"}}
    assert written["files"] == ["handed in.txt"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "samples_other:one.jsonl").read_text().splitlines()]
    assert [line["score"] for line in lines] == [1.0, 0.0, None, None]
    assert lines[0]["prediction"] == {"answer": "yes", "rule": "other"}


def test_scored_again(stand_in: StandIn, tmp_path: Path) -> None:
    """`score RUN` gives the same file. It looks for code in no folder that only the run's own files name."""
    (tmp_path / "own").mkdir()
    evaluate("other:one", stand_in.url, output_dir=tmp_path / "run", include_path=[tmp_path / "own"])
    before = (tmp_path / "run" / "results.json").read_bytes()
    assert other.looked_into[-1] == (tmp_path / "own",)
    rescore(tmp_path / "run")
    assert (tmp_path / "run" / "results.json").read_bytes() == before
    assert other.looked_into[-1] == ()


def test_its_repeats_and_groups(stand_in: StandIn, tmp_path: Path) -> None:
    """A task may want each question several times; a group names the numbers that are averaged."""
    stand_in.behave = lambda number, body: web.json_response(completion("yes"))
    result = evaluate("other:both", stand_in.url, output_dir=tmp_path / "run")
    assert result.samples == 4 + 2 * 4
    assert {name: one.value for name, one in result.groups.items()} == {"other:both": 1.0, "other:both words": 18.0}


def test_cut_off_answers_are_scored_with_the_others(stand_in: StandIn, tmp_path: Path) -> None:
    """Asked again with more room: all answers together a second time, into a folder of its own."""

    def behave(number: int, body: dict[str, Any]) -> web.Response:
        content = completion("yes")
        if body["max_tokens"] != 99:
            content["choices"][0] |= {"finish_reason": "length", "message": {"role": "assistant", "content": "n"}}
        return web.json_response(content)

    stand_in.behave = behave
    result = evaluate("other:one", stand_in.url, output_dir=tmp_path / "run", retry_truncated=99)
    found = result.tasks["other:one"]
    assert found.longer is not None
    assert [found.aggregates[0].value, found.longer.aggregates[0].value] == [0.0, 1.0]
    assert [folder.name for *_, folder in other.calls] == ["run", "longer"]


def test_answers_made_elsewhere(tmp_path: Path) -> None:
    """Taken in by their ids, in any order, and scored by the evaluator's code."""
    rows = [{"id": number, "response": text} for number, text in ((2, "no"), (0, "yes"))]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = import_responses(tmp_path / "answers.jsonl", "other:one", out=tmp_path / "run", data_dir=tmp_path)
    (answers, asked, data_dir, _), = other.calls
    assert {one.id: one.text for one in answers} == {"0": "yes", "2": "no"}
    assert (asked, data_dir) == (2, tmp_path)
    assert result.score("other:one") == 0.5


def test_names_and_wildcards(capsys: pytest.CaptureFixture[str]) -> None:
    """Found by wildcards too, shown and checked like any task."""
    chosen = Catalog().select(["other:t*"])
    assert [task.task for task in chosen.tasks] == ["other:two"]
    with pytest.raises(SystemExit, match="0"):
        main(["tasks", "check", "other:one", "--limit", "1"])
    assert "[system]\nBe brief.\n[user]\nRow 0: \n<picture: image/png 8×8" in capsys.readouterr().out


def test_an_evaluator_that_is_not_installed(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, what to do, exit code 1."""
    with pytest.raises(TaskError, match=r"^gone:x: gone cannot be used here \(No module named .*; `pip install gone`"):
        Catalog().load("gone:x")
    with pytest.raises(SystemExit, match="1"):
        main(["eval", "--tasks", "gone:x", "--endpoint", "http://127.0.0.1:9"])
    assert capsys.readouterr().err.count("\n") == 1


def test_a_prompt_is_parts_or_turns() -> None:
    """Never both, never neither; a turn of nobody is refused."""
    from lmms_fast.tasks.render import MediaMissing, Renderer
    from lmms_fast.tasks.spec import Prompt

    for wrong in ({}, {"user": [{"text": "x"}], "turns": "messages"}):
        with pytest.raises(ValueError, match="give `user`"):
            Prompt.model_validate(wrong)
    task = other.load("other:one", ())
    turn = {"role": "judge", "content": "x"}
    with pytest.raises(TaskError, match="a turn of 'judge'"):
        Renderer(task).render({"messages": [turn], "target": []}, 0, None)  # type: ignore[arg-type]
    turn = {"role": "user", "content": [{"text": "x"}, {"missing": "it is cut off"}]}
    with pytest.raises(MediaMissing, match="it is cut off"):
        Renderer(task).render({"messages": [turn], "target": []}, 0, None)  # type: ignore[arg-type]
    replaced = Renderer(task).render(next(other.docs()), 0, None, system_prompt="Be long.")  # type: ignore[arg-type]
    assert [(one.role, one.parts[0]) for one in replaced.messages] == [("system", "Be long."), ("user", "Row 0: ")]
