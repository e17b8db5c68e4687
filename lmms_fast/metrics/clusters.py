"""Which samples are not independent of each other: those on one picture, those that count together, repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lmms_fast.types import Scored


@dataclass(frozen=True, slots=True)
class Clusters:
    """Samples in groups that are independent of each other."""

    of: Mapping[str, int]
    """A sample's id → its cluster. Repeats of a sample have its id."""
    by: str
    """What makes several samples one cluster: ``picture``, ``group``, both; empty where each stands alone."""


def clusters(scored: Sequence[Scored], together: Sequence[Sequence[str]] = ()) -> Clusters:
    """Samples that share a picture, directly or by way of others, are one cluster; so are those that agree in all of
    one of the lists of groups `together`.

    A picture that every sample has tells none from another, and joins none. Where more than half of the samples would
    be one cluster (pictures drawn at random for each question join all in the end), only samples with the same pictures
    are.
    """
    pictures: dict[str, frozenset[str]] = {}
    for one in scored:
        names = pictures.get(one.id)
        pictures[one.id] = frozenset(one.pictures) if names is None else names.union(one.pictures)
    groups = _groups(scored, together)
    shared = _ties((name, id) for id, names in pictures.items() for name in names)
    shared = [tie for tie in shared if len(tie) < len(pictures)]
    found = _joined(pictures, [*shared, *groups])
    most = Counter(found.values()).most_common(1)
    if most and 2 * most[0][1] > len(found) and shared:
        same = _ties((names, id) for id, names in pictures.items() if names)
        found = _joined(pictures, [*(tie for tie in same if len(tie) < len(pictures)), *groups])
    return Clusters(found, " and ".join(name for name, ties in (("picture", shared), ("group", groups)) if ties))


def _groups(scored: Sequence[Scored], together: Sequence[Sequence[str]]) -> list[list[str]]:
    """The samples of each unit that counts as one."""
    return [
        tie for columns in together
        for tie in _ties((tuple(one.groups.get(column) for column in columns), one.id) for one in scored)
    ]  # fmt: skip


def _ties(named: Iterable[tuple[Hashable, str]]) -> list[list[str]]:
    """The ids that have a name in common."""
    first: dict[Hashable, str] = {}
    found: dict[Hashable, list[str]] = {}
    for name, id in named:
        if first.setdefault(name, id) != id:
            found.setdefault(name, [first[name]]).append(id)
    return [list(dict.fromkeys(ids)) for ids in found.values()]


def _joined(ids: Iterable[str], ties: Iterable[Sequence[str]]) -> dict[str, int]:
    """Numbers of clusters, in the order of the first id of each: union-find."""
    above = {id: id for id in ids}

    def top(id: str) -> str:
        while above[id] != id:
            above[id] = id = above[above[id]]
        return id

    for first, *others in ties:
        for other in others:
            above[top(other)] = top(first)
    numbers: dict[str, int] = {}
    return {id: numbers.setdefault(top(id), len(numbers)) for id in sorted(above)}
