"""Kinds of published set, by the name of their metric: items → the rules that `eval` uses → figures.

A kind is a function from files to figures under the names that manifests use. Rules are called by name, with the
options a task would give them; nothing here decides whether an answer is right.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lmms_fast.errors import UsageError
from lmms_fast.metrics import Step, aggregate
from lmms_fast.metrics.aggregate_published import WILDVISION_VERDICTS
from lmms_fast.parity import formats
from lmms_fast.parity.entries import Entry
from lmms_fast.parity.readers import GROUPS, Row, listed, text
from lmms_fast.parity.scored import SHARES, Figures, Found, Run, figures, plain, scored, with_groups
from lmms_fast.parity.table import Item, Paths, table
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Score, Scored

# MMMU


def _mmmu(_: Entry, paths: Paths) -> Found:
    """Without dice, and with the authors' own: one stream seeded 42, rolled for each undecided item in turn."""
    items = _with_domains(formats.mmmu(paths))
    run = scored(items, "mmmu", "mmmu")
    dice = random.Random(42)
    rolled = []
    for item, verdict in zip(run.items, run.scores, strict=True):
        undecided = item.sample.choices and verdict.prediction.answer is None
        letters = [chr(ord("A") + number) for number in range(len(item.sample.choices))]
        rolled.append(_picked(item, dice.choice(letters), "the reference's dice") if undecided else verdict)
    whole = Run(run.items, tuple(rolled))
    silent = sum(bool(item.sample.choices) and verdict.prediction.answer is None
                 for item, verdict in zip(run.items, run.scores, strict=True))  # fmt: skip
    found = plain(whole, deterministic_correct=run.correct, random_fallback_items=silent)
    return replace(with_groups(found, "domain", "subject"), undecided=run.undecided)


def _picked(item: Item, answer: str, rule: str) -> Score:
    """An answer that does not come from the response: what dice or a stored pick make of an item."""
    verdict = scored([replace(item, text=answer)], "text").scores[0]
    return replace(verdict, prediction=replace(verdict.prediction, rule=rule))


def _with_domains(items: Sequence[Item]) -> list[Item]:
    task = Catalog().load("mmmu_val")
    domains = task.tables["domain_of"] if isinstance(task, Task) else {}
    return [_grouped(item, domain=domains.get(item.sample.groups["subject"], "")) for item in items]


def _grouped(item: Item, **groups: str) -> Item:
    return replace(item, sample=replace(item.sample, groups={**item.sample.groups, **groups}))


def _mmmu_letters(_: Entry, paths: Paths) -> Found:
    """Letters as they are, open answers through the parser."""
    items = _with_domains(formats.mmmu_parsed(paths))
    letters = scored([item for item in items if item.sample.choices], "text", "mmmu")
    words = scored([item for item in items if not item.sample.choices], "mmmu", "mmmu")
    run = Run(letters.items + words.items, letters.scores + words.scores)
    return with_groups(plain(run), "domain", "subject")


def _mmmu_pro(_: Entry, paths: Paths) -> Found:
    """The authors' dice were not seeded: their stored pick stands for each undecided item in the published figure."""
    run = scored(formats.mmmu_pro(paths), "mmmu_pro")
    pairs = list(zip(run.items, run.scores, strict=True))
    whole = Run(run.items, tuple(
        _picked(item, item.theirs, "the published pick") if verdict.prediction.answer is None and item.theirs
        else verdict for item, verdict in pairs
    ))  # fmt: skip
    found = plain(whole, deterministic_correct=run.correct, random_fallback_items=run.undecided)
    return replace(with_groups(found, "subject"), run=run, undecided=run.undecided, filled=True)


# Yes or no


def _pope_llava(_: Entry, paths: Paths) -> Found:
    run = scored(formats.llava_by_category(paths), "pope")
    parts = _f1(run)
    categories = dict.fromkeys(item.sample.groups["category"] for item in run.items)
    in_order = {f"acc[{number}]": parts[f"accuracy_{name}"] for number, name in enumerate(categories)}
    return Found({**parts, **in_order, "published": parts["f1_mean"]}, run, run.undecided)


def _f1(run: Run) -> Figures:
    """F1 and its relatives over all rows and per category; a row of several categories counts in each."""
    found = figures(
        run.aggregates("f1", by=("category",)), lambda metric, value: f"{metric}_{value}" if value else metric
    )
    return {**found, "f1_mean": found["mean_f1"], "acc": found["accuracy"]}


def _lower(value: Any) -> tuple[str]:
    return (text(value).strip().lower(),)


