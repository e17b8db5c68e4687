"""Matchers of short answers: a table of cases each, then all of them on arbitrary and on hostile text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from lmms_fast.errors import TaskError
from lmms_fast.metrics import anls, documents, ifeval, rouge, vqa
from lmms_fast.metrics import text as plain_texts
from lmms_fast.metrics.rule import Matcher, merged
from lmms_fast.metrics.text import literal_list
from lmms_fast.metrics.vqa import normalise_textvqa, normalise_vqav2
from lmms_fast.types import Prediction, Sample
from tests.metrics.clock import cpu_s

MATCHERS: Mapping[str, Matcher] = merged(
    plain_texts.MATCHERS, anls.MATCHERS, vqa.MATCHERS, rouge.MATCHERS, documents.MATCHERS, ifeval.MATCHERS
)


def value(rule: str, answer: Any, *target: str, facts: Mapping[str, str] | None = None, **options: Any) -> float:
    sample = Sample("demo", "1", (), target, (), facts=facts or {})
    return MATCHERS[rule](Prediction(answer, "test"), sample, options).value


@pytest.mark.parametrize(
    ("answer", "gold", "options", "expected"),
    [
        ("red", "red", {}, 1.0),
        ("Red", "red", {}, 0.0),
        ("Red", "red", {"ignore_case": True}, 1.0),
        ("red.", "red", {"ignore_case": True}, 0.0),
        ("red.", "r-ed", {"ignore_punctuation": True}, 1.0),
        ("red .", "red", {"ignore_punctuation": True}, 0.0),  # blanks are not evened out
        ("the red", "red", {"ignore_case": True, "ignore_punctuation": True}, 0.0),  # nor articles dropped
        ("red。", "red", {"ignore_punctuation": True}, 0.0),  # ASCII punctuation alone
        ("route 66", "route 7", {"ignore_numbers": True}, 1.0),
        ("route ٦", "route ", {"ignore_numbers": True}, 0.0),
        ("$5", "5", {"ignore": [r"\$"]}, 1.0),
        ("The 5", "THE 5", {"ignore": ["The "], "ignore_case": True}, 0.0),  # expressions see the case
        ("1,000", "1000", {"ignore": [","]}, 1.0),
        ("", "", {}, 1.0),
    ],
)
def test_exact_match(answer: str, gold: str, options: dict[str, Any], expected: float) -> None:
    """Each option drops what it says from both sides, and no more."""
    assert value("exact_match", answer, gold, **options) == expected


@pytest.mark.parametrize("rule", [rule for rule in MATCHERS if not MATCHERS[rule].needs])
def test_any_reading_against_any_gold(rule: str) -> None:
    """Several readings or golds: one match is enough. Numbers are no texts."""
    golds = ["other"] * 4 + ["match"] * 4
    assert value(rule, ("nothing at all", "match"), *golds) == pytest.approx(1.0)
    assert value(rule, (5.0,), "5.0", "5.0") == 0.0
    assert value(rule, "match") == 0.0


@pytest.mark.parametrize(
    ("answer", "gold", "none_is_wrong", "expected"),
    [
        (" Yes ", "yes", False, 1.0),
        ("yes.", "yes", False, 0.0),
        ("None", "none", False, 1.0),
        ("None", "none", True, 0.0),
        ("ÉTÉ", "été", False, 1.0),
    ],
)
def test_accuracy_of_any(answer: str, gold: str, none_is_wrong: bool, expected: float) -> None:
    """Case and outer blanks aside; MP-DocVQA takes "none" for silence."""
    assert value("accuracy_of_any", answer, "x", gold, none_is_wrong=none_is_wrong) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "dataset", "expected"),
    [
        ('The word "friend" is written.', "FRIEND", "IIIT5K", 1.0),
        ("a\nb", "A B", "docVQA", 1.0),
        ("ab", "a b", "docVQA", 0.0),
        ("12 cats", "1", "docVQA", 1.0),  # inside words and numbers, too
        (r"\frac {a} {b}" + "\n+ c", r"\frac{a}{b}+c", "HME100k", 1.0),
        ("A + b", "a+b", "HME100k", 0.0),
        ("\uff21\uff22\uff23\u3000\uff11\uff0e", "abc 1.", "docVQA", 0.0),
    ],
)
def test_contains_gold(answer: str, gold: str, dataset: str, expected: float) -> None:
    """OCRBench; formulas keep their case and lose their blanks."""
    assert value("contains_gold", answer, "absent", gold, facts={"dataset": dataset}) == expected


def test_full_width_forms_are_an_option() -> None:
    """The folding that lmms-eval added in 2026, which formulas do not get."""
    answer, gold = "\uff21\uff22\uff23\u3000\uff11\uff0e\uff5e", "abc 1.~"
    assert value("contains_gold", answer, gold, facts={"dataset": "docVQA"}, full_width=True) == 1.0
    assert value("contains_gold", "\uff21", "A", facts={"dataset": "HME100k"}, full_width=True) == 0.0


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("Das Auto ist ROT.", " rot ", 1.0),
        ("3.5", "35", 1.0),  # the response loses its periods …
        ("3.5", "3.5", 0.0),  # … and the gold does not
        ("العربية", "عرب", 1.0),
        ("blue", "red", 0.0),
    ],
)
def test_mtvqa(answer: str, gold: str, expected: float) -> None:
    """MTVQA's one-sided treatment of periods."""
    assert value("mtvqa", answer, gold) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "expected", "vlmevalkit"),
    [
        ("14", "14", 1.0, 1.0),
        (" 14 ", "14", 1.0, 1.0),
        ("105", "100", 1.0, 1.0),
        ("95", "100", 1.0, 0.0),  # 5 of 100, 5 of 95
        ("106", "100", 0.0, 0.0),
        ("105.2", "100", 0.0, 1.0),
        ("2010", "2015", 1.0, 1.0),  # years are numbers
        ("50%", "0.5", 1.0, 1.0),
        ("50%", "50", 0.0, 0.0),
        ("50%%", "0.5", 1.0, 1.0),
        ("-5", "5", 0.0, 0.0),
        ("$5", "5", 0.0, 0.0),
        ("$5", "$5", 1.0, 1.0),
        ("1,000", "1000", 0.0, 0.0),
        ("5 million", "5", 0.0, 0.0),
        ("0", "0", 1.0, 1.0),
        ("0.0", "0", 0.0, 0.0),  # a gold of 0 is compared as a text
        ("0.01", "0", 0.0, 0.0),
        ("Yes", "yes", 1.0, 1.0),
        ("yes.", "yes", 0.0, 0.0),
        ("2005", "[2014, 2016]", 0.0, 1.0),
        ("[2014, 2016]", "[2014, 2016]", 1.0, 0.0),
        ("1965", "[1965, 1970", 0.0, 0.0),
        ("nan", "nan", 0.0, 0.0),  # a number that equals none
        ("%", "%", 1.0, 1.0),
        ("1" * 5000, "1" * 5000, 0.0, 0.0),  # infinity is near nothing
    ],
)
def test_relaxed(answer: str, gold: str, expected: float, vlmevalkit: float) -> None:
    """ChartQA's 5 %, and VLMEvalKit's, which is of the response and splits golds that spell a list."""
    assert value("relaxed", answer, gold) == expected
    assert value("relaxed", answer, gold, variant="default") == expected
    assert value("relaxed", answer, gold, variant="vlmevalkit") == vlmevalkit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 'a']", [1, "a"]),
        ("[]", []),
        ("[x]", None),
        ("[1", None),
        ("(1, 2)", None),
        ("[1][0]", None),
        ("[" * 900 + "]" * 900, None),
        (f"[{'1,' * 2000}]", None),
        (r"['\d']", [r"\d"]),
        ("[\0]", None),
        ("", None),
    ],
)
def test_literal_list(text: str, expected: list[object] | None) -> None:
    """Lists as Python spells them, and nothing that is no list or long enough to hurt."""
    assert literal_list(text) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "unit", "expected"),
    [
        ("$1,000", "1000", "", 1.0),
        ("3/4", "0.75", "", 1.0),
        ("2/3", "0.667", "", 1.0),
        ("56.40", "$56.4", "", 1.0),
        ("5.0", "5", "", 1.0),
        ("007", "7", "", 1.0),
        ("12.", "12", "", 1.0),
        ("1/0", "1/0", "", 1.0),
        ("1.2.3", "1.2.3", "", 1.0),
        ("Yellow", "yellow", "", 1.0),
        ("five apples", "five", "apples", 1.0),
        ("5 apples", "5", "apples", 1.0),
        ("-3/2", "-1.5", "", 1.0),
        ("0.12345", "0.123", "", 1.0),
        ("9" * 5000, "9" * 5000, "", 1.0),
        ("6", "7", "", 0.0),
    ],
)
def test_tabmwp(answer: str, gold: str, unit: str, expected: float) -> None:
    """TabMWP's normalisation of money, fractions, decimals and units."""
    assert value("tabmwp", answer, gold, facts={"unit": unit}) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("the red car", "Red Car", 0.8),
        ("car car car red", "red car", 1.0),  # sets
        ("car red", "red car", 1.0),  # without order
        ("$5.99", "5.99", 6 / 7),
        ("blue", "red", 0.0),
        ("", "red", 0.0),
        ("   ", "", 0.0),
    ],
)
def test_token_set_f1(answer: str, gold: str, expected: float) -> None:
    """WebSRC: words and single punctuation marks as sets."""
    assert value("token_set_f1", answer, gold) == pytest.approx(expected)


