"""Numbers that single benchmarks make of their samples, where a mean does not say it: F1, sums, ratios of means."""

from __future__ import annotations

import math
import operator
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lmms_fast.errors import TaskError
from lmms_fast.metrics.aggregate import (
    averaged,
    by_each,
    by_group,
    check_by,
    counted,
    group_mean,
    listed,
    macro,
    mean_of,
    mean_of_means,
    unit_means,
)
from lmms_fast.metrics.estimate import Combination, Formula, combined, estimate
from lmms_fast.metrics.rule import Aggregator, Options, one_of
from lmms_fast.types import Aggregate, Scored

# Yes or no


def _f1(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """F1 of "yes", accuracy, precision, recall and the share of "yes" among the answers (POPE, arXiv 2305.10355).

    `by`: groups for each of whose values all five stand again. A value may list several, ``adversarial,popular``: the
    sample then counts once for each, in the numbers over all samples too (by the first group of `by`). ``mean_f1``, the
    mean over the values of that first group, then is the headline, as POPE's authors report it; without `by` the F1 is.

    `silence`: a response without an answer is wrong, and to the other four ``negative`` (the default: "no", as in
    VLMEvalKit) or ``left_out`` (lmms-eval). The share of "yes" is of what the model said; lmms-eval's is of the golds.
    A ratio of nothing to nothing has no value.
    """
    columns = options.get("by", ())
    counted_once_each = [one for one in scored for _ in (listed(one, columns[0]) if columns else [""])]
    found = _f1_part(None, scored, counted_once_each, options)
    details: list[Aggregate] = []
    for column in columns:
        parts = by_each(scored, column)
        details += [
            one for value in sorted(parts)
            for one in _f1_part(f"{column}={value}", parts[value], parts[value], options)
        ]  # fmt: skip
    if columns:
        of_first = [one for one in details if one.metric == "f1" and (one.group or "").startswith(f"{columns[0]}=")]
        mean = group_mean("mean_f1", of_first)
        whole = counted("mean_f1", None, mean.value, None, scored)
        found = [combined(whole, [1 / len(of_first)] * len(of_first) if of_first else [], of_first), *found]
    return found + details


def _f1_part(group: str | None, scored: Sequence[Scored], rows: Sequence[Scored], options: Options) -> list[Aggregate]:
    """The five numbers over `rows`, which hold a sample several times where it counts so often."""
    negative = options.get("silence", "negative") == "negative"
    measured = [one for one in rows if one.value is not None]
    answers = [(one.id, _is_yes(one), said) for one in measured if (said := _said(one, negative)) is not None]
    hits = [(id, float(gold and said == "yes")) for id, gold, said in answers]
    accuracy = mean_of("accuracy", group, scored)
    if len(rows) != len(scored):
        accuracy = _share("accuracy", group, [(one.id, (one.value or 0.0, 1.0)) for one in measured], scored)
    return [
        _share("f1", group, [(id, (2 * hit, float(gold) + (said == "yes")))
                             for (id, hit), (_, gold, said) in zip(hits, answers, strict=True)], scored),
        accuracy,
        _share("precision", group, [(id, (hit, float(said == "yes")))
                                    for (id, hit), (_, _, said) in zip(hits, answers, strict=True)], scored),
        _share("recall", group, [(id, (hit, float(gold)))
                                 for (id, hit), (_, gold, _) in zip(hits, answers, strict=True)], scored),
        _share("yes_ratio", group, [(id, (float(said == "yes"), 1.0)) for id, _, said in answers], scored),
    ]  # fmt: skip


def _share(
    metric: str, group: str | None, rows: Sequence[tuple[str, tuple[float, float]]], scored: Sequence[Scored]
) -> Aggregate:
    """A sum over another, of (sample's id, (of the one, of the other)): samples that are in neither say nothing."""
    part, whole = (math.fsum(numbers[side] for _, numbers in rows) for side in (0, 1))
    found = counted(metric, group, _ratio(part, whole), None, scored)
    return estimate(found, Formula([row for row in rows if row[1][1]], operator.truediv))


def _is_yes(one: Scored) -> bool:
    return any(target.strip().strip(".").lower() == "yes" for target in one.target)


def _said(one: Scored, negative: bool) -> str | None:
    """``yes`` or ``no``: the gold where the answer is right, else what was found; without an answer as `negative` says.

    A sample that was not measured is right or wrong without words of its own, for the bounds.
    """
    if one.value == 1.0 or (one.answered and one.answer is None):
        return "yes" if _is_yes(one) is (one.value == 1.0) else "no"
    said = one.answer.strip().lower() if isinstance(one.answer, str) else None
    return said if said in ("yes", "no") else ("no" if negative else None)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _check_f1(options: Options) -> None:
    check_by(options)
    one_of("report", silence=("negative", "left_out"))(options)


# Means and sums


def _mmvet(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """MM-Vet (arXiv 2308.02490): 100 times the mean score; for each capability; for each set of capabilities.

    The group `capability` lists a sample's, ``ocr,math``. Runs of the judge are repeats, and averaged.
    """
    scale = {"scale": 100}
    alone = by_each(scored, "capability")
    sets: defaultdict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        sets[", ".join(listed(one, "capability"))].append(one)
    return [
        mean_of("total", None, scored, scale),
        *(mean_of("total", f"capability={name}", alone[name], scale) for name in sorted(alone)),
        *(mean_of("total", f"capabilities={names}", sets[names], scale) for names in sorted(sets)),
    ]


def _cv_bench(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """CV-Bench (arXiv 2406.16860): the mean of a 2D and a 3D score.

    The 2D score is the mean of the accuracies on ADE20K and COCO, the 3D score that on Omni3D (group `source`).
    lmms-eval reports the accuracy over all rows instead.
    """
    parts = by_group(scored, "source")
    ade, coco, omni = (
        mean_of("accuracy", f"source={source}", parts.get(source, []))
        for source in ("ADE20K", "COCO", "Omni3D")
    )
    flat, deep = group_mean("cv_bench_2d", [ade, coco]), group_mean("cv_bench_3d", [omni])
    return [group_mean("cv_bench", [flat, deep]), flat, deep, ade, coco, omni]


def _hrbench(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """HR-Bench (arXiv 2408.15556): accuracy by `category` (single, cross), the mean over the four cycles of the options
    (`cycle_category`), and the mean of the two. Not the share of questions right in all cycles.
    """
    return macro(scored, {"metric": "average", "by": ["cycle_category"], "within": "category"})


OCRBENCH_TEXT_RECOGNITION = (
    "Regular Text Recognition", "Irregular Text Recognition", "Artistic Text Recognition", "Handwriting Recognition",
    "Digit String Recognition", "Non-Semantic Text Recognition",
)  # fmt: skip


def _ocrbench(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """OCRBench (arXiv 2305.07895): the number of right answers, of 1000 over the complete set, and of each
    `question_type`; the six kinds of recognition also as one, ``Text Recognition`` of 300.

    Over a part of the set it is of as many as were measured (n); `accuracy` is that share, where lmms-eval divides by
    1000 whatever was asked.
    """
    types = by_group(scored, "question_type")
    recognition = [one for name in OCRBENCH_TEXT_RECOGNITION for one in types.get(name, [])]
    groups = {**types, **({"Text Recognition": recognition} if recognition else {})}
    return [
        _number_right(None, scored),
        mean_of("accuracy", None, scored),
        *(_number_right(f"question_type={name}", groups[name]) for name in sorted(groups)),
    ]


def _number_right(group: str | None, scored: Sequence[Scored]) -> Aggregate:
    """The sum over samples, of the mean of each one's repeats."""
    count = len({one.id for one in scored if one.value is not None})
    return mean_of("final_score", group, scored, {"scale": count})


# Against a reference's answers


def _score_ratio(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """LLaVA-Bench's score (arXiv 2304.08485): 100 × the judge's mean score for the model / that for the reference.

    Scores are the parts `model` and `reference`, 0 to 1 for a judge's 0 to 10. As in the authors' table both means are
    rounded to three decimals, on the judge's scale, before they are divided, and the ratio to one; repeats are runs,
    whose rounded ratios are averaged. The ratio may exceed 100. Raises TaskError for a sample without the parts.

    Options: `metric` (score_ratio), `by`, and `failures`: a sample that was not measured is ``left_out`` (the default),
    or ``as_minus_one`` counts −1 for both, as lmms-eval has it for replies without scores.
    """
    metric = options.get("metric", "score_ratio")
    found = [_score_ratio_part(metric, None, scored, options)]
    for column in options.get("by", ()):
        parts = by_group(scored, column)
        found += [_score_ratio_part(metric, f"{column}={name}", parts[name], options) for name in sorted(parts)]
    return found


def _score_ratio_part(metric: str, group: str | None, scored: Sequence[Scored], options: Options) -> Aggregate:
    runs: defaultdict[int, list[tuple[str, tuple[float, float]]]] = defaultdict(list)
    for one in scored:
        if one.value is None:
            if options.get("failures") == "as_minus_one":
                runs[one.repeat].append((one.id, (-1.0, -1.0)))
        elif "model" in one.parts and "reference" in one.parts:
            runs[one.repeat].append((one.id, (_of_ten(one.parts["model"]), _of_ten(one.parts["reference"]))))
        else:
            raise TaskError(f"report: sample {one.id} has no scores `model` and `reference` to divide.")
    ratios = [ratio for rows in runs.values() if (ratio := _ratio_of_means([pair for _, pair in rows])) is not None]
    value = math.fsum(ratios) / len(ratios) if ratios else None
    parts = [(1 / len(runs), Formula(rows, _percentage, None)) for _, rows in sorted(runs.items())]
    return estimate(counted(metric, group, value, None, scored), Combination(parts))


def _percentage(model: Any, reference: Any) -> Any:
    return 100 * model / reference


def _of_ten(part: float) -> float:
    return round(10 * part, 9)  # 0.73 is 7.3 again, not 7.300000000000001


def _ratio_of_means(pairs: Sequence[tuple[float, float]]) -> float | None:
    model, reference = (round(math.fsum(column) / len(pairs), 3) for column in zip(*pairs, strict=True))
    return round(100 * model / reference, 1) if reference else None


def _check_score_ratio(options: Options) -> None:
    check_by(options)
    one_of("report", failures=("left_out", "as_minus_one"))(options)


WILDVISION_VERDICTS = {"much_better": 1.0, "better": 0.75, "tie": 0.5, "worse": 0.25, "much_worse": 0.0}
"""The value of a sample by the judge's verdict on the model's answer against the reference's."""


def _wildvision(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """WildVision-Bench (arXiv 2406.11069): reward, the mean of 100, 50, 0, −50, −100 for much better … much worse than
    the reference's answer; win rate, the percentage that is better; and how often each verdict was given.

    Values are those of `WILDVISION_VERDICTS`.
    """
    measured = [(one.id, one.value) for one in scored if one.value is not None]
    counts = {name: sum(one.value == value for one in scored) for name, value in WILDVISION_VERDICTS.items()}
    return [
        averaged("reward", None, ((id, 200 * value - 100) for id, value in measured), scored, (-100.0, 100.0)),
        averaged("win_rate", None, ((id, 100.0 * (value > 0.5)) for id, value in measured), scored, (0.0, 100.0)),
        *(counted("verdicts", f"verdict={name}", float(count), None, scored) for name, count in counts.items()),
    ]


def _attempts(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """SimpleVQA's (arXiv 2502.13059) numbers, in percent: the F-score, the harmonic mean of the share that is correct
    and of the share of those attempted that is; both of these; and what is incorrect and not attempted.

    Of a sample the value is whether it is correct, the part `attempted` whether it is an answer. Options: `by`.
    """
    found = _attempts_part(None, scored)
    for column in options.get("by", ()):
        parts = by_group(scored, column)
        found += [one for name in sorted(parts) for one in _attempts_part(f"{column}={name}", parts[name])[:1]]
    return found


def _attempts_part(group: str | None, scored: Sequence[Scored]) -> list[Aggregate]:
    used = [one for one in scored if one.value is not None]
    corrects = unit_means((one.id, one.value or 0.0) for one in used)
    attempts = unit_means((one.id, one.parts.get("attempted", 1.0)) for one in used)
    correct, _ = mean_of_means(corrects.values())
    attempted, _ = mean_of_means(attempts.values())
    if correct is None or attempted is None:
        return [counted(name, group, None, None, scored) for name in _ATTEMPTS]
    of_attempted = correct / attempted if attempted else 0.0
    shares = (2 * correct / (1 + attempted), correct, of_attempted, attempted - correct, 1 - attempted)
    rows = [(id, (correct, attempts[id], 1.0)) for id, correct in corrects.items()]
    return [
        estimate(counted(name, group, 100 * share, None, scored), Formula(rows, made, (0.0, 100.0)))
        for (name, made), share in zip(_ATTEMPTS.items(), shares, strict=True)
    ]


def _f_score(correct: Any, attempted: Any, n: Any) -> Any:
    return 200 * correct / (n + attempted)


def _correct(correct: Any, _: Any, n: Any) -> Any:
    return 100 * correct / n


def _correct_given_attempted(correct: Any, attempted: Any, _: Any) -> Any:
    return 100 * correct / attempted


def _incorrect(correct: Any, attempted: Any, n: Any) -> Any:
    return 100 * (attempted - correct) / n


def _not_attempted(_: Any, attempted: Any, n: Any) -> Any:
    return 100 - 100 * attempted / n


_ATTEMPTS = {
    "f_score": _f_score, "correct": _correct, "correct_given_attempted": _correct_given_attempted,
    "incorrect": _incorrect, "not_attempted": _not_attempted,
}  # fmt: skip


AGGREGATORS: Mapping[str, Aggregator] = MappingProxyType(
    {
        "f1": Aggregator(
            _f1,
            frozenset({"by", "silence"}),
            _check_f1,
            bounded=frozenset({"mean_f1", "f1", "accuracy", "precision", "recall"}),
        ),
        "mmvet": Aggregator(_mmvet, needs=frozenset({"capability"})),
        "cv_bench": Aggregator(_cv_bench, needs=frozenset({"source"}), whole=True),
        "hrbench": Aggregator(_hrbench, needs=frozenset({"category", "cycle_category"})),
        "ocrbench": Aggregator(_ocrbench, needs=frozenset({"question_type"}), whole=True),
        "score_ratio": Aggregator(
            _score_ratio, frozenset({"metric", "by", "failures"}), _check_score_ratio, bounded=False
        ),
        "attempts": Aggregator(_attempts, frozenset({"by"}), check_by, bounded=frozenset({"f_score", "correct"})),
        "wildvision": Aggregator(_wildvision, bounded=frozenset({"reward", "win_rate"})),
    }
)
