"""All judged tasks of the catalogue in one run, by a judge whose replies are the best there are, and by one with the
worst."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web

from lmms_fast import evaluate
from lmms_fast.journal.records import sample_record
from lmms_fast.metrics import extracted
from lmms_fast.report.result import RunResult
from lmms_fast.report.verdict import rules_of
from lmms_fast.tasks.rubric import Asker
from lmms_fast.types import Media
from tests.catalogue.hub import everything, write
from tests.catalogue.replies import RUBRICS, mirrored, replies
from tests.catalogue.test_catalogue import samples
from tests.servers.stand_in import StandIn, completion
from tests.servers.thread import served

TESTED = sorted({name.split("/")[0] for name in RUBRICS})
SCORINGS = sorted({variant for name in RUBRICS if (variant := name.split("/")[1]) != "default"})
ANSWER = "It cannot be said in one word."


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all the datasets."""
    folder = tmp_path_factory.mktemp("hub")
    write(folder, everything().datasets, everything().files)
    return folder


@pytest.fixture(scope="module")
def said(hub: Path) -> Mapping[str, tuple[str, str]]:
    """The best and the worst reply to every question that `ANSWER` leads to."""
    found: dict[str, tuple[str, str]] = {}
    for task in RUBRICS.values():
        assert task.score.judge is not None
        for row, sample in enumerate(samples(task, hub)):
            record = sample_record(sample, row, ["x" for part in sample.messages[-1].parts if isinstance(part, Media)])
            questions = Asker(task).questions(record, ANSWER, extracted(sample, ANSWER, rules_of(task).extract))
            best, worst = replies(task, sample)
            for place, question in enumerate(questions):
                pair = (mirrored(best), mirrored(worst)) if place >= task.score.judge.votes else (best, worst)
                assert found.setdefault(question.messages[-1]["parts"][-1], pair) == pair
    return found


def judged_by(replies_to: Mapping[str, str], hub: Path, out: Path) -> tuple[RunResult, StandIn]:
    """The run, and its judge."""
    model, judge = StandIn(), StandIn()

    def text(body: dict[str, object]) -> str:
        turn = body["messages"][-1]["content"]  # type: ignore[index]
        return turn if isinstance(turn, str) else "".join(part["text"] for part in turn if part["type"] == "text")

    model.behave = lambda number, body: web.json_response(completion(ANSWER))
    judge.behave = lambda number, body: web.json_response(completion(replies_to[text(body)]))
    apps = []
    for one in (model, judge):
        app = web.Application(client_max_size=1 << 26)
        app.add_routes([web.get("/v1/models", one.models), web.post("/v1/chat/completions", one.chat)])
        apps.append(app)
    with served(apps[0]) as model.url, served(apps[1]) as judge.url:
        result = evaluate(TESTED, model.url, data_dir=hub, scoring=SCORINGS, judge_endpoint=judge.url,
                          judge_cache=False, output_dir=out)  # fmt: skip
    return result, judge


@pytest.fixture(scope="module", params=["best", "worst"])
def run(
    request: pytest.FixtureRequest, said: Mapping[str, tuple[str, str]], hub: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, RunResult, StandIn]:  # fmt: skip
    """Which judge, the run, and the judge."""
    place = ("best", "worst").index(request.param)
    chosen = {question: pair[place] for question, pair in said.items()}
    return request.param, *judged_by(chosen, hub, tmp_path_factory.mktemp("judged") / "run")


Run = tuple[str, RunResult, StandIn]
PAIRS = (1000.0, 10.0)
"""Ratios of 10 to 1 and 1 to 10 points, in percent."""
HEADLINES = {
    "HallusionBench": (100.0, 0.0), "MM-Vet": (100.0, 0.0), "Vibe-Eval": (100.0, 0.0), "MIA-Bench": (100.0, 0.0),
    "MMBench": (100.0, 0.0), "MathVista": (100.0, 0.0), "LLaVA-Bench": PAIRS, "Ferret-Bench": PAIRS,
    "LLaVA-Bench (Wilder)": (100.0, 10.0), "WildVision-Bench": (100.0, -100.0),
}  # fmt: skip
"""By benchmark, best and worst; 1 and 0 for all others."""
VARIANTS = {
    "MIA-Bench/lmms-eval": (1.0, 0.0), "WildVision-Bench/swapped": (100.0, 0.0), "SimpleVQA/judge": (100.0, 0.0),
    # One of the four questions is for a number with decimals, which is never right there.
    "MathVista/lmms-eval": (75.0, 0.0),
    # One of the five accepted answers is 1,200, which is no Int to the benchmark's script.
    "MMLongBench-Doc/official": (0.8, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", RUBRICS)
def test_headlines(name: str, run: Run) -> None:
    """The best there is and the worst, and nothing without a judgement."""
    (which, result, _), (task, variant), benchmark = run, name.split("/"), RUBRICS[name].benchmark
    headlines = VARIANTS.get(f"{benchmark}/{variant}") or HEADLINES.get(benchmark, (1.0, 0.0))
    found = result.tasks[task]
    first = found.aggregates[0] if variant == "default" else found.scorings[variant][0]
    assert first.value == pytest.approx(headlines[which == "worst"])
    assert first.n_failed == 0


def test_everything_was_judged(run: Run) -> None:
    """Nothing was asked twice, and all samples files hold what was said."""
    _, result, judge = run
    assert result.not_judged == result.failed == 0
    assert result.judged is not None
    assert len(judge.asked) == result.judged.questions
    for name, task in RUBRICS.items():
        assert task.score.judge is not None
        with (result.path / f"samples_{task.task}.jsonl").open() as file:
            lines = [json.loads(line) for line in file]
        variant = name.split("/")[1]
        for line in lines if variant == "default" else [line["scorings"][variant] for line in lines]:
            assert len(line["judgements"]) == task.score.judge.votes * (1 + task.score.judge.swap)
            assert all(one["reply"] and one["rubric"] == task.score.judge.version for one in line["judgements"])


def test_what_a_judge_is_sent(run: Run) -> None:
    """The form where a rubric has one, the seed where replies are drawn, the pictures where it is to see them."""
    _, _, judge = run
    forms = [body["response_format"]["json_schema"] for body in judge.asked if "response_format" in body]
    assert {form["schema"]["type"] for form in forms} == {"object", "integer"}
    drawn = [body for body in judge.asked if body["temperature"] == 0.5]
    assert sorted(body["seed"] for body in drawn) == [seed for seed in range(5) for _ in range(2)]
    compared = [body for body in judge.asked if "Answer of assistant A:" in json.dumps(body)]
    assert len(compared) == 8
    for body in compared:
        assert [turn["role"] for turn in body["messages"]] == ["system", "user"]
        assert [part["type"] for part in body["messages"][1]["content"]] == ["image_url", "text"]
