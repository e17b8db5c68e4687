"""Multiple choice as benchmarks define it, each rule by its benchmark's name.

From the definitions, faithful in what looks like a mistake: the figures of papers and tables rest on it. Rules that
several benchmarks share are in `letters_harness.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from lmms_fast.metrics.letters import LETTERS, read_letter
from lmms_fast.metrics.letters_harness import EXTRACTORS as HARNESS
from lmms_fast.metrics.letters_harness import check_letters, letters_of
from lmms_fast.metrics.mmmu import last_written, letter_forms
from lmms_fast.metrics.plain import COUNTS, TO_TEN, readings
from lmms_fast.metrics.rule import Extractor, Matcher, Options
from lmms_fast.types import Prediction, Sample

_CAPITALS = frozenset(LETTERS)

# BLINK

_BLINK_LETTERS = "ABCDE"


def _blink(text: str, sample: Sample, _: Options) -> Prediction:
    """BLINK (arXiv 2404.12390; repository zeyofu/BLINK_Benchmark) as far as its rules go: ``(A)`` to ``(E)``.

    The response is a letter, in brackets or not; else its last paragraph, else the whole of it, has one of the sample's
    options written ``(X)`` as a word, and no other. Nothing else is read: the authors ask GPT-3.5.
    """
    for letter, token in letter_forms(_BLINK_LETTERS, "(X)").items():
        if text.strip() in (letter, token):
            return Prediction(token, "blink: alone")
    tokens = letter_forms(_BLINK_LETTERS[: len(sample.choices) or None], "(X)").values()
    for part, name in ((text.rpartition("\n\n")[2], "last paragraph"), (text, "whole")):
        words = set(part.split())
        named = [token for token in tokens if token in words]
        if len(named) == 1:
            return Prediction(named[0], f"blink: {name}")
    return Prediction(None, "blink: nothing")


# ScienceQA

_THE_ANSWER_IS = re.compile(r"The answer is ([A-Z]).")


def _scienceqa(text: str, _: Sample, __: Options) -> Prediction:
    """ScienceQA (arXiv 2209.09513; repository lupantech/ScienceQA) as LLaVA reads it: a letter A to E alone; a capital
    letter and ``. `` in front; else "The answer is X" and one more character, if it occurs once.

    The period of that phrase is any character, but there must be one: "The answer is B" at the very end is nothing.
    """
    text = text.strip()
    if text in tuple("ABCDE"):
        return Prediction(text, "scienceqa: alone")
    if text[:1] in _CAPITALS and text[1:3] == ". ":
        return Prediction(text[0], "scienceqa: leading")
    stated = _THE_ANSWER_IS.findall(text)
    return Prediction(stated[0] if len(stated) == 1 else None, "scienceqa: stated")


def _scienceqa_lmms_eval(text: str, _: Sample, __: Options) -> Prediction:
    """ScienceQA in lmms-eval: the response is the letter, or begins with a capital letter and a period; nothing else,
    so that "(A)" and "The answer is A." are nothing.
    """
    text = text.strip()
    if text.upper() in _CAPITALS:
        return Prediction(text.upper(), "scienceqa_lmms_eval: alone")
    leading = text[:1] in _CAPITALS and text[1:2] == "."
    return Prediction(text[0] if leading else None, "scienceqa_lmms_eval: leading")


# MMStar

_MMSTAR_PREFIXES = ("the answer is ", "option ", "(", "")


def _mmstar(text: str, sample: Sample, options: Options) -> Prediction:
    """MMStar (arXiv 2403.20330; repository MMStar-Benchmark/MMStar): the letter that the response begins with, at once
    or behind ``(``, "option " or "the answer is ", whatever the case and whatever follows ("a photo" is A).
    """
    lowered = text.strip().lower()
    prefix = next(prefix for prefix in _MMSTAR_PREFIXES if lowered.startswith(prefix))
    letter = lowered[len(prefix) : len(prefix) + 1].upper()
    return Prediction(letter if letter and letter in letters_of(sample, options) else None, "mmstar")


# MMVP

_MMVP = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"^\(?([AB])\)?\.?$",
        r"^\(?([AB])\)?[.\s]",
        r"answer\s+is\s+\(?([AB])",
        r"option\s+\(?([AB])",
        r"([AB])\)?(?:\s|$)",
        r"^([AB])",
    )
)


def _mmvp(text: str, _: Sample, __: Options) -> Prediction:
    """MMVP (arXiv 2401.06209) in lmms-eval, A or B; the authors ask GPT-4 instead.

    The first that matches, whatever the case: the letter alone; in front; behind "answer is"; behind "option"; in
    front of a space or the end, even as the end of a word ("the data is" is A); as the first character.
    """
    return _first_match(text, _MMVP, "mmvp")


def _first_match(text: str, patterns: tuple[re.Pattern[str], ...], name: str) -> Prediction:
    """The letter in the first group of the first pattern that occurs."""
    text = text.strip()
    match = next((match for pattern in patterns if (match := pattern.search(text))), None)
    return Prediction(match[1].upper() if match else None, name)


# V* Bench

_VSTAR = tuple(
    re.compile(pattern)
    for pattern in (
        r"^([A-D])",
        r"(?:ANSWER|CHOICE|OPTION)(?:\s+IS)?[\s:]+([A-D])",
        r"\(([A-D])\)",
        r"([A-D])\s*[.)\]]",
        r"(?:^|\s)([A-D])(?:\s|$)",
    )
)


def _vstar(text: str, _: Sample, __: Options) -> Prediction:
    """V* Bench (arXiv 2312.14135) in lmms-eval, A to D, in upper case; the authors compare likelihoods.

    The first that matches: the response begins with it, be it a word ("Blue" is B); behind "answer", "choice" or
    "option"; in brackets; in front of a period or bracket, be it the end of a word ("It is red." is D); between
    blanks; the only such character.
    """
    raised = text.strip().upper()
    found = _first_match(raised, _VSTAR, "vstar")
    if found.answer is not None:
        return found
    characters = [character for character in raised if character in "ABCD"]
    return Prediction(characters[0] if len(characters) == 1 else None, "vstar: only one")


# RealWorldQA, whose questions are multiple choice or open; the options of the former are in the question

_NO_WORD = re.compile(r"[^\w\s]")


def _realworldqa(text: str, sample: Sample, _: Options) -> Prediction:
    """RealWorldQA (x.ai, which published no rule): as `letter` where the sample has options, else the response, as
    digits where it is a number in letters.
    """
    if sample.choices:
        return read_letter(text, sample.choices)
    word = text.strip().rstrip(".").lower()
    return Prediction(COUNTS.get(word, text.strip()) or None, "realworldqa: text")


def _realworldqa_lmms_eval(text: str, sample: Sample, options: Options) -> Prediction:
    """RealWorldQA in lmms-eval since v0.7.2: as `robust_letter` for A to D where the gold is one of these letters, else
    the response.
    """
    if any(target.strip().upper() in tuple("ABCD") for target in sample.target):
        found = HARNESS["robust_letter"](text, replace(sample, choices=()), options)
        return Prediction(found.answer, found.rule.replace("robust_letter", "realworldqa_lmms_eval"))
    return Prediction(text.strip() or None, "realworldqa_lmms_eval: text")


def _realworldqa_lmms_eval_0_7_1(text: str, sample: Sample, _: Options) -> Prediction:
    """RealWorldQA in lmms-eval up to v0.7.1: the letter of the first option whose text occurs, be it in a word; else
    the response without its punctuation ("1.5" is 15), in digits where it is one of the words zero to ten.
    """
    bare = _NO_WORD.sub("", TO_TEN.get(text.strip().lower(), text)).strip()
    options = zip(LETTERS, sample.choices, strict=False)
    found = next((letter for letter, option in options if option and option in bare), bare)
    return Prediction(found or None, "realworldqa_lmms_eval_0_7_1")


# NaturalBench

_NATURALBENCH = {
    "yes_no": re.compile(r"\b(?:yes|no)\b", re.IGNORECASE),
    "multiple_choice": re.compile(r"\b[AB]\b", re.IGNORECASE),
}


def _naturalbench(text: str, sample: Sample, _: Options) -> Prediction:
    """NaturalBench (arXiv 2410.14669; repository Baiqi-Li/NaturalBench): the first word that is yes or no, or A or B
    where the fact `question_type` is ``multiple_choice``. The article "a" is the option A.
    """
    multiple_choice = sample.facts["question_type"] == "multiple_choice"
    match = _NATURALBENCH["multiple_choice" if multiple_choice else "yes_no"].search(text)
    if match is None:
        return Prediction(None, "naturalbench")
    return Prediction(match[0].upper() if multiple_choice else match[0].lower(), "naturalbench")


# II-Bench

_II_BENCH = (re.compile(r"\(([A-F])\)"), re.compile(r"\b([A-F])\b"))


def _ii_bench(text: str, sample: Sample, _: Options) -> Prediction:
    """II-Bench (arXiv 2406.05862; repository II-Bench/II-Bench): the most frequent of ``(A)`` to ``(F)``, else of the
    letters that are words; else the last option whose text contains the response or is contained in it.

    Of letters equally frequent the one that appeared last for the first time wins. An empty response is nothing here,
    where the reference finds it in every option.
    """
    for pattern in _II_BENCH:
        if counts := Counter(pattern.findall(text)):
            most = max(counts.values())
            return Prediction([letter for letter in counts if counts[letter] == most][-1], "ii_bench: letter")
    found = None
    if text.strip():
        options = zip(LETTERS, sample.choices, strict=False)
        akin = [letter for letter, option in options if option.strip() and (option.strip() in text or text in option)]
        found = akin[-1] if akin else None
    return Prediction(found, "ii_bench: option text")


# VisualWebBench

_WEB_PUNCTUATION = str.maketrans(dict.fromkeys(",.!?;:'\"", ""))


def _visualwebbench_letter(text: str, _: Sample, __: Options) -> Prediction:
    """VisualWebBench (arXiv 2404.05955; repository VisualWebBench/VisualWebBench), options A to H.

    One character; a capital letter and a period in front; else, without punctuation, the last ``(X)``, else the last X
    between spaces. The article in "A link" is the option A.
    """
    text = text.strip()
    if text.upper() in _CAPITALS:
        return Prediction(text.upper(), "visualwebbench_letter: alone")
    if text[:1] in _CAPITALS and text[1:2] == ".":
        return Prediction(text[0], "visualwebbench_letter: leading")
    bare = f" {text.translate(_WEB_PUNCTUATION)} "
    for stage in ("(X)", " X "):
        if found := last_written(bare, letter_forms("ABCDEFGH", stage)):
            return Prediction(found, f"visualwebbench_letter: {stage.strip()}")
    return Prediction(None, "visualwebbench_letter: nothing")


# M3CoT

_M3COT_BRACKETS = re.compile(r"\(([A-Za-z])\)")
_M3COT_TO_SPACES = str.maketrans(dict.fromkeys("\n.,!?", " "))


def _m3cot(text: str, sample: Sample, _: Options) -> Prediction:
    """M3CoT (arXiv 2405.16473; repository LightChen233/M3CoT).

    What follows the last ``[Answer]``, up to ``[Rationale]`` or ``[Context]``; without that mark the whole. In it the
    last letter in brackets; else the last option whose text occurs, whatever the case; else the last option whose
    letter is a word, in upper case before lower case, so that "A cat or a dog" may be A for its article.
    """
    stated = text
    if "[Answer]" in text:
        stated = re.split(r"\[Rationale\]|\[Context\]", text.rpartition("[Answer]")[2], maxsplit=1)[0]
    if bracketed := _M3COT_BRACKETS.findall(stated):
        return Prediction(bracketed[-1].upper(), "m3cot: (X)")
    options = dict(zip(LETTERS, sample.choices, strict=False))
    lowered = stated.lower()
    if within := [letter for letter, option in options.items() if option and option.lower() in lowered]:
        return Prediction(within[-1], "m3cot: option text")
    words = set(stated.translate(_M3COT_TO_SPACES).split(" "))
    for written in (str.upper, str.lower):
        if named := [letter for letter in options if written(letter) in words]:
            return Prediction(named[-1], "m3cot: word")
    return Prediction(None, "m3cot: nothing")


# TempCompass

_TEMPCOMPASS_LETTERS = {start: letter for letter in "ABCD" for start in (f"{letter}.", f"{letter})")}


def _tempcompass_multi_choice(text: str, _: Sample, __: Options) -> Prediction:
    """TempCompass (arXiv 2403.00476; repository llyx97/TempCompass), multiple choice, as far as its rules go: a letter
    A to D, alone or in front of ``.`` or ``)``. For the rest the authors ask GPT-3.5.
    """
    text = _tempcompass_text(text)
    return Prediction(text if text in tuple("ABCD") else _TEMPCOMPASS_LETTERS.get(text[:2]), "tempcompass_multi_choice")


def _tempcompass_yes_no(text: str, _: Sample, __: Options) -> Prediction:
    """TempCompass, yes or no: what the response begins with, whatever the case; "Not" and "Nothing" are no."""
    lowered = _tempcompass_text(text).lower()
    return Prediction(next((word for word in ("yes", "no") if lowered.startswith(word)), None), "tempcompass_yes_no")


def _tempcompass_caption_matching(text: str, sample: Sample, _: Options) -> Prediction:
    """TempCompass, which of two captions: the option that the response is, of those in the sample's choices, each a
    whole line such as ``Caption A: The man runs.``

    The response is the line; its sentence, also behind ``) ``; or its label, with or without the word in front, periods
    left aside. A label goes before a sentence, a sentence before a line.
    """
    text = _tempcompass_text(text)
    sentence = text.split(") ")[1] if ") " in text else text
    label = text.replace(".", "")
    lines: dict[str, str] = {}
    sentences: dict[str, str] = {}
    labels: dict[str, str] = {}
    for line in sample.choices:
        name, *rest = line.split(": ")
        lines[line] = labels[name] = labels[_without_kind(name)] = line
        if rest:
            sentences[rest[0]] = line
    found = labels.get(text) or labels.get(label) or sentences.get(text) or sentences.get(sentence) or lines.get(text)
    return Prediction(found if text and found else None, "tempcompass_caption_matching")


def _without_kind(label: str) -> str:
    """``A`` of "Caption A", ``1`` of "Option 1"."""
    for kind in ("Sentence ", "Option ", "Caption "):
        label = label.replace(kind, "")
    return label


def _tempcompass_text(text: str) -> str:
    return text.replace("</s>", "").strip()


def _tempcompass_match(prediction: Prediction, sample: Sample, _: Options) -> float:
    """TempCompass: an accepted answer, or the letter of one such as "A. running"."""
    accepted = {form for target in sample.target for form in (target, target[:1])}
    return float(any(reading in accepted for reading in readings(prediction)))


_LETTERS = frozenset({"letters"})

EXTRACTORS: Mapping[str, Extractor] = MappingProxyType(
    {
        "blink": Extractor(_blink),
        "scienceqa": Extractor(_scienceqa),
        "scienceqa_lmms_eval": Extractor(_scienceqa_lmms_eval),
        "mmstar": Extractor(_mmstar, _LETTERS, check_letters),
        "mmvp": Extractor(_mmvp),
        "vstar": Extractor(_vstar),
        "realworldqa": Extractor(_realworldqa),
        "realworldqa_lmms_eval": Extractor(_realworldqa_lmms_eval),
        "realworldqa_lmms_eval_0_7_1": Extractor(_realworldqa_lmms_eval_0_7_1),
        "naturalbench": Extractor(_naturalbench, needs=frozenset({"question_type"})),
        "ii_bench": Extractor(_ii_bench),
        "visualwebbench_letter": Extractor(_visualwebbench_letter),
        "m3cot": Extractor(_m3cot),
        "tempcompass_multi_choice": Extractor(_tempcompass_multi_choice),
        "tempcompass_yes_no": Extractor(_tempcompass_yes_no),
        "tempcompass_caption_matching": Extractor(_tempcompass_caption_matching),
    }
)

MATCHERS: Mapping[str, Matcher] = MappingProxyType({"tempcompass": Matcher(_tempcompass_match)})
