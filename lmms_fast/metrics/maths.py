"""Answers of mathematics: MATH-Vision, MathVista, GSM8K, and the scorer of lmms-eval's reasoning tasks.

No response is ever evaluated as code; `latex.py` says how it becomes a number.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from lmms_fast.errors import TaskError
from lmms_fast.metrics.latex import latex_number
from lmms_fast.metrics.letters import LETTERS
from lmms_fast.metrics.plain import readings
from lmms_fast.metrics.rule import Extractor, Matcher, Options
from lmms_fast.types import Prediction, Sample

# MATH-Vision (arXiv 2402.14804; repository mathllm/MATH-V)

_ANNOUNCEMENTS = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")
_CLEAN_UP = (
    (" ", ""), (r"\,", ""), ("∞", r"\infty"), (r"+\infty", r"\infty"), (r"\\", "\\"), ("\n", ""), (r"\text", ""),
    (r"\mbox", ""), ("bmatrix", "pmatrix"), (r"\left", ""), (r"\right", ""), (r"^{\circ}", ""), (r"^\circ", ""),
    ("{m}^3", ""), ("m^3", ""), ("{units}", ""), ("units", ""), ("{km}", ""), ("km", ""), (r"\!", ""), (r"\\", "\\"),
    ("tfrac", "frac"), ("dfrac", "frac"), (r"\left", ""), (r"\right", ""), (r"^{\circ}", ""), (r"^\circ", ""),
    (r"\$", ""), ("$", ""), (r"\%", ""), ("{.", "{0."),
)  # fmt: skip
"""In this order: one removal may make room for the next."""
_BARE_ROOT = re.compile(r"\\sqrt(?!\\sqrt)([^{])", re.DOTALL)
_SLASH = re.compile(r"(0|-?[1-9][0-9]*)/(0|-?[1-9][0-9]*)")
_WRAPPED = (re.compile(r"\(([a-e])\)"), re.compile(r"\{([a-e])\}"))
_LIST_MAX = 20


def _mathv(text: str, _: Sample, __: Options) -> Prediction:
    """MATH-Vision's answer, lower case and without the LaTeX that does not matter.

    A letter that the response ends in or begins with; the number after the last "is "; what stands behind "the answer
    is" and the like, up to the end of the sentence; the last box. Of that, what follows the last "=".
    """
    return Prediction(_mathv_answer(text) or None, "mathv")


def _mathv_answer(text: str) -> str:
    answer = next((letter for letter in "ABCDE" if _frames(text, letter)), text.strip())
    tail = answer.rpartition("is ")[2].rstrip(".")
    if _as_float(tail) is not None:
        answer = tail
    boxes = answer.count("oxed{")
    if boxes == 0:
        for announcement in _ANNOUNCEMENTS:
            for form in (announcement, announcement.replace("the", "The")):
                _, found, behind = answer.rpartition(form)
                answer = behind.strip()
                if found:
                    answer = answer.split("\n", 1)[0].split(". ", 1)[0]
    elif boxes > 1:
        answer = "\\boxed{" + answer.rpartition("oxed{")[2]
    answer = _plain_latex(answer)
    for wrapped in _WRAPPED:
        answer = wrapped.sub(r"\1", answer)
    return answer.rstrip(".").lstrip(":").strip()


def _frames(text: str, letter: str) -> bool:
    text = text.strip()
    return text.endswith((f" {letter}.", f" ({letter}).")) or text.startswith(
        (f"{letter}\n", f"({letter})\n", f"({letter}) {letter}\n")
    )


def _plain_latex(text: str) -> str:
    """MATH-V's normal form: the content of the box, without spaces, units and signs that only lay out."""
    text = text.lower().replace("{}", "")
    start, end = text.find("oxed{"), text.rfind("}")
    if 0 <= start < end:
        text = text[start + len("oxed{") : end]
    if (end := text.find("}")) >= 0 and not 0 <= text.find("{") < end:
        text = text[:end]
    text = text.rpartition("=")[2].rpartition(r"\approx")[2]
    for old, new in _CLEAN_UP:
        text = text.replace(old, new)
    if text.startswith("."):
        text = "0" + text
    if "sqrt" in text:
        text = _braced_fractions(_BARE_ROOT.sub(r"\\sqrt{\1}", text))
    if text == "0.5":
        return r"\frac{1}{2}"
    return rf"\frac{{{slash[1]}}}{{{slash[2]}}}" if (slash := _SLASH.fullmatch(text)) else text