TEN = ("yes",) * 4 + ("no",) * 3 + ("maybe",) * 2 + ("sure",)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("yes", 1.0), ("no", 0.9), ("maybe", 0.6), ("sure", 0.3), ("never", 0.0), ("The YES?", 1.0), ("", 0.0)],
)
@pytest.mark.parametrize("normaliser", ["textvqa", "vqav2"])
def test_vqa(answer: str, expected: float, normaliser: str) -> None:
    """Leave one out: 0.3 for one of ten, 0.6, 0.9, then full credit."""
    assert value("vqa", answer, *TEN, normaliser=normaliser) == expected


def test_vqa_with_few_annotators() -> None:
    """A lone annotator leaves nobody to agree with, and no annotator is no agreement."""
    assert value("vqa", "yes", "yes") == 0.0
    assert value("vqa", "yes", "yes", "yes") == pytest.approx(1 / 3)
    assert value("vqa", "yes") == 0.0
    assert value("vqa", "1,000", *["1000"] * 4) == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", ""),
        ("1,000", "1000"),
        ("U.S.A.", "usa"),
        ("left-hand", "left hand"),
        ("t-shirt, red", "t shirt red"),
        ("the Cat's hat", "cat 's hat"),
        ("3 . 5", "3 5"),
        ("10:30", "10:30"),
        ("dont know", "don't know"),
        ("None", "0"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("3.5", "3.5"),
        ("it's 5%", "it 's 5%"),
        ("somebody'd", "somebodyd"),
        ("Im", "im"),  # the table's key has a capital, which the text has lost
        ("let's", "let 's"),
        ("a\tb\nc", "b c"),
        ("2-3, 4", "2 3 4"),
        (".a" * 40, "a" * 32 + ".a" * 8),  # 32 periods and no more
        ("", ""),
    ],
)
def test_textvqa_normaliser(text: str, expected: str) -> None:
    """The examples that the definition gives, and its oddities."""
    assert normalise_textvqa(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the Cat's hat", "cat's hat"),
        ("let's", "let's"),
        ("1,000", "1000"),
        ("red, blue", "red blue"),
        ("red,blue", "red blue"),
        ("really?", "really"),
        ("1,2-3", "123"),  # a comma between digits deletes every mark
        ("left - hand-made", "left handmade"),  # one that touches a space somewhere is deleted everywhere
    ],
)
def test_vqav2_normaliser(text: str, expected: str) -> None:
    """No first step: commas, question marks and ``'s`` are left to the punctuation rule."""
    assert normalise_vqav2(text) == expected


