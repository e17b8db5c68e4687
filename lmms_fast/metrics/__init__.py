"""How a response becomes a number, without I/O, network or event loop.

    text ──strip_reasoning──▶ text ──extractor──▶ … ──extractor──▶ Prediction ──matcher──▶ Score      one sample
                                                    text ──judge──▶ reply ──reader──▶ Prediction or Score
    Scored, Scored, … ──aggregator──▶ Aggregate, …                                                    one task
                    ──interval──▶ with standard errors and 95 % intervals
    Aggregate, … ──group_mean──▶ Aggregate                                                            one group

- `rule.py`       what a rule is: a function, its options and their check
- `tables.py`     every rule by the name that a task's YAML uses, put together from the tables of the modules below
- `plain.py`      rules that belong to no benchmark: the text, its first line, a pattern, a number; equality
- `letters.py`    multiple choice: our own rule. `letters_harness.py`: the rules that lmms-eval and VLMEvalKit share
  among benchmarks. `letters_published.py`: those of single benchmarks
- `yes_no.py`     yes or no
- `mmmu.py`       MMMU's and MMMU-Pro's parsers and matcher; `cmmmu.py` the Chinese one's
- `text.py`       short answers: equality, containment, near numbers, common words. `anls.py`: edit distance. `vqa.py`:
  agreement with annotators. `rouge.py`: ROUGE of the package of that name. `documents.py`: MMLongBench-Doc.
  `interleave.py`: LLaVA-Interleave Bench
- `maths.py`      MATH-Vision, MathVista, GSM8K; `latex.py`: LaTeX to a number. `reasoning.py`: lmms-eval's reasoning
  tasks, math-verify
- `ifeval.py`     IFEval's matcher and report; `instructions.py`: its 25 checks
- `boxes.py`      boxes and points on the picture
- `captions.py`   CIDEr, BLEU and ROUGE-L of captions; `tokenise.py`: their words
- `aggregate.py`  means, by group too, plain or macro; the mean of a group of tasks. `grouped.py`: over samples that
  count together (pairs, rotations, triplets). `aggregate_published.py`: F1, and what single benchmarks report
- `repeated.py`   several answers to one question: pass@k, majority, flips. `agreement.py`: F1 of classes, rank
  correlation. `wer.py`: word errors
- `estimate.py`   what a number is made of. `interval.py`: its standard error and interval, from that and from
  `clusters.py`, which samples go together. `quantile.py`: Student's t and the binomial
- `readers.py`    what a judge's reply means
- `score.py`      the chain for one sample: what the pipeline calls

A rule that finds no answer says so (`Prediction.answer is None`): it scores 0.0 and is counted apart. No rule guesses,
except those whose name says so because a published number rests on dice.

A response is untrusted and may be very long, so every rule here takes time about linear in its length: no regular
expression may walk the same run of characters from each of its positions.
"""

from lmms_fast.metrics.aggregate import group_mean
from lmms_fast.metrics.plain import strip_reasoning
from lmms_fast.metrics.rule import Aggregator, Extractor, Matcher, Reader
from lmms_fast.metrics.score import Judging, ScoringRules, Step, extracted, judged, score, scoring
from lmms_fast.metrics.tables import (
    AGGREGATORS,
    EXTRACTORS,
    MATCHERS,
    READERS,
    aggregate,
    aggregate_with_bounds,
    check_aggregate,
)

__all__ = [
    "AGGREGATORS",
    "EXTRACTORS",
    "MATCHERS",
    "READERS",
    "Aggregator",
    "Extractor",
    "Judging",
    "Matcher",
    "Reader",
    "ScoringRules",
    "Step",
    "aggregate",
    "aggregate_with_bounds",
    "check_aggregate",
    "extracted",
    "group_mean",
    "judged",
    "score",
    "scoring",
    "strip_reasoning",
]
