"""Text → Prediction: the rules that a task's YAML names under `score: {extract: …}`.

The rules and their table come first, what they are made of follows: thinking and numbers, letters, MMMU.
"""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lmms_fast.types import Prediction, Sample

Extractor = Callable[[str, Sample, Mapping[str, Any]], Prediction]
"""(response without its thinking, the sample, the rule's options) → what was found. Never raises, whatever the text."""

RANDOM = "random"
"""`Prediction.rule` of an answer that dice decided, so that they can be counted."""


def _text(text: str, _: Sample, __: Mapping[str, Any]) -> Prediction:
    """The whole response, stripped."""
    return Prediction(text.strip() or None, "text")


def _first_line(text: str, _: Sample, __: Mapping[str, Any]) -> Prediction:
    """The first line that is not blank, stripped: for models that answer and then explain."""
    lines = text.strip().splitlines()
    return Prediction(lines[0].strip() if lines else None, "first_line")


def _letter(text: str, sample: Sample, _: Mapping[str, Any]) -> Prediction:
    """Our careful multiple-choice rule; see `_read_letter`."""
    return _read_letter(text, sample.choices)


def _yes_no(text: str, _: Sample, __: Mapping[str, Any]) -> Prediction:
    """``yes`` or ``no``: the one that is among the words, after the word rule of open-compass/VLMEvalKit.

    That rule splits by the VQA challenge's punctuation list, which lacks ``*`` and ``:``, so ``**Yes**`` is nothing to
    it; here it is a yes.
    """
    return Prediction(_yes_or_no(text), "yes_no")


def _number_or_word(text: str, _: Sample, __: Mapping[str, Any]) -> Prediction:
    """For counting: the first number, ``3`` and ``three`` alike."""
    return Prediction(_first_number(text), "number_or_word")


def _regex(text: str, _: Sample, options: Mapping[str, Any]) -> Prediction:
    """A match of `pattern`, or one `group` of it (default 0, the whole match); `pick`: ``first`` or ``last``.

    The pattern is the task author's: mind that a response may be long and hostile.
    """
    matches = re.finditer(options["pattern"], text)
    last = options.get("pick") == "last"
    match = next(iter(deque(matches, maxlen=1)), None) if last else next(matches, None)
    found = match[options.get("group", 0)] if match else None
    return Prediction((found or "").strip() or None, "regex")


def _mme(text: str, _: Sample, __: Mapping[str, Any]) -> Prediction:
    """MME's rule (arXiv 2306.13394, the authors' evaluation tool as lmms-eval has it).

    Without periods: ``yes``, ``no``, ``y`` or ``n`` alone; else ``yes``, else ``no``, within the first four characters.
    """
    reduced = text.lower().strip().replace(".", "")
    if len(reduced) == 1:
        return Prediction({"y": "yes", "n": "no"}.get(reduced), "mme")
    head = reduced[:4]
    return Prediction(next((word for word in ("yes", "no") if word in head), None), "mme")


def _mmmu(text: str, sample: Sample, _: Mapping[str, Any]) -> Prediction:
    """MMMU's parsers: letter for multiple choice, readings for open questions; nothing found stays nothing."""
    return _parse_choice(text, sample.choices) if sample.choices else _parse_open(text)


def _mmmu_random(text: str, sample: Sample, _: Mapping[str, Any]) -> Prediction:
    """As `mmmu`, with the reference's dice where no letter is found.

    Here the dice are seeded per sample, so the pick depends on neither order nor other samples; the reference draws
    from one global stream. Figures published with dice are therefore met on average, not to the digit.
    """
    if not sample.choices:
        return _parse_open(text)
    return _with_dice(_parse_choice(text, sample.choices), sample)


