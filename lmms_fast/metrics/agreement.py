"""How far two agree over many samples: answers and golds (F1 of each class, the same ranks), two judges (κ)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from lmms_fast.metrics.aggregate import counted, with_golds
from lmms_fast.metrics.estimate import Formula, RankCorrelation, combined, estimate
from lmms_fast.metrics.plain import as_float
from lmms_fast.metrics.rule import Aggregator, Options
from lmms_fast.types import Aggregate, Scored


def _macro_f1(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """The mean of the F1 of every class that a gold names, and each of them.

    A sample's class is its first gold; an answer that is right counts as that class, another as what it says, and none
    as a class that no gold has. F1 of a class is 2·TP / (2·TP + FP + FN), as scikit-learn has it.
    """
    rows = with_golds(scored)
    used = [one for one in rows if one.value is not None]
    golds = Counter(one.target[0] for one in used)
    said = Counter(one.target[0] if one.value == 1.0 else one.answer for one in used)
    right = Counter(one.target[0] for one in used if one.value == 1.0)
    of_class = {name: 2 * right[name] / (golds[name] + said[name]) for name in sorted(golds)}
    mean = math.fsum(of_class.values()) / len(of_class) if of_class else None
    made = {name: Formula([(one.id, _hits(one, name)) for one in used if any(_hits(one, name))], _f1) for name in golds}
    parts = [estimate(counted("f1", f"class={name}", value, None, [one for one in scored if one.target[:1] == (name,)]),
                      made[name])
             for name, value in of_class.items()]  # fmt: skip
    whole = counted("macro_f1", None, mean, None, rows)
    return [combined(whole, [1 / len(parts)] * len(parts) if parts else [], parts), *parts]


def _hits(one: Scored, name: str) -> tuple[float, float]:
    """Whether it is a hit for the class; of how many of the two, gold and answer, the class is."""
    right = one.value == 1.0
    gold, said = one.target[0] == name, (one.target[0] if right else one.answer) == name
    return float(gold and right), float(gold + said)


def _f1(hits: Any, named: Any) -> Any:
    return 2 * hits / named


def _spearman(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """Spearman's rank correlation of answers and golds that are numbers; equal ones share their mean rank.

    A sample whose answer is no number is left out, and counts as one without an answer; one whose gold is none counts
    as not measured. Over fewer than two samples, or
    where all answers or all golds are equal, there is none.
    """
    pairs: list[tuple[str, tuple[float, float]]] = []
    rows: list[Scored] = []
    for one in scored:
        answer, gold = _number(one.answer), _number(one.target[:1])
        if one.value is not None and answer is not None and gold is not None:
            pairs.append((one.id, (answer, gold)))
        rows.append(replace(one, value=None if gold is None else one.value, answered=answer is not None))
    value = _correlation(_ranks([answer for _, (answer, _) in pairs]), _ranks([gold for _, (_, gold) in pairs]))
    return [estimate(counted("spearman", None, value, None, rows), RankCorrelation(pairs))]


def _number(answer: str | Sequence[str | float] | None) -> float | None:
    first = answer if isinstance(answer, str) or answer is None else next(iter(answer), None)
    found = None if first is None else as_float(str(first))
    return found if found is not None and math.isfinite(found) else None


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    first = {value: rank for rank, value in reversed(list(enumerate(ordered)))}
    last = {value: rank for rank, value in enumerate(ordered)}
    return [(first[value] + last[value]) / 2 for value in values]


def _correlation(left: Sequence[float], right: Sequence[float]) -> float | None:
    if len(left) < 2:
        return None
    middle = (len(left) - 1) / 2  # of ranks, ties or not
    together = math.fsum((a - middle) * (b - middle) for a, b in zip(left, right, strict=True))
    spread = math.fsum((a - middle) ** 2 for a in left) * math.fsum((b - middle) ** 2 for b in right)
    return together / math.sqrt(spread) if spread else None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two who scored the same samples."""

    n: int
    raw: float | None
    """Share of the samples with the same score; None over none."""
    kappa: float | None
    """Cohen's κ (Cohen, 1960, doi:10.1177/001316446002000104): what agreement is beyond that of chance, as a share of
    what there could be. None where chance alone would agree everywhere, or over no samples."""


def agreement(pairs: Sequence[tuple[float, float]]) -> Agreement:
    """Scores from 0 to 1, taken as the same where they are to one decimal place."""
    if not pairs:
        return Agreement(0, None, None)
    rounded = [(round(one, 1), round(other, 1)) for one, other in pairs]
    raw = sum(one == other for one, other in rounded) / len(rounded)
    left, right = (Counter(column) for column in zip(*rounded, strict=True))
    chance = sum(count * right[score] for score, count in left.items()) / len(rounded) ** 2
    return Agreement(len(rounded), raw, (raw - chance) / (1 - chance) if chance < 1 else None)


AGGREGATORS: Mapping[str, Aggregator] = MappingProxyType(
    {
        "macro_f1": Aggregator(_macro_f1, bounded=False),
        "spearman": Aggregator(_spearman, bounded=False),
    }
)
