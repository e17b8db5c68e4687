"""Multiple choice: which option a response commits to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from lmms_fast.metrics.rule import Extractor, Options
from lmms_fast.types import Prediction, Sample

# Our own rule
#
# The rules of the benchmarks' own repositories read the letter A out of "A dog is shown" and roll dice where they find
# nothing. This one is for tasks without an official parser; it prefers no answer, which is counted, to a guess.

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_DECORATION = " \t\r\n*_`$()[]{}<>.,:;!?'\"“”‘’"
_WRAPPERS = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\b|</?answer>")
_NAMED = re.compile(r"(?:the\s)?(?:(?:correct|final|best)\s)?(?:answer|option|choice)\s(\w)", re.IGNORECASE)

# Repetitions are bounded ({0,8}) so that no hostile run of blanks is walked again from each of its positions.
_OPENING = r"(?:\\boxed\{|\\text\{|[(\[{*_`$\"'“‘]){0,6}"
_LETTER = r"(?P<letter>[A-Za-z])(?![\w'’]|-\w)"
_STATEMENT = re.compile(
    r"(?:\b(?:answer|option|choice)\b[\s*_]{0,8}(?:is\b|[:=])[\s:*_]{0,8}(?:(?:the|option|choice|letter)\s){0,2}|(?=\\boxed\{))"
    rf"{_OPENING}{_LETTER}",
    re.IGNORECASE,
)
_ALTERNATIVE = re.compile(
    rf"[)\]}}*_`$\"'”’.]{{0,6}}\s{{0,4}}(?:[,/&]|\b(?:or|and)\b){{1,2}}\s{{0,4}}(?:(?:or|and)\s)?{_OPENING}{_LETTER}",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[ \t]{1,4}(?!(?:because|since|as|which)\b)\w", re.IGNORECASE)
_LEADING = re.compile(r"[(\[*]{0,3}(?P<letter>[A-Z])[)\]*]{0,3}[.):\]][)\]*]{0,3}\s")
_MENTION = re.compile(r"(?<![\w'’-])([A-Z])(?![\w'’-])")
_NEGATION = re.compile(r"\b(?:not?|never|neither|nor|none|cannot|except|without)\b|n['’]t\b", re.IGNORECASE)


def read_letter(text: str, choices: Sequence[str]) -> Prediction:
    """The option a response commits to; ``answer`` is None where it names none or more than one.

    In order: a response that is only a letter, whatever its decoration; statements ("The answer is B", ``\\boxed{B}``,
    a first or last line that is only a letter); a letter and a delimiter in front ("B. cat") with no other option
    mentioned; the full text of exactly one option.
    """
    letters = LETTERS[: len(choices)]
    if found := _bare_letter(text, letters):
        return Prediction(found, "letter: alone")
    stated = _stated_letters(text, letters)
    if len(stated) > 1:
        return Prediction(None, "letter: several stated")
    if stated:
        return Prediction(stated.pop(), "letter: stated")
    if found := _leading_letter(text, letters):
        return Prediction(found, "letter: leading")
    if found := _letter_by_text(text, choices):
        return Prediction(found, "letter: option text")
    return Prediction(None, "letter: nothing")


def _bare_letter(text: str, letters: str) -> str | None:
    """The letter, if decoration is all that surrounds it; lower case counts, since nothing else can be meant."""
    if len(text) > 100:
        return None
    core = _WRAPPERS.sub(" ", text).strip(_DECORATION)
    if named := _NAMED.fullmatch(core):
        core = named[1]
    core = core.upper()
    return core if len(core) == 1 and core in letters else None


def _stated_letters(text: str, letters: str) -> set[str]:
    """Every letter that some statement names as the answer."""
    found: set[str] = set()
    for match in _STATEMENT.finditer(text):
        letter = match["letter"].upper()
        if letter not in letters or _is_word(match, text):
            continue
        found.add(letter)
        other = _ALTERNATIVE.match(text, match.end())
        if other and other["letter"] in letters:  # "B or C": upper case only, since "B, a cat" names one
            found.add(other["letter"])
    lines = text.strip().splitlines()
    if len(lines) > 1:
        found.update(filter(None, (_bare_letter(lines[0], letters), _bare_letter(lines[-1], letters))))
    return found


def _is_word(match: re.Match[str], text: str) -> bool:
    """True for what is probably a word: "the answer is a dog", "Answer: A dog"."""
    if text[match.start("letter") - 1] in "([{*_`":
        return False
    letter = match["letter"]
    return letter.islower() or (letter in "AI" and _CLAUSE.match(text, match.end()) is not None)


def _leading_letter(text: str, letters: str) -> str | None:
    """The letter of "B. cat" or "(B) cat", unless another option's letter is mentioned further on."""
    match = _LEADING.match(text)
    if match is None or match["letter"] not in letters:
        return None
    # A and I inside a sentence are more often words than options, unless in brackets.
    rest = text[match.end() :]
    mentioned = set(_MENTION.findall(rest)) & set(letters)
    mentioned -= {letter for letter in "AI" if f"({letter})" not in rest}
    return match["letter"] if mentioned <= {match["letter"]} else None


def _letter_by_text(text: str, choices: Sequence[str]) -> str | None:
    """The letter of the one option whose text the response is, or contains as whole words without any negation."""
    response = _words(text)
    options = [(letter, _words(choice)) for letter, choice in zip(LETTERS, choices, strict=False)]
    equal = [letter for letter, words in options if words and words == response]
    if equal:
        return equal[0] if len(equal) == 1 else None
    if _NEGATION.search(text):
        return None
    contained = [letter for letter, words in options if words and f" {words} " in f" {response} "]
    return contained[0] if len(contained) == 1 else None


def _words(text: str) -> str:
    """Lower-case words without outer punctuation; signs and units stay, since "-5" is not "5"."""
    return " ".join(filter(None, (word.strip(".,;:!?'\"()[]*`“”‘’") for word in text.casefold().split())))


def _letter(text: str, sample: Sample, _: Options) -> Prediction:
    """Our careful multiple-choice rule; see `read_letter`."""
    return read_letter(text, sample.choices)


EXTRACTORS: Mapping[str, Extractor] = MappingProxyType({"letter": Extractor(_letter)})
