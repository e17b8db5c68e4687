"""What to serve."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Part:
    """What one node has of a model that needs several: vLLM's own way, without Ray's."""

    rank: int
    """Of the node; the first one serves, the others only work."""
    nodes: int
    address: str
    """Of the node itself."""
    master: str
    """Of the first one …"""
    port: int
    """… where the others find it."""

    @property
    def words(self) -> tuple[str, ...]:
        """As vLLM is told of it."""
        told = ("--nnodes", str(self.nodes), "--node-rank", str(self.rank), "--master-addr", self.master,
                "--master-port", str(self.port))  # fmt: skip
        return (*told, "--headless") if self.rank else told


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A model and its parallelism; `extra_args` go to `vllm serve` as they are and win over ours."""

    model: str
    tp: int = 1
    pp: int = 1
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    extra_args: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    """GPUs it may use, as CUDA_VISIBLE_DEVICES names them; empty: all."""
    replica: int = 0
    """Which of several like it, that share the machine …"""
    replicas: int = 1
    """… this is one of."""
    part: Part | None = None
    """None: all of it is on one machine."""

    @property
    def workers(self) -> int:
        """Of its processes, those that compute on one machine: a GPU each."""
        return self.tp * self.pp // (self.part.nodes if self.part else 1)


def weights_digest(model: str) -> str | None:
    """Names one state of a local model folder by its files' names, sizes and times; None for a hub id."""
    folder = Path(model)
    if not folder.is_dir():
        return None
    files = sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in folder.iterdir()
                   if file.is_file())  # fmt: skip
    return hashlib.blake2b(repr(files).encode(), digest_size=8).hexdigest()
