"""What a run sets on the vLLM it launches, from the machine and the work. Pure; what the user gives after ``--`` wins.

vLLM prepares pictures in one thread of its API process, with HTTP and JSON in the same interpreter, so with a small
model that process is at its limit while the engine waits (`bench.saturation`, bench/LOG.md).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from lmms_fast.errors import UsageError
from lmms_fast.server.command import Platform
from lmms_fast.server.spec import ServerSpec

_GIB = 2**30
_MANY_REQUESTS = 5_000
_MOST_OF_A_GPU, _LEAST_OF_A_GPU = 0.95, 0.1


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting that was not given."""

    flag: str
    value: str
    why: str


def tune(
    spec: ServerSpec, platform: Platform, *, cores: int, memory_bytes: int, requests: int | None, repeats: int
) -> tuple[Choice, ...]:
    """The settings to add. `requests` is the number of samples, None where it is not known."""
    given = {word.partition("=")[0] for word in spec.extra_args}
    processes, why = _api_processes(spec, cores, requests, repeats)
    if "--api-server-count" in given:
        processes = int(setting(spec.extra_args, "--api-server-count") or 1)
    # Each API process and each engine has a copy. vLLM's own 4 GiB each is more than a small machine has.
    cache_gib = max(1, min(4, memory_bytes // _GIB // 16 // ((processes + 1) * spec.replicas)))
    choices = [
        Choice("--max-num-seqs", str(MAX_NUM_SEQS[platform]), "the batch; twice as many requests are kept in flight"),
        Choice("--api-server-count", str(processes), why),
        Choice("--mm-processor-cache-gb", str(cache_gib), f"of {memory_bytes // _GIB} GiB of memory"),
    ]
    return tuple(choice for choice in choices if choice.flag not in given)


def replicas(spec: ServerSpec, count: int, platform: Platform, devices: Sequence[str]) -> tuple[ServerSpec, ...]:
    """Several servers of one model on one machine, each with GPUs of its own. Raises UsageError for too few.

    One vLLM could run them inside (``--data-parallel-size``); but there a picture is not found again in its cache, and
    all end with one.
    """
    if count == 1:
        return (spec,)
    each = spec.tp * spec.pp
    if platform == "cuda" and len(devices) < count * each:
        raise UsageError(f"--dp {count}: with {each} GPU{'s' * (each > 1)} each, {count * each} are needed, and "
                         f"{len(devices)} can be used.")  # fmt: skip
    places = [tuple(devices[number * each : (number + 1) * each]) if platform == "cuda" else ()
              for number in range(count)]  # fmt: skip
    return tuple(replace(spec, devices=place, replica=number, replicas=count) for number, place in enumerate(places))


def beside(
    first: Sequence[ServerSpec], second: ServerSpec, platform: Platform, devices: Sequence[str]
) -> ServerSpec | None:
    """The second server as it can run while the first ones do; None: only after them.

    It gets GPUs of its own where there are enough, else the memory that the first was told to leave
    (`--gpu-memory-utilization`). Without a GPU both would share the same cores, so nothing is gained.
    """
    if platform == "cpu":
        return None
    taken, wanted = sum(one.tp * one.pp for one in first), second.tp * second.pp
    if len(devices) >= taken + wanted:
        return replace(second, devices=tuple(devices[taken : taken + wanted]))
    left = _MOST_OF_A_GPU - (first[0].gpu_memory_utilization or 1.0)
    if left < _LEAST_OF_A_GPU or len(devices) < wanted:
        return None
    return replace(second, gpu_memory_utilization=round(left, 3))


def devices(environ: Mapping[str, str] = os.environ, known: Path = Path("/proc/driver/nvidia/gpus")) -> tuple[str, ...]:
    """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them."""
    if (named := environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip())
    return tuple(str(number) for number in range(len(list(known.iterdir())))) if known.is_dir() else ()


MAX_NUM_SEQS: dict[Platform, int] = {"cuda": 256, "cpu": 32}


def in_flight(spec: ServerSpec, platform: Platform) -> int:
    """Requests that keep the batch full while the next are being prepared; more only fill memory."""
    return 2 * int(setting(spec.extra_args, "--max-num-seqs") or MAX_NUM_SEQS[platform])


def keeps_media(argv: Sequence[str]) -> bool:
    """Whether a server launched so finds a medium again by its name: each API process has a cache of its own, so there
    must be one, and it must be on."""
    one_process = int(setting(argv, "--api-server-count") or 1) == 1
    one_engine = int(setting(argv, "--data-parallel-size") or 1) == 1
    return one_process and one_engine and float(setting(argv, "--mm-processor-cache-gb") or 4) > 0


def setting(argv: Sequence[str], flag: str) -> str | None:
    """A flag's value on a command line, written with a space or ``=``; the last one counts."""
    found = None
    for word, following in pairwise([*argv, ""]):
        name, sign, value = word.partition("=")
        if name == flag:
            found = value if sign else following
    return found


def _api_processes(spec: ServerSpec, cores: int, requests: int | None, repeats: int) -> tuple[int, str]:
    if repeats > 1:
        return 1, "one, so that a picture is sent once for all repeats"
    spare = cores // spec.replicas - spec.workers - 1
    if spare >= 8:
        return 2, f"pictures are prepared in one thread each, and {spare} cores are free"
    if requests is not None and requests >= _MANY_REQUESTS:
        return 2, f"{requests:,} requests make up for its longer start"
    return 1, "a second one starts slower than it helps"
