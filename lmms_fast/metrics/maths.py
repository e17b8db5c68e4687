"""Answers of mathematics: MATH-Vision, MathVista, GSM8K.

No response is ever evaluated as code; `latex.py` says how it becomes a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from lmms_fast.metrics.latex import latex_number
from lmms_fast.metrics.letters import LETTERS
from lmms_fast.metrics.plain import as_float, readings
from lmms_fast.metrics.rule import FLAG, Extractor, Matcher, Options, one_of
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
    if as_float(tail) is not None:
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
        found = None if (value := as_float(text)) is None else str(value)
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


EXTRACTORS: Mapping[str, Extractor] = MappingProxyType(
    {
        "mathv": Extractor(_mathv),
        "mathvista_rule": Extractor(_mathvista_rule, needs=frozenset({"question_type", "answer_type"})),
        "gsm8k_strict": Extractor(_gsm8k_strict, frozenset({"form"}), one_of("score.extract", form=tuple(_MARKED))),
        "gsm8k_flexible": Extractor(_gsm8k_flexible),
    }
)

MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {
        "mathv": Matcher(_mathv_match, slow=True),
        "mathvista": Matcher(
            _mathvista_match,
            frozenset({"strict_int", "whole_precision"}),
            one_of("score.match", strict_int=FLAG, whole_precision=FLAG),
            frozenset({"question_type", "answer_type", "precision"}),
        ),
    }
)
