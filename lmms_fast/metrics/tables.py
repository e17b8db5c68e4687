"""Every rule by the name that a task's YAML uses. A new rule goes into the table of the module it belongs to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from lmms_fast.errors import TaskError
from lmms_fast.metrics import aggregate as means
from lmms_fast.metrics import (
    aggregate_published,
    agreement,
    anls,
    boxes,
    captions,
    cmmmu,
    documents,
    grouped,
    ifeval,
    interleave,
    letters,
    letters_harness,
    letters_published,
    maths,
    mmmu,
    plain,
    readers,
    reasoning,
    repeated,
    rouge,
    text,
    vqa,
    wer,
    yes_no,
)
from lmms_fast.metrics.clusters import clusters
from lmms_fast.metrics.interval import with_intervals
from lmms_fast.metrics.rule import NONE, Aggregator, Extractor, Matcher, Options, Reader, check_rule, merged
from lmms_fast.types import Aggregate, Scored

EXTRACTORS: Mapping[str, Extractor] = merged(
    plain.EXTRACTORS,
    yes_no.EXTRACTORS,
    letters.EXTRACTORS,
    letters_harness.EXTRACTORS,
    letters_published.EXTRACTORS,
    mmmu.EXTRACTORS,
    cmmmu.EXTRACTORS,
    maths.EXTRACTORS,
    reasoning.EXTRACTORS,
    boxes.EXTRACTORS,
    interleave.EXTRACTORS,
)
MATCHERS: Mapping[str, Matcher] = merged(
    plain.MATCHERS,
    yes_no.MATCHERS,
    letters_published.MATCHERS,
    mmmu.MATCHERS,
    cmmmu.MATCHERS,
    maths.MATCHERS,
    reasoning.MATCHERS,
    boxes.MATCHERS,
    text.MATCHERS,
    anls.MATCHERS,
    vqa.MATCHERS,
    rouge.MATCHERS,
    documents.MATCHERS,
    ifeval.MATCHERS,
    captions.MATCHERS,
    wer.MATCHERS,
    interleave.MATCHERS,
)
READERS: Mapping[str, Reader] = merged(readers.READERS)
AGGREGATORS: Mapping[str, Aggregator] = merged(
    means.AGGREGATORS,
    grouped.AGGREGATORS,
    aggregate_published.AGGREGATORS,
    documents.AGGREGATORS,
    ifeval.AGGREGATORS,
    captions.AGGREGATORS,
    repeated.AGGREGATORS,
    agreement.AGGREGATORS,
    wer.AGGREGATORS,
)


def aggregate(name: str, scored: Sequence[Scored], options: Options = NONE) -> list[Aggregate]:
    """The named aggregation over the samples of a task; it must have passed `check_aggregate`. Raises TaskError."""
    return AGGREGATORS[name](scored, options)


def aggregate_with_bounds(name: str, scored: Sequence[Scored], options: Options = NONE) -> list[Aggregate]:
    """As `aggregate`, with standard errors and 95 % intervals over what was measured (`interval`); and with bounds
    where some were measured and some not: the same numbers with all of these wrong, and with all of them right."""
    rule = AGGREGATORS[name]
    found = with_intervals(rule.run(scored, options), clusters(scored, rule.together))
    if len({one.value is None for one in scored}) < 2 or not rule.bounded:
        return found
    worst, best = (
        rule([one if one.value is not None else _as_if(one, right) for one in scored], options)
        for right in (False, True)
    )
    return [
        replace(one, low=low.value, high=high.value) if rule.bounds(one.metric) else one
        for one, low, high in zip(found, worst, best, strict=True)
    ]


def _as_if(one: Scored, right: bool) -> Scored:
    """A sample that was not measured, as if it had been: answered by the gold, or by whatever is most wrong (None)."""
    return replace(one, value=float(right), answered=True, answer=one.target[0] if right and one.target else None)


def check_aggregate(name: str, options: Options, groups: Collection[str]) -> None:
    """Raise TaskError for an aggregation, option or group that does not exist. `groups` are those the task declares."""
    check_rule("report", name, options, AGGREGATORS, groups)
    named = [(key, column) for key in ("by", "each") for column in options.get(key, ())]
    named += [(key, options[key]) for key in ("within", "size") if isinstance(options.get(key), str)]
    for key, column in named:
        if column not in groups:
            raise TaskError(f"report: `{key}` names the group '{column}'; the task has: {', '.join(groups) or 'none'}.")
