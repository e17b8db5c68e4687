"""Which nodes of a cluster replicas need, and what each node's part is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmms_fast.errors import UsageError
from lmms_fast.server.command import command, environment
from lmms_fast.server.layout import layout
from lmms_fast.server.spec import Part, ServerSpec


@pytest.mark.parametrize(
    ("tp", "pp", "count", "sizes", "nodes", "each", "share", "left"),
    [
        (1, 1, 1, [8], 1, 1, 1, (7,)),
        (2, 1, 2, [4, 8], 1, 2, 2, (4, 4)),
        (4, 1, 2, [8, 8], 1, 4, 1, (4, 4)),
        (8, 1, 2, [8, 8], 1, 8, 1, (0, 0)),
        (1, 1, 4, [2, 2], 1, 1, 2, (0, 0)),
        (8, 2, 1, [8, 8], 2, 8, 1, (0, 0)),
        (8, 2, 1, [8, 8, 4, 4], 2, 8, 1, (4, 4, 0, 0)),
        (8, 1, 1, [4, 4, 4], 2, 4, 1, (4, 0, 0)),
        (6, 1, 1, [2, 2, 2, 1], 3, 2, 1, (1, 0, 0, 0)),
        (4, 1, 2, [2, 2, 2, 2], 2, 2, 1, (0, 0, 0, 0)),
        (2, 1, 3, [1, 1, 1, 1, 1, 1], 2, 1, 1, (0,) * 6),
    ],
)
def test_what_fits(
    tp: int, pp: int, count: int, sizes: list[int], nodes: int, each: int, share: int, left: tuple[int, ...]
) -> None:
    """On one node where one is large enough, else evenly on as few as can be."""
    found = layout(ServerSpec("m", tp, pp), count, sizes, "GPU")
    assert (found.nodes, found.each, found.share, found.left) == (nodes, each, share, left)


@pytest.mark.parametrize(
    ("tp", "count", "sizes", "says"),
    [
        (1, 3, [1, 1], r"--dp 3 with 1 GPU each: GPUs of its nodes: 1, 1\."),
        (8, 2, [8, 4, 4], r"--dp 2 with 8 GPUs each: GPUs of its nodes: 8, 4, 4\."),
        (6, 1, [4, 2], r"a model on 6 GPUs \(--tp × --pp = 6 must be spread evenly over nodes of 4\): GPUs"),
        (3, 1, [2, 2], r"spread evenly over nodes of 2"),
        (16, 1, [8], r"a model on 16 GPUs .*: GPUs of its nodes: 8\."),
    ],
)
def test_what_does_not(tp: int, count: int, sizes: list[int], says: str) -> None:
    """What there is, and what is needed."""
    with pytest.raises(UsageError, match=says):
        layout(ServerSpec("m", tp), count, sizes, "GPU")


def test_the_parts_of_a_model(tmp_path: Path) -> None:
    """The first serves, the others only work; cores and memory are divided among those of the node."""
    parts = [ServerSpec("m", tp=2, pp=2, part=Part(rank, 2, f"10.0.0.{rank}", "10.0.0.0", 7)) for rank in (0, 1)]
    first, second = [command(one, port=5, names=("m", "u"), platform="cpu", host="10.0.0.0") for one in parts]
    told = ["--nnodes", "2", "--node-rank", "0", "--master-addr", "10.0.0.0", "--master-port", "7"]
    assert first[-12:] == [*told, "--host", "10.0.0.0", "--port", "5"]
    assert "--headless" in second
    assert "0.150" in first  # of a node's memory, for each of two workers there
    extra = environment(parts[1], platform="cpu", api_key="k", cores=[0, 1, 2, 3], memory_bytes=64 << 30)
    assert extra["VLLM_HOST_IP"] == "10.0.0.1"
    assert extra["VLLM_CPU_OMP_THREADS_BIND"] == "0,1|2,3"
