"""Numbers over samples that count together: both questions on a picture, the rotations of one question, a triplet.

A unit (one such group, of one repeat) with a member missing or not measured is left out, and its samples count as
failed: what is left of it would be easier to get wholly right. Standard errors are those over units.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from lmms_fast.errors import TaskError
from lmms_fast.metrics.aggregate import (
    check_by,
    group_mean,
    group_of,
    mean_of,
    mean_of_means,
    silent,
    unit_means,
)
from lmms_fast.metrics.estimate import Mean, combined, estimate, plain
from lmms_fast.metrics.rule import Aggregator, Options
from lmms_fast.types import Aggregate, Scored

MME_PERCEPTION = (
    "existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR",
)  # fmt: skip
MME_COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")


@dataclass(frozen=True, slots=True)
class Unit:
    """Samples that count together."""

    name: tuple[str, ...]
    """Equal for the repeats of one."""
    members: Sequence[Scored]
    complete: bool
    """All members are there, and were measured."""

    @property
    def right(self) -> int:
        """How many members are right."""
        return sum(one.value == 1.0 for one in self.members)

    @property
    def all_right(self) -> bool:
        """Whether every member is."""
        return self.right == len(self.members)

    def of(self, column: str) -> str:
        """The unit's value of a group; the first in the alphabet where its members differ."""
        return min(group_of(one, column) for one in self.members)


def units_of(scored: Iterable[Scored], columns: Sequence[str], size: int | str | None = None) -> list[Unit]:
    """The units that share the values of the groups `columns`. Raises TaskError for a group that the task lacks.

    `size`: of how many members a complete one has, or the group that tells; None: as many as there are.
    """
    found: defaultdict[tuple[tuple[str, ...], int], list[Scored]] = defaultdict(list)
    for one in scored:
        found[tuple(group_of(one, column) for column in columns), one.repeat].append(one)
    return [
        Unit(name, members, _has(members, size) and all(one.value is not None for one in members))
        for (name, _), members in found.items()
    ]


def _has(members: Sequence[Scored], size: int | str | None) -> bool:
    if isinstance(size, str):
        return all(group_of(one, size) == str(len(members)) for one in members)
    return size is None or size == len(members)


def mean_of_units(
    metric: str, group: str | None, units: Sequence[Unit], number: Callable[[Unit], float], scale: float = 1,
    most: float = 1.0,
) -> Aggregate:  # fmt: skip
    """The mean of `number`, from 0 to `most`, over the complete units, the repeats of a unit averaged first."""
    complete = [unit for unit in units if unit.complete]
    means = unit_means((unit.name, scale * number(unit)) for unit in complete)
    value, error = mean_of_means(means.values())
    used = [one for unit in complete for one in unit.members]
    given = sum(len(unit.members) for unit in units)
    found = Aggregate(metric, group, value, error, len(used), silent(used), given - len(used))
    # Any member stands for its unit: `Aggregator.together` has them in one cluster.
    members = {unit.name: min(one.id for one in unit.members) for unit in complete}
    return estimate(found, Mean([(members[name], mean) for name, mean in means.items()], (0.0, scale * most)))


def _all_right(unit: Unit) -> float:
    return float(unit.all_right)


def _by(units: Iterable[Unit], column: str) -> list[tuple[str, list[Unit]]]:
    """Units by the value of a group, in its order."""
    parts: defaultdict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        parts[unit.of(column)].append(unit)
    return sorted(parts.items())


# Any benchmark


