"""`lmms-fast push` with the real `huggingface_hub`, against a server that speaks as the hub does.

Large files go by the hub's LFS protocol here; with `hf_xet` they go by another, which only the hub speaks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from lmms_fast import evaluate
from tests.servers.hub import Hub, serving
from tests.servers.stand_in import StandIn

TOKEN = "hf_canary_token_which_is_secret"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """With one model, which has a card."""
    folder = tmp_path / "hub"
    card = folder / "models" / "me" / "model" / "README.md"
    card.parent.mkdir(parents=True)
    known = {"task": {"type": "t"}, "dataset": {"type": "other", "name": "Other"},
             "metrics": [{"type": "acc", "value": 0.5}]}  # fmt: skip
    head = yaml.safe_dump({"license": "mit", "model-index": [{"name": "mine", "results": [known]}]})
    card.write_text(f"---\n{head}---\n# A model\n")
    with serving(folder) as hub:
        hub.token = TOKEN
        yield hub


@pytest.fixture
def run(tmp_path: Path, stand_in: StandIn) -> Path:
    """A task to its end."""
    return evaluate("smoke_yesno", endpoint=stand_in.url, model="stand-in", output_dir=tmp_path / "run").path


def push(hub: Hub, *words: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """The command, whose hub is ours."""
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1",
                   "HF_HOME": str(hub.folder.parent / "home"), "HF_HUB_OFFLINE": "0"}  # fmt: skip
    return subprocess.run([sys.executable, "-m", "lmms_fast.cli.app", "push", *words], env=environment, check=False,
                          capture_output=True, text=True)  # fmt: skip


def test_dataset_and_card(hub: Hub, run: Path, tmp_path: Path) -> None:
    """Results, samples and a card in one commit; scores as a pull request, beside what the model's card had."""
    done = push(hub, str(run), "--repo", "me/scores", "--private", "--model-card", "me/model")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"Results and samples: {hub.url}/datasets/me/scores",
        f"Scores proposed for the card: {hub.url}/models/me/model/discussions/1",
    ]
    assert hub.created == {"me/scores": True}
    assert [(one["repo"], one["files"], one["pull_request"]) for one in hub.commits] == [
        ("me/scores", ["README.md", "data/samples_smoke_yesno.parquet", "results.json"], False),
        ("models/me/model", ["README.md"], True),
    ]  # fmt: skip
    pushed = hub.folder / "me" / "scores"
    assert (pushed / "results.json").read_bytes() == (run / "results.json").read_bytes()
    assert pq.read_table(pushed / "data" / "samples_smoke_yesno.parquet").num_rows == 80
    head, body = (pushed / "README.md").read_text().split("---\n")[1:]
    parts = yaml.safe_load(head)["configs"]
    assert parts == [{"config_name": "smoke_yesno", "data_files": "data/samples_smoke_yesno.parquet"}]
    assert "| smoke\\_yesno | accuracy |" in body
    head, body = hub.proposed["models/me/model/README.md"].decode().split("---\n")[1:]
    card = yaml.safe_load(head)
    assert (card["license"], body.strip()) == ("mit", "# A model")
    score = json.loads((run / "results.json").read_text())["tasks"]["smoke_yesno"]["aggregates"][0]["value"]
    found = {one["dataset"]["name"]: one["metrics"][0]["value"] for one in card["model-index"][0]["results"]}
    assert found == {"Other": 0.5, "smoke_yesno": score}
    assert TOKEN not in done.stdout + done.stderr + "".join(path.read_text() for path in run.glob("*.json"))


def test_card_in_a_file(hub: Hub, run: Path, tmp_path: Path) -> None:
    """A new one, and once more into it: the same metric is replaced and not added."""
    card = tmp_path / "README.md"
    for _ in range(2):
        done = push(hub, str(run), "--repo", "me/scores", "--model-card", str(card))
        assert done.returncode == 0, done.stderr
        [index] = yaml.safe_load(card.read_text().split("---\n")[1])["model-index"]
        assert [len(one["metrics"]) for one in index["results"]] == [1]


def test_what_is_refused(hub: Hub, run: Path, stand_in: StandIn, tmp_path: Path) -> None:
    """One sentence, exit code 1, nothing pushed, and no token in it."""
    part = evaluate("smoke_yesno", endpoint=stand_in.url, limit=3, output_dir=tmp_path / "part").path
    (hub.folder / "me" / "public").mkdir(parents=True)
    for words, token, says in (
        ([str(run), "--repo", "me/scores"], "", "set HF_TOKEN"),
        ([str(run), "--repo", "me/scores"], "hf_wrong_token_that_is_long", "the hub refuses"),
        ([str(run), "--repo", "scores"], TOKEN, "names are user/name"),
        ([str(run), "--repo", "me/public", "--private"], TOKEN, "is public; nothing was pushed"),
        ([str(part), "--repo", "me/scores", "--model-card", "me/model"], TOKEN, "of a part of the samples"),
        ([str(tmp_path), "--repo", "me/scores"], TOKEN, "not a run directory"),
    ):  # fmt: skip
        done = push(hub, *words, token=token)
        assert done.returncode == 1, words
        assert says in done.stderr
        assert "Traceback" not in done.stderr
        assert not token or token not in done.stderr
    assert hub.commits == []
