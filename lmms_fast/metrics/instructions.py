"""The 25 instructions of IFEval (arXiv 2311.07911; google-research/instruction_following_eval) as checks of a text.

Three things are not the reference's own. Sentences are counted by the rules in `_sentences` in place of NLTK's trained
model, which would have to be downloaded: of the 1,080 prompts and GPT-4 answers that come with the benchmark, 1,039
have the same count and 28 are off by one, mostly around initials and numbered outlines. Languages are told by
`langdetect` as there, but with its dice seeded and from the first 10,000 characters (which is where it stops, too).
And expressions that walk long runs over and over are replaced by ones with the same matches.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any


class Arguments:
    """What an instruction asks for. Data sets fill what does not apply with null, and numbers may come as floats."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def text(self, name: str) -> str:
        """Nothing where there is none."""
        value = self._given.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """The members of a list; none where there is no list."""
        value = self._given.get(name)
        return tuple(map(str, value)) if isinstance(value, list) else ()

    def number(self, name: str) -> float:
        """NaN where there is none, which no comparison likes."""
        value = self._given.get(name)
        return value if isinstance(value, int | float) else float("nan")

    def meets(self, count: int, wanted: str, relation: str) -> bool:
        """Whether a count stands in the relation ("less than", else "at least") to the number wanted."""
        number = self.number(wanted)
        return count < number if self.text(relation) == "less than" else count >= number


def _expression(words: str) -> str:
    """Words to look for as the reference takes them, for a regular expression; those that are none as they stand."""
    try:
        re.compile(words)
    except re.error:
        return re.escape(words)
    return words


# Keywords


def _existence(text: str, asked: Arguments) -> bool:
    return all(re.search(_expression(keyword), text, re.IGNORECASE) for keyword in asked.texts("keywords"))


def _frequency(text: str, asked: Arguments) -> bool:
    found = re.finditer(_expression(asked.text("keyword")), text, re.IGNORECASE)
    return asked.meets(sum(1 for _ in found), "frequency", "relation")


def _forbidden_words(text: str, asked: Arguments) -> bool:
    words = map(_expression, asked.texts("forbidden_words"))
    return not any(re.search(rf"\b{word}\b", text, re.IGNORECASE) for word in words)


def _letter_frequency(text: str, asked: Arguments) -> bool:
    """A letter's count without case. In place of "#" and "!", which the data ask for, the reference draws a letter."""
    letter = asked.text("letter").lower()
    return bool(letter) and asked.meets(text.lower().count(letter), "let_frequency", "let_relation")


# Language and case

_DETECTED_CHARACTERS = 10_000


def _response_language(text: str, asked: Arguments) -> bool:
    """In the language asked for; a text whose language cannot be told passes, as in the reference."""
    return _language(text) in (None, asked.text("language"))


def _english_capital(text: str, _: Arguments) -> bool:
    return text.isupper() and _language(text) in (None, "en")


def _english_lowercase(text: str, _: Arguments) -> bool:
    return text.islower() and _language(text) in (None, "en")


def _language(text: str) -> str | None:
    from langdetect import DetectorFactory, LangDetectException, detect  # noqa: PLC0415  an extra

    DetectorFactory.seed = 0
    try:
        return str(detect(text[:_DETECTED_CHARACTERS]))
    except LangDetectException:
        return None


def _capital_word_frequency(text: str, asked: Arguments) -> bool:
    capitals = sum(word.isupper() for word in _treebank_words(text))
    return asked.meets(capitals, "capital_frequency", "capital_relation")


# What the Penn Treebank's tokeniser, as NLTK has it, takes for words of their own. Periods and lone quotes are left
# where they are: they do not change whether a word is in capitals.
_APART = re.compile(r"[;@#$%&?!*()\[\]{}<>\"“”«»]|--|''|``|\.{2,}+|[:,](?!\d)")
_ENDINGS = re.compile(r"(?<=[^\s'])('(?:[sS]|[mM]|[dD]|ll|LL|re|RE|ve|VE)|n't|N'T)(?=\s|\Z)")
_FUSED = re.compile(r"\b(?:(can)(not)|(gim|lem)(me)|(gon|wan)(na)|(got)(ta)|(d)('ye)|(more)('n))\b", re.IGNORECASE)


