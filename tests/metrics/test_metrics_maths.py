"""Answers of mathematics: each rule on a table of cases, the numbers that LaTeX stands for, hostile text."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmms_fast.errors import TaskError
from lmms_fast.metrics import Step, maths, reasoning, score, scoring
from lmms_fast.metrics.latex import latex_number
from lmms_fast.metrics.reasoning import last_box
from lmms_fast.metrics.rule import Extractor, Matcher, merged
from lmms_fast.types import Prediction, Sample
from tests.metrics.clock import cpu_s

EXTRACTORS = merged(maths.EXTRACTORS, reasoning.EXTRACTORS)
MATCHERS = merged(maths.MATCHERS, reasoning.MATCHERS)
FACTS = {"question_type": "free_form", "answer_type": "integer", "precision": ""}


def sample(*target: str, choices: tuple[str, ...] = (), facts: Mapping[str, str] | None = None) -> Sample:
    return Sample("demo", "1", (), target, choices, facts={**FACTS, **(facts or {})})


def read(rule: str, text: str, of: Sample | None = None, **options: Any) -> object:
    return EXTRACTORS[rule](text, of or sample("5"), options).answer


def value(rule: str, answer: str, *target: str, choices: tuple[str, ...] = (), **options: Any) -> float:
    return MATCHERS[rule](Prediction(answer, "test"), sample(*target, choices=choices), options).value


# MATH-Vision


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60", "60"),
        ("A", "a"),
        ("It is B.", "b"),
        ("It is (B).", "b"),
        ("B\nsince it is larger", "b"),
        ("(C)\nsince", "c"),
        ("(C) C\nsince", "c"),
        ("B\nso the answer is C.", "b"),  # the first letter of the alphabet that frames the text
        ("A) cat", "a)cat"),
        ("the width is 12.", "12"),
        ("the limit is infinity.", "infinity"),  # a number to Python
        ("The answer is 4/3", r"\frac{4}{3}"),
        ("The answer is 4/3.", "4/3"),  # the period goes last
        ("The answer is (D).", "d"),
        ("the answer is 12 cm. It is wide", "12cm"),
        ("the final answer is: 7\nas said", "7"),
        ("The correct answer is {b}", "b"),
        ("THE ANSWER IS 12 m", "theansweris12m"),  # in lower case, or with one capital, alone
        (r"\boxed{5}", "5"),
        (r"The answer is 4, \boxed{5}", "5"),  # a box beats the words
        (r"\boxed{5} or rather \boxed{6}", "6"),
        (r"\boxed{5} \frac{1}{2}", "5"),
        (r"\boxed{x = 5}", "5"),
        (r"\boxed{\pi \approx 3.14}", "3.14"),
        (r"\boxed{12\text{ units}}", "12"),
        (r"\boxed{2 km}", "2"),
        (r"\boxed{84 square units}", "84square"),
        (r"\boxed{90^\circ}", "90"),
        (r"\boxed{50\%}", "50"),
        (r"\boxed{\dfrac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\frac12}", r"\frac12"),  # fractions are braced only beside a root
        (r"\boxed{\frac12\sqrt3}", r"\frac{1}{2}\sqrt{3}"),
        (r"\boxed{\sqrt\sqrt2}", r"\sqrt\sqrt{2}"),
        ("0.5", r"\frac{1}{2}"),
        (".75", "0.75"),
        ("02/4", "02/4"),
        ("1/2/3", "1/2/3"),
        (r"$\{1, 2\}$", r"\{1,2\}"),
        ("", None),
        ("$", None),
        (r"\boxed{}", r"\boxed"),
    ],
)
def test_mathv_answer(text: str, expected: str | None) -> None:
    """The authors' clean-up, step by step."""
    assert read("mathv", text) == expected


OPTIONS = (r"$\frac{1}{2}$", r"$2\sqrt{3}$", "$4$", "None", r"$25 \mathrm{~cm}^{2}$")


