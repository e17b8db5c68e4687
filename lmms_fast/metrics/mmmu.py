"""MMMU (arXiv 2311.16502; repository MMMU-Benchmark/MMMU), from its definitions.

Two implementations of the multiple-choice parser are in use and are not interchangeable: the authors' own looks for a
letter between spaces, lmms-eval's for a letter before a space, whatever stands in front, so that it reads A out of
"NASA said". The authors' is the default here. MMMU-Pro's authors use the second form behind a rule of their own.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from lmms_fast.metrics.letters import LETTERS
from lmms_fast.metrics.plain import readings, without_marks
from lmms_fast.metrics.rule import Extractor, Matcher, Options
from lmms_fast.types import Prediction, Sample

RANDOM = "random"
"""`Prediction.rule` of an answer that dice decided, so that they can be counted."""


def _mmmu(text: str, sample: Sample, _: Options) -> Prediction:
    """MMMU's parsers: letter for multiple choice, readings for open questions; nothing found stays nothing."""
    return _parse_choice(text, sample.choices) if sample.choices else _parse_open(text)


def _mmmu_random(text: str, sample: Sample, _: Options) -> Prediction:
    """As `mmmu`, with the reference's dice where no letter is found.

    Here the dice are seeded per sample, so the pick depends on neither order nor other samples; the reference draws
    from one global stream. Figures published with dice are therefore met on average, not to the digit.
    """
    if not sample.choices:
        return _parse_open(text)
    return with_dice(_parse_choice(text, sample.choices), sample)


def _mmmu_lmms_eval(text: str, sample: Sample, _: Options) -> Prediction:
    """As `mmmu_random`, with the multiple-choice parser of lmms-eval, for comparison with its numbers.

    Open questions are read as the benchmark defines them; lmms-eval v0.3.5 to v0.7.2 scores them all wrong.
    """
    if not sample.choices:
        return _parse_open(text)
    return with_dice(_parse_choice_lmms_eval(text, sample.choices), sample)


def _mmmu_pro(text: str, sample: Sample, _: Options) -> Prediction:
    """MMMU-Pro's parser (arXiv 2409.02813; repository MMMU-Benchmark/MMMU) without its dice.

    The one option whose letter occurs behind the last ``Answer:``, be it inside a word ("Answer: Cannot say" is C);
    where none or several do, lmms-eval's form of MMMU's parser on the whole response.
    """
    start = text.rfind("Answer:")
    stated = text[start + len("Answer:") :] if start >= 0 else ""
    occurring = [letter for letter in LETTERS[: len(sample.choices)] if letter in stated]
    if len(occurring) == 1:
        return Prediction(occurring[0], "mmmu_pro: Answer:")
    return _parse_choice_lmms_eval(text, sample.choices)


def with_dice(prediction: Prediction, sample: Sample, candidates: str | None = None) -> Prediction:
    """The prediction, or where it is none, a character of `candidates` by dice; default the letters of the options.

    The dice are the sample's own, so the pick depends on neither order nor other samples.
    """
    candidates = LETTERS[: len(sample.choices)] if candidates is None else candidates
    if prediction.answer is not None or not candidates:
        return prediction
    return Prediction(random.Random(sample.key).choice(candidates), RANDOM)


_LONG_ANSWER_TOKENS = 5
"""An option's text is looked for only in responses of more tokens than this."""

_INDICATORS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_PUNCTUATION = (":", ",", ".", "!", "?", ";", "'")

# The reference's three expressions, made linear: it walks a long run of digits again from every digit of the run. A
# match can only begin where its run of digits begins and never gives digits back, hence the (?<!\d) and the ++.
NUMBER_WITH_EXPONENT = re.compile(r"-?(?<!\d)\d++(?:\.\d++)?[eE][+-]?\d++")
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    NUMBER_WITH_EXPONENT,
    re.compile(r"-?(?:(?<!\d)\d++\.\d++|\.\d++|(?<!\d)\d++\b)(?![eE][+-]?\d)(?![,\d])"),
)


def _parse_choice(text: str, choices: Sequence[str]) -> Prediction:
    """The authors' multiple-choice parser without its dice: nothing found is None.

    Stages: options written ``(X)``; else a letter between spaces; else, in a response of more than five tokens, option
    texts. Of several candidates the one written last wins.
    """
    options = dict(zip(LETTERS, choices, strict=False))
    padded = pad(text)
    for stage in ("(X)", " X "):
        if found := last_written(padded, letter_forms(options, stage)):
            return Prediction(found, f"mmmu: {stage.strip()}")
    return _by_option_text(padded, options)


def _parse_choice_lmms_eval(text: str, choices: Sequence[str]) -> Prediction:
    """lmms-eval's form of the parser (task utilities of its `mmmu`), without its dice.

    Stages: ``(X)``; a letter before a space; a letter before a period; option texts. Several candidates of either
    letter stage are told apart by where they stand between spaces, which may be nowhere: then the first letter wins.
    """
    options = dict(zip(LETTERS, choices, strict=False))
    padded = pad(text)
    if found := last_written(padded, letter_forms(options, "(X)")):
        return Prediction(found, "mmmu_lmms_eval: (X)")
    for stage in ("X ", "X."):
        if found := last_between_spaces(padded, letter_forms(options, stage)):
            return Prediction(found, f"mmmu_lmms_eval: {stage.strip()}")
    return _by_option_text(padded, options)


