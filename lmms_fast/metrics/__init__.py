"""How a response becomes a number, without I/O, network or event loop.

    text ──strip_reasoning──▶ text ──extractor──▶ Prediction ──matcher──▶ Score      one sample
    Scored, Scored, … ──aggregator──▶ Aggregate, …                                   one task
    Aggregate, … ──group_mean──▶ Aggregate                                           one group of tasks

- `extract.py`    the extractors and their table: name in a task's YAML → function
- `match.py`      the matchers and their table
- `score.py`      the two tied together for one sample: what the pipeline calls
- `aggregate.py`  the aggregators and their table

A rule that finds no answer says so (`Prediction.answer is None`): it scores 0.0 and is counted apart. No rule guesses,
except those whose name says so because a published number rests on dice.

A response is untrusted and may be very long, so every rule here takes time about linear in its length: no regular
expression may walk the same run of characters from each of its positions.
"""

from lmms_fast.metrics.aggregate import AGGREGATORS, Aggregator, aggregate, check_aggregate, group_mean
from lmms_fast.metrics.extract import EXTRACTORS, Extractor, strip_reasoning
from lmms_fast.metrics.match import MATCHERS, Matcher
from lmms_fast.metrics.score import ScoringRules, score

__all__ = [
    "AGGREGATORS",
    "EXTRACTORS",
    "MATCHERS",
    "Aggregator",
    "Extractor",
    "Matcher",
    "ScoringRules",
    "aggregate",
    "check_aggregate",
    "group_mean",
    "score",
    "strip_reasoning",
]
