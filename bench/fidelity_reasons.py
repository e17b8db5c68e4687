"""Where lmms-eval's verdict of a sample stands in what it returns, and why ours may differ: an explicit list."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lmms_fast.types import Sample, Score, Undecided

Reading = Callable[[Mapping[str, Any], Sample], float | None]


@dataclass(frozen=True)
class Case:
    """One response, scored twice."""

    task: str
    sample: Sample
    text: str
    ours: Score | Undecided
    raw: Mapping[str, Any]
    """All that they returned: `raw`, `single` (their aggregation of this sample alone), `dice`, `asked`, or `error`."""
    theirs: float | None

    @property
    def value(self) -> float | None:
        """Ours."""
        return self.ours.value if isinstance(self.ours, Score) else None

    def shown(self) -> str:
        """For people."""
        found = self.raw.get("error") or self.raw.get("single") or self.raw.get("raw")
        return (f"{self.text!r} gold {self.sample.target[:3]!r} choices {list(self.sample.choices)!r:.120} "
                f"ours {self.value} ({self.ours.prediction.answer!r}, {self.ours.prediction.rule}) "
                f"theirs {self.theirs} {str(found)[:160]} {str(self.raw.get('raw'))[:200]}")  # fmt: skip


def single(metric: str | None = None, scale: float = 1) -> Reading:
    """Their aggregation over the one sample; the first metric's where none is named."""

    def read(case: Mapping[str, Any], _: Sample) -> float | None:
        found = case.get("single") or {}
        value = next(iter(found.values()), None) if metric is None else found.get(metric)
        return value * scale if isinstance(value, int | float) else None

    return read


def path(*keys: str, scale: float = 1) -> Reading:
    """A value inside what they return for the sample."""

    def read(case: Mapping[str, Any], _: Sample) -> float | None:
        value: Any = case.get("raw")
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value * scale if isinstance(value, int | float) else None

    return read


def of_any(key: str, scale: float = 1) -> Reading:
    """The value of that name in the first metric that has one."""

    def read(case: Mapping[str, Any], _: Sample) -> float | None:
        for found in (case.get("raw") or {}).values():
            if isinstance(found, Mapping) and isinstance(found.get(key), int | float):
                return float(found[key]) * scale
        return None

    return read


def said_is(said: str, gold: str) -> Reading:
    """Whether two values of a metric are equal."""

    def read(case: Mapping[str, Any], _: Sample) -> float | None:
        found = [one for one in (case.get("raw") or {}).values() if isinstance(one, Mapping) and said in one]
        return float(str(found[0][said]).lower() == str(found[0][gold]).lower()) if found else None

    return read


def naturalbench(case: Mapping[str, Any], sample: Sample) -> float | None:
    """They keep what was answered: 1 for yes or A, 0 for no or B."""
    said = of_any("score")(case, sample)
    return None if said is None else float(said == (sample.target[0] in ("yes", "A")))


NOT_COMPARED = {
    "mmbench_*": "theirs gives a verdict on a question's rotations together",
    "*_pass64": "64 responses to a question",
    "*_self_consistency": "64 responses to a question",
    "ifeval": "theirs needs NLTK's data from the network",
    "gpqa_*": "the options' order is drawn, theirs by other dice",
}
"""Tasks of which no response means the same to both."""

READINGS: tuple[tuple[str, Reading], ...] = (
    ("mme", of_any("score")),
    ("naturalbench", naturalbench),
    ("ocrbench", of_any("score")),
    ("seedbench_ko*", said_is("pred", "answer")),
    ("visualwebbench_*", single(scale=0.01)),
    ("mathvision_test*", single(scale=0.01)),
    ("vstar_bench*_reasoning", single()),
    ("vstar_bench*", single(scale=0.01)),
    ("mmt_*", single(scale=0.01)),
    ("gsm8k*", single("exact_match,flexible-extract")),
)


