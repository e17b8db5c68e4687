"""What a run sets on the vLLM it launches."""

from __future__ import annotations

import pytest

from lmms_fast.errors import UsageError
from lmms_fast.server.command import command, environment
from lmms_fast.server.spec import ServerSpec
from lmms_fast.server.tune import in_flight, keeps_media, replicas, setting, tune

GIB = 2**30


def _tuned(spec: ServerSpec, **machine: int | None) -> dict[str, str]:
    chosen = {"cores": 2, "memory_bytes": 24 * GIB, "requests": 320, "repeats": 1, **machine}
    return {choice.flag: choice.value for choice in tune(spec, "cpu", **chosen)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("machine", "processes"),
    [
        ({}, "1"),
        ({"requests": 50_000}, "2"),
        ({"requests": None}, "1"),
        ({"cores": 16}, "2"),
        ({"cores": 16, "repeats": 4}, "1"),
    ],
)
def test_api_processes(machine: dict[str, int | None], processes: str) -> None:
    """A second one where it costs nothing or pays; one where pictures come again."""
    assert _tuned(ServerSpec("m"), **machine)["--api-server-count"] == processes


def test_cores_that_workers_take_are_not_free() -> None:
    """Eight workers on sixteen cores leave too few."""
    assert _tuned(ServerSpec("m", tp=8), cores=16)["--api-server-count"] == "1"


def test_media_caches_stay_a_small_part_of_the_memory() -> None:
    """Copies in each process count."""
    assert _tuned(ServerSpec("m"), memory_bytes=24 * GIB)["--mm-processor-cache-gb"] == "1"
    assert _tuned(ServerSpec("m"), memory_bytes=256 * GIB)["--mm-processor-cache-gb"] == "4"


def test_what_the_user_gives_wins() -> None:
    """Either way of writing it, and the number in flight follows."""
    spec = ServerSpec("m", extra_args=("--max-num-seqs=8", "--api-server-count", "3"))
    assert set(_tuned(spec)) == {"--mm-processor-cache-gb"}
    assert in_flight(spec, "cpu") == 16
    assert in_flight(ServerSpec("m"), "cuda") == 512


def test_replicas_share_a_machine() -> None:
    """GPUs without overlap; without GPUs cores and memory in equal parts; too few GPUs are refused."""
    eight = tuple(map(str, range(8)))
    found = replicas(ServerSpec("m", tp=2), 3, "cuda", eight)
    assert [one.devices for one in found] == [("0", "1"), ("2", "3"), ("4", "5")]
    assert [(one.replica, one.replicas) for one in found] == [(0, 3), (1, 3), (2, 3)]
    assert replicas(ServerSpec("m"), 1, "cuda", ()) == (ServerSpec("m"),)
    with pytest.raises(UsageError, match=r"--dp 5: with 2 GPUs each, 10 are needed, and 8 can be used"):
        replicas(ServerSpec("m", tp=2), 5, "cuda", eight)
    pair = replicas(ServerSpec("m"), 2, "cpu", ())
    bound = [environment(one, platform="cpu", api_key="k", cores=[0, 1, 2, 3], memory_bytes=32 * GIB) for one in pair]
    assert [one["VLLM_CPU_OMP_THREADS_BIND"] for one in bound] == ["0,1", "2,3"]
    assert [one["VLLM_CPU_KVCACHE_SPACE"] for one in bound] == ["2", "2"]
    assert _tuned(pair[0], memory_bytes=64 * GIB)["--mm-processor-cache-gb"] == "1"


def test_settings_are_on_the_command_line() -> None:
    """As the last word on it says."""
    chosen = [(choice.flag, choice.value) for choice in
              tune(ServerSpec("m"), "cpu", cores=2, memory_bytes=24 * GIB, requests=1, repeats=1)]  # fmt: skip
    argv = command(ServerSpec("m"), port=1, names=["m", "x"], platform="cpu", chosen=chosen)
    assert setting(argv, "--max-num-seqs") == "32"
    assert keeps_media(argv)


@pytest.mark.parametrize("words", [["--api-server-count", "2"], ["--data-parallel-size=2"],
                                   ["--mm-processor-cache-gb", "0"]])  # fmt: skip
def test_media_are_kept_only_by_one_process_with_a_cache(words: list[str]) -> None:
    """Each process has its own, and a name that one knows is a miss at the other."""
    assert not keeps_media(["vllm", "serve", *words])
    assert keeps_media(["vllm", "serve"])
