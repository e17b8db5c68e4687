"""The bridge to lmms-eval, where that is installed: its numbers, its files, and what happens when things go wrong."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lmms_fast import evaluate
from lmms_fast.api import rescore
from lmms_fast.errors import LmmsFastError
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.spec import Group, Task
from tests.servers.stand_in import StandIn, completion

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("lmms_eval") is None, reason="lmms-eval is not installed here: "
                       "`pip install lmms-eval` into an environment with lmms-fast, and run these there"),
    pytest.mark.filterwarnings("ignore"),
]  # fmt: skip
SHAPES = ("mme", "mmmu_val", "mmmu_val_pass64", "pope", "gqa", "chartqa", "docvqa_val", "docvqa_test", "textvqa_val",
          "scienceqa_img", "ai2d", "ocrbench", "mmbench_en_dev_static", "blink", "seedbench")  # fmt: skip
OWN = """\
task: own_things
dataset_path: mine/things
test_split: test
output_type: generate_until
doc_to_visual: !function own_utils.pictures
doc_to_text: !function own_utils.text
doc_to_target: answer
process_results: !function own_utils.results
generation_kwargs: {max_new_tokens: 7, temperature: 0.5, top_p: 0.9, until: ["\\n"]}
repeats: REPEATS
FILTERS
metric_list:
  - {metric: right, aggregation: mean, higher_is_better: true}
  - {metric: told, aggregation: !function own_utils.told, higher_is_better: true}
"""
OWN_CODE = """\
def pictures(doc):
    return [doc["image"].convert("RGB")]

def text(doc):
    return doc["question"]

def results(doc, results):
    assert "boom" not in results[0]
    return {"right": float(results[0] == doc["answer"]), "told": results}

def told(items):
    return {"count": len(items), "said": sorted(str(item) for item in items)}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Copies of the small datasets, a cache of this test's own, and the library without progress bars."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LMMS_EVAL_DATASETS_CACHE", "HF_HOME", "HF_DATASETS_CACHE"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name)))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.delenv("LMMS_FAST_ALLOW_JUDGE", raising=False)
        from bench.bridge import write

        folder = tmp_path_factory.mktemp("copies")
        write(folder)
        yield folder


@pytest.mark.parametrize("name", SHAPES)
def test_the_same_numbers_as_lmms_eval(name: str, data: Path, tmp_path: Path) -> None:
    """The same messages, and for the same answers every number, standard error and file."""
    from bench.bridge import compare

    found = compare(name, data, tmp_path)
    assert found.refused is None
    assert found.prompts
    assert [row for row in found.rows if not found.same(row)] == []
    assert found.rows


def own(folder: Path, *, repeats: int = 1, filters: str = "", code: str = OWN_CODE) -> Path:
    """A folder with a task of the user's own, and its data beside."""
    import datasets
    from PIL import Image

    (folder / "tasks").mkdir(parents=True)
    (folder / "tasks" / "own.yaml").write_text(OWN.replace("REPEATS", str(repeats)).replace("FILTERS", filters))
    (folder / "tasks" / "own_utils.py").write_text(code)
    rows = {"image": [Image.new("RGB", (8, 8), (9 * one, 0, 0)) for one in range(4)],
            "question": [f"Thing {one}?" for one in range(4)], "answer": ["yes"] * 4}  # fmt: skip
    (folder / "data" / "mine" / "things").mkdir(parents=True)
    table = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    table.to_parquet(folder / "data" / "mine" / "things" / "test.parquet")
    return folder


def run(stand_in: StandIn, folder: Path, **options: Any) -> Any:
    """The task of the user's own, evaluated."""
    return evaluate("lmms-eval:own_things", stand_in.url, include_path=[folder / "tasks"], data_dir=folder / "data",
                    output_dir=folder / "run", max_failures=9, **options)  # fmt: skip


def number_of(body: dict[str, Any]) -> int:
    """Which thing is asked about."""
    return int(body["messages"][-1]["content"][-1]["text"][6])


