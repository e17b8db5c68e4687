"""MMLongBench-Doc (arXiv 2407.01523; repository mayubo2333/MMLongBench-Doc): five formats of answers, accuracy, F1."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lmms_fast.metrics.aggregate import check_by, counted, mean
from lmms_fast.metrics.anls import similarity
from lmms_fast.metrics.estimate import Formula, estimate
from lmms_fast.metrics.plain import as_float
from lmms_fast.metrics.rule import Aggregator, Matcher, Options, one_of
from lmms_fast.metrics.text import best, literal_list, texts
from lmms_fast.types import Aggregate, Prediction, Sample, Scored

UNANSWERABLE = "not answerable"


def _mmlongbench(prediction: Prediction, sample: Sample, options: Options) -> float:
    """Right or wrong, or a similarity for texts, by the fact `answer_format`: Int, Float, Str, List or None.

    The benchmark's script expects an answer that a model has extracted from the response before: ``1,200`` or
    ``12 pages`` is no Int to it. `variant: lmms_eval` reads responses as they are: the first number of each side,
    "Not answerable" by equality, a trailing mile, miles or million dropped.
    """
    lenient = options.get("variant", "default") == "lmms_eval"
    kind = sample.facts.get("answer_format")
    if kind == "Int":
        return best(prediction, sample, lambda text, gold: float(_same_int(text, gold, lenient)))
    if kind == "Float":
        return best(prediction, sample, lambda text, gold: float(_same_float(text, gold, lenient)))
    if kind == "List":
        # A task whose target is a column has split the list that the column spells.
        golds = sample.target if len(sample.target) > 1 else _items(next(iter(sample.target), ""))
        return max((_same_list(_items(text), golds, lenient) for text in texts(prediction)), default=0.0)
    if kind == "None" and lenient:
        return float(any(_clean(text, lenient) == UNANSWERABLE for text in texts(prediction)))
    return best(prediction, sample, lambda text, gold: _same_text(_clean(text, lenient), _clean(gold, lenient)))


def _same_int(text: str, gold: str, lenient: bool) -> bool:
    try:
        return int(_value(gold, lenient)) == int(_value(text, lenient))
    except (ValueError, OverflowError):
        return False


def _same_float(text: str, gold: str, lenient: bool) -> bool:
    """Within 1 %, or equal when rounded to the decimals that both have, two at least; percent and share alike."""
    try:
        said = _value(text if lenient else _clean(text), lenient)
        wanted = _value(gold if lenient else _clean(gold), lenient)
    except ValueError:
        return False
    for value in (wanted / 100, wanted, wanted * 100):
        digits = max(min(_decimals(said), _decimals(value)), 2)
        if math.isclose(value, said, rel_tol=0.01) or round(said, digits) == round(value, digits):
            return True
    return False


_FIRST_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def _value(text: str, lenient: bool) -> float:
    """The text as a number, or the first number in it. Raises ValueError."""
    if not lenient:
        return float(text)
    match = _FIRST_NUMBER.search(text.replace(",", ""))
    return float(match[0] if match else "")


def _decimals(number: float) -> int:
    _, point, digits = str(number).partition(".")
    return len(digits) if point else 3


def _items(text: str) -> Sequence[str]:
    found = literal_list(text.strip())
    return [text] if found is None else [str(item) for item in found]


def _same_list(said: Sequence[str], wanted: Sequence[str], lenient: bool) -> float:
    """Sorted and compared in pairs: all equal where the first item is a number or a name, else the worst similarity."""
    if len(said) != len(wanted) or not wanted:
        return 0.0
    said, wanted = (sorted(_clean(item, lenient) for item in items) for items in (said, wanted))
    numeric = bool(re.search(r"\d", wanted[0])) if lenient else as_float(wanted[0]) is not None
    if numeric or _is_name(wanted[0]):
        return float(said == wanted)
    return min(_near(one, other) for one, other in zip(said, wanted, strict=True))


def _same_text(text: str, gold: str) -> float:
    return float(text == gold) if _is_name(gold) else _near(text, gold)


def _near(text: str, gold: str) -> float:
    """ANLS whose threshold, one half, is worth nothing itself."""
    found = similarity(text, gold, max(len(text.upper()), len(gold.upper())))
    return found if found > 0.5 else 0.0


_NUMBERS = re.compile(r"\d+(?:[-\s]\d+)?|\d{4}[-\s]\d{2}[-\s]\d{2}")  # telephone, year and month, date
_EMAIL = re.compile(r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}")


def _is_name(gold: str) -> bool:
    """True for what is right or wrong only: addresses, names of files, pages, telephone numbers, times, dates."""
    return (
        "https://" in gold
        or gold.endswith((".py", "ipynb"))
        or gold.startswith("page")
        or "a.m." in gold
        or "p.m." in gold
        or _NUMBERS.fullmatch(gold) is not None
        or _EMAIL.fullmatch(gold) is not None
    )


def _clean(text: str, lenient: bool = False) -> str:
    """Lower case without remarks in brackets, one outer quote on either side, leading ``$`` and trailing ``%``.

    The script means to drop units too ("mile", "miles", "million") but discards the result, so the default keeps them.
    """
    text = _without_brackets(text.lower().strip())
    text = text[text.startswith(("'", '"')) :]
    text = text[: len(text) - text.endswith(("'", '"'))].strip()
    text = text.lstrip("$").strip().rstrip("%").strip()
    if lenient:
        for unit in ("miles", "mile", "million"):
            text = text.removesuffix(unit).strip()
        text = " ".join(text.split())
    return text


def _without_brackets(text: str) -> str:
    """Without what stands in brackets and the blanks before. Found by hand: a pattern would scan on from every "("."""
    kept: list[str] = []
    rest = 0
    while (start := text.find("(", rest)) >= 0 and (end := text.find(")", start)) >= 0:
        kept.append(text[rest:start].rstrip())
        rest = end + 1
    return "".join([*kept, text[rest:]]).strip()


def _accuracy_and_f1(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """``mmlongbench_doc_acc``, the mean score, and ``mmlongbench_doc_f1``; accuracy again by the groups in `by`.

    F1 is of recall, the mean score of the questions that can be answered, and precision, the sum of those scores over
    the number of responses other than "Not answerable", which the script wants as it stands and which may come in
    quotes or in any case here.
    """
    accuracy, *groups = mean(scored, {"metric": "mmlongbench_doc_acc", **options})
    return [accuracy, _f1(scored), *groups]


def _f1(scored: Sequence[Scored]) -> Aggregate:
    rows: list[tuple[str, tuple[float, float, float]]] = []
    for one in scored:
        if one.value is not None:
            answerable = not any(_clean(gold) == UNANSWERABLE for gold in one.target)
            answers = not (isinstance(one.answer, str) and _clean(one.answer) == UNANSWERABLE)
            rows.append((one.id, (one.value * answerable, answerable, answers)))
    total, answerables, given = (math.fsum(numbers[side] for _, numbers in rows) for side in range(3))
    recall = total / answerables if answerables else 0.0
    precision = total / given if given else 0.0
    value = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    found = counted("mmlongbench_doc_f1", None, value if rows else None, stderr=None, scored=scored)
    return estimate(found, Formula(rows, _harmonic))


def _harmonic(total: Any, answerables: Any, given: Any) -> Any:
    """The harmonic mean of total / answerables and total / given, where there is any of these."""
    return 2 * total / (answerables + given)


MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {
        "mmlongbench": Matcher(
            _mmlongbench,
            frozenset({"variant"}),
            one_of("score.match", variant=("default", "lmms_eval")),
            needs=frozenset({"answer_format"}),
        )
    }
)

AGGREGATORS: Mapping[str, Aggregator] = MappingProxyType(
    {"mmlongbench": Aggregator(_accuracy_and_f1, frozenset({"by"}), check_by)}
)