def _mmmu_lmms_eval(text: str, sample: Sample, _: Mapping[str, Any]) -> Prediction:
    """As `mmmu_random`, with the multiple-choice parser of lmms-eval, for comparison with its numbers.

    Open questions are read as the benchmark defines them; lmms-eval v0.3.5 to v0.7.2 scores them all wrong.
    """
    if not sample.choices:
        return _parse_open(text)
    return _with_dice(_parse_choice_lmms_eval(text, sample.choices), sample)


def _with_dice(prediction: Prediction, sample: Sample) -> Prediction:
    if prediction.answer is not None:
        return prediction
    pick = random.Random(sample.key).choice(LETTERS[: len(sample.choices)])
    return Prediction(pick, RANDOM)


EXTRACTORS: Mapping[str, Extractor] = MappingProxyType(
    {
        "text": _text,
        "first_line": _first_line,
        "letter": _letter,
        "yes_no": _yes_no,
        "number_or_word": _number_or_word,
        "regex": _regex,
        "mme": _mme,
        "mmmu": _mmmu,
        "mmmu_random": _mmmu_random,
        "mmmu_lmms_eval": _mmmu_lmms_eval,
    }
)

EXTRACTOR_OPTIONS: Mapping[str, frozenset[str]] = MappingProxyType({"regex": frozenset({"pattern", "group", "pick"})})
"""Options a rule takes, where it takes any."""


# Thinking, words and numbers

_REASONING_TAGS = (("<think>", "</think>"), ("<analysis>", "</analysis>"))

_COUNT_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
_COUNTS = {word: str(count) for count, word in enumerate(_COUNT_WORDS)}
_NUMBER = re.compile(
    r"(?<![\w.])(?P<digits>-?(?:[0-9]{1,3}(?:,[0-9]{3}(?![0-9]))+|[0-9]+)(?:\.[0-9]+)?)"
    rf"|\b(?P<word>{'|'.join(_COUNT_WORDS)})\b(?P<more>[\s-](?:{'|'.join(_COUNT_WORDS[1:10])}|hundred|thousand|million|dozen)\b)?",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")


def strip_reasoning(text: str) -> str:
    """The response without its thinking, stripped.

    Each ``<think>…</think>`` and ``<analysis>…</analysis>`` goes. A closing tag without an opening one (the chat
    template had put that into the prompt) ends the thinking: what follows the last of them stays. An opening tag
    without a closing one leaves the text alone. (The default of lmms-eval's command line.)
    """
    for opening, closing in _REASONING_TAGS:
        text = _cut(text, opening, closing)
        if closing in text and opening not in text:
            text = text.rpartition(closing)[2]
    return text.strip()


def _cut(text: str, opening: str, closing: str) -> str:
    """Without the blocks between the tags. Found by hand: ``.*?`` would scan to the end from every opening tag."""
    kept: list[str] = []
    rest = 0
    while (start := text.find(opening, rest)) >= 0 and (end := text.find(closing, start + len(opening))) >= 0:
        kept.append(text[rest:start])
        rest = end + len(closing)
    return "".join([*kept, text[rest:]])


def _yes_or_no(text: str) -> str | None:
    """``yes`` or ``no`` if exactly one of them is among the words."""
    found = {word for word in _WORD.findall(text.lower()) if word in ("yes", "no")}
    return found.pop() if len(found) == 1 else None


def _first_number(text: str) -> str | None:
    """The first number, in digits or as a word up to twenty, written plainly: no commas, no idle zeros.

    None if that word goes on to a number beyond twenty ("twenty-one", "two hundred").
    """
    match = _NUMBER.search(text)
    if match is None or match["more"]:
        return None
    return _COUNTS[match["word"].lower()] if match["word"] else _plain_number(match["digits"])


def _plain_number(digits: str) -> str:
    # By text: int() refuses what is longer than 4,300 digits, and float() would round.
    whole, _, fraction = digits.replace(",", "").partition(".")
    sign, whole, fraction = "-" * whole.startswith("-"), whole.lstrip("-0") or "0", fraction.rstrip("0")
    plain = f"{whole}.{fraction}" if fraction else whole
    return plain if plain == "0" else sign + plain


# Letters: our multiple-choice rule
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


def _read_letter(text: str, choices: Sequence[str]) -> Prediction:
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


# MMMU (arXiv 2311.16502; repository MMMU-Benchmark/MMMU), from its definitions
#
# Two implementations of the multiple-choice parser are in use and are not interchangeable: the authors' own looks for a
# letter between spaces, lmms-eval's for a letter before a space, whatever stands in front, so that it reads A out of
# "NASA said". The authors' is the default here.

_LONG_ANSWER_TOKENS = 5
"""An option's text is looked for only in responses of more tokens than this."""

_INDICATORS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_PUNCTUATION = (":", ",", ".", "!", "?", ";", "'")

# The reference's three expressions, made linear: it walks a long run of digits again from every digit of the run. A
# match can only begin where its run of digits begins and never gives digits back, hence the (?<!\d) and the ++.
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?(?<!\d)\d++(?:\.\d++)?[eE][+-]?\d++"),
    re.compile(r"-?(?:(?<!\d)\d++\.\d++|\.\d++|(?<!\d)\d++\b)(?![eE][+-]?\d)(?![,\d])"),
)


