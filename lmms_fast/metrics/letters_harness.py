"""Multiple choice as the two common harnesses read it: rules that several benchmarks share.

EvolvingLMMs-Lab/lmms-eval and open-compass/VLMEvalKit, from their definitions. They take a letter where it is no answer
(the article in "A dog", the C of "Cat"), which is why our own rule is another (`letters.py`); a published number is
met only by the rule it rests on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lmms_fast.errors import TaskError
from lmms_fast.metrics.letters import LETTERS
from lmms_fast.metrics.mmmu import last_between_spaces, last_written, letter_forms, pad, with_dice
from lmms_fast.metrics.plain import without_marks
from lmms_fast.metrics.rule import Extractor, Options
from lmms_fast.types import Prediction, Sample


def letters_of(sample: Sample, options: Options) -> str:
    """The letters of the sample's options; where those stand in the question itself, option `letters`, default ABCD."""
    letters: str = LETTERS[: len(sample.choices)] or options.get("letters", "ABCD")
    return letters


def check_letters(options: Options) -> None:
    """Raise TaskError unless the option `letters` is a word of capital letters."""
    letters: Any = options.get("letters", "ABCD")
    if not isinstance(letters, str) or not letters or not set(letters) <= set(LETTERS):
        raise TaskError(f"score.extract: `letters` is {letters!r}; it is a word of capital letters such as ABCD.")


# lmms-eval: the rule of most of its multiple-choice tasks since v0.7.2

_PHRASES = (
    "the answer is", "answer is", "the correct answer is", "correct answer is", "the best answer is", "best answer is",
    "the correct option is", "correct option is", "the best option is", "best option is", "the choice is", "choice is",
    "the correct choice is", "correct choice is", "i choose", "i select", "i pick", "my answer is", "my choice is",
    "옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは",
)  # fmt: skip
_RANKS = {"start": 10, "end": 9, "phrase": 7, "(X)": 6, "X.": 5, "X:": 4, "X)": 3, "X ": 2}
_ASCII_LOWER = str.maketrans(LETTERS, LETTERS.lower())  # str.lower() may change the length, and so every position


def _robust_letter(text: str, sample: Sample, options: Options) -> Prediction:
    """Of all places where a letter might be the answer, the best by kind, and the last of that kind.

    Kinds, best first: the response begins with it; ends with it; behind a phrase such as "answer is" (be it inside a
    word); ``(X)``; ``X.``; ``X:``; ``X)``; ``X`` and a space. Where there is none, any capital letter counts: "Cat" is
    C, and ``**B**`` is B.
    """
    letters = letters_of(sample, options)
    core = without_marks(text.strip(), ",.!?;:'\"")
    padded, core = f" {core} ", core.strip()
    places = [*_ends(core, letters), *_behind_phrases(padded, letters), *_written(padded, letters)]
    if places:
        kind, _, letter = max(places, key=lambda place: (_RANKS[place[0]], place[1]))
        return Prediction(letter, f"robust_letter: {kind.strip()}")
    anywhere = [(padded.rfind(letter), letter) for letter in letters if letter in padded]
    return Prediction(max(anywhere)[1] if anywhere else None, "robust_letter: anywhere")


def _ends(core: str, letters: str) -> list[tuple[str, int, str]]:
    """The letter that the text begins with, and that it ends with, unless it is part of a word."""
    places = []
    if core[:1] and core[0] in letters and not core[1:2].isalpha():
        places.append(("start", 0, core[0]))
    if core[:1] and core[-1] in letters and not core[-2:-1].isalpha():
        places.append(("end", len(core) - 1, core[-1]))
    return places


def _behind_phrases(text: str, letters: str) -> list[tuple[str, int, str]]:
    """For each phrase, the first place of each letter behind the phrase's own first place."""
    lowered = text.translate(_ASCII_LOWER)
    ends = {start + len(phrase) for phrase in _PHRASES if (start := lowered.find(phrase)) >= 0}
    found = [(text.find(letter, end), letter) for end in ends for letter in letters]
    return [("phrase", position, letter) for position, letter in found if position >= 0]


def _written(text: str, letters: str) -> list[tuple[str, int, str]]:
    """The last place of each letter in each form."""
    kinds = [kind for kind in _RANKS if "X" in kind]
    found = [(kind, text.rfind(form), letter) for kind in kinds for letter, form in letter_forms(letters, kind).items()]
    return [place for place in found if place[1] >= 0]


# lmms-eval: shorter rules

_LEADING = re.compile(r"[(\s]*+([A-Za-z])")


def _first_character(text: str, _: Sample, __: Options) -> Prediction:
    """SEED-Bench: the first character, whatever it is, so that "The answer is A" is T."""
    return Prediction(text.strip()[:1] or None, "first_character")


def _leading_letter(text: str, _: Sample, __: Options) -> Prediction:
    """CV-Bench in lmms-eval, and BLINK up to v0.7.2: the first letter, in upper case, where only brackets and blanks
    precede it.

    It may be the first letter of a word: "The answer is A" is T.
    """
    match = _LEADING.match(text)
    return Prediction(match[1].upper() if match else None, "leading_letter")


_TERSE = re.compile(r"\(?([A-Za-z])[.\s:,)]*")
_TERSE_MAX = 4
_STATED = re.compile(r"answers?+(?:\s++is)?+\s*+[:-]?+\s*+\(?+([A-Z])(?![A-Z])", re.IGNORECASE)