@pytest.mark.parametrize(
    ("answer", "target", "choices", "expected"),
    [
        ("60", "60", (), 1.0),
        ("a", "A", OPTIONS, 1.0),
        ("b", "A", OPTIONS, 0.0),
        (r"\frac{1}{2}", "A", OPTIONS, 1.0),  # the option's text counts too
        ("0.5", "A", OPTIONS, 1.0),
        (r"2\sqrt{3}", "B", OPTIONS, 1.0),
        (r"\sqrt{12}", "B", OPTIONS, 1.0),
        ("3.46", "B", OPTIONS, 1.0),
        ("3.4", "B", OPTIONS, 0.0),
        ("none", "D", OPTIONS, 1.0),
        ("25", "E", OPTIONS, 0.0),  # units are cut from the response only
        ("60.004", "60", (), 1.0),
        ("60.006", "60", (), 0.0),
        (r"\frac{3}{8}", r"\frac{3}{8}", (), 1.0),
        ("0.375", r"\frac{3}{8}", (), 1.0),
        ("4/3", r"$\frac{4}{3}$", (), 1.0),
        ("1:2", "1/2", (), 1.0),
        ("1,000", "1000", (), 1.0),
        ("20. since it is even", "20", (), 1.0),
        ("20cm", "20", (), 0.0),
        (r"1\frac{1}{2}", "0.5", (), 1.0),  # a mixed number is a product to latex2sympy
        (r"1\frac{1}{2}", "1.5", (), 0.0),
        ("(1/2,3)", "(0.5,3)", (), 1.0),
        ("(1,2)", "(1.0,2)", (), 1.0),
        ("(2/2,2)", "(1,2)", (), 0.0),  # members are compared as text: 1.0 is not 1
        ("[1/3,a]", "[0.33,a]", (), 1.0),
        (r"(\infty,1/2)", r"(\infty,0.5)", (), 1.0),
        ("(1;2)", "(1,2)", (), 0.0),
        ("", "5", (), 0.0),
        ("5", " ", (), 0.0),
        ("5", "", (), 0.0),
        ("__import__('os')", "5", (), 0.0),
        ("x", "x", (), 1.0),
        ("2triangles", "2", (), 0.0),
    ],
)
def test_mathv_equality(answer: str, target: str, choices: tuple[str, ...], expected: float) -> None:
    """The letter or its option; text, members, or a number to two decimals."""
    assert value("mathv", answer, target, choices=choices) == expected


def test_mathv_from_response_to_score() -> None:
    """Response to verdict; no gold letter beyond the options."""
    rules = scoring("mathv", "mathv")
    assert score(sample("B", choices=OPTIONS), r"So it is $\boxed{2\sqrt{3}}$.", rules).value == 1.0
    assert score(sample("Z", choices=OPTIONS), "Z", rules).value == 1.0
    assert score(sample("60"), "", rules).prediction.answer is None


# LaTeX


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60", 60),
        ("-3", -3),
        ("--3", 3),
        ("1,000.5", 1000.5),
        ("1,2345", 6170),  # 1,234 times 5
        ("3.4.5", 1.7),  # 3.4 times 0.5
        (".5", 0.5),
        ("4.", 4),
        ("4)", 4),
        ("4.}", 4),
        ("2.b", 2),
        ("2b", None),
        ("1,2", None),
        ("$4$", 4),
        ("2+3\\times4", 14),
        ("2--3", 5),
        ("3-2-1", 0),
        ("-2^2", -4),
        ("(-2)^2", 4),
        ("2^3^2", 64),
        ("2^{3^2}", 512),
        ("2^34", 2**34),
        ("2^{-1}", 0.5),
        ("2^-1", None),
        ("3!", 6),
        ("2!3", 6),
        ("5\\%", 0.05),
        ("5 \\%", None),
        ("5%", None),
        ("1/2\\pi", 0.15915494309189535),
        ("2/3/4", 1 / 6),
        ("12:30", 0.4),
        (r"\frac{7^3}{2^{12} 13^2}", 7**3 / (2**12 * 13**2)),
        (r"\dfrac{1}{2}", 0.5),
        (r"\frac12", None),
        (r"\frac{360}7", None),
        (r"\sqrt[3]{8}", 2.0),
        (r"\sqrt{-4}", None),
        ("(-8)^{1/3}", None),
        (r"2\left(3+1\right)", 8),
        (r"[3]", 3),
        (r"\{3\}", 3),
        ("{3", None),
        ("(3]", None),
        ("3-", None),
        (r"\binom{9}{4}", 126),
        (r"\frac{2}{\sin^2(20)}", 2 / 0.9129452507276277**2),
        (r"\arccos\frac{3}{10}", 1.2661036727794992),
        (r"\arcsin{2}", None),
        (r"\pi r", None),
        (r"\infty", None),
        ("1/0", None),
        (r"\text{4}", None),
        ("−3", None),
        ("２", None),
        ("½", None),
        ("", None),
        ("   ", None),
        ("2<3", None),
        ("x=3", None),
    ],
)
def test_latex_number(text: str, expected: float | None) -> None:
    """As latex2sympy2 and Python evaluate it, oddities included."""
    found = latex_number(text)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^{9}}",
        "9^9^9^9^9^9",
        "9^{9999999}",
        "(9^{999})^{999}",
        "1000000!",
        "9!!!!",
        r"\binom{99999999}{9999999}",
        "10^{400}*1.0",
        "0.1^{-400}",
        "2^{0.5^{-9999}}",
        "0^{-1}",
        "9" * 5000,
        "(" * 5000 + "1" + ")" * 5000,
        "-(" * 5000,
        r"\sin" * 5000 + "1",
        r"\frac{" * 5000,
        "1+" * 5000 + "1",
    ],
)
def test_latex_number_refuses_what_is_huge(text: str) -> None:
    """No tower of powers, no deep nesting, no endless sum; at no cost."""
    started = time.process_time()
    assert latex_number(text) is None
    assert time.process_time() - started < 0.05


