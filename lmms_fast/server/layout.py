"""Which nodes of a cluster a model's replicas need. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lmms_fast.errors import UsageError
from lmms_fast.server.spec import ServerSpec

Unit = Literal["GPU", "CPU"]


@dataclass(frozen=True, slots=True)
class Layout:
    """What one replica takes."""

    nodes: int
    each: int
    """GPUs (or CPUs) on each of them."""
    share: int
    """Replicas that may be on one node."""
    left: tuple[int, ...]
    """What the nodes have then, by size, the largest first."""


def layout(spec: ServerSpec, count: int, sizes: Sequence[int], unit: Unit) -> Layout:
    """For `count` replicas on nodes with so many GPUs, or with so many CPUs where there is no GPU: each on one node if
    a node is large enough, else on as few as can share it evenly. Raises UsageError where they do not fit."""
    world = spec.tp * spec.pp
    largest = max(sizes, default=0)
    for nodes in range(1, min(world, len(sizes)) + 1):
        each, rest = divmod(world, nodes)
        if not rest and each <= largest and (found := _placed(nodes, each, count, sizes)):
            return found
        if nodes == 1 and world <= largest:
            break  # one node can hold it, so there are too few of them, not too small ones
    has = f"{unit}s of its nodes: {', '.join(map(str, sizes))}"
    needed = f"--dp {count} with {counted(world, unit)} each" if count > 1 else f"a model on {counted(world, unit)}"
    evenly = "" if world <= largest else f" (--tp × --pp = {world} must be spread evenly over nodes of {largest})"
    raise UsageError(f"The Ray cluster is too small for {needed}{evenly}: {has}.")


def _placed(nodes: int, each: int, count: int, sizes: Sequence[int]) -> Layout | None:
    """Each on the emptiest nodes, as Ray does it."""
    free = sorted(sizes, reverse=True)
    held = [0] * len(free)
    for _ in range(count):
        chosen = sorted(range(len(free)), key=lambda node: -free[node])[:nodes]
        if len(chosen) < nodes or free[chosen[-1]] < each:
            return None
        for node in chosen:
            free[node] -= each
            held[node] += 1
    return Layout(nodes, each, max(held), tuple(sorted(free, reverse=True)))


def counted(number: int, what: str) -> str:
    """As one says it."""
    return f"{number} {what}{'s' * (number != 1)}"
