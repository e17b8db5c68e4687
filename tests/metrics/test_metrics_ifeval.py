"""IFEval: each kind of instruction, the strict and the loose reading, the four accuracies."""

from __future__ import annotations

import importlib.util
import json
from functools import partial
from typing import Any

import pytest

from lmms_fast.errors import TaskError
from lmms_fast.metrics import MATCHERS, aggregate
from lmms_fast.metrics.instructions import INSTRUCTIONS, _sentences, _treebank_words
from lmms_fast.types import Prediction, Sample, Score, Scored
from tests.metrics.clock import cpu_s

Asked = tuple[str, dict[str, Any]]


def judge(text: str, *asked: Asked, prompt: str = "Say it.") -> Score:
    names, arguments = [name for name, _ in asked], [given for _, given in asked]
    facts = {"instruction_id_list": json.dumps(names), "kwargs": json.dumps(arguments), "prompt": prompt}
    return MATCHERS["ifeval"](Prediction(text, "test"), Sample("demo", "1", (), (), facts=facts))


def at_least(number: int) -> dict[str, Any]:
    return {"num_words": number, "num_sentences": number, "relation": "at least"}


def less_than(number: int) -> dict[str, Any]:
    return {"num_words": number, "num_sentences": number, "relation": "less than"}


TWO_SECTIONS = {"section_spliter": "Section", "num_sections": 2}
CASES: list[tuple[str, dict[str, Any], str, bool]] = [
    ("keywords:existence", {"keywords": ["Rome", "wine"]}, "ROME has winery", True),  # inside words
    ("keywords:existence", {"keywords": ["Rome", "wine"]}, "Rome", False),
    ("keywords:existence", {"keywords": ["C++"]}, "I like c++", True),  # no expression: literally
    ("keywords:existence", {"keywords": ["a.c"]}, "abc", True),  # an expression, as in the reference
    ("keywords:frequency", {"keyword": "cat", "frequency": 2, "relation": "at least"}, "Cat, concatenate", True),
    ("keywords:frequency", {"keyword": "cat", "frequency": 3, "relation": "at least"}, "Cat, concatenate", False),
    ("keywords:frequency", {"keyword": "cat", "frequency": 2, "relation": "less than"}, "cat", True),
    ("keywords:frequency", {"keyword": "cat", "frequency": 2.0, "relation": "at least"}, "cat cat", True),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "concatenate", True),  # whole words
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "The CAT.", False),
    ("keywords:forbidden_words", {"forbidden_words": ["c++("]}, "c++(", True),  # no word ends behind a bracket
    ("keywords:letter_frequency", {"letter": "L", "let_frequency": 3, "let_relation": "at least"}, "Hello l", True),
    ("keywords:letter_frequency", {"letter": "l", "let_frequency": 3, "let_relation": "less than"}, "Hello l", False),
    ("keywords:letter_frequency", {"letter": "#", "let_frequency": 2, "let_relation": "at least"}, "#a #b", True),
    ("language:response_language", {"language": "de"}, "Das ist ein schöner Tag, und die Sonne scheint.", True),
    ("language:response_language", {"language": "de"}, "This is a fine day and the sun is shining.", False),
    ("language:response_language", {"language": "de"}, "12345", True),  # no language: passes
    ("language:response_language", {"language": "hi"}, "यह एक अच्छा दिन है और सूरज चमक रहा है।", True),
    ("length_constraints:number_sentences", at_least(2), "One. Two!", True),
    ("length_constraints:number_sentences", less_than(2), "One. Two!", False),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", True),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "***\na\n***\nb\n***", True),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\n***\nb", False),  # an empty one inside
    ("length_constraints:number_paragraphs", {"num_paragraphs": 1}, "a\n\nb", True),
    ("length_constraints:number_words", at_least(5), "well-known, isn't it", True),  # well known isn t it
    ("length_constraints:number_words", less_than(5), "well-known, isn't it", False),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Weekend"},
        "One.\n\n'weekend, and more",
        True,
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "weekend"},
        "One.\n\n\n\nweekend",  # two paragraphs, and the second of all is empty
        False,
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "c"},
        "a\n\nb",
        False,
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] lives in [address [x]", True),
    ("detectable_content:number_placeholders", {"num_placeholders": 1}, "[name\n]", False),
    ("detectable_content:number_placeholders", {"num_placeholders": 1}, "]a[", False),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\np. s. more", True),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye. PS: more", False),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye. P. P. S more", True),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye. P.S. more", False),
    ("detectable_content:postscript", {"postscript_marker": "Note"}, "bye\nnote that", True),
    ("detectable_format:number_bullet_lists", {"num_bullets": 3}, "* a\n\n\n  * b\n- c", True),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "* a\n** b **\n--", False),  # dashes are, bold is not
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "*\n* a", True),  # the character after may be "\n"
    ("detectable_format:number_bullet_lists", {"num_bullets": 0}, "no * bullet - here", True),
    ("detectable_format:constrained_response", {}, "Well: My answer is maybe.", True),
    ("detectable_format:constrained_response", {}, "My answer is Yes.", False),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and *b*", True),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and * *", False),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "**a**", True),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "*a\nb*", False),
    ("detectable_format:multiple_sections", TWO_SECTIONS, "Section 1 Section2", True),
    ("detectable_format:multiple_sections", TWO_SECTIONS, "SECTION 1 section 2", False),
    ("detectable_format:multiple_sections", {"section_spliter": "(", "num_sections": 1}, "(1", True),
    ("detectable_format:json_format", {}, '```json\n{"a": [1]}\n```', True),
    ("detectable_format:json_format", {}, '"text"', True),
    ("detectable_format:json_format", {}, "{a: 1}", False),
    ("detectable_format:json_format", {}, 'Here: {"a": 1}', False),
    ("detectable_format:json_format", {}, "[" * 100_000, False),
    ("detectable_format:title", {}, "<<My title>>\ntext", True),
    ("detectable_format:title", {}, "<<  >>", False),
    ("detectable_format:title", {}, "<<My\ntitle>>", False),
    ("detectable_format:title", {}, "<<<<>>", False),
    ("detectable_format:title", {}, ">> a <<", False),
    ("combination:two_responses", {}, "a\n******\nb", True),
    ("combination:two_responses", {}, "******a******b******", True),
    ("combination:two_responses", {}, "a******a ", False),  # the same twice
    ("combination:two_responses", {}, "a************b", False),  # an empty one inside
    ("combination:two_responses", {}, "a******b******c", False),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Write a poem. "}, " write A poem. Roses", True),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Write a poem."}, "Sure! Write a poem.", False),
    ("combination:repeat_prompt", {}, "Say it. It.", True),  # the prompt itself
    ("startend:end_checker", {"end_phrase": " Peace! "}, '… and "peace!"', True),
    ("startend:end_checker", {"end_phrase": "Peace!"}, "Peace! Bye", False),
    ("startend:quotation", {}, ' "quoted" ', True),
    ("startend:quotation", {}, '"', False),
    ("startend:quotation", {}, "“quoted”", False),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"}, "I SAID no", True),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "less than"}, "I SAID", False),
    ("change_case:english_capital", {}, "THIS IS A FINE DAY AND THE SUN IS SHINING ON THE HOUSE", True),
    ("change_case:english_capital", {}, "This is a fine day and the sun is shining", False),
    ("change_case:english_capital", {}, "DAS IST EIN SCHÖNER TAG UND DIE SONNE SCHEINT", False),
    ("change_case:english_lowercase", {}, "this is a fine day and the sun is shining on the house", True),
    ("change_case:english_lowercase", {}, "This is a fine day and the sun is shining", False),
    ("change_case:english_lowercase", {}, "das ist ein schöner tag und die sonne scheint", False),
    ("punctuation:no_comma", {}, "one. two; three، four，", True),  # of the Latin script alone
    ("punctuation:no_comma", {}, "1,000", False),
]


