"""Answers that models reasoned for: the scorer of lmms-eval's reasoning tasks, and math-verify, which is part of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from lmms_fast.metrics.plain import readings, without_marks
from lmms_fast.metrics.rule import Extractor, Matcher, Options
from lmms_fast.types import Prediction, Sample

# lmms-eval's reasoning tasks (lmms_eval/tasks/_task_utils/reasoning_utils.py)

_BRACE = re.compile(r"\\boxed\{|[{}]")
_LAST_NUMBER = re.compile(r"\b\d++(?:\.\d++)?\Z")
_SIGNS = re.compile(r"[=+\-*/()\[\]\\]")
_FORMAT = {"tag": 1.0, "box": 1.0, "worked number": 0.8, "number": 0.0}


def _reasoning_answer(text: str, _: Sample, __: Options) -> Prediction:
    r"""The first ``<answer>…</answer>``, else the last ``\boxed{…}``, else the last number at the end of a line."""
    if (start := text.find("<answer>")) >= 0 and (end := text.find("</answer>", start)) >= 0:
        return Prediction(text[start + len("<answer>") : end].strip() or None, "reasoning_answer: tag")
    if found := last_box(text).strip():
        return Prediction(found, "reasoning_answer: box")
    for line in reversed(text.strip().split("\n")):
        if number := _LAST_NUMBER.search(line.rstrip().removesuffix(".").rstrip()):
            worked = len(text) > 50 and _SIGNS.search(text)
            return Prediction(number[0], f"reasoning_answer: {'worked number' if worked else 'number'}")
    return Prediction(None, "reasoning_answer: nothing")


def last_box(text: str) -> str:
    r"""What is in the ``\boxed{…}`` that begins last, among those that are closed; "" without any."""
    opened: list[int] = []
    start, end = -1, -1
    for match in _BRACE.finditer(text):
        if match[0] != "}":
            opened.append(match.end() if match[0] != "{" else -1)
        elif opened and (begun := opened.pop()) > start:
            start, end = begun, match.start()
    return text[start:end] if start >= 0 else ""


def _reasoning(prediction: Prediction, sample: Sample, _: Options) -> dict[str, float]:
    """Right by letter, by nearly the same text, or by math-verify; part `format_score`: is the answer marked as asked?

    The rule of lmms-eval's reasoning tasks, without its judge. A gold is a letter if it is nothing else; there, a
    text with a capital A to H anywhere is one, which is `reasoning_lmms_eval`.
    The format counts 1 for an answer in tags or in a box, 0.8 for a number behind more than 50 characters with a sign
    of mathematics. lmms-eval wants ``<think>`` in front of the tags; thinking has been cut off here.
    """
    return _reasoned(prediction, sample, _bare_letter)


def _reasoning_lmms_eval(prediction: Prediction, sample: Sample, _: Options) -> dict[str, float]:
    """As `reasoning`, with lmms-eval's idea of a letter: it compares the letters of "Earth" and "Everest" (E)."""
    return _reasoned(prediction, sample, _parsed_letter)


def _reasoned(prediction: Prediction, sample: Sample, letter_of: Callable[[str], str]) -> dict[str, float]:
    format_score = next((score for name, score in _FORMAT.items() if prediction.rule.endswith(f": {name}")), 0.0)
    answers = [_without_period(str(said)) for said in readings(prediction)]
    golds = [_without_period(gold) for gold in sample.target]
    right = any(_nearly_equal(gold, said, letter_of(gold)) for gold in golds for said in answers)
    right = right or any(_verified(gold, said) for gold in golds for said in answers)
    return {"accuracy": float(right), "format_score": format_score}


def _bare_letter(text: str) -> str:
    letter = text.strip("(). ")
    return letter if len(letter) == 1 and letter in _LETTERS else ""


def _without_period(text: str) -> str:
    return text.removesuffix(".").strip()


def _nearly_equal(gold: str, said: str, letter: str) -> bool:
    if letter:
        return _parsed_letter(said) == letter
    shorter, longer = sorted((gold, said), key=len)
    return shorter in longer and len(shorter) >= 0.9 * len(longer)


_LETTERS = "ABCDEFGH"
_PHRASES = (
    "answer", "the answer", "correct answer", "the correct answer", "best answer", "the best answer", "my answer is",
    "option is", "the option is", "correct option is", "the correct option is", "i choose", "i select", "i pick",
    "choice is", "the choice is", "correct choice is", "the correct choice is", "my choice is",
)  # fmt: skip
"""Those of the original's 25 that can be the first to begin, which is all that counts."""
_FOLLOWED = ((".", 5), (":", 4), (")", 3), (" ", 2), ("-", 1), ("_", 1), ("=", 1))