@pytest.mark.usefixtures("data")
def test_a_task_of_ones_own_with_a_failure(stand_in: StandIn, tmp_path: Path) -> None:
    """Its settings are sent, stop strings apart; the failed request reaches none of its functions; bounds as ever."""

    def behave(number: int, body: dict[str, Any]) -> web.Response:
        if number_of(body) == 1:
            return web.json_response({"error": {"message": "no"}}, status=400)
        return web.json_response(completion(["yes", "", "<think>no</think> yes", "no"][number_of(body)]))

    stand_in.behave = behave
    folder = own(tmp_path)
    found = run(stand_in, folder).tasks["lmms-eval:own_things"]
    sent = stand_in.asked[0]
    assert (sent["max_tokens"], sent["temperature"], sent["top_p"], "stop" in sent) == (7, 0.5, 0.9, False)
    assert found.outcomes == {"correct": 2, "not_measured": 1, "wrong": 1}
    only, = found.aggregates
    assert (only.metric, only.value, only.n, only.n_failed) == ("right", pytest.approx(2 / 3), 3, 1)
    assert (only.low, only.high) == (0.5, 0.75)
    assert found.beside == {"told": {"count": 3, "said": ["['no']", "['yes']", "['yes']"]}}
    before = (folder / "run" / "results.json").read_bytes()
    rescore(folder / "run", [folder / "tasks"])
    assert (folder / "run" / "results.json").read_bytes() == before
    with pytest.raises(LmmsFastError, match="unknown task 'lmms-eval:own_things'"):
        rescore(folder / "run")


@pytest.mark.usefixtures("data")
def test_a_question_counts_with_all_of_its_repeats(stand_in: StandIn, tmp_path: Path) -> None:
    """One of three answers to a question failed: the other two are recorded, and no vote is taken over them."""
    asked: list[int] = []

    def behave(number: int, body: dict[str, Any]) -> web.Response:
        asked.append(number_of(body))
        if asked[-1] == 0 and asked.count(0) == 2:
            return web.json_response({"error": {"message": "no"}}, status=400)
        return web.json_response(completion("yes" if asked.count(asked[-1]) < 3 else "no"))

    stand_in.behave = behave
    vote = "filter_list: [{name: maj, filter: [{function: majority_vote}, {function: take_first}]}]"
    found = run(stand_in, own(tmp_path, repeats=3, filters=vote)).tasks["lmms-eval:own_things"]
    assert found.outcomes == {"not_measured": 1, "together": 11}
    only, = found.aggregates
    assert (only.metric, only.value, only.n, only.n_failed) == ("right,maj", 1.0, 9, 3)


@pytest.mark.usefixtures("data")
def test_code_that_fails_is_one_sentence(stand_in: StandIn, tmp_path: Path) -> None:
    """Before anything is sent where questions are made; the answers are kept where they are scored."""
    stand_in.behave = lambda number, body: web.json_response(completion("boom"))
    folder = own(tmp_path / "one")
    where = r"its process_results fails on document 0: AssertionError in own_utils\.py, line 8\. The answers are kept"
    with pytest.raises(LmmsFastError, match=where):
        run(stand_in, folder)
    assert len(stand_in.asked) == 4
    (folder / "tasks" / "own_utils.py").write_text(OWN_CODE.replace("assert", "#"))
    assert rescore(folder / "run", [folder / "tasks"]).tasks["lmms-eval:own_things"].outcomes == {"wrong": 4}
    broken = own(tmp_path / "two", code=OWN_CODE.replace('doc["question"]', 'doc["query"]'))
    with pytest.raises(LmmsFastError, match="KeyError: 'query'"):
        run(stand_in, broken)
    assert len(stand_in.asked) == 4


@pytest.mark.usefixtures("data")
def test_a_picture_that_cannot_be_had(stand_in: StandIn, tmp_path: Path) -> None:
    """Its sample is not measured, and says why; the others are asked."""
    look = '    if "1" in doc["question"]: open("/no/such/file")\n'
    missing = OWN_CODE.replace("    return [doc", f"{look}    return [doc")
    result = run(stand_in, own(tmp_path, code=missing))
    assert len(stand_in.asked) == 3
    assert result.examples["media"].startswith("row 1: FileNotFoundError")


