"""Which samples are not independent of each other: those on one picture, those that count together, repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
    pictures: dict[str, tuple[str, ...]] = {one.id: one.pictures for one in scored}
    sets = _groups(scored, together)
    joined = _joined(pictures, [*_shared(pictures), *sets])
    most = Counter(joined.values()).most_common(1)
    if most and 2 * most[0][1] > len(joined):
        joined = _joined(pictures, [*_same(pictures), *sets])
    by = [name for name, ties in (("picture", _shared(pictures)), ("group", sets)) if any(len(tie) > 1 for tie in ties)]
    return Clusters(joined, " and ".join(by))


def _shared(pictures: Mapping[str, tuple[str, ...]]) -> list[list[str]]:
    """The samples of each picture."""
    found: dict[str, list[str]] = {}
    for id, names in pictures.items():
        for name in set(names):
            found.setdefault(name, []).append(id)
    return [ids for ids in found.values() if len(ids) < len(pictures)]


def _same(pictures: Mapping[str, tuple[str, ...]]) -> list[list[str]]:
    """The samples of each set of pictures."""
    found: dict[frozenset[str], list[str]] = {}
    for id, names in pictures.items():
        if names:
            found.setdefault(frozenset(names), []).append(id)
    return [ids for ids in found.values() if len(ids) < len(pictures)]


def _groups(scored: Sequence[Scored], together: Sequence[Sequence[str]]) -> list[list[str]]:
    """The samples of each unit that counts as one."""
    found: dict[tuple[str, ...], dict[str, None]] = {}
    for number, columns in enumerate(together):
        for one in scored:
            name = (str(number), *(one.groups.get(column, "") for column in columns))
            found.setdefault(name, {})[one.id] = None
    return [list(ids) for ids in found.values()]


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
