"""Each extractor on a table of cases, on arbitrary text, and on hostile text."""

from __future__ import annotations

import re
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmms_fast.metrics import EXTRACTORS, strip_reasoning
from lmms_fast.metrics.mmmu import _NUMBERS, RANDOM
from lmms_fast.types import Sample
from tests.metrics.clock import cpu_s

ANIMALS = ("cat", "dog", "red bird", "bird")
OPTIONS = {"regex": {"pattern": r"=\s?(\w+)", "group": 1}}
FACTS = {fact: "" for rule in EXTRACTORS.values() for fact in rule.needs}


def sample(*choices: str, id: str = "1") -> Sample:
    return Sample("demo", id, (), ("B",), choices, facts=FACTS)


def read(rule: str, text: str, *choices: str) -> object:
    return EXTRACTORS[rule](text, sample(*choices), OPTIONS.get(rule, {})).answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" B \n", "B"),
        ("<think>A or B?</think>B", "B"),
        ("<think>A</think> x <think>B</think> C", "x  C"),
        ("<analysis>A</analysis><think>B</think>C", "C"),
        ("the prompt opened it </think> no </think> B", "B"),
        ("<think>never closed: A", "<think>never closed: A"),
        ("<THINK>A</THINK>B", "<THINK>A</THINK>B"),
        ("", ""),
    ],
)
def test_thinking_is_cut(text: str, expected: str) -> None:
    """Closed blocks go, a lone closing tag ends the thinking, a lone opening tag changes nothing."""
    assert strip_reasoning(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("b", "B"),
        ("B.", "B"),
        ("B)", "B"),
        ("**B**", "B"),
        (r"$\boxed{B}$", "B"),
        (r"\boxed{\text{B}}", "B"),
        ("<answer>B</answer>", "B"),
        ("Option B", "B"),
        ("The answer is B", "B"),
        ("The correct answer is (B), since it barks.", "B"),
        ("Answer: B", "B"),
        ("**Answer:** b", None),
        ("answer: **b**", "B"),
        ("The answer is option B because dogs bark", "B"),
        ("The answer is A because cats purr", "A"),
        (r"It barks, so \boxed{B}", "B"),
        ("B\n\nIt barks.", "B"),
        ("It barks.\nB", "B"),
        ("B. dog", "B"),
        ("(B) dog", "B"),
        ("B: It is the animal on the left.", "B"),
        ("dog", "B"),
        ("Dog.", "B"),
        ("It is a dog.", "B"),
        ("red bird", "C"),
        ("bird", "D"),
        # not an answer, or more than one
        ("", None),
        ("   ", None),
        ("E", None),
        ("A house is shown", None),
        ("Answer: A house", None),
        ("The answer is a house", None),
        ("The answer is not B", None),
        ("The answer is B or C", None),
        ("The answer is (B)/(C)", None),
        ("The answer is B. No, the answer is C.", None),
        ("B or C", None),
        ("A. cat and (C) red bird", None),
        ("B. dog, or (A) cat", None),
        ("a cat or a dog", None),
        ("It is not a dog", None),
        ("It is a red bird", None),
        ("I cannot see the picture", None),
        ("The answer is Both", None),
        ("A-frame", None),
    ],
)
def test_letter(text: str, expected: str | None) -> None:
    """A letter the response commits to; ambiguity and silence are no answer."""
    assert read("letter", text, *ANIMALS) == expected


def test_letter_keeps_sign_and_unit() -> None:
    """Options that differ by a sign alone stay apart, equal options decide nothing."""
    assert read("letter", "-5", "5", "-5") == "B"
    assert read("letter", "5", "5", "5") is None
    assert read("letter", "A") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"),
        ("Yes.", "yes"),
        ("**No**, there is not", "no"),
        ("yes and no", None),
        ("nothing", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_yes_no(text: str, expected: str | None) -> None:
    """Exactly one of the two words."""
    assert read("yes_no", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", "3"),
        ("Three.", "3"),
        ("There are twenty", "20"),
        ("007", "7"),
        ("3.0", "3"),
        ("2.50 or 4", "2.5"),
        ("1,234", "1234"),
        ("1,2345", "1"),
        ("-4", "-4"),
        ("-0", "0"),
        ("range 1-3", "1"),
        ("someone", None),
        ("room B12", None),
        ("twenty-one", None),
        ("two hundred", None),
        ("none", None),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_number_or_word(text: str, expected: str | None) -> None:
    """The first number, written plainly."""
    assert read("number_or_word", text) == expected


def test_text_and_first_line() -> None:
    """The whole response or its first line that is not blank."""
    assert read("text", " two words\n") == "two words"
    assert read("text", " \n") is None
    assert read("first_line", "\n red \nbecause") == "red"
    assert read("first_line", "\n ") is None


def test_regex_picks_first_or_last() -> None:
    """A group of the first or last match; an empty match is no answer."""
    rule, text = EXTRACTORS["regex"], "x = 1, y = 2"
    assert rule(text, sample(), {"pattern": r"\w = \d"}).answer == "x = 1"
    assert rule(text, sample(), {"pattern": r"= (?P<n>\d)", "group": "n", "pick": "last"}).answer == "2"
    assert rule(text, sample(), {"pattern": r"(q)?", "group": 1}).answer is None
    assert rule(text, sample(), {"pattern": "z"}).answer is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes", "yes"),
        ("no.", "no"),
        ("y", "yes"),
        ("N.", "no"),
        ("Yes, it is", "yes"),
        ("I know", None),
        ("not at all", "no"),
        ("nope", "no"),
        ("maybe yes", None),
        ("x", None),
        ("", None),
    ],
)
def test_mme(text: str, expected: str | None) -> None:
    """MME reads no further than the fourth character, and "no" inside a word there."""
    assert read("mme", text) == expected


