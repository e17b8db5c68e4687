"""One response → one score."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from lmms_fast.errors import TaskError
from lmms_fast.metrics.extract import EXTRACTOR_OPTIONS, EXTRACTORS, strip_reasoning
from lmms_fast.metrics.match import MATCHERS
from lmms_fast.types import Sample, Score


@dataclass(frozen=True, slots=True)
class ScoringRules:
    """Which extractor and which matcher a task uses."""

    extract: str
    extract_options: Mapping[str, Any] = field(default_factory=dict)
    match: str = "exact"
    match_options: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise TaskError for a rule or option that does not exist, naming those that do."""
        _check_rule("extract", self.extract, EXTRACTORS)
        _check_rule("match", self.match, MATCHERS)
        _check_options(self.extract, self.extract_options, EXTRACTOR_OPTIONS.get(self.extract, frozenset()))
        _check_options(self.match, self.match_options, frozenset())
        if self.extract == "regex":
            _check_regex(self.extract_options)


def score(sample: Sample, text: str, rules: ScoringRules) -> Score:
    """The verdict on a response: thinking cut out, an answer extracted, matched with the accepted ones.

    Rules must have passed `check`. A sample whose answers are withheld (no target) is 0.0: do not score those.
    """
    prediction = EXTRACTORS[rules.extract](strip_reasoning(text), sample, rules.extract_options)
    return Score(MATCHERS[rules.match](prediction, sample, rules.match_options), prediction)


def _check_rule(key: str, name: str, table: Mapping[str, object]) -> None:
    if name not in table:
        raise TaskError(f"score.{key}: '{name}' is not a rule; allowed: {', '.join(table)}.")


def _check_options(name: str, options: Mapping[str, Any], allowed: Collection[str]) -> None:
    for option in options:
        if option not in allowed:
            known = f"allowed: {', '.join(sorted(allowed))}" if allowed else "the rule takes none"
            raise TaskError(f"score: rule '{name}' has no option '{option}'; {known}.")


def _check_regex(options: Mapping[str, Any]) -> None:
    if not isinstance(options.get("pattern"), str):
        raise TaskError("score.extract: rule 'regex' needs the option `pattern`, a regular expression.")
    try:
        pattern = re.compile(options["pattern"])
    except re.error as error:
        raise TaskError(f"score.extract: `pattern` is not a regular expression: {error}.") from None
    group = options.get("group", 0)
    if not (group in pattern.groupindex or (isinstance(group, int) and 0 <= group <= pattern.groups)):
        raise TaskError(f"score.extract: `pattern` has no group {group!r}; it has {pattern.groups}.")
    if options.get("pick", "first") not in ("first", "last"):
        raise TaskError(f"score.extract: `pick` is {options['pick']!r}; allowed: first, last.")