@given(st.lists(st.sampled_from([*"0123456789.,+-*/:^!(){}[]|$ x", r"\frac", r"\sqrt", r"\pi", r"\sin", r"\%", "{2}"])))
def test_latex_number_never_raises(pieces: list[str]) -> None:
    """A finite number or None."""
    found = latex_number("".join(pieces))
    assert found is None or (not isinstance(found, complex) and abs(found) < 2**5000)


# MathVista


@pytest.mark.parametrize(
    ("text", "facts", "choices", "expected"),
    [
        ("Yes", {"question_type": "multi_choice", "answer_type": "text"}, ("Yes", "No"), "Yes"),
        ("yes", {"question_type": "multi_choice", "answer_type": "text"}, ("Yes", "No"), None),
        ("A", {"question_type": "multi_choice", "answer_type": "text"}, ("Yes", "No"), None),
        ("7", {}, (), "7"),
        ("007", {}, (), "7"),
        ("7.0", {}, (), None),
        ("The answer is 7", {}, (), None),
        ("1.50", {"answer_type": "float"}, (), "1.5"),
        ("3", {"answer_type": "float"}, (), "3.0"),
        ("3 m", {"answer_type": "float"}, (), None),
        ("[1, 2]", {"answer_type": "list"}, (), None),
        ("", {}, (), None),
        ("9" * 5000, {}, (), None),
    ],
)
def test_mathvista_rule(text: str, facts: dict[str, str], choices: tuple[str, ...], expected: str | None) -> None:
    """What needs no judge; the rest is its."""
    assert read("mathvista_rule", text, sample(choices=choices, facts=facts)) == expected


CHOICES = ("45°", "60°", "A", "none of these")


@pytest.mark.parametrize(
    ("answer", "gold", "choices", "expected"),
    [
        ("B", "60°", CHOICES, 1.0),
        (" B ", "60°", CHOICES, 1.0),
        ("(B) 60°", "60°", CHOICES, 1.0),
        ("(b)", "60°", CHOICES, 1.0),
        ("b", "60°", CHOICES, 0.0),  # no letter of an option: the nearest text is "A"
        ("60", "60°", CHOICES, 1.0),
        ("A", "45°", CHOICES, 1.0),  # a letter before an option of that text
        ("(Z)", "A", CHOICES, 1.0),
        ("Cannot be determined", "none of these", CHOICES, 1.0),  # never a miss
        ("E", "45°", CHOICES, 0.0),
        ("x", "first", ("first", "fifth"), 1.0),  # the first of the nearest
        ("B", "60°", (), 0.0),
    ],
)
def test_mathvista_choice(answer: str, gold: str, choices: tuple[str, ...], expected: float) -> None:
    """The letter's option, or the nearest by edit distance."""
    of = sample(gold, choices=choices, facts={"question_type": "multi_choice", "answer_type": "text"})
    assert MATCHERS["mathvista"](Prediction(answer, "judge"), of, {}).value == expected