def _treebank_words(text: str) -> list[str]:
    text = _ENDINGS.sub(r" \1 ", _APART.sub(r" \g<0> ", text))
    return _FUSED.sub(lambda match: " ".join(filter(None, match.groups())), text).split()


# Lengths


def _number_sentences(text: str, asked: Arguments) -> bool:
    return asked.meets(_sentences(text), "num_sentences", "relation")


_CLOSING = "\"')]}*”’"
_ABBREVIATIONS = """
mr mrs ms dr prof sr jr st gen col lt maj adm sen rep messrs ft vs inc ltd co corp jan feb aug sep sept oct nov dec
u.s u.k u.n a.m p.m ph.d d.c u.s.a
""".split()  # noqa: SIM905  a list would take three times the room
_STARTERS = """
the this that these those it its he she they we you i his her their our my there here in on at for from when while
if as but and so however what why how who a an after before although because since to with by is are was were
""".split()  # noqa: SIM905


def _sentences(text: str) -> int:
    """How many sentences a text has; line breaks end none.

    A word ends one with ``!``, ``?`` or ``.`` before a blank, closing marks aside. A period after an abbreviation, an
    initial or another period does so only where the next word is a capitalised common one ("The", "This"), after a
    numeral only where the next word is not in lower case. "i.e.", "etc." and "P.S." are no abbreviations, as in NLTK's
    model, and a capital that begins a line is no initial but numbers it.
    """
    words = [(position == 0, word) for line in text.split("\n") for position, word in enumerate(line.split())]
    count, is_open, may_close = 0, False, False
    for position, (starts_line, word) in enumerate(words):
        core = word.rstrip(_CLOSING)
        if not core and may_close:  # quotes and brackets on their own still belong to the sentence before
            may_close = False
            continue
        following = words[position + 1][1] if position + 1 < len(words) else ""
        may_close = _ends_sentence(core, following, numbered=starts_line and position > 0)
        is_open = not may_close
        count += may_close
    return count + is_open


def _ends_sentence(word: str, following: str, numbered: bool) -> bool:
    if not word.endswith("."):
        return word.endswith(("!", "?"))
    stem = word[:-1].lstrip("\"'([{*")
    if stem.isdecimal():
        return not following[:1].islower()
    initial = len(stem) == 1 and stem.isupper() and not numbered
    if initial or stem.endswith(".") or stem.lower().rpartition("-")[2] in _ABBREVIATIONS:
        return not following or (following[:1].isupper() and following.lower().strip(".,'’") in _STARTERS)
    return True


def _number_words(text: str, asked: Arguments) -> bool:
    return asked.meets(sum(1 for _ in re.finditer(r"\w++", text)), "num_words", "relation")


def _number_paragraphs(text: str, asked: Arguments) -> bool:
    """Paragraphs stand between ``***``; an empty one is forgiven at either end alone."""
    parts = text.split("***")
    if any(not part.strip() for part in parts[1:-1]):
        return False
    ends = (parts[0], parts[-1]) if len(parts) > 1 else (parts[0],)
    return len(parts) - sum(not part.strip() for part in ends) == asked.number("num_paragraphs")


def _nth_paragraph_first_word(text: str, asked: Arguments) -> bool:
    """Paragraphs stand between blank lines. They are counted without empty ones, but the nth is taken among all."""
    paragraphs = text.split("\n\n")
    filled = sum(bool(part.strip()) for part in paragraphs)
    nth = asked.number("nth_paragraph")
    if not 1 <= nth <= filled or not (words := paragraphs[int(nth) - 1].split(maxsplit=1)):
        return False
    first = re.split(r"[.,?!'\"]", words[0].lstrip("'").lstrip('"'), maxsplit=1)[0].lower()
    return filled == asked.number("num_paragraphs") and first == asked.text("first_word").lower()


# Content and form


def _number_placeholders(text: str, asked: Arguments) -> bool:
    """Placeholders are ``[…]`` within a line. By hand: a pattern would walk to the line's end from every ``[``."""
    count = 0
    for line in text.split("\n"):
        end = 0
        while (start := line.find("[", end)) >= 0 and (end := line.find("]", start) + 1):
            count += 1
    return count >= asked.number("num_placeholders")


_POSTSCRIPTS = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}