def test_vqa_equal() -> None:
    """SimpleVQA: equality after TextVQA's normaliser."""
    assert value("vqa_equal", "The Eiffel-Tower.", "eiffel tower") == 1.0
    assert value("vqa_equal", "Eiffel", "Eiffel Tower") == 0.0


BLANKS = " " * 20


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("Coca cola", "Coca Cola", {"default": 1.0}),
        ("CocaCola", "Coca Cola", {"default": 8 / 9}),
        ("The Coca", "Coca Cola", {"default": 0.0}),  # 4/9
        ("ab", "abcd", {"default": 0.5, "paper": 0.0}),  # exactly one half
        ("a  b", "a b", {"default": 1.0, "m4c": 0.75, "mp_docvqa": 0.75}),
        # Idle blanks lengthen what the distance is divided by: 1/2 differs, of 22 characters.
        (f"a{BLANKS}x", "a b", {"default": 21 / 22, "paper": 2 / 3, "dude": 2 / 3, "m4c": 0.0, "mp_docvqa": 0.0}),
        ("cat", f" cut{BLANKS}", {"default": 23 / 24, "paper": 2 / 3, "m4c": 2 / 3, "mp_docvqa": 2 / 3, "dude": 2 / 3}),
        ("none", "None", {"default": 1.0, "mp_docvqa": 0.0}),
        ("", "", {"default": 1.0, "mp_docvqa": 0.0}),
        ("x", "", {"default": 0.0}),
        ("", "x", {"default": 0.0}),
        ("ß", "b", {"default": 0.5, "paper": 0.0, "m4c": 0.0, "mp_docvqa": 0.0, "dude": 0.0}),  # "SS" in capitals
        ("größe", "grösse", {"default": 4 / 6}),
        ("数据", "数据集", {"default": 2 / 3}),
        ("x" * 100_000, "x", {"default": 0.0}),
    ],
)
def test_anls(answer: str, gold: str, expected: dict[str, float]) -> None:
    """The forms agree but where one of them is named."""
    for variant in ("default", "paper", "m4c", "mp_docvqa", "dude"):
        wanted = expected.get(variant, expected["default"])
        assert value("anls", answer, "zzzzzzzzzz", gold, variant=variant) == pytest.approx(wanted), variant