def _yes_no_items(paths: Paths) -> list[Item]:
    return [replace(item, theirs=item.theirs and item.theirs.lower()) for item in table(paths, golds=_lower)]


def _yes_no_f1(_: Entry, paths: Paths) -> Found:
    run = scored(_yes_no_items(paths), "vlmevalkit_yes_no")
    parts = _f1(run)
    splits = {f"{name}.{ours}": parts[f"{metric}_{name}"]
              for name in {value for item in run.items for value in item.sample.groups["category"].split(",")}
              for ours, metric in (("Overall", "f1"), ("acc", "accuracy"), ("precision", "precision"),
                                   ("recall", "recall"))}  # fmt: skip
    return Found({**parts, **splits, "Overall": parts["f1"], "unknown": run.undecided}, run, run.undecided)


def _mme(extract: str) -> Callable[[Entry, Paths], Found]:
    def found(_: Entry, paths: Paths) -> Found:
        run = scored(formats.mme(paths), extract, "mme")
        parts = figures(run.aggregates("mme"))
        perception, cognition = parts["mme_perception_score"], parts["mme_cognition_score"]
        return Found({**parts, "perception": perception, "reasoning": cognition, "cognition": cognition,
                      "total": perception + cognition, "unknown": run.undecided}, run, run.undecided)  # fmt: skip

    return found


def _hallusion(_: Entry, paths: Paths) -> Found:
    """The ids of figure and question are fields of the index: ``VD_illusion_1_0_0_0``."""
    items = []
    for item in _yes_no_items(paths):
        place = item.sample.id.split("_")
        items.append(_grouped(item, subcategory=item.sample.groups["l2-category"], set_id=place[3], figure_id=place[4],
                              question_id=place[5]))  # fmt: skip
    run = scored(items, "vlmevalkit_yes_no")
    parts = figures(run.aggregates("hallusion", by=("category", "l2-category")), _dotted)
    return Found({**parts, "unknown": run.undecided}, run, run.undecided)


def _dotted(metric: str, value: str) -> str:
    return f"{value}.{metric}" if value else metric


# Multiple choice


def _letters(extract: str) -> Callable[[Entry, Paths], Found]:
    def found(_: Entry, paths: Paths) -> Found:
        result = with_groups(plain(scored(table(paths), extract)), *GROUPS)
        if {"ADE20K", "COCO", "Omni3D"} <= result.figures.keys():  # CV-Bench: its score is a mean of means
            whole, flat, deep = (one.value or 0.0 for one in result.run.aggregates("cv_bench")[:3])
            result.figures.update({**dict.fromkeys(("cv_bench", *SHARES), whole), "2D": flat, "3D": deep})
        return result

    return found


def _circular(extract: str) -> Callable[[Entry, Paths], Found]:
    """Every rotation right; the rotations of a question share the index modulo a million, and are those in the file."""

    def found(_: Entry, paths: Paths) -> Found:
        rows = table(paths)
        indices = [int(item.sample.id.partition(" ")[0]) for item in rows]
        rotations = Counter(index % 1_000_000 for index in indices)
        items = [
            _grouped(item, circular_id=str(index % 1_000_000), rotations=str(rotations[index % 1_000_000]),
                     vanilla=str(int(index < 1_000_000)))
            for item, index in zip(rows, indices, strict=True)
        ]  # fmt: skip
        run = scored(items, extract)
        whole, vanilla, *parts = run.aggregates("circular", by=[name for name in ("category",)
                                                                if name in items[0].sample.groups])  # fmt: skip
        share = whole.value or 0.0
        groups = len({item.sample.groups["circular_id"] for item in items})
        return Found({**dict.fromkeys(("circular", *SHARES), share), "groups": groups, "all_rows": run.mean(),
                      "circular_correct": round(share * groups), "vanilla": vanilla.value or 0.0, **figures(parts)},
                     run, run.undecided)  # fmt: skip

    return found


def _scienceqa(_: Entry, paths: Paths) -> Found:
    """Where the authors filled what their expression did not find by dice, theirs are the stored picks."""
    run = scored(formats.scienceqa(paths), "scienceqa")
    pictures = run.where(lambda item: item.sample.groups["picture"] == "True")
    picked = [item.right if verdict.prediction.answer is None and item.right is not None else verdict.value == 1.0
              for item, verdict in zip(run.items, run.scores, strict=True)]  # fmt: skip
    found = plain(run, correct_regex_only=run.correct, regex_failures=run.undecided, img_correct=pictures.correct,
                  img_n=len(pictures.items), img_acc=pictures.mean(), published_img=pictures.mean(),
                  correct_stored_preds=sum(picked))  # fmt: skip
    return replace(found, figures={**found.figures, "published": sum(picked) / len(picked)}, filled=True)