def _postscript(text: str, asked: Arguments) -> bool:
    marker = asked.text("postscript_marker")
    pattern = _POSTSCRIPTS.get(marker) or _expression(marker.lower())
    return bool(marker) and re.search(pattern, text.lower()) is not None


# A bullet cannot begin with "**": that is bold. The character after "*" may be the line's end, as in the reference.
_STARS = re.compile(r"^[^\S\n]*+\*[^*].*+$", re.MULTILINE)
_DASHES = re.compile(r"^[^\S\n]*+-.*+$", re.MULTILINE)


def _number_bullet_lists(text: str, asked: Arguments) -> bool:
    bullets = sum(1 for pattern in (_STARS, _DASHES) for _ in pattern.finditer(text))
    return bullets == asked.number("num_bullets")


def _constrained_response(text: str, _: Arguments) -> bool:
    return any(f"My answer is {answer}." in text for answer in ("yes", "no", "maybe"))


_HIGHLIGHT = re.compile(r"\*([^\n*]*+)\*")
_BOLD = re.compile(r"\*\*([^\n*]*+)\*\*")


def _number_highlighted_sections(text: str, asked: Arguments) -> bool:
    """``*so*`` and ``**so**``, each form counted for itself, as in the reference."""
    found = sum(bool(match[1].strip()) for pattern in (_HIGHLIGHT, _BOLD) for match in pattern.finditer(text))
    return found >= asked.number("num_highlights")


def _multiple_sections(text: str, asked: Arguments) -> bool:
    # Case counts here, and the word is an expression in the reference.
    found = re.finditer(rf"{_expression(asked.text('section_spliter'))}\s?\d++", text)
    return sum(1 for _ in found) >= asked.number("num_sections")


def _json_format(text: str, _: Arguments) -> bool:
    text = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _title(text: str, _: Arguments) -> bool:
    """A line with something between ``<<`` and ``>>``."""
    for line in text.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if start >= 0 and end >= start + 3 and line[start:end].strip("<>").strip():
            return True
    return False


# Combinations, beginnings, ends, punctuation


def _two_responses(text: str, _: Arguments) -> bool:
    """Two different texts with ``******`` between; an empty one is forgiven at either end."""
    parts = [part.strip() for part in text.split("******")]
    filled = [part for part in parts if part]
    return all(parts[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def _quotation(text: str, _: Arguments) -> bool:
    text = text.strip()
    return len(text) > 1 and text.startswith('"') and text.endswith('"')


def _end_checker(text: str, asked: Arguments) -> bool:
    return text.strip().strip('"').lower().endswith(asked.text("end_phrase").strip().lower())


def _repeat_prompt(text: str, asked: Arguments) -> bool:
    wanted = (asked.text("prompt_to_repeat") or asked.text("prompt")).strip().lower()
    return text.strip().lower().startswith(wanted)


def _no_comma(text: str, _: Arguments) -> bool:
    return "," not in text


INSTRUCTIONS: Mapping[str, Callable[[str, Arguments], bool]] = MappingProxyType(
    {
        "keywords:existence": _existence,
        "keywords:frequency": _frequency,
        "keywords:forbidden_words": _forbidden_words,
        "keywords:letter_frequency": _letter_frequency,
        "language:response_language": _response_language,
        "length_constraints:number_sentences": _number_sentences,
        "length_constraints:number_paragraphs": _number_paragraphs,
        "length_constraints:number_words": _number_words,
        "length_constraints:nth_paragraph_first_word": _nth_paragraph_first_word,
        "detectable_content:number_placeholders": _number_placeholders,
        "detectable_content:postscript": _postscript,
        "detectable_format:number_bullet_lists": _number_bullet_lists,
        "detectable_format:constrained_response": _constrained_response,
        "detectable_format:number_highlighted_sections": _number_highlighted_sections,
        "detectable_format:multiple_sections": _multiple_sections,
        "detectable_format:json_format": _json_format,
        "detectable_format:title": _title,
        "combination:two_responses": _two_responses,
        "combination:repeat_prompt": _repeat_prompt,
        "startend:end_checker": _end_checker,
        "startend:quotation": _quotation,
        "change_case:capital_word_frequency": _capital_word_frequency,
        "change_case:english_capital": _english_capital,
        "change_case:english_lowercase": _english_lowercase,
        "punctuation:no_comma": _no_comma,
    }
)
