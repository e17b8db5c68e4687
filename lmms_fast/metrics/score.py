"""One response → one score."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal, TypeVar

from lmms_fast.errors import TaskError
from lmms_fast.metrics.plain import strip_reasoning
from lmms_fast.metrics.rule import Options, check_rule, scored_as
from lmms_fast.metrics.tables import EXTRACTORS, MATCHERS, READERS
from lmms_fast.types import Prediction, Sample, Score, Undecided

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Step:
    """A named rule with its options."""

    name: str
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judging:
    """How a judge model takes part. What it is asked is the task's; here is when, and how its replies are read."""

    read: Step
    when: Literal["always", "no_answer"] = "always"
    """`no_answer`: only where the extractors found none."""
    votes: int = 1
    """Replies to the same question."""
    combine: Literal["mean", "majority"] = "mean"
    swap: bool = False
    """As many replies more, to a question that has the two answers it compares in the other order."""

    @property
    def replies(self) -> int:
        """How many there are for a response."""
        return self.votes * (2 if self.swap else 1)


@dataclass(frozen=True, slots=True)
class ScoringRules:
    """A chain of extractors, what compares their answer with the accepted ones, and perhaps a judge."""

    extract: tuple[Step, ...]
    match: Step = field(default_factory=lambda: Step("exact"))
    judge: Judging | None = None

    @property
    def slow(self) -> bool:
        """Whether a sample takes so long to be scored that requests would wait for it."""
        return MATCHERS[self.match.name].slow

    def check(self, facts: Collection[str]) -> None:
        """Raise TaskError for a rule, option or fact that does not exist. `facts` are the names that samples have."""
        if not self.extract:
            raise TaskError("score.extract: name at least one rule.")
        for step in self.extract:
            check_rule("score.extract", step.name, step.options, EXTRACTORS, facts)
        check_rule("score.match", self.match.name, self.match.options, MATCHERS, facts)
        if self.judge is not None:
            check_rule("score.judge.read", self.judge.read.name, self.judge.read.options, READERS, facts)
            if self.judge.swap and READERS[self.judge.read.name].swapped is None:
                allowed = ", ".join(name for name, reader in READERS.items() if reader.swapped is not None)
                raise TaskError(f"score.judge: `swap` is for readers of a comparison, which are: {allowed}.")


def scoring(
    extract: str | Step | Sequence[str | Step],
    match: str | Step = "exact",
    judge: Judging | None = None,
    *,
    facts: Collection[str] = (),
) -> ScoringRules:
    """Rules by name, checked: ``scoring("mmmu", "mmmu")``. `facts` are names that samples have. Raises TaskError."""
    chain = (extract,) if isinstance(extract, str | Step) else extract
    rules = ScoringRules(tuple(map(_step, chain)), _step(match), judge)
    rules.check(facts)
    return rules


def _step(rule: str | Step) -> Step:
    return Step(rule) if isinstance(rule, str) else rule


def extracted(sample: Sample, text: str, chain: Sequence[Step], *, as_is: bool = False) -> Prediction:
    """What a chain of extractors finds in a response: the text without its thinking goes through each in turn.

    It ends where one finds nothing, or several readings; `Prediction.rule` names the rules it went through. `as_is`
    leaves thinking and outer blanks in the text, as most benchmarks' own scorers do.
    """
    rest: str = text if as_is else strip_reasoning(text)
    found = Prediction(None, "")
    rules: list[str] = []
    for step in chain:
        found = EXTRACTORS[step.name](rest, sample, step.options)
        rules.append(found.rule)
        if not isinstance(found.answer, str):
            break
        rest = found.answer
    return found if len(rules) == 1 else Prediction(found.answer, " → ".join(rules))


def score(sample: Sample, text: str, rules: ScoringRules, *, as_is: bool = False) -> Score:
    """The verdict on a response by the rules alone, which must have passed `check`; `as_is` as in `extracted`.

    A sample whose answers are withheld (no target) is 0.0: do not score those.
    """
    prediction = extracted(sample, text, rules.extract, as_is=as_is)
    return MATCHERS[rules.match.name](prediction, sample, rules.match.options)


def judged(sample: Sample, text: str, rules: ScoringRules, *replies: str | None) -> Score | Undecided:
    """The verdict on a response by rules with a judge; Undecided until it was asked all, or where a reply of it cannot
    be read, or where its votes have no majority.

    `replies` are the judge's, in the order of `tasks.rubric.Asker.questions`.
    """
    judging = rules.judge
    assert judging is not None, "score() is for rules without a judge"
    prediction = extracted(sample, text, rules.extract)
    matcher, options = MATCHERS[rules.match.name], rules.match.options
    if judging.when == "no_answer" and prediction.answer is not None:
        return matcher(prediction, sample, options)
    found = [_read(reply, sample, judging, swapped=number >= judging.votes) for number, reply in enumerate(replies)]
    read = [one for one in found if one is not None]
    if not read or len(read) < judging.replies:
        return Undecided(prediction)
    if isinstance(read[0], Prediction):
        answer = _majority([one for one in read if isinstance(one, Prediction)])
        return Undecided(prediction) if answer is None else matcher(answer, sample, options)
    scores = [scored_as(one, prediction) for one in read if not isinstance(one, Prediction)]
    combined = _majority(scores) if judging.combine == "majority" else _mean(scores)
    return combined or Undecided(prediction)


def _read(
    reply: str | None, sample: Sample, judging: Judging, *, swapped: bool
) -> float | Mapping[str, float] | Prediction | None:
    reader = READERS[judging.read.name]
    found = None if reply is None else reader(reply, sample, judging.read.options)
    if not swapped or found is None or isinstance(found, Prediction):
        return found
    assert reader.swapped is not None, "checked with the rules"
    return reader.swapped(found)


def _majority(votes: Sequence[V]) -> V | None:
    """What more than half of them say."""
    for vote in votes:
        if 2 * votes.count(vote) > len(votes):
            return vote
    return None


def _mean(scores: Sequence[Score]) -> Score:
    """Of the values, and of each part over those that have it."""
    if len(scores) == 1:
        return scores[0]
    names = {name: None for one in scores for name in one.parts}
    parts = {name: fmean(one.parts[name] for one in scores if name in one.parts) for name in names}
    return Score(fmean(one.value for one in scores), scores[0].prediction, parts)