def _blink(entry: Entry, paths: Paths) -> Found:
    """The mean over tasks. Where GPT-3.5 took part, its stored predictions are scored, and the rule is held against
    them wherever it decides."""
    stored = "stored" in entry.kind + entry.metric
    run = scored(formats.blink(paths, stored=stored), "text" if stored else "blink")
    macro = run.aggregates("macro", by=("task",))[0].value or 0.0
    parts = {"correct": run.correct, **dict.fromkeys(("macro14", *SHARES), macro), **run.by("task")}
    parts["published"] = round(100 * macro, 2)  # the paper's table is rounded twice: 44.046, 44.05, 44.1
    if not stored:
        return Found(parts, run, run.undecided)
    ruled = scored(formats.blink(paths, stored=False), "blink")
    pairs = [(item, verdict) for item, verdict in zip(ruled.items, ruled.scores, strict=True)
             if verdict.prediction.answer is not None]  # fmt: skip
    same = sum(verdict.prediction.answer == item.theirs for item, verdict in pairs)
    note = f"the rule decides {len(pairs)} of {len(ruled.items)} responses, {same} of them as the stored predictions do"
    return Found(parts, run, ruled.undecided, notes=(note,))


def _tempcompass(form: str) -> Callable[[Entry, Paths], Found]:
    """The rule's part, and the whole with the authors' rating of what no rule decides."""

    def found(_: Entry, paths: Paths) -> Found:
        run = scored(formats.tempcompass(paths), f"tempcompass_{form}", "tempcompass")
        whole = _with_verdicts(run)
        parts = {name.replace(" ", "_"): value for name, value in whole.by("aspect").items()}
        return Found({**plain(whole).figures, **parts, "rule_matched": len(run.items) - run.undecided,
                      "rule_correct": run.correct}, run, run.undecided, filled=True)  # fmt: skip

    return found


def _with_verdicts(run: Run) -> Run:
    """With the published verdict on what the rules did not decide."""
    return Run(run.items, tuple(
        replace(verdict, value=float(item.right), prediction=replace(verdict.prediction, answer="", rule="published"))
        if verdict.prediction.answer is None and item.right is not None else verdict
        for item, verdict in zip(run.items, run.scores, strict=True)
    ))  # fmt: skip


def _mmeval_pro(_: Entry, paths: Paths) -> Found:
    def groups(row: Row) -> dict[str, Any]:
        return {name: row[name] for name in ("triplet_id", "eval_type", "source")}

    run = scored(table(paths, groups=groups), "text")
    found = figures(run.aggregates("mmeval_pro"), _dotted)
    named = {name.replace("macro_", "Macro_Average.").replace("micro_", "Micro_Average."): value
             for name, value in found.items()}  # fmt: skip
    return Found(named, run, run.undecided)


# Words and numbers


def _matched(match: str | Step, extract: str = "text", **reads: Any) -> Callable[[Entry, Paths], Found]:
    return lambda _, paths: with_groups(plain(scored(table(paths, **reads), extract, match)), *GROUPS)


def _tabmwp(_: Entry, paths: Paths) -> Found:
    """By the normal forms that the files store, where they do: the units taken off stand in the data set alone. By our
    own as a note."""
    facts = ("unit", "answer_norm", "prediction_norm")
    items = table(paths, facts=lambda row: {name: row.get(name) for name in facts})
    run = scored(items, "text", "tabmwp")
    if not all(item.sample.facts["answer_norm"] for item in items):
        return with_groups(plain(run), *GROUPS)
    stored = [replace(item, text=item.sample.facts["prediction_norm"],
                      sample=replace(item.sample, target=(item.sample.facts["answer_norm"],)))
              for item in items]  # fmt: skip
    found = with_groups(plain(scored(stored, "text", Step("exact_match", {"ignore_case": True}))), *GROUPS)
    return replace(found, notes=(f"by our own normal forms {run.correct} are right",))


def _gqa(_: Entry, paths: Paths) -> Found:
    match = Step("exact_match", {"ignore": [r"(?<!\.)\.++\Z"], "ignore_case": True})
    return plain(scored(formats.llava_in_order(paths), "verbatim", match))


def _mtvqa(_: Entry, paths: Paths) -> Found:
    return with_groups(plain(scored(table(paths), "text", "mtvqa")), "category", "sheet")


def _anls(variant: str) -> Callable[[Entry, Paths], Found]:
    step = Step("anls", {"variant": variant})
    return lambda _, paths: plain(scored(table(paths, golds=listed), "verbatim", step))