@pytest.mark.parametrize(
    ("answer", "gold", "kind", "precision", "current", "strict"),
    [
        ("7", "7", "integer", "", 1.0, 1.0),
        (" 7 ", "7", "integer", "", 1.0, 1.0),
        ("7.026", "7", "integer", "", 1.0, 0.0),  # the scorer changed after publication
        ("-0.005", "0", "integer", "", 1.0, 0.0),
        ("0." + "9" * 600, "1", "integer", "", 1.0, 0.0),
        ("7 cm", "7", "integer", "", 0.0, 0.0),
        ("inf", "7", "integer", "", 0.0, 0.0),
        ("nan", "7", "integer", "", 0.0, 0.0),
        ("1.25", "1.2", "float", "1", 1.0, 1.0),
        ("1.25", "1.2", "float", "1.0", 1.0, 1.0),  # the data set's column is a float
        ("0.3", "0.30", "float", "2.0", 0.0, 0.0),  # compared as text
        ("inf", "1.2", "float", "1", 0.0, 0.0),
        ("1.2", "1.2", "float", "", 0.0, 0.0),
        ("1.2", "1.2", "float", "1e400", 0.0, 0.0),
        ("[1, 2]", "[1, 2]", "list", "", 1.0, 1.0),
        ("[1,2]", "[1, 2]", "list", "", 0.0, 0.0),
        ("red", "red", "text", "", 0.0, 0.0),  # no such kind of free-form answer
    ],
)
def test_mathvista_free_form(answer: str, gold: str, kind: str, precision: str, current: float, strict: float) -> None:
    """By type of answer; the published tables rest on strict integers."""
    of = sample(gold, facts={"answer_type": kind, "precision": precision})
    assert MATCHERS["mathvista"](Prediction(answer, "judge"), of, {}).value == current
    assert MATCHERS["mathvista"](Prediction(answer, "judge"), of, {"strict_int": True}).value == strict


def test_mathvista_without_extraction_is_no_answer() -> None:
    """The original takes the shortest option for an empty extraction; here that is counted as silence."""
    of = sample("A", choices=CHOICES, facts={"question_type": "multi_choice"})
    assert MATCHERS["mathvista"](Prediction(None, "judge"), of, {}).value == 0.0


# GSM8K


@pytest.mark.parametrize(
    ("text", "strict", "sentence", "flexible"),
    [
        ("It is 5.\n#### 72", "72", None, "72"),
        ("#### -1,234.", "-1,234.", None, "-1,234."),
        ("#### 1\n#### 2", "1", None, "2"),  # strict reads the first, flexible the last
        ("####5", None, None, "5"),
        ("The answer is 5.", None, "5", "5."),
        ("The answer is 5. So", None, "5.", "5."),
        ("The answer is 5", None, None, "5"),  # some character must follow
        ("The answer is 12", None, "1", "12"),
        ("It costs $1,200.50 in all", None, None, "$1,200.50"),
        ("so -3", None, None, "-3"),
        ("5 apples, hm...", None, None, "..."),
        ("none", None, None, None),
        ("", None, None, None),
    ],
)
def test_gsm8k(text: str, strict: str | None, sentence: str | None, flexible: str | None) -> None:
    """The filters of the harness, their oddities included."""
    assert read("gsm8k_strict", text) == strict
    assert read("gsm8k_strict", text, form="sentence") == sentence
    assert read("gsm8k_flexible", text) == flexible


# Reasoning tasks


