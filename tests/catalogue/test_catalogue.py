"""Every bundled task on small data in the hub's schema: what it asks, and how a real endpoint's answers score."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pybase64
import pytest
from aiohttp import web

from lmms_fast import evaluate
from lmms_fast.data.feed import Selection, feed_task
from lmms_fast.data.source import open_source
from lmms_fast.errors import UsageError
from lmms_fast.report.console import remarks
from lmms_fast.report.result import RunResult
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Media, Sample
from tests.catalogue.hub import everything, name_of, write
from tests.servers.stand_in import StandIn, completion
from tests.servers.thread import served

TASKS = {name: task for name in Catalog().names()
         if isinstance(task := Catalog().load(name), Task) and task.dataset.hub}  # fmt: skip
VARIANTS = sorted({name for task in TASKS.values() for name in task.scoring_variants})
WRONG = "zzz"
Asked = tuple[str, ...]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all the datasets."""
    folder = tmp_path_factory.mktemp("hub")
    write(folder, everything().datasets, everything().files)
    return folder


def samples(task: Task, hub: Path) -> list[Sample]:
    """What a task asks."""
    fed = list(feed_task(task, open_source(task, hub), Selection(), lambda _: False))
    assert [one.failure for one in fed if one.failure] == []
    return [one.sample for one in fed]


@pytest.mark.parametrize("name", TASKS)
def test_what_is_asked(name: str, hub: Path) -> None:
    """The parts of the first sample's turn, to the letter."""
    first = samples(TASKS[name], hub)[0]
    parts = [f"<{name_of(part.read())}>" if isinstance(part, Media) else part for part in first.messages[-1].parts]
    assert parts == everything().prompts[name]


class Oracle:
    """A server that knows the answer to every question, and another for what it does not know."""

    def __init__(self, answers: Mapping[Asked, str]) -> None:
        self._answers = answers
        self.url = ""

    async def models(self, _: web.Request) -> web.Response:
        """The one model it serves."""
        return web.json_response({"object": "list", "data": [{"id": "oracle"}]})

    async def chat(self, request: web.Request) -> web.Response:
        """The answer, by all that is said."""
        messages = (await request.json())["messages"]
        asked = tuple(part for message in messages for part in _asked_by(message["content"]))
        return web.json_response(completion(self._answers.get(asked, WRONG)))


def _asked_by(turn: Any) -> Asked:
    parts = [{"type": "text", "text": turn}] if isinstance(turn, str) else turn
    return tuple(part["text"] if part["type"] == "text" else _name(_bytes(part["image_url"]["url"])) for part in parts)


def _bytes(url: str) -> bytes:
    data: bytes = pybase64.b64decode(url.partition(",")[2])
    return data


def _asked(sample: Sample) -> Asked:
    return tuple(_name(part.read()) if isinstance(part, Media) else part
                 for message in sample.messages for part in message.parts)  # fmt: skip


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def oracle(hub: Path) -> Iterator[str]:
    """The address of a server that is always right."""
    right = everything().right
    answers = {}
    for name, task in TASKS.items():
        for sample in samples(task, hub):
            answer = right[name](sample) if name in right else (*sample.target, "x")[0]
            assert answers.setdefault(_asked(sample), answer) == answer, f"{name}: asked alike, to be answered apart"
    yield from _serving(Oracle(answers))


@pytest.fixture(scope="module")
def fool() -> Iterator[str]:
    """The address of a server that is always wrong."""
    yield from _serving(Oracle({}))


def _serving(oracle: Oracle) -> Iterator[str]:
    app = web.Application(client_max_size=1 << 30)
    app.add_routes([web.get("/v1/models", oracle.models), web.post("/v1/chat/completions", oracle.chat)])
    with served(app) as url:
        yield f"{url}/v1"


@pytest.fixture(scope="module")
def by_the_oracle(hub: Path, oracle: str, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """All tasks in one run, answered right."""
    return evaluate(list(TASKS), oracle, data_dir=hub, scoring=VARIANTS,
                    output_dir=tmp_path_factory.mktemp("right") / "run")  # fmt: skip


@pytest.fixture(scope="module")
def by_the_fool(hub: Path, fool: str, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """All tasks in one run, answered wrong."""
    return evaluate(list(TASKS), fool, data_dir=hub, scoring=VARIANTS,
                    output_dir=tmp_path_factory.mktemp("wrong") / "run")  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_what_is_right(name: str, by_the_oracle: RunResult) -> None:
    """A model that is always right has the best score there is."""
    found = by_the_oracle.tasks[name]
    assert found.outcomes.get("not_measured", 0) == 0
    best = everything().best.get(name, 1.0)
    value = found.aggregates[0].value if found.aggregates else None
    assert value == (best if best is None else pytest.approx(best))


@pytest.mark.parametrize("name", TASKS)
def test_what_is_wrong(name: str, by_the_fool: RunResult) -> None:
    """A model that is always wrong has the worst."""
    found = by_the_fool.tasks[name]
    assert found.outcomes.get("not_measured", 0) == 0
    worst = everything().worst.get(name, 0.0)
    value = found.aggregates[0].value if found.aggregates else None
    assert value == (worst if worst is None else pytest.approx(worst))


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.scoring_variants])
def test_other_rules_score_the_same_answers(name: str, by_the_oracle: RunResult) -> None:
    """Each variant has numbers over as many samples as the task's own rules."""
    found, task = by_the_oracle.tasks[name], TASKS[name]
    assert set(found.scorings) == set(task.scoring_variants)
    samples = sum(found.outcomes.values()) - found.outcomes.get("withheld", 0)
    for aggregates in found.scorings.values():
        counts = [one.n + one.n_failed for one in aggregates if one.group is None]
        assert samples in (*counts[:1], sum(counts)) or not counts  # MME's two headlines share them out


def test_dice_are_counted(by_the_fool: RunResult) -> None:
    """A rule that draws says how often; the tasks' own rules do not draw."""
    assert by_the_fool.tasks["mmmu_val"].drawn == {"lmms-eval": 1, "lmms-eval-0.7.2": 1, "official-dice": 1}
    assert [name for name, task in by_the_fool.tasks.items() if "default" in task.drawn] == []


def test_the_prompt_that_is_meant_for_a_model(hub: Path, stand_in: StandIn, tmp_path: Path) -> None:
    """By its name, or by the flag; what was asked is told, recorded, and makes another run."""
    assert TASKS["textvqa_val"].variant_for("llava-hf/LLaVA-1.5-7b-hf") == "ocr"
    assert TASKS["textvqa_val"].variant_for("Qwen/Qwen2.5-VL-7B-Instruct") == "default"
    plain, ocr = (evaluate("textvqa_val", stand_in.url, data_dir=hub, output_dir=tmp_path / name, prompt_variant=name)
                  for name in ("default", "ocr"))  # fmt: skip
    hint = "Reference OCR token: STOP, GO"
    assert [hint in str(body) for body in stand_in.asked] == [False, False, True, True]
    assert (plain.tasks["textvqa_val"].prompt_variant, ocr.tasks["textvqa_val"].prompt_variant) == ("default", "ocr")
    asked = "textvqa_val: asked in the prompt variant 'ocr'."
    assert asked not in remarks(plain)
    assert asked in remarks(ocr)
    with pytest.raises(UsageError, match="holds another run"):
        evaluate("textvqa_val", stand_in.url, data_dir=hub, output_dir=tmp_path / "ocr")