@pytest.mark.parametrize(
    ("text", "expected", "lmms_eval"),
    [
        ("(B)", "B", "B"),
        ("B", "B", "B"),
        ("B.", "B", "B"),
        ("The answer is (A), no, (B)", "B", "B"),
        ("it is A or B then", "B", "B"),
        ("A dog", "A", "A"),  # the article
        ("NASA said", None, "A"),  # a letter before a space, whatever stands in front
        ("The NASA says B. or", None, "A"),
        ("choose B. now", None, "B"),
        ("dog", None, None),  # too short for option texts
        ("what we can see here is a dog", "B", "B"),
        ("what we see here: a cat, next to a dog", "B", "B"),
        ("**B**", None, None),
        (r"\boxed{B}", None, None),
        ("C: bird", None, None),
        ("D) bird", None, None),
        ("", None, None),
    ],
)
def test_mmmu_choice(text: str, expected: str | None, lmms_eval: str | None) -> None:
    """The authors' parser and lmms-eval's differ where a letter ends a word or meets a period."""
    assert read("mmmu", text, *ANIMALS) == expected
    compat = EXTRACTORS["mmmu_lmms_eval"](text, sample(*ANIMALS), {})
    assert (compat.rule == RANDOM) == (lmms_eval is None)
    assert lmms_eval is None or compat.answer == lmms_eval


def test_mmmu_dice_are_the_samples_own() -> None:
    """The pick is counted as such, repeats itself, and differs between samples."""
    picks = [EXTRACTORS["mmmu_random"]("?", sample(*ANIMALS, id=str(number)), {}) for number in range(40)]
    assert {pick.rule for pick in picks} == {RANDOM}
    assert {pick.answer for pick in picks} == {"A", "B", "C", "D"}
    assert picks[7] == EXTRACTORS["mmmu_random"]("?", sample(*ANIMALS, id="7"), {})
    assert EXTRACTORS["mmmu_random"]("B", sample(*ANIMALS), {}).rule != RANDOM


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", (5.0,)),
        ("The answer is 5.", (5.0,)),
        ("1,234.567", (1234.57, 1234.0, 234.57)),
        ("x = 7", (7.0,)),
        ("x = 7\nso it is y", (" y", "y ")),
        ("so it is a tree\nfinal answer red", ("a tree", "red")),
        ("Blue. The sky", ("blue. the sky",)),
        ("about 1e3 or .5", ("about 1e3 or .5", 1000.0, 3.0, 0.5)),
        ("the result is :", ("the result is :",)),
        ("", None),
        ("...", None),
    ],
)
def test_mmmu_open(text: str, expected: tuple[str | float, ...] | None) -> None:
    """The shortest tail behind an indicator per line, or the whole, and the numbers therein."""
    assert read("mmmu", text) == expected


REFERENCE_NUMBERS = (
    r"-?\b\d{1,3}(?:,\d{3})+\b",
    r"-?\d+(?:\.\d+)?[eE][+-]?\d+",
    r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])",
)


@given(st.text(alphabet="0123.,eE+-x ", max_size=30))
def test_linear_number_forms_read_what_the_reference_reads(text: str) -> None:
    """Making the expressions linear changed no match."""
    for ours, reference in zip(_NUMBERS, REFERENCE_NUMBERS, strict=True):
        assert ours.findall(text) == re.findall(reference, text)


SPEECH = st.lists(
    st.sampled_from(
        ["answer is ", "Answer: ", "(", ")", "A", "B", "Z", " or ", "\\boxed{", "}", ".", "\n", "dog ", "not "]
    )
).map("".join)


@pytest.mark.parametrize("rule", EXTRACTORS)
@settings(max_examples=50)
@given(text=st.text() | SPEECH, choices=st.lists(st.text(max_size=5) | st.sampled_from(ANIMALS), max_size=30))
def test_no_text_breaks_a_rule(rule: str, text: str, choices: list[str]) -> None:
    """Never an exception, never an empty answer, never a letter outside the choices."""
    answer = read(rule, text, *choices)
    assert answer != ""
    assert answer != ()
    if rule == "letter" or (rule.startswith("mmmu") and choices):
        assert answer is None or answer in tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(choices)])


HOSTILE = (
    "1", "1,111", "1.", "1e", "-", " ", "\n", "(", "(A", "*", "a", "A ", "A. ", "yes no ", "<think>", "</think>",
    "<think></think>", "answer is ", "answer: ", "answer      ", "\\boxed{", "\\boxed{(", "so ", "is =\n", "B or ",
    "the answer is B or ", "one-", "option ", "n't ", "\u0660", "\U0001d7d8", "</answer>",
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("end", ["", "x", "!"])
def test_hostile_length_is_no_trouble(piece: str, end: str) -> None:
    """20,000 characters of anything take every rule a moment. A rule that walks a run twice would take seconds."""
    text = (piece * 20_000)[:20_000] + end
    assert cpu_s(partial(strip_reasoning, text)) < 0.1
    stripped = strip_reasoning(text)
    for rule in EXTRACTORS:
        for choices in ((), ANIMALS):
            assert cpu_s(partial(read, rule, stripped, *choices)) < 0.1, rule
