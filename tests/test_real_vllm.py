"""The main job on a real vLLM with the bundled model: it sees, it is counted, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web
from PIL import Image

from lmms_fast import evaluate
from lmms_fast.cli.app import main
from lmms_fast.endpoints.classify import lacks_media
from lmms_fast.events import Event, Notice, SampleDone
from lmms_fast.media.encode import digest
from lmms_fast.server import kept
from lmms_fast.tasks.catalog import Catalog, bundled_dir
from lmms_fast.tasks.spec import Task
from lmms_fast.testing import lmms_fast_score
from lmms_fast.tiny import MODEL_DIR
from tests.catalogue.hub import everything, write
from tests.servers.stand_in import StandIn, completion
from tests.servers.vllm import NEEDS_VLLM
from tests.tasks.test_task_files import mme_rows, mmmu_row, picture

pytestmark = NEEDS_VLLM


LONG = pytest.mark.long


def below(pid: int) -> list[int]:
    """Every process below one."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, frontier = [], {pid}
    while frontier:
        frontier = {child for child, parent in parents.items() if parent in frontier}
        found += frontier
    return found


def gone(pids: list[int], seconds: float = 15.0) -> bool:
    """Whether all of them end (zombies count as ended)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        states = []
        for pid in pids:
            try:
                states.append(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
            except OSError:
                continue
        if all(state == "Z" for state in states):
            return True
        time.sleep(0.1)
    return False


FAMILY: list[int] = []
"""Processes of the server that these tests share."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One vLLM for the tests of this module, as `--endpoint local` launches it; its key is in the environment."""
    from lmms_fast.server.launch import launch
    from lmms_fast.server.spec import ServerSpec

    loop = asyncio.new_event_loop()
    log = tmp_path_factory.mktemp("server") / "server.log"
    others = set(below(os.getpid()))
    server = loop.run_until_complete(launch(ServerSpec(str(MODEL_DIR)), log_path=log, notify=lambda event: None))
    processes: list[int] = []
    try:
        loop.run_until_complete(server.ready())
        processes = [pid for pid in below(os.getpid()) if pid not in others]
        FAMILY[:] = processes
        os.environ["LMMS_FAST_API_KEY"] = server.api_key
        yield server.base_url
    finally:
        os.environ.pop("LMMS_FAST_API_KEY", None)
        loop.run_until_complete(server.stop())
        loop.close()
    assert len(processes) >= 3  # guard, API server, engine at least
    assert gone(processes)


def _smoke_with(folder: Path, order: list[int] | None) -> Path:
    """The smoke group with its pictures handed out in another order; None: in no order but all grey."""
    shutil.copytree(bundled_dir() / "smoke", folder)
    for path in folder.glob("*.parquet"):
        table = pq.read_table(path)
        index = table.schema.get_field_index("image")
        if order is None:
            grey = {"bytes": picture(128)["bytes"], "path": "grey.png"}
            pictures = pa.array([grey] * len(table), type=table.schema.field("image").type)
        else:
            pictures = table.column("image").take(pa.array(order))
        pq.write_table(table.set_column(index, "image", pictures), path)
    return folder


def test_the_model_sees_and_what_happens_to_the_pictures_shows(served: str, tmp_path: Path) -> None:
    """If pictures were lost, mixed up or emptied on the way, the smoke score would tell."""
    straight = evaluate("smoke", served, output_dir=tmp_path / "a").score("smoke")
    assert straight is not None
    assert straight >= 0.95
    for name, order in (("swapped", [*range(1, 80), 0]), ("grey", None)):
        folder = _smoke_with(tmp_path / name, order)
        spoiled = evaluate(str(folder / "smoke.yaml"), served, output_dir=tmp_path / f"r-{name}", include_path=[folder])
        assert spoiled.failed == 0
        assert (spoiled.score("smoke") or 0) < straight - 0.3