def _braced_fractions(text: str) -> str:
    r"""``\frac12`` and ``\frac1{2}`` as ``\frac{1}{2}``; unchanged if any fraction lacks its two parts."""
    head, *fractions = text.split(r"\frac")
    if any(len(fraction) < 2 and fraction != "{" for fraction in fractions):
        return text
    return head + "".join(rf"\frac{_braced(fraction)}" for fraction in fractions)


def _braced(parts: str) -> str:
    if parts.startswith("{"):
        return parts
    return f"{{{parts[0]}}}" + (parts[1:] if parts[1] == "{" else f"{{{parts[1]}}}{parts[2:]}")


def _mathv_match(prediction: Prediction, sample: Sample, _: Options) -> float:
    """MATH-Vision: equal to the gold, or to the text of the gold's option, after MATH-V's `is_equal`.

    Equal without case; or as tuples or lists whose members are rounded; or as numbers, rounded to two decimals. The
    gold is taken as it is, so a gold in dollar signs is met by its number only. Numbers are read by `latex_number`,
    which says where it differs from the latex2sympy2 and `eval` of the original.
    """
    golds = [*sample.target]
    for gold in sample.target:
        if len(gold) == 1 and (index := LETTERS.find(gold)) < len(sample.choices) and index >= 0:
            golds.append(sample.choices[index])
    return float(any(_mathv_equal(gold, str(said)) for gold in golds for said in readings(prediction)))


def _mathv_equal(gold: str, said: str) -> bool:
    gold, said = gold.lower(), said.lower()
    if not gold.replace(" ", "") or not said.replace(" ", ""):
        return False
    if gold.strip() == said.strip() or _rounded_members(gold) == _rounded_members(said):
        return True
    one = latex_number(gold)
    other = latex_number(said) if one is not None else None
    return one is not None and other is not None and round(one, 2) == round(other, 2)


def _rounded_members(text: str) -> str:
    """``(1/3,2)`` as ``(0.33,2)``; anything else as it is."""
    if text[0] + text[-1] not in ("()", "[]") or not 0 < text.count(",") < _LIST_MAX:
        return text
    members = []
    for member in text[1:-1].split(","):
        if "infty" in member or member in ("a", "-a"):
            members.append(member)
        elif (number := latex_number(member)) is not None:
            members.append(str(round(number, 2)))
        else:
            return text
    return f"{text[0]}{','.join(members)}{text[-1]}"


# MathVista (arXiv 2310.02255; repository lupantech/MathVista)

_BRACKETED = re.compile(r"\(([a-zA-Z])\)")


def _mathvista_rule(text: str, sample: Sample, _: Options) -> Prediction:
    """The answers that MathVista takes without asking its judge: an option's text, or nothing but a number.

    None elsewhere, even for a bare letter: that is for the judge to extract.
    """
    found: str | None = None
    if sample.facts["question_type"] == "multi_choice" and text in sample.choices:
        found = text
    elif sample.facts["answer_type"] == "integer":
        found = _integer(text, strict=True)
    elif sample.facts["answer_type"] == "float":
        found = None if (value := _as_float(text)) is None else str(value)
    return Prediction(found or None, "mathvista_rule")


def _mathvista_match(prediction: Prediction, sample: Sample, options: Options) -> float:
    """MathVista: the extracted answer in the form of its type equals the gold.

    Multiple choice takes the option of the letter, else the one nearest by edit distance, so that it never misses: a
    refusal is an answer, too. The gold is the option's text. Integers are cut (``3.7`` is 3) as the scorer has done
    since 2024; `strict_int` is the scorer of the published tables, for which ``3.0`` is no integer. Floats are rounded
    to the row's precision, which may be spelt ``2.0``; `whole_precision` wants it spelt ``2``, as lmms-eval does, so
    that no float of the data is ever right. Lists are compared as text. An empty extraction is no answer; the original
    takes the shortest option.
    """
    accepted = {gold.strip() for gold in sample.target}
    normal = (_mathvista_normal(str(said).strip(), sample, options) for said in readings(prediction))
    return float(any(said is not None and said.strip() in accepted for said in normal))