def _parsed_letter(text: str) -> str:
    """The letter A to H by lmms-eval's `parse_mcq`, "" without any: the best kind of mention, the earliest in a kind.

    Best is the first character, then the last, inside a word too ("Because" is B), then ``1. A``, a letter behind a
    phrase, ``(A)``, and a letter before one of ``. : )``, a space, or one of ``- _ =``.
    """
    text = without_marks(text.strip(), ",.!?;:'\"")
    bare, text = text.strip(), f" {text} "
    lower = text.lower()
    phrase = min((start for phrase in _PHRASES if (start := lower.find(phrase)) >= 0), default=len(text))
    found: list[tuple[int, int, str]] = []
    for index, letter in enumerate(_LETTERS):
        mentions = [(10, 0 if bare.startswith(letter) else -1), (9, len(text) if bare.endswith(letter) else -1)]
        mentions.append((8, text.rfind(f"{index + 1}. {letter}")))
        mentions += [(7, text.find(letter, phrase)), (6, text.rfind(f"({letter})"))]
        mentions += [(rank, text.rfind(letter + sign)) for sign, rank in _FOLLOWED]
        mentions.append((0, text.rfind(letter)))
        found += [(-rank, position, letter) for rank, position in mentions if position >= 0]
    return min(found)[2] if found else ""


# math-verify (repository huggingface/Math-Verify)

_VERIFIED_MAX = 100
_COMMAND = re.compile(r"\\(?:[A-Za-z]+|.)", re.DOTALL)
_COMMANDS = frozenset(
    _COMMAND.findall(
        r"\frac\dfrac\tfrac\sqrt\pi\cdot\times\div\left\right\text\mathrm\boxed\infty\circ\pm\le\ge\leq\geq\lt\gt\neq"
        r"\cup\cap\in\approx\quad\,\!\;\{\}\%\$\\\(\)\[\]"
    )
)
_FUNCTION = re.compile(r"\\(?:sin|cos|tan|ln|log)(?![A-Za-z])")
_UNIT = re.compile(r"\\(?:text|mathrm)\{[^{}]*\}")
_RAISED = re.compile(
    r"(?:(?<=[0-9])(?:\^|\*\*)\{?-?[0-9]{1,2}(?![0-9])|(?:\^|\*\*)\{?(?:-?[0-4](?![0-9])|\\circ|[A-Za-z]))\}?"
    r"(?![\s}]*(?:\^|\*\*))"
)
_REFUSED = re.compile(r"[0-9]{31}|[0-9]\s?[eE]\s?[+-]?[0-9]|_|!")


def _math_verify(prediction: Prediction, sample: Sample, _: Options) -> float:
    """Equal as expressions after huggingface/Math-Verify, which finds them in the text of both sides.

    It knows numbers, and LaTeX inside dollar signs or a box. Long responses are taken by their last box or last line.
    """
    answers = [_short(str(said)) for said in readings(prediction)]
    return float(any(_verified(gold, said) for gold in sample.target for said in answers))


def _short(text: str) -> str:
    if len(text) <= _VERIFIED_MAX:
        return text
    return rf"\boxed{{{box}}}" if (box := last_box(text)) else text.rstrip().rpartition("\n")[2]


def _verified(gold: str, said: str) -> bool:
    """Whether math-verify takes the two as equal; never for what is long or might be huge.

    Its limits of time are signals, which work in the main thread alone and do not interrupt ``9**9**9``. So they are
    off, and what could take long is refused beforehand.
    """
    said = said.strip("*")  # bold, not a power
    if not (_harmless(gold) and _harmless(said)):
        return False
    from math_verify import parse, verify  # noqa: PLC0415 - half a second, for few tasks

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # or it warns about each limit that is off
    try:
        return bool(verify(parse(gold, parsing_timeout=None), parse(said, parsing_timeout=None), timeout_seconds=None))
    except Exception:  # whatever sympy meets inside a model's answer
        return False


def _harmless(text: str) -> bool:
    """Short and simple: few symbols and functions, low powers, shallow brackets. Sympy may take hours for the rest."""
    if len(text) > _VERIFIED_MAX or text.count("|") > 2:
        return False
    plain = _FUNCTION.sub("", _UNIT.sub("", text))
    # Without a backslash a formula stands between two dollar signs, and letters elsewhere are words.
    between = text.replace("$$", "$").split("$")[1:-1:2]
    formulas = _COMMAND.sub("", plain) if "\\" in text else "".join(between)
    commands, symbols = _COMMAND.findall(plain), re.findall("[A-Za-z]", formulas)
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return (
        deepest <= 5
        and len(commands) <= 16
        and all(command in _COMMANDS for command in commands)
        and len(_FUNCTION.findall(text)) <= 2
        and len(symbols) <= 6
        and not _REFUSED.search(plain.replace(r"\!", ""))
        and len(_RAISED.findall(text)) == text.count("^") + text.count("**") <= 6
    )


EXTRACTORS: Mapping[str, Extractor] = MappingProxyType({"reasoning_answer": Extractor(_reasoning_answer)})

MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {
        "reasoning": Matcher(_reasoning, slow=True),
        "reasoning_lmms_eval": Matcher(_reasoning_lmms_eval, slow=True),
        "math_verify": Matcher(_math_verify, slow=True),
    }
)