def _ocrbench(_: Entry, paths: Paths) -> Found:
    """Formulas are told by their category."""

    def facts(row: Row) -> dict[str, str]:
        return {"dataset": "HME100k" if text(row["category"]).startswith("Handwritten Math") else ""}

    items = table(paths, golds=listed, facts=facts, groups=lambda row: {"question_type": row["category"]})
    run = scored(items, "text", "contains_gold")
    parts = figures(run.aggregates("ocrbench"))
    total = parts["final_score"]
    return Found({**parts, "Final Score": total, "Final Score Norm": total / 10, "correct": total}, run, run.undecided)


def _chartqa(_: Entry, paths: Paths) -> Found:
    """Both forms: VLMEvalKit's, which takes a gold that spells a list for several, and the paper's."""
    items = table(paths)
    lists = Step("relaxed", {"variant": "vlmevalkit"})
    runs = {"plain_gold_string": scored(items, "text", "relaxed"),
            "vlmevalkit_list_literals_split": scored(items, "text", lists)}  # fmt: skip
    both: Figures = {}
    for name, run in runs.items():
        found = with_groups(plain(run), *GROUPS).figures
        both |= found | {f"{name}.{key}": value for key, value in found.items()}
    run = runs["plain_gold_string"]
    return Found(both, run, run.undecided)


def _vqa(_: Entry, paths: Paths) -> Found:
    return plain(scored(formats.vqa(paths), "text", Step("vqa", {"normaliser": "vqav2"})))


def _mathvista(_: Entry, paths: Paths) -> Found:
    """Published with integers read by ``int(x)``; the scorer of today reads ``int(float(x))``."""
    items = formats.mathvista(paths)
    run, lenient = (scored(items, "text", Step("mathvista", {"strict_int": strict})) for strict in (True, False))
    found = plain(run, correct_under_current_scorer_int_float=lenient.correct)
    parts: Figures = {}
    for column in ("question_type", "answer_type", "language", "source", "category", "task", "context", "grade",
                   "skills"):  # fmt: skip
        values = {value for item in run.items for value in item.sample.groups[column].split(",") if value}
        for value in values:
            part = run.where(lambda item, c=column, v=value: v in item.sample.groups[c].split(","))  # type: ignore[misc]
            parts |= {f"{column}.{value}.accuracy": 100 * part.mean(), f"{column}.{value}.correct": part.correct,
                      f"{column}.{value}.total": len(part.items)}  # fmt: skip
    return replace(found, figures={**parts, **found.figures})


def _mathvista_lenient(_: Entry, paths: Paths) -> Found:
    return plain(scored(formats.mathvista(paths), "text", Step("mathvista", {"strict_int": False})))


def _mathv(_: Entry, paths: Paths) -> Found:
    """By subject and level too, under the names of the authors' result file."""
    run = scored([_grouped(item, **_mathv_groups(item)) for item in formats.mathv(paths)], "mathv", "mathv")
    found = with_groups(plain(run), "subject", "level", "subject_level", "level_subject")
    return replace(found, figures={**found.figures, "-all": run.mean()})


def _mathv_groups(item: Item) -> dict[str, str]:
    subject, level = item.sample.groups["subject"], f"level{item.sample.groups['level']}"
    return {"level": f"-{level}", "subject_level": f"{subject}_{level}", "level_subject": f"-{level}_{subject}"}


def _captions(tokeniser: str) -> Callable[[Entry, Paths], Found]:
    def found(entry: Entry, paths: Paths) -> Found:
        parts: Figures = {}
        runs = []
        meteor = "METEOR" in repr(entry.expected)
        notes = []
        for system, items in formats.captions(paths).items():
            run = scored(items, "text", Step("caption", {"tokeniser": tokeniser}))
            runs.append(run)
            for one in run.aggregates("captions", tokeniser=tokeniser, meteor=meteor):
                if one.metric == "METEOR_exact_stem":
                    notes.append(f"{system}: METEOR_exact_stem (not METEOR, not compared): {one.value or 0.0:.6f}")
                elif one.group is None and one.value is not None:
                    names = (one.metric, f"{system.partition('_')[0]}.{one.metric}", f"published.{one.metric}")
                    parts |= dict.fromkeys(names, one.value)
        whole = Run(tuple(item for run in runs for item in run.items), tuple(one for run in runs for one in run.scores))
        return Found(parts, whole, whole.undecided, notes=tuple(notes), beyond=_CAPTIONS_BEYOND)

    return found