@pytest.mark.parametrize(
    ("text", "expected", "rule"),
    [
        ("<answer> B </answer>", "B", "tag"),
        ("<answer>A</answer><answer>B</answer>", "A", "tag"),
        (r"<answer>\boxed{5}</answer>", r"\boxed{5}", "tag"),
        ("<answer></answer> 5", None, "tag"),
        ("<answer>B", None, "nothing"),
        (r"\boxed{4} no, \boxed{\frac{1}{2}}", r"\frac{1}{2}", "box"),
        (r"\boxed{4} no, \boxed{5", "4", "box"),
        (r"\boxed{} so 5", "5", "number"),
        ("It is 204.", "204", "number"),
        ("x = 3.5 \nso there", "3.5", "number"),
        ("first 3\nthen 4 .", "4", "number"),
        ("version 1.2.3", "2.3", "number"),
        ("room a12", None, "nothing"),
        ("12 cm", None, "nothing"),
        ("12..", None, "nothing"),
        ("-5", "5", "number"),  # the sign is lost
        ("a" * 50 + " = 5", "5", "worked number"),
        ("", None, "nothing"),
    ],
)
def test_reasoning_answer(text: str, expected: str | None, rule: str) -> None:
    """The tag, else the box, else the number that ends a line."""
    found = EXTRACTORS["reasoning_answer"](text, sample(), {})
    assert (found.answer, found.rule) == (expected, f"reasoning_answer: {rule}")


def test_last_box() -> None:
    """The one that begins last, among those that are closed."""
    assert last_box(r"\boxed{a \boxed{b} c}") == "b"
    assert last_box(r"} \boxed{{a}{b}} {") == "{a}{b}"
    assert last_box("nothing") == ""


@pytest.mark.parametrize(
    ("answer", "gold", "ours", "lmms_eval"),
    [
        ("B", "B", 1.0, 1.0),
        ("B.", "B", 1.0, 1.0),
        ("(B) dog", "B", 1.0, 1.0),
        ("The answer is B because", "B", 1.0, 1.0),
        ("Answer: B because", "B", 0.0, 0.0),  # the A of "Answer" comes first
        ("Because of A", "B", 1.0, 1.0),  # the first letter of a word
        ("2. B or 1. A", "A", 1.0, 1.0),  # at the end beats "2. B"
        ("b", "B", 0.0, 0.0),
        ("C", "(B)", 0.0, 0.0),
        ("B", "(B)", 1.0, 1.0),
        ("Everest", "Earth", 0.0, 1.0),  # any capital A to H makes a gold a letter there
        ("five", "five", 1.0, 1.0),
        ("12345678901", "1234567890", 1.0, 1.0),  # nine tenths of it
        ("12", "1", 0.0, 0.0),
        (r"$\frac{1}{2}$", "0.5", 1.0, 1.0),
        ("3.0", "3", 1.0, 1.0),
        ("10 cm", "10", 1.0, 1.0),
        ("x", "", 0.0, 0.0),
    ],
)
def test_reasoning(answer: str, gold: str, ours: float, lmms_eval: float) -> None:
    """Letter, text, expression; lmms-eval's form takes more golds for letters."""
    assert value("reasoning", answer, gold) == ours
    assert value("reasoning_lmms_eval", answer, gold) == lmms_eval


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>it barks</think><answer>B</answer>", (1.0, 1.0)),
        (r"So \boxed{B}", (1.0, 1.0)),
        ("x" * 50 + " = 5", (0.0, 0.8)),
        ("5", (0.0, 0.0)),
    ],
)
def test_reasoning_format(text: str, expected: tuple[float, float]) -> None:
    """The part tells whether the answer was marked as asked for, right or wrong."""
    found = score(sample("B"), text, scoring("reasoning_answer", "reasoning"))
    assert (found.parts["accuracy"], found.parts["format_score"]) == expected
    assert found.value == expected[0]


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        (r"$\frac{1}{2}$", "0.5", 1.0),
        ("$x+1$", "$1+x$", 1.0),
        ("$x+1$", "$x-1$", 0.0),
        (r"$60^\circ$", "60", 1.0),
        (r"$\{1,2\}$", r"$\{2,1\}$", 1.0),
        ("blue", "blue", 0.0),  # words are no mathematics
        ("four", "4", 0.0),
        ("long " * 100 + "\n5", "5", 1.0),
        ("long " * 100 + r"\boxed{5} it is", "5", 1.0),
        ("9**9**9", "9**9**9", 0.0),
        ("**7**", "7", 1.0),
        ("The final answer is $9$", "9", 1.0),
        ("$12 is the answer.", "$12", 1.0),
    ],
)
def test_math_verify(answer: str, gold: str, expected: float) -> None:
    """Expressions that are equal; what may be huge is not looked at."""
    assert value("math_verify", answer, gold) == expected