@pytest.mark.parametrize(("name", "given", "text", "expected"), CASES)
def test_instruction(name: str, given: dict[str, Any], text: str, expected: bool) -> None:
    """Followed or not, by the meaning of the name; arguments that do not apply are null."""
    assert judge(text, (name, {"num_words": None, **given})).parts["inst_strict"] == float(expected)


def test_every_instruction_has_cases() -> None:
    """All 25, followed and not."""
    assert len(INSTRUCTIONS) == 25
    assert {(name, expected) for name, _, _, expected in CASES} == {
        (name, expected) for name in INSTRUCTIONS for expected in (True, False)
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("no end", 1),
        ("One. Two! Three?", 3),
        ("One.\nTwo.", 2),
        ("- one\n- two\n- three", 1),  # lines end nothing
        ('He said "Go." Then he left.', 2),
        ("Dr. Smith met Mr. Jones at 5 p.m. on Monday.", 1),
        ("They came at 5 p.m. The door was shut.", 2),
        ("J. Smith wrote it.", 1),
        ("A plan by\nJ. Smith", 2),  # at the beginning of a line it numbers the line
        ("We chose plan B. The others left.", 2),
        ("1. One. 2. Two.", 4),  # a numeral is a sentence of its own, as it is to NLTK
        ("It was the 3. place.", 1),
        ("1. **bold**", 2),
        ("Wait... what? No...", 2),
        ("Pi is 3.14. See a.com for more.", 2),
        ("(It rained.) We stayed.", 2),
        ("**Bold.** More.", 2),
        ("Hello! )", 1),
        ('{"a": "One." } ]', 2),  # the first mark on its own closes the sentence, the next begins one
        ("e.g., this or that.", 1),
        ("Cats, i.e. felines, dogs etc. and more.", 3),  # abbreviations that NLTK's model does not know
        ("Bye.\nP.S. We won.", 3),
        ("He said “Go.” Then he left.", 2),
        ("xx,x. xx,x! xx/x. x{x}x? x.", 5),
        ("xx-x]xx,x! x{x}xx,x.", 2),
        ("你好。再见。", 1),  # the English model knows no other full stop
    ],
)
def test_sentences(text: str, expected: int) -> None:
    """Ordinary prose as one would count it; what NLTK's model does with numerals and lines."""
    assert _sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HELLO, WORLD!", ["HELLO", ",", "WORLD", "!"]),
        ("DON'T", ["DO", "N'T"]),
        ("IT'S (THE) DOG'S", ["IT", "'S", "(", "THE", ")", "DOG", "'S"]),
        ("CANNOT", ["CAN", "NOT"]),
        ("1,000 A,B", ["1,000", "A", ",", "B"]),
        ("AND/OR WELL-KNOWN U.S.", ["AND/OR", "WELL-KNOWN", "U.S."]),
        ("A--B...C", ["A", "--", "B", "...", "C"]),
        ("**A*B", ["*", "*", "A", "*", "B"]),
    ],
)
def test_treebank_words(text: str, expected: list[str]) -> None:
    """Words as the Penn Treebank cuts them: "DON'T" is two in capitals."""
    assert _treebank_words(text) == expected


