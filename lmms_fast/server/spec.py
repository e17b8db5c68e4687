"""What to serve."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A model and its parallelism; `extra_args` go to `vllm serve` as they are and win over ours."""

    model: str
    tp: int = 1
    pp: int = 1
    dp: int = 1
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    extra_args: tuple[str, ...] = ()
