"""Several answers to one question: how likely one of k is right, what most of k say, how often they differ."""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from lmms_fast.errors import TaskError
from lmms_fast.metrics.aggregate import averaged, mean_of
from lmms_fast.metrics.rule import Aggregator, Options
from lmms_fast.types import Aggregate, Scored

_Number = Callable[[Sequence[Scored]], float]


def _pass_at_k(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """The chance that one of `k` answers is right, for each of `k` (default [1]), from all n answers of a question.

    The unbiased estimate of arXiv 2107.03374: 1 − C(n − c, k) / C(n, k) with c right ones. A question with fewer than k
    answers that were measured is left out.
    """
    return [_over_questions(f"pass@{k}", scored, k, functools.partial(_one_of, k=k)) for k in _ks(options)]


def _one_of(answers: Sequence[Scored], k: int) -> float:
    right = sum(one.value == 1.0 for one in answers)
    return 1 - math.comb(len(answers) - right, k) / math.comb(len(answers), k)


def _majority(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """Whether the answer that most of the first `k` repeats give is right (self-consistency, arXiv 2203.11171).

    Those without an answer have no vote; of answers named equally often the one given first counts.
    """
    return [_over_questions(f"maj@{k}", scored, k, functools.partial(_most_of, k=k)) for k in _ks(options)]


def _most_of(answers: Sequence[Scored], k: int) -> float:
    votes = Counter(one.answer for one in answers[:k] if one.answer is not None)
    if not votes:
        return 0.0
    chosen = votes.most_common(1)[0][0]
    return next(one.value or 0.0 for one in answers if one.answer == chosen)


def _repeats(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """What several answers to each question say beside a task's own numbers, with k the most that one has: the mean
    value, pass@k, maj@k, and the flip rate, the share of questions whose answers do not all have the same value."""
    k = max(Counter(one.id for one in scored).values(), default=1)
    return [
        mean_of("mean", None, scored),
        *_pass_at_k(scored, {"k": [k]}),
        *_majority(scored, {"k": [k]}),
        _over_questions("flip_rate", scored, 2, _flips),
    ]


def _flips(answers: Sequence[Scored]) -> float:
    return float(len({one.value for one in answers}) > 1)


def _over_questions(metric: str, scored: Sequence[Scored], k: int, number: _Number) -> Aggregate:
    questions: defaultdict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        if one.value is not None:
            questions[one.id].append(one)
    enough = {id: sorted(answers, key=lambda one: one.repeat) for id, answers in questions.items() if len(answers) >= k}
    return averaged(metric, None, ((id, number(answers)) for id, answers in enough.items()), scored)


def _ks(options: Options) -> Sequence[int]:
    found: Sequence[int] = options.get("k", [1])
    return found


def _check_k(options: Options) -> None:
    ks = options.get("k", [1])
    if not (isinstance(ks, list | tuple) and ks and all(isinstance(k, int) and k > 0 for k in ks)):
        raise TaskError("report: `k` is a list of numbers of answers, such as [1, 8].")


_K = frozenset({"k"})

AGGREGATORS: Mapping[str, Aggregator] = MappingProxyType(
    {
        "pass_at_k": Aggregator(_pass_at_k, _K, _check_k),
        "majority": Aggregator(_majority, _K, _check_k, bounded=False),
        "repeats": Aggregator(_repeats, bounded=False),
    }
)