def test_dropped_pictures_are_noticed(served: str, tmp_path: Path) -> None:
    """A task that forgets its picture scores near chance, though every request succeeds."""
    folder = _smoke_with(tmp_path / "without", list(range(80)))
    for path in folder.glob("smoke_*.yaml"):
        path.write_text(path.read_text().replace("    - image: image\n", ""))
    blind = evaluate(str(folder / "smoke.yaml"), served, output_dir=tmp_path / "r", include_path=[folder])
    assert blind.failed == 0
    assert (blind.score("smoke") or 0) < 0.6


def test_a_broken_prompt_is_caught(served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A seeded regression: the options are lost from one task's prompt. `gate` stops it, `compare` names the cause."""

    def command(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    before, after = str(tmp_path / "before"), str(tmp_path / "after")
    evaluate("smoke_choice,smoke_yesno", served, output_dir=Path(before))
    folder = shutil.copytree(bundled_dir() / "smoke", tmp_path / "tasks")
    path = folder / "smoke_choice.yaml"
    path.write_text(path.read_text().replace("\\n{{ choices_text }}", ""))
    evaluate("smoke_choice,smoke_yesno", served, output_dir=Path(after), include_path=[folder])

    assert command("compare", before, before)[0] == 0
    code, _, why = command("compare", before, after)
    assert code == 1
    assert "smoke_choice: the prompts of 80 of 80 samples differ" in why
    assert "smoke_yesno" not in why
    code, said, _ = command("compare", before, after, "--anyway", "--json", "--html", str(tmp_path / "c.html"))
    assert code == 0
    tasks = json.loads(said)["runs"][0]["tasks"]
    lost = tasks["smoke_choice"]
    assert lost["verdict"] == "worse"
    assert list(lost["causes"]) == ["prompt"]
    assert lost["causes"]["prompt"]["worse"] >= 20
    assert (tasks["smoke_yesno"]["verdict"], tasks["smoke_yesno"]["flips"]) == ("no difference shown", [])
    assert "data:image/jpeg;base64," in (tmp_path / "c.html").read_text()

    limits = ("--max-drop", "0.1")
    assert command("gate", before, "--baseline", before, *limits)[0] == 0
    code, said, _ = command("gate", after, "--baseline", before, *limits)
    assert code == 4
    assert "pass  smoke_yesno" in said
    code, said, _ = command("gate", after, "--baseline", before, *limits, "--anyway")
    assert code == 3
    assert "fail  smoke_choice" in said
    assert float(lmms_fast_score("smoke_choice", served, limit=20, output_dir=tmp_path / "t")) >= 0.9


def test_the_same_scores_again(served: str, tmp_path: Path) -> None:
    """Two runs of the same spec give the same results to the last digit."""
    first = evaluate("smoke", served, output_dir=tmp_path / "a", concurrency=1, limit=20)
    second = evaluate("smoke", served, output_dir=tmp_path / "b", concurrency=16, limit=20)
    assert first.failed == second.failed == 0
    assert first.groups == second.groups


def test_what_a_run_gives_to_others(
    served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trackers that are installed, exports that score the same again, tables, a sample on a screen."""
    from lmms_fast import import_responses
    from lmms_fast.cli.app import main

    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)  # where MLflow keeps files beside a store of SQLite
    trackers = {
        "wandb": ("wandb", f"project=p,mode=offline,dir={tmp_path}"), "tensorboard": ("tensorboardX", f"{tmp_path}/tb"),
        "mlflow": ("alembic", f"tracking_uri=sqlite:///{tmp_path}/ml.db"),
    }  # fmt: skip
    asked = {flag: value for flag, (library, value) in trackers.items() if importlib.util.find_spec(library)}
    told: list[Event] = []
    run = evaluate("smoke", served, output_dir=tmp_path / "run", output_format="lmms-eval,parquet,csv",
                   notify=told.append, **asked)  # fmt: skip
    at = [one.text.partition(":")[0] for one in told if isinstance(one, Notice) and "the run is at" in one.text]
    assert sorted(at) == sorted(asked)
    assert not [one for one in told if isinstance(one, Notice) and "whole without it" in one.text]
    [file] = (run.path / "export" / "lmms-eval").glob("*/*_samples_smoke_choice.jsonl")
    again = import_responses(file, "smoke_choice", out=tmp_path / "again")
    assert again.score("smoke_choice") == run.score("smoke_choice")
    assert pq.read_table(run.path / "export" / "parquet" / "samples_smoke_count.parquet").num_rows == 80
    sample = json.loads((run.path / "samples_smoke_choice.jsonl").read_text().splitlines()[0])
    for words, says in (
        (["report", str(run.path), str(run.path), "--format", "md"], f"{run.score('smoke'):.4f} ±"),
        (["show", str(run.path), sample["id"], "--pictures", "sixel"], "\x1bP0;1q"),
    ):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 0
        assert says in capsys.readouterr().out


def test_mmmu_and_mme_run_from_files_in_the_hubs_schema(served: str, tmp_path: Path) -> None:
    """Interleaved pictures, open questions and pairs reach a real server, are answered and aggregated."""
    seven = {f"image_{number}": picture(30 * number) for number in range(1, 8)}
    text = " ".join(f"<image {number}>" for number in range(1, 8))
    rows = [mmmu_row(), mmmu_row(id="validation_Math_1", question_type="open", options="[]", answer="7",
                                 question=text, **seven)]  # fmt: skip
    for folder, split, table in (("MMMU", "validation", rows), ("MME", "test", mme_rows(4))):
        (tmp_path / folder).mkdir()
        pq.write_table(pa.Table.from_pylist(table), tmp_path / folder / f"{split}-00000-of-00001.parquet")
    result = evaluate(["mmmu", "mme"], served, data_dir=tmp_path, output_dir=tmp_path / "r")
    assert result.failures == {}
    assert result.samples == 6
    groups = {one.group for one in result.tasks["mmmu_val"].aggregates}
    assert {None, "subject=Math", "domain=Art and Design"} <= groups
    assert result.score("mme", "mme_cognition_score") is not None


def test_every_bundled_task_is_asked(served: str, tmp_path: Path) -> None:
    """The catalogue on rows in the hub's schema: all that fits the small model's context is answered."""
    write(tmp_path / "hub", everything().datasets, everything().files)
    tasks = [name for name in Catalog().names() if isinstance(task := Catalog().load(name), Task) and task.dataset.hub]
    result = evaluate(tasks, served, data_dir=tmp_path / "hub", limit=1, max_tokens=4, output_dir=tmp_path / "r")
    assert len(result.tasks) == len(tasks) > 200
    assert set(result.failures) <= {"too_long"}, result.examples
    assert result.failed < 0.1 * result.samples
    silent = [name for name, task in result.tasks.items() if set(task.outcomes) <= {"not_measured"}]
    assert len(silent) <= result.failures.get("too_long", 0)


def test_what_vllm_says_of_a_medium_it_does_not_have_is_understood(served: str) -> None:
    """The refusal after which a picture is sent again."""
    part = {"type": "image_url", "image_url": None, "uuid": "never-sent"}
    answer = httpx.post(
        f"{served}/chat/completions", headers={"Authorization": f"Bearer {os.environ['LMMS_FAST_API_KEY']}"},
        json={"model": _only_model(served), "messages": [{"role": "user", "content": [part]}]},
    )  # fmt: skip
    assert lacks_media(answer.status_code, answer.content)


def _only_model(served: str) -> str:
    headers = {"Authorization": f"Bearer {os.environ['LMMS_FAST_API_KEY']}"}
    name: str = httpx.get(f"{served}/models", headers=headers).json()["data"][0]["id"]
    return name


def _one_row(folder: Path, images: list[bytes], question: str) -> Path:
    """A task of one sample: pictures and a question."""
    folder.mkdir()
    row = {"images": [{"bytes": one, "path": ""} for one in images], "question": question}
    pq.write_table(pa.Table.from_pylist([row]), folder / "test.parquet")
    task = folder / "one.yaml"
    task.write_text(
        "task: one\nbenchmark: test\nabout: One sample.\nsource: this test\nlicence: none\n"
        "dataset: {files: test.parquet}\nprompt:\n  user:\n    - image: images\n    - text: '{{ question }}'\n"
        "target: 'yes'\nscore: {extract: yes_no}\n"
    )
    return task


def _half_a_jpeg() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 80).convert("RGB").save(out, "JPEG")
    return out.getvalue()[: len(out.getvalue()) // 2]


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda good: ([good], "x " * 20_000), "too_long"),
        (lambda good: ([good[: len(good) // 2]], "Yes or no?"), "media"),
        (lambda good: ([_half_a_jpeg()], "Yes or no?"), "media"),
        (lambda good: ([good] * 2000, "Yes or no?"), "media"),
    ],
    ids=["full context", "half a picture", "half a JPEG, with its head", "too many pictures"],
)
def test_what_vllm_cannot_take_is_final(
    served: str, tmp_path: Path, make: Callable[[bytes], tuple[list[bytes], str]], kind: str
) -> None:
    """Not measured, after one request, for the right reason; the server goes on."""
    images, question = make(picture(40)["bytes"])
    result = evaluate(str(_one_row(tmp_path / "t", images, question)), served, output_dir=tmp_path / "r")
    failure = json.loads((tmp_path / "r" / "samples_one.jsonl").read_text())["failure"]
    assert (failure["kind"], failure["attempts"] <= 1) == (kind, True), failure
    assert result.score("one") is None
    assert evaluate("smoke_count", served, output_dir=tmp_path / "after", limit=4).failed == 0


def test_a_server_that_is_stopped_for_a_while(served: str, tmp_path: Path) -> None:
    """SIGSTOP of all its processes: requests time out, the endpoint is out until it answers, and nothing is lost."""
    stopped: list[int] = []

    def stop_once(event: object) -> None:
        if isinstance(event, SampleDone) and not stopped:
            stopped.extend(FAMILY)
            for pid in FAMILY:
                os.kill(pid, signal.SIGSTOP)
            threading.Timer(6, lambda: [os.kill(pid, signal.SIGCONT) for pid in FAMILY]).start()

    result = evaluate("smoke_count", served, output_dir=tmp_path / "r", request_timeout=2, notify=stop_once)
    assert stopped
    assert (result.samples, result.failed) == (80, 0)
    assert (result.score("smoke_count") or 0) >= 0.95


def test_its_load_is_read(served: str, tmp_path: Path) -> None:
    """Utilisation and what binds are in the manifest."""
    evaluate("smoke", served, output_dir=tmp_path / "r", repeats=4)
    timing = json.loads((tmp_path / "r" / "manifest.json").read_text())["sessions"][0]["timing"]
    assert timing["binding"] in ("server's front end", "server's engine", "client")  # where the machine is busy
    assert timing["server"]["running_mean"] + timing["server"]["front_end_mean"] > 0
    assert 0 < timing["server"]["front_end_cores"] < 2
    assert timing["server"]["media_hit_share"] >= 0.5


JUDGED = """\
extends: _smoke.yaml
task: judged
about: One-word answers, judged.
dataset: {files: smoke_short.parquet}
prompt: {user: [{image: image}, {text: "{{ question }}\\nAnswer the question using a single word or phrase."}]}
target: "{{ answer }}"
score:
  extract: text
  judge:
    pictures: true
    prompt: "Gold: {{ target[0] }}\\nAnswer: {{ response | fenced }}\\nIs it right?"
    read: zero_one
    form: {enum: [0, 1]}
    max_tokens: 32
"""


@pytest.fixture
def judged_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The smoke task of short answers, for a judge that sees the pictures."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("_smoke.yaml", "smoke_short.parquet"):
        shutil.copy(bundled_dir() / "smoke" / name, tmp_path / name)
    (tmp_path / "judged.yaml").write_text(JUDGED)
    return tmp_path / "judged.yaml"


def test_answers_are_judged_by_another_endpoint(
    served: str, judged_task: Path, tmp_path: Path, stand_in: StandIn
) -> None:
    """A judge that compares finds what the rules of the same task find, and it sees the pictures that the model saw."""

    def judge(_: int, body: dict[str, Any]) -> web.Response:
        *pictures, text = body["messages"][0]["content"]
        gold, answer = re.findall(r"Gold: (.*)\nAnswer: ```\n(.*?)\n", text["text"], re.S)[0]
        seen.append(digest(base64.b64decode(pictures[0]["image_url"]["url"].partition(",")[2])))
        return web.json_response(completion(str(int(gold.lower() == answer.lower()))))

    seen: list[str] = []
    stand_in.behave = judge
    result = evaluate(str(judged_task), served, output_dir=tmp_path / "r", judge_endpoint=stand_in.url, limit=40)
    assert result.not_judged == 0
    assert result.score("judged") == evaluate("smoke_short", served, output_dir=tmp_path / "s", limit=40).score(
        "smoke_short"
    )
    lines = [json.loads(line) for line in (tmp_path / "r" / "samples_judged.jsonl").read_text().splitlines()]
    assert len(seen) == len(lines) == 40
    assert {line["messages"][0]["parts"][0]["image"] for line in lines} == set(seen)


def test_it_judges_itself_in_the_form_that_is_asked_for(served: str, judged_task: Path, tmp_path: Path) -> None:
    """The tiny model cannot judge, but held to the form its replies can be read, all of them."""
    result = evaluate(str(judged_task), served, output_dir=tmp_path / "r", judge_endpoint=served, limit=24)
    assert result.tasks["judged"].judging == {"judged": 24}
    assert result.judged is not None
    assert result.judged.same_family == result.judged.model


def test_bad_model_is_one_sentence(tmp_path: Path) -> None:
    """Exit code 5, the cause, and the log's end."""
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--tasks", "smoke_yesno", "--model",
         str(tmp_path / "empty"), "-o", str(tmp_path / "r")], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 5
    assert "vLLM did not start" in done.stderr
    assert "Traceback (most recent call last)" not in done.stderr.split("it ends:")[0]


def _start_eval(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--endpoint", "local", "-o", str(folder), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_tp_2_scores_and_leaves_nothing(tmp_path: Path) -> None:
    """Two workers, bound to one core each; after a normal end no process is left."""
    process = _start_eval(tmp_path / "r", "--tasks", "smoke", "--tp", "2")
    family: set[int] = set()
    while process.poll() is None:
        family.update(below(process.pid))
        time.sleep(0.2)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert len(family) >= 5  # guard, API server, engine, two workers
    assert gone([*family])
    manifest = json.loads((tmp_path / "r" / "manifest.json").read_text())
    assert manifest["sessions"][0]["server"]["environment"]["VLLM_CPU_OMP_THREADS_BIND"].count("|") == 1
    assert json.loads((tmp_path / "r" / "results.json").read_text())["groups"]["smoke"]["value"] >= 0.9


def test_a_kept_server_is_found_again_and_stopped(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run uses it at once. Launched, kept or already running: the same scores to the last digit."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    first = _start_eval(tmp_path / "a", "--tasks", "smoke", "--limit", "20", "--keep-server")
    _, said = first.communicate()
    assert first.returncode == 0, said
    [server] = kept.running()
    texts: dict[str, set[str]] = {}
    family = [server.pid, *below(server.pid)]
    evaluate("smoke", "local", output_dir=tmp_path / "b", limit=20)
    session = json.loads((tmp_path / "b" / "manifest.json").read_text())["sessions"][0]
    assert session["server"]["reused"] is True
    assert not (tmp_path / "b" / "server.log").exists()
    evaluate("smoke", served, output_dir=tmp_path / "c", limit=20)
    results = {(tmp_path / name / "results.json").read_bytes() for name in "abc"}
    assert len(results) == 1
    # Three of four times a picture is only named, and the answers are those of the first time.
    again = evaluate("smoke", "local", output_dir=tmp_path / "d", limit=20, repeats=4)
    assert again.samples == 320
    assert again.score("smoke") == json.loads((tmp_path / "a" / "results.json").read_text())["groups"]["smoke"]["value"]
    for line in (tmp_path / "d" / "samples_smoke_count.jsonl").read_text().splitlines():
        texts.setdefault(json.loads(line)["id"], set()).add(json.loads(line)["response"]["text"])
    assert all(len(found) == 1 for found in texts.values())
    words = [sys.executable, "-m", "lmms_fast.cli.app", "server"]
    assert server.name in subprocess.run([*words, "list"], capture_output=True, text=True, check=True).stdout
    subprocess.run([*words, "stop"], check=True, capture_output=True)
    assert gone(family)


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=LONG), pytest.param(signal.SIGTERM, marks=LONG), signal.SIGKILL]
)
def test_signals_while_it_answers_leave_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and `kill -9` in the middle: no process, no port, and what was answered is kept."""
    process = _start_eval(tmp_path / "r", "--tasks", "smoke_yesno", "--repeats", "200")
    journal = tmp_path / "r" / "journal.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < 100:
        assert process.poll() is None
        time.sleep(0.1)
    family = below(process.pid)
    assert len(family) >= 4  # guard, API server, engine, worker
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert "Traceback" not in said
    assert gone(family)


def test_kill_9_in_start_up_leaves_nothing(tmp_path: Path) -> None:
    """vLLM hangs on SIGTERM while it starts; the guard does not ask it twice."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lmms_fast.cli.app", "eval", "--tasks", "smoke_yesno", "-o", str(tmp_path / "r")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    log = tmp_path / "r" / "server.log"
    while not log.exists() or "EngineCore pid" not in log.read_text():
        assert process.poll() is None
        time.sleep(0.2)
    family = below(process.pid)
    assert len(family) >= 3
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert gone(family, 20)


@pytest.mark.parametrize(
    ("victim", "flags"),
    [pytest.param("vllm.entrypoints.cli.main serve", (), id="API server"),
     pytest.param("VLLM::EngineCor", (), id="engine", marks=LONG),
     pytest.param("VLLM::Worker_TP", ("--tp", "2"), id="worker", marks=LONG),
     pytest.param("guard.py", ("--tp", "2"), id="guard", marks=LONG)],
)  # fmt: skip
def test_a_server_that_is_killed_is_started_again(tmp_path: Path, victim: str, flags: tuple[str, ...]) -> None:
    """`kill -9` of one of its processes in the middle: the run goes on and every sample is answered once."""
    process = _start_eval(tmp_path / "r", "--tasks", "smoke_count", "--repeats", "25", *flags)
    journal = tmp_path / "r" / "journal.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < 200:
        assert process.poll() is None
        time.sleep(0.1)
    family = below(process.pid)
    killed = [pid for pid in family if _is(pid, victim)]
    assert killed
    os.kill(killed[0], signal.SIGKILL)
    _, said = process.communicate(timeout=480)
    assert process.returncode == 0, said
    assert "Starting it again (1 of 2)" in said
    assert gone(family)
    results = json.loads((tmp_path / "r" / "results.json").read_text())
    assert results["samples"] == 80 * 25
    assert results["not_measured"] == {}
    assert results["tasks"]["smoke_count"]["aggregates"][0]["value"] >= 0.95
    keys = [json.loads(line)["key"] for line in journal.read_bytes().splitlines()]
    assert len(keys) == len(set(keys))
    [death] = json.loads((tmp_path / "r" / "manifest.json").read_text())["sessions"][0]["deaths"]
    assert death["log_tail"]
    assert death["load"]["running"] >= 0


def _is(pid: int, words: str) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        name = Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return False
    return (words in command and ("guard.py" in command) == (words == "guard.py")) or words == name.strip()
