"""`--ray-address` with the real vLLM and the bundled model: a node is lost while answers are made."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from lmms_fast import evaluate
from lmms_fast.events import Event, SampleDone
from tests.servers.ray_nodes import nodes, soon, together
from tests.servers.vllm import NEEDS_VLLM

pytestmark = NEEDS_VLLM


def test_a_node_is_lost(tmp_path: Path) -> None:
    """Every sample is measured, and nothing of either vLLM is left."""
    journal = tmp_path / "r" / "journal.jsonl"

    def served() -> Counter[str]:
        lines = journal.read_text().splitlines()
        return Counter(json.loads(line)["response"]["served_by"] for line in lines if line.endswith("}"))

    with nodes([]) as cluster, together():
        cluster.add()

        done = 0

        def listen(event: Event) -> None:
            nonlocal done
            done += isinstance(event, SampleDone)
            if isinstance(event, SampleDone) and done % 20 == 0 and cluster.others and len(served()) == 2:
                cluster.kill()

        result = evaluate("smoke", "local", ray_address=cluster.address, dp=2, concurrency=4, repeats=3, notify=listen,
                          output_dir=tmp_path / "r")  # fmt: skip
        assert soon(lambda: not cluster.servers())
        assert not cluster.others
    assert (result.samples, result.failed, result.not_asked) == (960, 0, 0)
    assert sum(served().values()) == 960
    assert set(served()) == {"local-0", "local-1"}
    assert result.score("smoke_count") > 0.9
    [death] = json.loads((tmp_path / "r" / "manifest.json").read_text())["sessions"][-1]["deaths"]
    assert "Ray says of its actor" in death["error"]