def _mathvista_normal(said: str, sample: Sample, options: Options) -> str | None:
    if sample.facts["question_type"] == "multi_choice":
        return _nearest_choice(said, sample.choices)
    match sample.facts["answer_type"]:
        case "integer":
            return _integer(said, options.get("strict_int", False))
        case "float":
            precision = sample.facts["precision"]
            try:
                return str(round(float(said), int(precision if options.get("whole_precision") else float(precision))))
            except (ValueError, OverflowError):
                return None
        case "list":
            return said
    return None


def _nearest_choice(said: str, choices: tuple[str, ...]) -> str | None:
    from rapidfuzz.distance import Levenshtein  # noqa: PLC0415 - other tasks need not wait for it

    if not choices:
        return None
    letter = match[1].upper() if (match := _BRACKETED.search(said)) else said
    if len(letter) == 1 and 0 <= (index := LETTERS.find(letter)) < len(choices):
        return choices[index]
    return min(choices, key=lambda choice: Levenshtein.distance(letter, choice))


def _integer(text: str, strict: bool) -> str | None:
    try:
        return str(int(text) if strict else int(float(text)))
    except (ValueError, OverflowError):
        return None


def _as_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _check_mathvista(options: Options) -> None:
    for name in ("strict_int", "whole_precision"):
        if not isinstance(options.get(name, False), bool):
            raise TaskError(f"score.match: `{name}` is true or false.")


# GSM8K (arXiv 2110.14168; filters of EleutherAI/lm-evaluation-harness)

_MARKED = {"hash": re.compile(r"#### (-?[0-9.,]+)"), "sentence": re.compile(r"The answer is (-?[0-9.,]+).")}
_ANY_NUMBER = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")


def _gsm8k_strict(text: str, _: Sample, options: Options) -> Prediction:
    """The first number in the form that the worked examples end in.

    `form`: ``hash`` (default) for ``#### 5``, ``sentence`` for ``The answer is 5.``, where any character must follow.
    Commas and a final period stay; `exact_match` ignores them.
    """
    match = _MARKED[options.get("form", "hash")].search(text)
    return Prediction(match[1] if match else None, "gsm8k_strict")


def _gsm8k_flexible(text: str, _: Sample, __: Options) -> Prediction:
    """The last number anywhere, with dollar sign, commas and periods; two of these alone count as one ("...")."""
    found = None
    for match in _ANY_NUMBER.finditer(text):
        found = match[0]
    return Prediction(found, "gsm8k_flexible")


def _check_gsm8k(options: Options) -> None:
    if options.get("form", "hash") not in _MARKED:
        raise TaskError(f"score.extract: `form` is {options['form']!r}; allowed: {', '.join(_MARKED)}.")


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
    text = text.strip()
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
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


EXTRACTORS: Mapping[str, Extractor] = MappingProxyType(
    {
        "mathv": Extractor(_mathv),
        "mathvista_rule": Extractor(_mathvista_rule, needs=frozenset({"question_type", "answer_type"})),
        "gsm8k_strict": Extractor(_gsm8k_strict, frozenset({"form"}), _check_gsm8k),
        "gsm8k_flexible": Extractor(_gsm8k_flexible),
        "reasoning_answer": Extractor(_reasoning_answer),
    }
)

MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {
        "mathv": Matcher(_mathv_match, slow=True),
        "mathvista": Matcher(
            _mathvista_match,
            frozenset({"strict_int", "whole_precision"}),
            _check_mathvista,
            frozenset({"question_type", "answer_type", "precision"}),
        ),
        "reasoning": Matcher(_reasoning, slow=True),
        "reasoning_lmms_eval": Matcher(_reasoning_lmms_eval, slow=True),
        "math_verify": Matcher(_math_verify, slow=True),
    }
)
