"""One response → one score."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from lmms_fast.errors import TaskError
from lmms_fast.metrics.plain import strip_reasoning
from lmms_fast.metrics.rule import Options, check_rule
from lmms_fast.metrics.tables import EXTRACTORS, JUDGES, MATCHERS
from lmms_fast.types import JudgeQuestion, Prediction, Sample, Score


@dataclass(frozen=True, slots=True)
class Step:
    """A named rule with its options."""

    name: str
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoringRules:
    """A chain of extractors, and what compares their answer with the accepted ones: a matcher or a judge."""

    extract: tuple[Step, ...]
    match: Step = field(default_factory=lambda: Step("exact"))
    judge: Step | None = None
    """In place of `match`."""

    def check(self, facts: Collection[str]) -> None:
        """Raise TaskError for a rule, option or fact that does not exist. `facts` are the names that samples have."""
        if not self.extract:
            raise TaskError("score.extract: name at least one rule.")
        for step in self.extract:
            check_rule("score.extract", step.name, step.options, EXTRACTORS, facts)
        if self.judge is not None:
            check_rule("score.judge", self.judge.name, self.judge.options, JUDGES, facts)
        else:
            check_rule("score.match", self.match.name, self.match.options, MATCHERS, facts)


def scoring(
    extract: str | Step | Sequence[str | Step],
    match: str | Step = "exact",
    judge: str | Step | None = None,
    *,
    facts: Collection[str] = (),
) -> ScoringRules:
    """Rules by name, checked: ``scoring("mmmu", "mmmu")``. `facts` are names that samples have. Raises TaskError."""
    chain = (extract,) if isinstance(extract, str | Step) else extract
    rules = ScoringRules(tuple(map(_step, chain)), _step(match), None if judge is None else _step(judge))
    rules.check(facts)
    return rules


def _step(rule: str | Step) -> Step:
    return Step(rule) if isinstance(rule, str) else rule


def extracted(sample: Sample, text: str, chain: Sequence[Step]) -> Prediction:
    """What a chain of extractors finds in a response: the text without its thinking goes through each in turn.

    It ends where one finds nothing, or several readings; `Prediction.rule` names the rules it went through.
    """
    rest: str = strip_reasoning(text)
    found = Prediction(None, "")
    rules: list[str] = []
    for step in chain:
        found = EXTRACTORS[step.name](rest, sample, step.options)
        rules.append(found.rule)
        if not isinstance(found.answer, str):
            break
        rest = found.answer
    return found if len(rules) == 1 else Prediction(found.answer, " → ".join(rules))


def score(sample: Sample, text: str, rules: ScoringRules) -> Score:
    """The verdict on a response by rules without a judge, which must have passed `check`.

    A sample whose answers are withheld (no target) is 0.0: do not score those.
    """
    return MATCHERS[rules.match.name](extracted(sample, text, rules.extract), sample, rules.match.options)


def judged(sample: Sample, text: str, rules: ScoringRules, reply: str | None = None) -> Score | JudgeQuestion:
    """The verdict on a response by rules with a judge, or the question that it has to be asked before there is one.

    `reply` is the judge's, where it was asked; one that cannot be read leaves the question open.
    """
    assert rules.judge is not None, "score() is for rules without a judge"
    judge, options = JUDGES[rules.judge.name], rules.judge.options
    asked = judge.ask(strip_reasoning(text), extracted(sample, text, rules.extract), sample, options)
    if isinstance(asked, Score) or reply is None:
        return asked
    return judge.read(reply, sample, options) or asked