@given(st.text(max_size=12), st.text(max_size=12))
def test_cutting_a_distance_off_changes_no_score(first: str, second: str) -> None:
    """What the threshold lets pass is exact, what it does not stays below it."""
    length = max(len(first), len(second))
    exact = 1 - Levenshtein.distance(first, second) / length if length else 1.0
    found = anls.similarity(first, second, length)
    assert found == exact if exact >= 0.5 else found < 0.5


@pytest.mark.parametrize(
    ("answer", "gold", "choices", "expected"),
    [
        ("B", "B. dog", ("cat", "dog"), 1.0),
        ("The answer is B", "B", ("cat", "dog"), 1.0),
        ("A dog", "B", ("cat", "dog"), 0.0),  # the article
        ("The answer is B", "B", (), 0.0),
        ("cut", "cat", (), 2 / 3),
    ],
)
def test_dude(answer: str, gold: str, choices: tuple[str, ...], expected: float) -> None:
    """ANLS, and the letter where there are options."""
    sample = Sample("demo", "1", (), (gold,), choices)
    assert MATCHERS["dude"](Prediction(answer, "test"), sample).value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("the cat sat", "the cat sat", (1.0, 1.0, 1.0)),
        ("cat the", "the cat", (1.0, 0.0, 0.5)),
        ("The cat", "the cat", (0.5, 0.0, 0.5)),  # case counts
        ("cat,", "cat", (0.0, 0.0, 0.0)),  # and so does punctuation …
        ("cat.", "cat", (1.0, 0.0, 1.0)),  # … but for periods
        ("a a a b", "a b", (1.0, 2 / 3, 1.0)),  # each n-gram once: {aa, ab} against {ab}
        ("one two. three", "three. one two", (1.0, 0.5, 1.0)),  # sentences of ROUGE-L stand for themselves
        ("x. ", "y. ", (0.5, 0.0, 0.5)),  # a blank sentence is an empty word
        (".", "x", (0.0, 0.0, 0.0)),
    ],
)
def test_rouge(answer: str, gold: str, expected: tuple[float, float, float]) -> None:
    """Numbers of the package `rouge` 1.0.1."""
    found = MATCHERS["rouge"](Prediction(answer, "test"), Sample("demo", "1", (), (gold,)))
    one, two, subsequence = expected
    assert found.parts == pytest.approx({"rouge_1": one, "rouge_2": two, "rouge_l": subsequence}, abs=1e-7)
    assert found.value == found.parts["rouge_1"]