def _blink_lmms_eval(text: str, sample: Sample, _: Options) -> Prediction:
    """BLINK in lmms-eval since v0.7.3; letters are those of the sample's options.

    In this order: a first line of at most four characters that is the letter; the last letter behind "answer" or
    "answer is"; the last ``(X)``; the letter that the response begins with, be it that of a word. Either case, but for
    ``(X)``.
    """
    letters = LETTERS[: len(sample.choices)] or LETTERS
    line = text.strip().partition("\n")[0].strip()
    match = _TERSE.fullmatch(line) if len(line) <= _TERSE_MAX else None
    if match and match[1].upper() in letters:
        return Prediction(match[1].upper(), "blink_lmms_eval: alone")
    stated = [match[1].upper() for match in _STATED.finditer(text) if match[1].upper() in letters]
    if stated:
        return Prediction(stated[-1], "blink_lmms_eval: stated")
    if found := last_written(text, letter_forms(letters, "(X)")):
        return Prediction(found, "blink_lmms_eval: (X)")
    match = _LEADING.match(text)
    leading = match[1].upper() if match and match[1].upper() in letters else None
    return Prediction(leading, "blink_lmms_eval: leading")


# lmms-eval: relatives of MMMU's parser


def _mmt(text: str, sample: Sample, _: Options) -> Prediction:
    """MMT-Bench, MMAU and AIR-Bench (foundation), without their dice: ``(X)``, else X between spaces, else ``X.``.

    Several letters of any stage are told apart by where they stand between spaces, which may be nowhere: then the first
    option wins, so that "(C), not (B)" is B.
    """
    padded, letters = pad(text), LETTERS[: len(sample.choices)]
    for stage in ("(X)", " X ", "X."):
        if found := last_between_spaces(padded, letter_forms(letters, stage)):
            return Prediction(found, f"mmt: {stage.strip()}")
    return Prediction(None, "mmt: nothing")


def _mmt_random(text: str, sample: Sample, options: Options) -> Prediction:
    """As `mmt`, with dice where no letter is found."""
    return with_dice(_mmt(text, sample, options), sample)


# VLMEvalKit, before it asks a judge

_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_FAILED = "Failed to obtain answer via API"
_TO_SPACES = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_MMBENCH_LETTERS = "ABCDE"
_AFFIXES = (
    "X.", "X,", "X:", "X)", "X).", "(X)", "(X).", ":X", ":X,", ":X.", ":X)", ":X).",
)  # fmt: skip


def _vlmevalkit_letter(text: str, sample: Sample, options: Options) -> Prediction:
    """VLMEvalKit's inference of an option, as HR-Bench has it too: the one letter among the words, else the one option
    whose text occurs.

    A refusal in its words, and the letter Z, give ``Z``, which is no option and so wrong. Options that are empty take
    no part. The article in "A dog" is the letter A.
    """
    choices = sample.choices
    letters = [letter for letter, choice in zip(LETTERS, choices, strict=False) if choice]
    letters = letters or list(letters_of(sample, options))
    if _FAILED not in text:
        if any(refusal in text for refusal in _REFUSALS):
            return Prediction("Z", "vlmevalkit_letter: refusal")
        words = set(text.translate(_TO_SPACES).split())
        named = [letter for letter in letters if letter in words]
        if len(named) == 1:
            return Prediction(named[0], "vlmevalkit_letter: letter")
        if not named and "Z" in words:
            return Prediction("Z", "vlmevalkit_letter: Z")
    return Prediction(_one_option_within(text, choices), "vlmevalkit_letter: option text")


def _mmbench_letter(text: str, sample: Sample, _: Options) -> Prediction:
    """MMBench in lmms-eval (VLMEvalKit's first form): the one letter of A to E that is a word, as it stands or in one
    of twelve forms such as ``X.`` and ``(X)``; else the one option whose text occurs.

    A bare A among more than three words is taken for the article.
    """
    words = text.split()
    tokens = set(words)
    article = "A" in tokens and len(words) > 3
    for form in (*(() if article else ("X",)), *_AFFIXES):
        named = [letter for letter, token in letter_forms(_MMBENCH_LETTERS, form).items() if token in tokens]
        if len(named) == 1:
            return Prediction(named[0], f"mmbench_letter: {form}")
    return Prediction(_one_option_within(text, sample.choices), "mmbench_letter: option text")


def _one_option_within(text: str, choices: Sequence[str]) -> str | None:
    """The letter of the one option whose text the response contains, whatever the case; be it inside a word."""
    lowered = text.lower()
    found = [letter for letter, choice in zip(LETTERS, choices, strict=False) if choice and choice.lower() in lowered]
    return found[0] if len(found) == 1 else None


_LETTERS = frozenset({"letters"})

EXTRACTORS: Mapping[str, Extractor] = MappingProxyType(
    {
        "robust_letter": Extractor(_robust_letter, _LETTERS, check_letters),
        "first_character": Extractor(_first_character),
        "leading_letter": Extractor(_leading_letter),
        "blink_lmms_eval": Extractor(_blink_lmms_eval),
        "mmt": Extractor(_mmt),
        "mmt_random": Extractor(_mmt_random),
        "vlmevalkit_letter": Extractor(_vlmevalkit_letter, _LETTERS, check_letters),
        "mmbench_letter": Extractor(_mmbench_letter),
    }
)