def _parse_choice(text: str, choices: Sequence[str]) -> Prediction:
    """The authors' multiple-choice parser without its dice: nothing found is None.

    Stages: options written ``(X)``; else a letter between spaces; else, in a response of more than five tokens, option
    texts. Of several candidates the one written last wins.
    """
    options = dict(zip(LETTERS, choices, strict=False))
    padded = _padded(text)
    for stage, write in (("(X)", "({})".format), ("X", " {} ".format)):
        if found := _last_written(padded, {letter: write(letter) for letter in options}):
            return Prediction(found, f"mmmu: {stage}")
    return _by_option_text(padded, options)


def _parse_choice_lmms_eval(text: str, choices: Sequence[str]) -> Prediction:
    """lmms-eval's form of the parser (task utilities of its `mmmu`), without its dice.

    Stages: ``(X)``; a letter before a space; a letter before a period; option texts. Several candidates of either
    letter stage are told apart by where they stand between spaces, which may be nowhere: then the first letter wins.
    """
    options = dict(zip(LETTERS, choices, strict=False))
    padded = _padded(text)
    if found := _last_written(padded, {letter: f"({letter})" for letter in options}):
        return Prediction(found, "mmmu_lmms_eval: (X)")
    for suffix in (" ", "."):
        candidates = [letter for letter in options if letter + suffix in padded]
        if candidates:
            found = max(candidates, key=lambda letter: padded.rfind(f" {letter} "))
            return Prediction(found, f"mmmu_lmms_eval: X{suffix}".rstrip())
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
    tails = [_tail(line, _INDICATORS) for line in lines[:-1]] + [_tail(lines[-1], (*_INDICATORS, "="))]
    kept = [tail for tail in tails if tail and tail not in _PUNCTUATION] or [whole]
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


def _padded(text: str) -> str:
    for character in ",.!?;:'":  # one pass, in this order: "A.," loses both marks, "A,." keeps its comma
        text = text.strip(character)
    return f" {text} "


def _last_written(text: str, forms: Mapping[str, str]) -> str | None:
    """The key whose form occurs last; the first key wins a tie."""
    positions = {key: text.rfind(form) for key, form in forms.items()}
    best = max(positions, key=lambda key: positions[key], default=None)
    return best if best is not None and positions[best] >= 0 else None


def _by_option_text(padded: str, options: Mapping[str, str]) -> Prediction:
    found = None
    if len(padded.split()) > _LONG_ANSWER_TOKENS:
        found = _last_written(padded.lower(), {letter: option.lower() for letter, option in options.items()})
    return Prediction(found, "mmmu: option text" if found else "mmmu: nothing")


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