def test_math_verify_works_in_threads(caplog: pytest.LogCaptureFixture) -> None:
    """Limits by signals would fail outside the main thread; nothing warns that they are off."""
    found: list[float] = []
    worker = threading.Thread(target=lambda: found.append(value("math_verify", "$1+x$", "$x+1$")))
    worker.start()
    worker.join()
    assert found == [1.0]
    assert not caplog.records


@pytest.mark.parametrize(
    "text",
    [
        "$9^{9^9}$", "9^9^9", "$9^{999999}$", "$((9^{99})^{99})^{99}$", "$99999!$", r"$\sum_{k=1}^{9} k$", "1e999999",
        "$(x+y+z)^{99}$", "$x^{99}$", "$abcdefghijklmnop$",
        "it is $$abcdefghijklmnop$$ or", "$1$ and $abcdefghijklmnop$ $",
        "$" + "(" * 40 + "1" + ")" * 40 + "$", "$|x|x|x|x|$",
        r"$\sin(\sin(\sin(1)))$", "9" * 101, r"\input{x}",
    ],
)  # fmt: skip
def test_math_verify_refuses_what_may_take_long(text: str) -> None:
    """Refused before sympy sees it, for either side."""
    started = time.process_time()
    assert value("math_verify", text, "5") == 0.0
    assert value("math_verify", "5", text) == 0.0
    assert time.process_time() - started < 0.05


# All


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ((Step("gsm8k_strict", {"form": "cot"}), "exact"), "hash, sentence"),
        (("text", Step("mathvista", {"strict_int": 1})), "false, true"),
        (("mathvista_rule", "exact"), "needs answer_type"),
    ],
)
def test_wrong_rules_are_named(rules: tuple[Any, ...], named: str) -> None:
    """The error says what is allowed."""
    facts = () if "needs" in named else FACTS
    with pytest.raises(TaskError, match=named):
        scoring(*rules, facts=facts)


KINDS = [
    {"question_type": question, "answer_type": answer, "precision": precision}
    for question, answer, precision in (
        ("multi_choice", "text", ""),
        ("free_form", "integer", ""),
        ("free_form", "float", "2.0"),
        ("free_form", "list", ""),
    )
]
PIECES = st.lists(st.sampled_from(["(", "{", r"\boxed{", "}", "1", "A", " is ", "=", "$", ","])).map("".join)


@pytest.mark.parametrize("facts", KINDS)
@settings(max_examples=50, deadline=None)  # sympy's first sight of a form takes long
@given(text=st.text() | PIECES)
def test_no_text_breaks_a_rule(facts: dict[str, str], text: str) -> None:
    """Never an exception, never an empty answer, values from 0 to 1."""
    of = sample("1", "A", "(1,2)", choices=("red", "blue"), facts=facts)
    for rule in EXTRACTORS:
        assert read(rule, text, of) != ""
    for rule in MATCHERS:
        assert 0.0 <= MATCHERS[rule](Prediction(text, "test"), of, {}).value <= 1.0


HOSTILE = (
    "1", "1,111", "1.", "1 ", " ", "\n", "(", "(A", "{", "}", "{}", r"\boxed{", r"\boxed{}", r"\boxed{1}", r"\frac",
    "\\", r"\sqrt", "^", "9^", "9**", "=", "$", "#### ", "The answer is 1", "the answer is ", "is ", "answer", "A",
    "<answer>", "</answer>", "1\n", ". ", "-", "1+", "(1,", "ß", "\u0660", "\U0001d7d8", "İ", "!",
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_length_is_no_trouble(piece: str) -> None:
    """20,000 characters of anything cost each rule well under 0.1 s."""
    value("math_verify", "1", "2")  # the import is paid once
    for text in ((piece * 20_000)[:20_000] + end for end in ("", ")")):
        rules: dict[str, Extractor | Matcher] = {**EXTRACTORS, **{f"match {name}": MATCHERS[name] for name in MATCHERS}}
        for name, rule in rules.items():
            for facts in KINDS if rule.needs else KINDS[:1]:
                of = sample("(1,2)", "A", "the answer", choices=("red", "blue"), facts=facts)
                run = partial(rule, text if isinstance(rule, Extractor) else Prediction(text, "test"), of)
                assert cpu_s(run) < 0.1, name