def _parse_open(text: str) -> Prediction:
    """The parser for open questions: every reading of the response, numbers as floats.

    Of each line it keeps the shortest text behind a word such as "is" or "therefore" (or, in the last line, "="), or
    else the whole response, and adds the numbers in what it kept. The reference means to split sentences too, but
    lower-cases before it looks for a capital; it splits lines only, and so does this.
    """
    whole = text.strip().strip(".").lower()
    if not whole:
        return Prediction(None, "mmmu: open")
    lines = whole.split("\n")
    kept = tails(lines[:-1], _INDICATORS) + tails(lines[-1:], (*_INDICATORS, "=")) or [whole]
    numbers = [number for part in kept for form in _NUMBERS for number in form.findall(part)]
    readings = dict.fromkeys(reading for item in kept + numbers for reading in normalise_open(item))
    return Prediction(tuple(readings), "mmmu: open")


def normalise_open(item: str) -> tuple[str | float, ...]:
    """A number to two decimals, else lower case; one character becomes ``" x"`` and ``"x "``.

    The padding keeps a one-letter gold from matching inside every word.
    """
    item = item.strip()
    try:
        return (round(float(item.replace(",", "")), 2),)
    except ValueError:
        item = item.lower()
    return (f" {item}", f"{item} ") if len(item) == 1 else (item,)


def pad(text: str) -> str:
    """Without outer punctuation, between two spaces: what MMMU's parsers and those made after them look at."""
    return " " + without_marks(text, ",.!?;:'") + " "


def letter_forms(letters: Iterable[str], form: str) -> dict[str, str]:
    """What each letter looks like in a form that is written with X: ``(X)``, ``X.``."""
    return {letter: form.replace("X", letter) for letter in letters}


def last_written(text: str, forms: Mapping[str, str]) -> str | None:
    """The key whose form occurs last; the first key wins a tie."""
    positions = {key: text.rfind(form) for key, form in forms.items()}
    best = max(positions, key=lambda key: positions[key], default=None)
    return best if best is not None and positions[best] >= 0 else None


def last_between_spaces(padded: str, forms: Mapping[str, str]) -> str | None:
    """Of the letters whose form occurs, the one that stands last between spaces; the first where none stands so."""
    candidates = [letter for letter, form in forms.items() if form in padded]
    return max(candidates, key=lambda letter: padded.rfind(f" {letter} "), default=None)


def _by_option_text(padded: str, options: Mapping[str, str]) -> Prediction:
    found = None
    if is_long(padded):
        found = last_written(padded.lower(), {letter: option.lower() for letter, option in options.items()})
    return Prediction(found, "mmmu: option text" if found else "mmmu: nothing")


def is_long(text: str) -> bool:
    """True where MMMU's parsers look for the texts of options."""
    return len(text.split()) > _LONG_ANSWER_TOKENS


def tails(lines: Iterable[str], indicators: Sequence[str]) -> list[str]:
    """Of each line the shortest text behind any indicator, where it is more than a punctuation mark."""
    return [tail for line in lines if (tail := _tail(line, indicators)) and tail not in _PUNCTUATION]


def _tail(line: str, indicators: Sequence[str]) -> str:
    """The shortest text behind any indicator, "" if none occurs.

    An empty tail gives way to the next indicator's, however long, as in the reference.
    """
    best = ""
    for indicator in indicators:
        if indicator in line:
            tail = line.rpartition(indicator)[2].strip()
            if not best or len(tail) < len(best):
                best = tail
    return best


def _mmmu_match(prediction: Prediction, sample: Sample, options: Options) -> float:
    """MMMU: the letter for multiple choice; for open questions an equal number or a text that contains the gold."""
    if sample.choices:
        return float(prediction.answer in sample.target)
    return float(_matches_open(readings(prediction), sample.target))


def _mmmu_lmms_eval_match(prediction: Prediction, sample: Sample, _: Options) -> float:
    """As lmms-eval v0.3.5 to v0.7.2 compares: open questions are always wrong, since the first reading is taken apart
    into its characters, none of which holds a gold padded to two."""
    return float(bool(sample.choices) and prediction.answer in sample.target)


def _matches_open(readings: Sequence[str | float], golds: Sequence[str]) -> bool:
    """True if a number read equals a gold number, or a text read contains a gold text."""
    wanted = [form for gold in golds for form in normalise_open(gold)]
    numbers = {form for form in wanted if isinstance(form, float)}
    texts = [form for form in wanted if isinstance(form, str)]
    return any(
        reading in numbers if isinstance(reading, float) else any(text in reading for text in texts)
        for reading in readings
    )


EXTRACTORS: Mapping[str, Extractor] = MappingProxyType(
    {
        "mmmu": Extractor(_mmmu),
        "mmmu_random": Extractor(_mmmu_random),
        "mmmu_lmms_eval": Extractor(_mmmu_lmms_eval),
        "mmmu_pro": Extractor(_mmmu_pro),
    }
)

MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {"mmmu": Matcher(_mmmu_match), "mmmu_lmms_eval": Matcher(_mmmu_lmms_eval_match)}
)