NO_COMMA: Asked = ("punctuation:no_comma", {})
QUOTED: Asked = ("startend:quotation", {})


def test_strict_and_loose() -> None:
    """Loosely, a first or last line and stars are forgiven; shares count instructions, the rest is all or nothing."""
    verdict = judge('Sure, here it is:\n"no comma"\nBye, now', NO_COMMA, QUOTED)
    assert verdict.parts == {"prompt_strict": 0.0, "prompt_loose": 1.0, "inst_strict": 0.0, "inst_loose": 1.0}
    verdict = judge('"a, b"', NO_COMMA, QUOTED)
    assert verdict.parts == {"prompt_strict": 0.0, "prompt_loose": 0.0, "inst_strict": 0.5, "inst_loose": 0.5}
    assert judge('*"a"*', QUOTED).parts["prompt_loose"] == 1.0
    assert judge('Here:\n*"a"*', QUOTED).parts["prompt_loose"] == 1.0
    assert judge('Here:\n"a"\nx', NO_COMMA, QUOTED).value == 0.0  # the headline is strict


def test_forms_of_nothing_follow_nothing() -> None:
    """An empty form passes no instruction, not even one that silence would meet."""
    assert judge("a, b", NO_COMMA).parts["inst_loose"] == 0.0
    assert judge("", NO_COMMA).parts["inst_strict"] == 0.0


def test_what_cannot_be_read_is_not_followed() -> None:
    """Unknown instructions, missing arguments, facts that are no JSON."""
    assert judge("a", ("no:such", {}), NO_COMMA).parts["inst_strict"] == 0.5
    assert judge("a", ("length_constraints:number_words", {})).value == 0.0
    facts = {"instruction_id_list": "no list", "kwargs": "[", "prompt": ""}
    found = MATCHERS["ifeval"](Prediction("a", "test"), Sample("demo", "1", (), (), facts=facts))
    assert set(found.parts.values()) == {0.0}


def test_languages_need_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said when the task is read, not after the model has answered."""
    MATCHERS["ifeval"].check({})
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(TaskError, match=r"pip install 'lmms-fast\[ifeval\]'"):
        MATCHERS["ifeval"].check({})


def row(id: str, value: float | None, number: str, **parts: float) -> Scored:
    return Scored(id, 0, {"n_inst": number}, value, value is not None, parts)


def test_four_accuracies() -> None:
    """By prompt, prompts are equal; by instruction, one with three counts three times."""
    rows = [
        row("1", 1.0, "1", prompt_strict=1.0, prompt_loose=1.0, inst_strict=1.0, inst_loose=1.0),
        row("2", 0.0, "3", prompt_strict=0.0, prompt_loose=1.0, inst_strict=1 / 3, inst_loose=1.0),
        row("3", None, "2"),
    ]
    found = {one.metric: one for one in aggregate("ifeval", rows)}
    assert {name: one.value for name, one in found.items()} == {
        "prompt_level_strict_acc": 0.5,
        "inst_level_strict_acc": 0.5,
        "prompt_level_loose_acc": 1.0,
        "inst_level_loose_acc": 1.0,
    }
    assert all((one.n, one.n_failed) == (2, 1) for one in found.values())
    with pytest.raises(TaskError, match="'n_inst' of sample 1 is 'x'"):
        aggregate("ifeval", [row("1", 1.0, "x")])


HOSTILE = ("1", " ", "\n", "a. ", "A", "[", "<<", "*", "* \n", "\n-", "***", "n't ", "p. ", "A, ", "É", "a@", "\n\n")


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_length_is_no_trouble(piece: str) -> None:
    """20,000 characters of anything, in all their loose forms, against every instruction."""
    text = (piece * 20_000)[:20_000]
    arguments = {
        "keywords": ["zz"], "keyword": "zz", "forbidden_words": ["zz"], "letter": "z", "language": "en",
        "first_word": "z", "nth_paragraph": 1, "section_spliter": "Z", "end_phrase": "z", "postscript_marker": "P.S.",
    }  # fmt: skip
    judge("This is to read the profiles.", ("language:response_language", {"language": "en"}))
    for name in INSTRUCTIONS:
        assert cpu_s(partial(judge, text, (name, arguments))) < 0.2, name