_CAPTIONS_BEYOND = {
    "METEOR": "its reference is a Java program with data",
    "SPICE": "its reference is a Java program",
    "bleu_counts": "the counts behind BLEU, which itself is compared",
}


# Judges' stored replies


def _mmvet(_: Entry, paths: Paths) -> Found:
    rows = [Scored(id, run, {"capability": capability}, score, True)
            for id, capability, scores in formats.mmvet(paths) for run, score in enumerate(scores)]  # fmt: skip
    found = (one for one in aggregate("mmvet", rows) if not (one.group or "").startswith("capabilities="))
    return Found(figures(found), Run((), ()), size=len(rows))


def _llava_bench(_: Entry, paths: Paths) -> Found:
    ratios: Figures = {}
    systems = formats.llava_bench(paths)
    for system, runs in systems.items():
        values = [_ratio(run) for run in runs]
        for name in (system, *re.findall(r"\d+b", system)):
            ratios |= {f"{name}[{number}]": value for number, value in enumerate(values)}
            ratios |= dict.fromkeys((f"{name}_mean_published", "score"), sum(values) / len(values))
    return Found(ratios, Run((), ()), size=sum(len(run) for runs in systems.values() for run in runs))


def _ratio(rows: Sequence[tuple[str, float, float]]) -> float:
    scored = [Scored(id, 0, {}, model / 10, True, {"model": model / 10, "reference": reference / 10})
              for id, reference, model in rows]  # fmt: skip
    return aggregate("score_ratio", scored)[0].value or 0.0


def _wildvision(_: Entry, paths: Paths) -> Found:
    rows = [Scored(id, 0, {}, WILDVISION_VERDICTS[verdict], True) for id, verdict in formats.wildvision(paths)]
    return Found(figures(aggregate("wildvision", rows)), Run((), ()), size=len(rows))


KINDS: Mapping[str, Callable[[Entry, Paths], Found]] = {
    "mmmu_parse": _mmmu,
    "mmmu_eval_only": _mmmu_letters,
    "mmmu_pro_parse": _mmmu_pro,
    "pope_llava": _pope_llava,
    "yes_no_word": _yes_no_f1,
    "yes_no_word + mme": _mme("vlmevalkit_yes_no"),
    "yes_no_word + hallusion": _hallusion,
    "mme_official": _mme("mme_official"),
    "vlmek_can_infer": _letters("vlmevalkit_letter"),
    "vlmek_can_infer + mmbench_circular": _circular("vlmevalkit_letter"),
    "mmbench_circular": _circular("vlmevalkit_letter"),
    "letter_equality": _letters("text"),
    "letter_equality + mmbench_circular": _circular("text"),
    "mmstar_prefix": _letters("mmstar"),
    "sqa_llava": _scienceqa,
    "sqa_the_answer_is": _scienceqa,
    "blink": _blink,
    "m3cot_judge_answer": _letters("m3cot"),
    "mmevalpro": _mmeval_pro,
    "tempcompass_multi_choice": _tempcompass("multi_choice"),
    "tempcompass_yes_no": _tempcompass("yes_no"),
    "tempcompass_caption_matching": _tempcompass("caption_matching"),
    "gqa_exact": _gqa,
    "exact_ci": _matched("accuracy_of_any"),
    "ocrbench_substring": _ocrbench,
    "chartqa_relaxed": _chartqa,
    "vqa_soft_accuracy_10": _vqa,
    "mtvqa_substring": _mtvqa,
    "anls": _anls("default"),
    "anls paper": _anls("paper"),
    "anls m4c": _anls("m4c"),
    "tabmwp": _tabmwp,
    "parse_open": _matched("mmmu", "mmmu", golds=listed),
    "mathvista_normalize_strict_int": _mathvista,
    "mathvista_normalize": _mathvista_lenient,
    "mathv": _mathv,
    "coco_caption": _captions("none"),
    "coco_caption after ptb tokenisation": _captions("ptb"),
    "mmvet_mean": _mmvet,
    "llavaw_ratio": _llava_bench,
    "wildvision_pairwise": _wildvision,
}


def kind_of(metric: str) -> Callable[[Entry, Paths], Found]:
    """The kind whose name the metric begins with, the longest of them; marks between words aside. Raises UsageError."""
    name = re.sub(r"[^\w+]+", " ", metric.lower()).strip()
    for known in sorted(KINDS, key=len, reverse=True):
        if re.match(rf"{re.escape(known)}(?![a-z0-9])", name):
            return KINDS[known]
    raise UsageError(f"no kind of set is called '{metric}'; there are: {', '.join(KINDS)}.")