@pytest.mark.usefixtures("data")
def test_judges_are_not_asked_unasked(stand_in: StandIn, tmp_path: Path) -> None:
    """Code that names a client is refused before the run; a connection that shows only then, when it is scored."""
    named = OWN_CODE.replace("def results", "import requests\n\ndef ask():\n    requests.post('x')\n\ndef results")
    named = named.replace("    assert", "    if results == 1: ask()\n    assert")
    with pytest.raises(LmmsFastError, match=r"over the network \(requests\).*LMMS_FAST_ALLOW_JUDGE=1"):
        run(stand_in, own(tmp_path / "one", code=named))
    assert stand_in.asked == []
    hidden = OWN_CODE.replace("    assert", "    import socket\n    try: socket.create_connection(('203.0.113.7', 9))\n"
                              "    except OSError: pass\n    assert")  # fmt: skip
    with pytest.raises(LmmsFastError, match=r"wants to reach 203\.0\.113\.7"):
        run(stand_in, own(tmp_path / "two", code=hidden))


def test_submission_files_lie_in_the_run(stand_in: StandIn, data: Path, tmp_path: Path) -> None:
    """Whatever its aggregations write, also to where they are started."""
    names = ["lmms-eval:docvqa_test", "lmms-eval:ocrbench"]
    result = evaluate(names, stand_in.url, data_dir=data, output_dir=tmp_path / "run")
    assert [Path(name).parts[0] for task in result.tasks.values() for name in task.files] == ["submissions", "results"]
    files = [tmp_path / "run" / name for task in result.tasks.values() for name in task.files]
    assert len(json.loads(files[0].read_text())) == 16
    assert result.tasks["lmms-eval:docvqa_test"].outcomes == {"together": 16}


@pytest.mark.parametrize(("name", "why"), [
    ("mmee", r"unknown task 'lmms-eval:mmee'.*Did you mean lmms-eval:mme"),
    ("videomme", "it shows video, which the bridge does not carry yet"),
    ("mmlu_anatomy", "its output_type is multiple_choice, and the bridge carries generate_until"),
])  # fmt: skip
@pytest.mark.usefixtures("data")
def test_what_is_not_carried(name: str, why: str) -> None:
    """Said in one sentence."""
    with pytest.raises(LmmsFastError, match=why):
        Catalog().load(f"lmms-eval:{name}")


@pytest.mark.usefixtures("data")
def test_data_that_are_not_there(stand_in: StandIn, tmp_path: Path) -> None:
    """Which folder was looked for, or which file."""
    with pytest.raises(LmmsFastError, match=r"has no folder lmms-lab-encoder/MME, a copy of that dataset"):
        evaluate("lmms-eval:mme", stand_in.url, data_dir=tmp_path, output_dir=tmp_path / "run")
    (tmp_path / "MME").mkdir()
    with pytest.raises(LmmsFastError, match=r"MME has no data file of split test"):
        evaluate("lmms-eval:mme", stand_in.url, data_dir=tmp_path, output_dir=tmp_path / "run")


@pytest.mark.usefixtures("data")
def test_groups() -> None:
    """With the weight and the numbers that it declares; a tag is only a list."""
    found = Catalog().load("lmms-eval:refcoco_grounding")
    assert isinstance(found, Group)
    assert (found.weight, len(found.tasks), found.metrics[0]) == ("size", 6, "refcoco_grounding_IoU")
    tag = Catalog().load("lmms-eval:blink_groups")
    assert isinstance(tag, Group)
    assert tag.weight == "none"
    passes = Catalog().load("lmms-eval:mmmu_val_pass64")
    assert isinstance(passes, Task)
    assert (passes.repeats, passes.generation.temperature, passes.generation.max_tokens) == (64, 0.2, 1024)
