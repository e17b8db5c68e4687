"""The main job on a real vLLM with the bundled model: it sees, it is counted, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmms_fast import evaluate
from lmms_fast.errors import ServerError
from lmms_fast.server.command import installed
from lmms_fast.tasks.catalog import bundled_dir
from lmms_fast.tiny import MODEL_DIR
from tests.tasks.test_task_files import mme_rows, mmmu_row, picture


def _has_vllm() -> bool:
    try:
        installed()
    except ServerError:
        return False
    return True


pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not _has_vllm(), reason="vLLM is not installed; `python -m lmms_fast.bootstrap` installs it"),
]


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


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One vLLM for the tests of this module, as `--endpoint local` launches it; its key is in the environment."""
    from lmms_fast.server.launch import launch
    from lmms_fast.server.spec import ServerSpec

    loop = asyncio.new_event_loop()
    log = tmp_path_factory.mktemp("server") / "server.log"
    server = loop.run_until_complete(launch(ServerSpec(str(MODEL_DIR)), log_path=log, notify=lambda event: None))
    processes: list[int] = []
    try:
        loop.run_until_complete(server.ready())
        processes = below(os.getpid())
        os.environ["LMMS_FAST_API_KEY"] = server.api_key
        yield server.base_url
    finally:
        os.environ.pop("LMMS_FAST_API_KEY", None)
        loop.run_until_complete(server.stop())
        loop.close()
    assert len(processes) >= 3  # guard, API server, engine at least
    assert gone(processes)


def _blinded(folder: Path, task: str, column: list[int]) -> Path:
    """The task with its pictures handed out in another order."""
    table = pq.read_table(bundled_dir() / "smoke" / f"{task}.parquet")
    pictures = table.column("image").take(pa.array(column))
    index = table.schema.get_field_index("image")
    pq.write_table(table.set_column(index, "image", pictures), folder / f"{task}.parquet")
    for name in ("_smoke.yaml", f"{task}.yaml"):
        (folder / name).write_text((bundled_dir() / "smoke" / name).read_text())
    return folder / f"{task}.yaml"


def test_the_model_sees_and_swapped_pictures_lower_the_score(served: str, tmp_path: Path) -> None:
    """If pictures were lost or mixed up on the way, the smoke score would tell."""
    straight = evaluate("smoke_count", served, output_dir=tmp_path / "a").score("smoke_count")
    order = [*range(1, 80), 0]
    swapped = evaluate(str(_blinded(tmp_path, "smoke_count", order)), served, output_dir=tmp_path / "b")
    blind = evaluate(str(_blinded(tmp_path, "smoke_count", [3] * 80)), served, output_dir=tmp_path / "c")
    assert straight is not None
    assert straight >= 0.9
    assert (swapped.score("smoke_count") or 0) < straight - 0.3
    assert (blind.score("smoke_count") or 0) < straight - 0.3


def test_the_same_scores_again(served: str, tmp_path: Path) -> None:
    """Two runs of the same spec give the same results to the last digit."""
    first = evaluate("smoke", served, output_dir=tmp_path / "a", concurrency=1, limit=20)
    second = evaluate("smoke", served, output_dir=tmp_path / "b", concurrency=16, limit=20)
    assert first.failed == second.failed == 0
    assert first.groups == second.groups


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
