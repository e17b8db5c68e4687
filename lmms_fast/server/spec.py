"""What to serve."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


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


def weights_digest(model: str) -> str | None:
    """Names one state of a local model folder by its files' names, sizes and times; None for a hub id."""
    folder = Path(model)
    if not folder.is_dir():
        return None
    files = sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in folder.iterdir()
                   if file.is_file())  # fmt: skip
    return hashlib.blake2b(repr(files).encode(), digest_size=8).hexdigest()