def reading_of(task: str) -> Reading:
    """How their verdict is read."""
    return next((reading for pattern, reading in READINGS if fnmatch.fnmatchcase(task, pattern)), single())


@dataclass(frozen=True)
class Reason:
    """A deviation that is meant, or that is theirs."""

    name: str
    tasks: str
    """Pattern."""
    holds: Callable[[Case], bool]
    why: str


WITHOUT, RAISED = "unexplained", "they raise"
UNEXPLAINED = {WITHOUT, RAISED}
"""What has to come to nothing."""

def _exponent(case: Case) -> bool:
    return "reasoning" in case.ours.prediction.rule and any(
        re.fullmatch(r"[\d.]+e[+-]?\d+", gold) for gold in case.sample.target
    )


def _unparsed(case: Case) -> bool:
    return "reasoning" in case.ours.prediction.rule and "!" in str(case.ours.prediction.answer) and case.theirs == 1.0


def _other_question(case: Case) -> bool:
    row, _, question = case.sample.id.partition("_")
    return int(row) % 4 + 1 != int(question)


REASONS: tuple[Reason, ...] = (
    Reason(
        "dice", "*", lambda case: bool(case.raw.get("dice")),
        "A letter is drawn where none is found, by theirs and by our variant, not with the same dice.",
    ),
    Reason("one question of four", "charxiv_val_descriptive*", _other_question,
           "Theirs asks one of a chart's four questions, four times over."),
    Reason("several golds as one", "mmmu_*", lambda case: len(case.sample.target) > 1,
           "A gold that spells a list is several answers; theirs looks for the spelling of the list."),
    Reason("exponent", "*", _exponent, "Their parser of formulas reads 1e3 as 1."),
    Reason(
        "not parsed", "*", _unparsed,
        "What may keep a parser of formulas busy for hours (5!, exponents, long runs) is not given to it by us.",
    ),
    Reason(
        "empty response", "*vqa*", lambda case: case.value == 0.0 and not case.text.strip(),
        "A gold such as 'the' is empty once articles are gone, and theirs compares an empty response with it.",
    ),
    Reason("option's text", "mathvista_*_reasoning", lambda case: case.value == 1.0 and len(case.sample.target) > 1,
           "Ours takes an option's text for its letter, theirs the letter alone."),
    Reason("factorial", "mathvision_*", lambda case: "!" in case.text,
           "1! is 1; theirs does not know the function's name when it computes."),
    Reason("gold in lower case", "realworldqa_reasoning", lambda case: not case.sample.target[0].islower(),
           "Theirs lower-cases the gold, and then no letter and no Yes is like it."),
    Reason("the word 'answers'", "iconqa_*", lambda _: True,
           "Theirs compares every response with the word 'answers', the name of a column that is not there."),
    Reason("boxes in pixels", "screenspot_v2", lambda _: True,
           "Theirs counts pixels as wrong where a row does not say the picture's size."),
    Reason("no words", "visualwebbench_*", lambda case: "error" in case.raw and not re.search(r"\w", case.text),
           "Theirs ends the run at a response without a word, such as a period."),
    Reason("broken JSON", "refcoco*_grounding_*", lambda case: ",," in case.text,
           "Ours finds the numbers of a box whose JSON cannot be read."),
    Reason("no stop", "mmlu_*_generative", lambda case: "\n" in case.text,
           "Theirs has the server stop at the line end and compares what it sends; ours takes the first line."),
    Reason(
        "letter in lower case", "dude", lambda case: case.theirs == 1.0,
        "Where a row has options, theirs takes any single letter in upper case, the x of x^2, for an option.",
    ),
)  # fmt: skip


def reason_of(case: Case) -> str:
    """The first that holds."""
    held = (one.name for one in REASONS if fnmatch.fnmatchcase(case.task, one.tasks) and one.holds(case))
    return next(held, RAISED if "error" in case.raw else WITHOUT)