def _share_all_right(column: str, default: str, scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    metric, scale = options.get("metric", default), options.get("scale", 1)
    units = units_of(scored, [column], options.get("size"))
    found = [mean_of_units(metric, None, units, _all_right, scale)]
    for name in options.get("by", ()):
        found += [mean_of_units(metric, f"{name}={value}", part, _all_right, scale) for value, part in _by(units, name)]
    return found


def _circular(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """Circular evaluation (MMBench, arXiv 2307.06281): a question counts only if it is right under every rotation of
    its options.

    The rotations share the group `circular_id` (in MMBench's files the index modulo 1,000,000); the group `rotations`
    says how many a question has, which is as many as it has options: one that lacks some is left out. Where samples
    have the group `vanilla`, the plain accuracy of those with "1" (index below 1,000,000) follows as
    ``vanilla_accuracy``. Rows averaged regardless of rotation are neither number. Options: `metric`
    (circular_accuracy), `by`, `scale` (1).
    """
    headline, *details = _share_all_right("circular_id", "circular_accuracy", scored, {**options, "size": "rotations"})
    if not any("vanilla" in one.groups for one in scored):
        return [headline, *details]
    vanilla = [one for one in scored if group_of(one, "vanilla") == "1"]
    return [headline, mean_of("vanilla_accuracy", None, vanilla, {"scale": options.get("scale", 1)}), *details]


def _pairs(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """Share of the groups `pair_id` that are right as a whole: MMVP's pair accuracy (arXiv 2401.06209).

    Options: `metric` (pair_accuracy), `by`, `scale` (1), `size` (2; the group that tells where it differs).
    """
    return _share_all_right("pair_id", "pair_accuracy", scored, {"size": 2, **options})


def _check_size(options: Options) -> None:
    check_by(options)
    size = options.get("size", 1)
    if isinstance(size, bool) or not isinstance(size, str | int) or (isinstance(size, int) and size < 1):
        raise TaskError("report: `size` is how many samples a group has, or the name of the group that tells.")


# Benchmarks of their own


def _mme(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """MME's two scores (arXiv 2306.13394): perception of 2000, cognition of 800, and each category of 200.

    A category is 100·acc + 100·acc+, acc+ being the share of pictures whose two questions are both right; a score is
    the sum of its categories. Pairs share the groups `category` and `question_id`. A category without any complete
    pair has no value and is not in the sum. As in lmms-eval, a category outside the perception list counts as
    cognition.
    """
    categories = _by(units_of(scored, ["category", "question_id"], 2), "category")
    headlines, details = [], []
    for metric, perception in (("mme_perception_score", True), ("mme_cognition_score", False)):
        found = [
            mean_of_units(metric, f"category={name}", pairs, _mme_points, most=200.0)
            for name, pairs in categories
            if (name in MME_PERCEPTION) is perception
        ]
        headlines.append(_sum(metric, found))
        details += found
    return headlines + details


def _mme_points(pair: Unit) -> float:
    return 50.0 * pair.right + 100.0 * pair.all_right


def _sum(metric: str, parts: Sequence[Aggregate]) -> Aggregate:
    """The sum of those that have a value, taken as independent."""
    having = [part for part in parts if part.value is not None]
    errors = [part.stderr for part in having if part.stderr is not None]
    whole = replace(
        plain(group_mean(metric, parts)),
        value=math.fsum(part.value or 0.0 for part in having) if having else None,
        stderr=math.hypot(*errors) if errors and len(errors) == len(having) else None,
    )
    return combined(whole, [1.0] * len(having), having)


def _hallusion(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """HallusionBench (arXiv 2310.14566): aAcc over questions, qAcc over questions with all their figures, fAcc over
    figures with all their questions; of a figure's or a question's samples all must be right.

    Groups `category`, `subcategory`, `set_id` and `figure_id` name a figure, with `question_id` for the last a
    question. Figure 0 of the category VS is the absence of a picture, and no figure: fAcc is without it. In percent.
    `by` (``[category]``: each number for VD and VS).
    """
    found = _hallusion_part(None, scored)
    for column in options.get("by", ()):
        values = sorted({group_of(one, column) for one in scored})
        for value in values:
            rows = [one for one in scored if one.groups[column] == value]
            found += _hallusion_part(f"{column}={value}", rows)
    return found


def _hallusion_part(group: str | None, scored: Sequence[Scored]) -> list[Aggregate]:
    questions = units_of(scored, [*_SET, "question_id"])
    figures = units_of(scored, [*_SET, "figure_id"])
    pictures = [unit for unit in figures if (unit.name[0], unit.name[-1]) != ("VS", "0")]
    return [
        mean_of("aAcc", group, scored, {"scale": 100}),
        mean_of_units("qAcc", group, questions, _all_right, 100),
        mean_of_units("fAcc", group, pictures, _all_right, 100),
    ]


def _naturalbench(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """NaturalBench (arXiv 2410.14669): two questions on two pictures each.

    G_Acc: all four right; Q_Acc: a question right on both pictures; I_Acc: both questions right on a picture; Acc:
    plain. Groups `group_id`, `question` and `picture`.
    """
    return [
        mean_of_units("G_Acc", None, units_of(scored, ["group_id"], 4), _all_right),
        mean_of_units("Q_Acc", None, units_of(scored, ["group_id", "question"], 2), _all_right),
        mean_of_units("I_Acc", None, units_of(scored, ["group_id", "picture"], 2), _all_right),
        mean_of("Acc", None, scored),
    ]


def _mmeval_pro(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """MMEvalPro (arXiv 2407.00468, the authors' auto_score.py), in percent.

    Genuine accuracy is the share of triplets with all three questions right; the others are plain means: over all
    questions, and over those with the group `eval_type` Origin, Perception and Knowledge. Per `source` (MMMU,
    MathVista, ScienceQA); ``macro_…`` is the mean over the sources of the numbers *rounded to two decimals*, as they
    are published; ``micro_…`` is over all. Triplets share the groups `triplet_id` and `source`.
    """
    sources = sorted({group_of(one, "source") for one in scored})
    by_source = [
        _mmeval_pro_part(f"source={source}", [one for one in scored if one.groups["source"] == source])
        for source in sources
    ]
    micro = _mmeval_pro_part(None, scored)
    macro = [_macro_of_rounded(whole.metric, [part[place] for part in by_source]) for place, whole in enumerate(micro)]
    return [
        *(replace(one, metric=f"macro_{one.metric}") for one in macro),
        *(replace(one, metric=f"micro_{one.metric}") for one in micro),
        *(one for part in by_source for one in part),
    ]


def _mmeval_pro_part(group: str | None, scored: Sequence[Scored]) -> list[Aggregate]:
    triplets = units_of(scored, ["source", "triplet_id"], 3)
    kinds = {
        f"{kind.lower()}_score": [one for one in scored if group_of(one, "eval_type") == kind]
        for kind in ("Origin", "Perception", "Knowledge")
    }
    return [
        mean_of_units("genuine_accuracy_score", group, triplets, _all_right, 100),
        mean_of("average_score", group, scored, {"scale": 100}),
        *(mean_of(metric, group, rows, {"scale": 100}) for metric, rows in kinds.items()),
    ]


def _macro_of_rounded(metric: str, parts: Sequence[Aggregate]) -> Aggregate:
    return group_mean(metric, [replace(one, value=None if one.value is None else round(one.value, 2)) for one in parts])


def _wemath(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """We-Math's four dimensions and scores (arXiv 2407.01284), 0 to 1.

    A problem is a composite question (`key` ``2steps_multi`` or ``3steps_multi``) and its two or three steps
    (``2steps_1`` …), which share the group `problem_id`. With the composite wrong: insufficient knowledge (IK) if a
    step is wrong too, else inadequate generalisation (IG). With it right: strictly, complete mastery (CM) if every
    step is right, else rote memorisation (RM); loosely, CM if any step is. A score is CM + IG/2. IK, IG and CM are
    shares of all problems, RM (as published) of those whose composite question is right.
    """
    units = [replace(unit, complete=unit.complete and _is_problem(unit)) for unit in units_of(scored, ["problem_id"])]
    mastered = [unit for unit in units if not unit.complete or _multi(unit)]

    def share(metric: str, of: Sequence[Unit], test: Callable[[Unit], float]) -> Aggregate:
        return mean_of_units(metric, None, of, test)

    return [
        share("score_strict", units, lambda unit: _strict(unit) + 0.5 * _generalised_badly(unit)),
        share("score_loose", units, lambda unit: _loose(unit) + 0.5 * _generalised_badly(unit)),
        share("IK", units, lambda unit: float(not _multi(unit) and not _generalised_badly(unit))),
        share("IG", units, _generalised_badly),
        share("CM_strict", units, _strict),
        share("CM_loose", units, _loose),
        share("RM_strict", mastered, lambda unit: 1 - _strict(unit)),
        share("RM_loose", mastered, lambda unit: 1 - _loose(unit)),
    ]


def _is_problem(unit: Unit) -> bool:
    keys = sorted(group_of(one, "key") for one in unit.members)
    return any(keys == [*(f"{steps}steps_{step + 1}" for step in range(steps)), f"{steps}steps_multi"]
               for steps in (2, 3))  # fmt: skip


def _multi(unit: Unit) -> bool:
    return any(one.value == 1.0 and group_of(one, "key").endswith("multi") for one in unit.members)


def _generalised_badly(unit: Unit) -> float:
    return float(not _multi(unit) and unit.right == len(unit.members) - 1)


def _strict(unit: Unit) -> float:
    return float(unit.all_right)


def _loose(unit: Unit) -> float:
    return float(_multi(unit) and unit.right > 1)


_GROUPED = frozenset({"metric", "by", "scale"})
_SET = ("category", "subcategory", "set_id")
"""What HallusionBench's figures and questions have in common: a question has several figures, and these several."""

AGGREGATORS: Mapping[str, Aggregator] = MappingProxyType(
    {
        "circular": Aggregator(
            _circular,
            _GROUPED,
            check_by,
            frozenset({"circular_id", "rotations"}),
            whole=True,
            together=(("circular_id",),),
        ),
        "pairs": Aggregator(
            _pairs, _GROUPED | {"size"}, _check_size, frozenset({"pair_id"}), whole=True, together=(("pair_id",),)
        ),
        "mme": Aggregator(
            _mme,
            needs=frozenset({"category", "question_id"}),
            whole=True,
            together=(("category", "question_id"),),
        ),
        "hallusion": Aggregator(
            _hallusion,
            frozenset({"by"}),
            check_by,
            frozenset({*_SET, "figure_id", "question_id"}),
            whole=True,
            together=(_SET,),
        ),
        "naturalbench": Aggregator(
            _naturalbench,
            needs=frozenset({"group_id", "question", "picture"}),
            whole=True,
            together=(("group_id",),),
        ),
        "mmeval_pro": Aggregator(
            _mmeval_pro,
            needs=frozenset({"triplet_id", "eval_type", "source"}),
            whole=True,
            together=(("source", "triplet_id"),),
        ),
        "wemath": Aggregator(
            _wemath,
            needs=frozenset({"problem_id", "key"}),
            whole=True,
            bounded=frozenset({"score_strict", "score_loose", "CM_strict", "CM_loose"}),
            together=(("problem_id",),),
        ),
    }
)