def test_rouge_1_takes_the_best_gold() -> None:
    """And `min_characters` makes a response of one character worth nothing."""
    assert value("rouge_1", "red car", "blue", "red car") == pytest.approx(1.0)
    assert value("rouge", "x", "x", min_characters=2) == 0.0
    assert value("rouge", "x", "x") == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("rule", "options", "named"),
    [
        ("exact_match", {"ignore": ","}, "a list"),
        ("exact_match", {"ignore": ["("]}, "no regular expression"),
        ("relaxed", {"variant": "strict"}, "default, vlmevalkit"),
        ("vqa", {"normaliser": "okvqa"}, "textvqa, vqav2"),
        ("anls", {"variant": "x"}, "paper, m4c"),
        ("accuracy_of_any", {"none_is_wrong": "yes"}, "false, true"),
        ("contains_gold", {"full_width": "false"}, "false, true"),
        ("exact_match", {"ignore_case": 1}, "false, true"),
        ("rouge", {"min_characters": "2"}, "whole number"),
        ("mmlongbench", {"variant": "x"}, "default, lmms_eval"),
    ],
)
def test_wrong_options_are_named(rule: str, options: dict[str, Any], named: str) -> None:
    """The error says what would do."""
    with pytest.raises(TaskError, match=named):
        MATCHERS[rule].check(options)


FACTS: Mapping[str, tuple[str, ...]] = {
    "answer_format": ("Int", "Float", "Str", "List", "None", ""),
    "dataset": ("HME100k", "x"),
    "unit": ("apples", ""),
    "prompt": ("Say it.",),
    "kwargs": ("[]", f"[{', '.join(['{}'] * len(ifeval.INSTRUCTIONS))}]"),
    "instruction_id_list": (str(list(ifeval.INSTRUCTIONS)).replace("'", '"'), "[", "5", '[5, "no:such"]'),
}
OPTIONS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "anls": tuple({"variant": variant} for variant in ("default", "paper", "m4c", "mp_docvqa", "dude")),
    "relaxed": ({}, {"variant": "vlmevalkit"}),
    "mmlongbench": ({}, {"variant": "lmms_eval"}),
    "contains_gold": ({}, {"full_width": True}),
    "exact_match": ({"ignore_case": True, "ignore_punctuation": True, "ignore_numbers": True},),
}


def facts_for(rule: str, pick: int) -> dict[str, str]:
    return {name: FACTS[name][pick % len(FACTS[name])] for name in MATCHERS[rule].needs}


SHORT = st.text(max_size=20) | st.lists(
    st.sampled_from(["[", "]", "'", "(", ")", "5", "1e9", "%", "$", ".", ",", " ", "\n", "page", "**", "none", "B"])
).map("".join)


@pytest.mark.parametrize("rule", MATCHERS)
@settings(max_examples=50, deadline=None)  # langdetect reads its profiles in the first call
@given(answer=SHORT | st.tuples(SHORT, st.floats()), target=st.lists(SHORT, max_size=3), pick=st.integers(0, 7))
def test_no_text_breaks_a_matcher(rule: str, answer: Any, target: list[str], pick: int) -> None:
    """A number from 0 to 1 whatever is compared with whatever."""
    options = OPTIONS.get(rule, ({},))
    sample = Sample("demo", "1", (), tuple(target), ("x", "y") if pick % 2 else (), facts=facts_for(rule, pick))
    found = MATCHERS[rule](Prediction(answer, "test"), sample, options[pick % len(options)])
    assert all(0 <= number <= 1 for number in (found.value, *found.parts.values()))


HOSTILE = (
    "1", "1,", "1,1", ".", " ", "\n", "a ", "a. ", "A", "(", "( ", ")", "[", "[1,", "<<", "<", "*", "**", "* \n", "-\n",
    " \n-", "***", "'", "n't ", "\t", "- ", "$", "%", "\u3000", "\u0130", "ß", "p. ", "a@", "0.", "e.g. ",
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_length_is_no_trouble(piece: str) -> None:
    """20,000 characters of anything take each rule less than the blink of an eye."""
    text = (piece * 20_000)[:20_000]
    golds = ("a short gold. Of two sentences", "[1, 2]", "5.5", text[:50])
    for rule in MATCHERS:
        if rule != "ifeval":  # has a test of its own
            for pick in range(max((len(FACTS[name]) for name in MATCHERS[rule].needs), default=1)):
                for options in OPTIONS.get(rule, ({},)):
                    sample = Sample("demo", "1", (), golds, ("x",), facts=facts_for(rule, pick))
                    run = partial(MATCHERS[rule], Prediction(text, "test"), sample, options)
                    assert cpu_s(run) < 0.1, (rule, options)
