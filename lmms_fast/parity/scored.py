"""Items and the rules that `eval` uses → scores, and figures under the names that manifests use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lmms_fast.metrics import Step, aggregate, check_aggregate, score, scoring
from lmms_fast.parity.table import Item
from lmms_fast.types import Aggregate, Score, Scored

Figures = dict[str, float]


def figures(
    found: Iterable[Aggregate], name: Callable[[str, str], str] = lambda metric, value: value or metric
) -> Figures:
    """Aggregates by name, which is made of the metric and the group's value ("" for the headline)."""
    return {name(one.metric, (one.group or "").partition("=")[2]): one.value or 0.0 for one in found}


@dataclass(frozen=True, slots=True)
class Run:
    """Items with their scores."""

    items: tuple[Item, ...]
    scores: tuple[Score, ...]

    @property
    def scored(self) -> list[Scored]:
        """As the aggregations see them."""
        return [
            Scored(item.sample.id, 0, item.sample.groups, verdict.value, verdict.prediction.answer is not None,
                   verdict.parts, verdict.prediction.answer, item.sample.target)
            for item, verdict in zip(self.items, self.scores, strict=True)
        ]  # fmt: skip

    @property
    def undecided(self) -> int:
        """Responses in which the rules found no answer."""
        return sum(verdict.prediction.answer is None for verdict in self.scores)

    @property
    def correct(self) -> int:
        """Items that are right."""
        return sum(verdict.value == 1.0 for verdict in self.scores)

    def aggregates(self, name: str, **options: object) -> list[Aggregate]:
        """A named aggregation."""
        check_aggregate(name, options, list(self.items[0].sample.groups) if self.items else ())
        return aggregate(name, self.scored, options)

    def mean(self) -> float:
        """Share of right answers, or the mean of graded ones."""
        return self.aggregates("mean")[0].value or 0.0

    def by(self, column: str) -> Figures:
        """The mean for each value of a group."""
        return figures(self.aggregates("mean", by=(column,))[1:])

    def where(self, keep: Callable[[Item], bool]) -> Run:
        """Some of it."""
        pairs = [pair for pair in zip(self.items, self.scores, strict=True) if keep(pair[0])]
        return Run(tuple(item for item, _ in pairs), tuple(verdict for _, verdict in pairs))


@dataclass(frozen=True, slots=True)
class Found:
    """What a set came to."""

    figures: Figures
    run: Run
    """What explains them, sample by sample."""
    undecided: int = 0
    size: int = 0
    """Items that are no responses: stored verdicts."""
    notes: tuple[str, ...] = ()
    beyond: Mapping[str, str] = field(default_factory=dict)
    """Figures that are not computed, and why."""
    filled: bool = False
    """Whether the published verdicts on undecided items are those of dice or a language model, and no disagreement."""

    @property
    def items(self) -> int:
        """How many were scored."""
        return len(self.run.items) or self.size


def scored(items: Sequence[Item], extract: str | Step | Sequence[str | Step], match: str | Step = "exact") -> Run:
    """Every response through the rules, as it is: the scorers whose figures these are cut no thinking off.

    Raises TaskError for a rule that does not exist.
    """
    facts = set(items[0].sample.facts).intersection(*(item.sample.facts for item in items)) if items else set()
    rules = scoring(extract, match, facts=facts)
    return Run(tuple(items), tuple(score(item.sample, item.text, rules, as_is=True) for item in items))


def plain(run: Run, **more: float) -> Found:
    """The figures that every set has: the number of right ones and their share."""
    return Found({"correct": run.correct, **dict.fromkeys(SHARES, run.mean()), **more}, run, run.undecided)


SHARES = ("acc", "accuracy", "Overall", "overall", "score", "avg", "mean", "published")
"""Names of the headline, as a share or in percent, whichever was published."""


def with_groups(found: Found, *columns: str) -> Found:
    """With the mean for every value of these groups too, where the items have them."""
    present = [column for column in columns if all(column in item.sample.groups for item in found.run.items)]
    parts: Figures = {}
    for column in present:
        parts = {**found.run.by(column), **parts}
    return replace(found, figures={**parts, **found.figures})
