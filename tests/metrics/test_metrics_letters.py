"""The published letter rules on tables of cases, traps included: each reads what its reference reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_fast.errors import TaskError
from lmms_fast.metrics import EXTRACTORS, MATCHERS, Step, score, scoring
from lmms_fast.metrics.mmmu import RANDOM
from lmms_fast.metrics.punctuation import vqa_punctuation
from lmms_fast.types import Prediction, Sample
from tests.metrics.clock import cpu_s

ANIMALS = ("cat", "dog", "red bird", "bird")


def sample(*choices: str, target: str = "B", id: str = "1", **facts: str) -> Sample:
    return Sample("demo", id, (), (target,), choices, facts=facts)


def read(rule: str, text: str, *choices: str, **options: object) -> object:
    return EXTRACTORS[rule](text, sample(*choices), options).answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", "B"),
        (" B. ", "B"),
        ("B) dog", "B"),
        ("B狗", "B"),  # no start, since an ideograph is a letter too, but B all the same
        ("A dog is shown, so B", "A"),  # what the response begins with goes before what it ends with
        ("I see a dog, so B", "B"),
        ("The answer is B. Because Apples are red", "A"),  # the later of the letters behind a phrase
        ("I CHOOSE c, that is C", "C"),
        ("İİİ my answer is B", "B"),  # lower case of these letters is longer
        ("答案是B", "B"),
        ("정답은 C 입니다", "C"),
        ("(C) rather than D it is", "C"),
        ("(C) rather than D.", "D"),  # the end, without its period
        ("(C) or (D) then", "D"),
        ("it is B: a dog, not D) x", "B"),
        ("either D) this or C that", "D"),
        ("Cat", "C"),
        ("c", None),
        ("**B**", "B"),
        (r"\boxed{C}", "C"),
        ("<answer>B</answer>", "B"),
        ("E", None),
        ("", None),
        ("...", None),
        ("?!", None),
    ],
)
def test_robust_letter(text: str, expected: str | None) -> None:
    """The best kind of place wins, and the last of its kind."""
    assert read("robust_letter", text) == expected


def test_robust_letter_knows_the_options() -> None:
    """Letters are the sample's; the option stands in where the options are in the question."""
    assert read("robust_letter", "D or B", "cat", "dog") == "B"
    assert read("robust_letter", "E", letters="ABCDE") == "E"
    assert read("robust_letter", "E", *ANIMALS, letters="ABCDE") is None
    assert EXTRACTORS["robust_letter"]("so (B) it is", sample(), {}).rule == "robust_letter: (X)"


@pytest.mark.parametrize("rule", ["robust_letter", "vlmevalkit_letter", "mmstar"])
@pytest.mark.parametrize("letters", ["", "abc", "A B", ["A", "B"], 3])
def test_letters_are_capitals(rule: str, letters: object) -> None:
    """A mistake in the task file is a sentence, before anything runs."""
    with pytest.raises(TaskError, match="capital letters"):
        scoring(Step(rule, {"letters": letters}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("A", "A"), (" a. cat", "a"), ("The answer is A", "T"), ("(A)", "("), ("é", "é"), ("", None), (" \n", None)],
)
def test_first_character(text: str, expected: str | None) -> None:
    """SEED-Bench reads no further."""
    assert read("first_character", text) == expected


def test_first_character_by_either_case() -> None:
    """SEED-Bench compares without case, SEED-Bench-2 with it."""
    gold = sample(*ANIMALS, target="A")
    assert score(gold, "a cat", scoring("first_character", "exact_ignore_case")).value == 1.0
    assert score(gold, "a cat", scoring("first_character")).value == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", "A"),
        ("b.", "B"),
        ("( (C) point", "C"),
        ("The answer is A", "T"),
        ("1. A", None),
        ("**B**", None),
        ("ſ", None),
        ("", None),
    ],
)
def test_leading_letter(text: str, expected: str | None) -> None:
    """Brackets and blanks may precede it, and a word may begin with it."""
    assert read("leading_letter", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", "B"),
        ("(b).", "B"),
        ("C:\nbecause the answer is D", "C"),
        ("The correct answer is (B).", "B"),
        ("the answer: c", "C"),
        ("The answer is A, or the answer is B", "B"),
        ("answers C", "C"),
        ("The answer is a cat", "A"),
        ("The answer is Blue", None),
        ("so I pick (C), not A", "C"),
        ("(c) it is", "C"),
        ("a photo", "A"),
        ("The cat", None),
        ("E", None),
        ("**B**", None),
        ("", None),
        ("answer" + " " * 100_000 + "B", "B"),
    ],
)
def test_blink_of_lmms_eval(text: str, expected: str | None) -> None:
    """Alone in the first line, behind "answer", in brackets, in front; only the letters of the options."""
    assert read("blink_lmms_eval", text, *ANIMALS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(B)", "B"),
        ("B", "B"),
        ("it is B. a dog", "B"),
        ("NASA said", None),
        ("NASA. So it is", "A"),
        ("(C), not (B)", "B"),  # neither stands between spaces: the first option
        ("(B) and (C), or C then", "C"),
        ("B or C then", "C"),
        ("D is not B", "B"),
        ("what we see here is a dog", None),
        ("**B**", None),
        ("", None),
    ],
)
def test_mmt(text: str, expected: str | None) -> None:
    """MMT-Bench wants spaces on both sides, and reads no option texts."""
    assert read("mmt", text, *ANIMALS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Step 1: (A) is wrong.\nAnswer: C", "C"),
        ("Answer: A\n...\nAnswer: $B$", "B"),
        ("Answer: Cannot be determined", "C"),  # the letter of a word
        ("Answer: Both dogs", "B"),
        ("Answer: A or B", "B"),  # two, so the other stages: the last between spaces
        ("Answer: none, (D)", "D"),
        ("answer: C", "C"),  # no such marker; the letter before the added space
        ("NASA said", "A"),
        ("(B) and (A) are alike", "A"),
        ("choose B. now", "B"),
        ("what we can see here is a dog", "B"),
        ("**B**", None),
        ("Answer: **B**", "B"),
        ("Answer:", None),
        ("", None),
    ],
)
def test_mmmu_pro(text: str, expected: str | None) -> None:
    """Behind "Answer:" any occurrence of the letter counts; else the parser without a left boundary."""
    assert read("mmmu_pro", text, *ANIMALS) == expected


def test_mmmu_pro_knows_how_many_options_there_are() -> None:
    """Of ten options "Answer: Insufficient" is I; of four it is nothing, of none nothing can be."""
    assert read("mmmu_pro", "Answer: Insufficient", *map(str, range(10))) == "I"
    assert read("mmmu_pro", "Answer: Insufficient", *ANIMALS) is None
    assert read("mmmu_pro", "Answer: A") is None
    assert read("mmt_random", "A") is None


def test_dice_are_the_samples_own() -> None:
    """A pick among the options, counted as such and the same again; none where a letter is found."""
    rule = EXTRACTORS["mmt_random"]
    picks = [rule("?", sample(*ANIMALS, id=str(number)), {}) for number in range(40)]
    assert {pick.rule for pick in picks} == {RANDOM}
    assert {pick.answer for pick in picks} == set("ABCD")
    assert picks[7] == rule("?", sample(*ANIMALS, id="7"), {})
    assert rule("(B)", sample(*ANIMALS), {}).answer == "B"


@pytest.mark.parametrize(
    ("text", "vlmevalkit", "mmbench"),
    [
        ("B", "B", "B"),
        ("B. dog", "B", "B"),
        ("(B)", "B", "B"),
        ("(B).", "B", "B"),
        ("Answer:B", "B", None),
        ("the answer :B", "B", "B"),
        ("{B}", "B", None),
        ("A dog", "A", "A"),  # the article, of two words
        ("A dog is here", "A", "B"),  # of more than three: MMBench takes it for the article, and reads the text
        ("A cat or B", "A", "A"),  # two letters; of the texts one
        ("A cat or (B)", "A", "B"),
        ("A, or else B, or", None, None),
        ("dog", "B", "B"),
        ("DOGMA", "B", "B"),  # inside a word
        ("red bird", None, None),  # contains "bird" too
        ("E", None, "E"),
        ("Z", "Z", None),
        ("Sorry, I can't help with images of people yet. B", "Z", "B"),
        ("sorry, i can't help with images of people yet. B", "B", "B"),
        ("Cannot determine the answer", "Z", None),
        ("Failed to obtain answer via API. B, a dog", "B", "B"),
        ("Failed to obtain answer via API.", None, None),
        ("Failed to obtain answer via API: A", None, None),
        ("**B**", "B", None),
        ("B - a dog", "B", "B"),
        ("b", None, None),
        ("", None, None),
    ],
)
def test_vlmevalkit(text: str, vlmevalkit: str | None, mmbench: str | None) -> None:
    """One letter among the words, or one option's text; the two forms differ in what a word is."""
    assert read("vlmevalkit_letter", text, *ANIMALS) == vlmevalkit
    assert read("mmbench_letter", text, *ANIMALS) == mmbench


def test_vlmevalkit_leaves_out_options_that_are_empty() -> None:
    """Neither their letter nor their text, which would be in every response."""
    assert read("vlmevalkit_letter", "C or B", "cat", "", "bird") == "C"
    assert read("vlmevalkit_letter", "a cat", "cat", "", "bird") == "A"
    assert read("mmbench_letter", "a cat", "cat", "", "bird") == "A"
    assert read("vlmevalkit_letter", "E: it is", letters="ABCDE") == "E"


def test_a_missing_option_called_nan_is_the_tasks_business() -> None:
    """"banana" contains the text "nan": tasks must not pass it as an option."""
    assert read("mmbench_letter", "a banana", "apple", "nan") == "B"
    assert read("mmbench_letter", "a banana", "apple") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", "(A)"),
        ("(E)", "(E)"),
        ("(B) the second", "(B)"),
        ("(A) is dark, (B) is bright\n\nSo it is (B)", "(B)"),
        ("(A) is dark, (B) is bright\n\nSo it is both", None),
        ("It is (C)\n\nbecause it fits", "(C)"),
        ("(A) and (B)\n\n(A) and (B)", None),
        ("It is (B).", None),  # with the period it is another word
        ("B.", None),
        ("b", None),
        ("(E) none of them", None),  # four options
        ("", None),
    ],
)
def test_blink(text: str, expected: str | None) -> None:
    """Words that are one of the question's options in brackets, the last paragraph first."""
    assert read("blink", text, *ANIMALS) == expected


def test_blink_counts_the_options() -> None:
    """With two options a (C) decides nothing, and keeps no (A) from deciding; alone it is still taken, and is wrong."""
    assert read("blink", "(C) none of the above", "left", "right") is None
    assert read("blink", "(A), not (C)", "left", "right") is None
    assert read("blink", "(A) not (C) here", "left", "right") == "(A)"
    assert read("blink", "(C)", "left", "right") == "(C)"
    assert read("blink", "(E) none of them") == "(E)"


def test_blink_compares_strings() -> None:
    """A judge's "(C) Picture 3" is wrong, though it means C."""
    wrong = MATCHERS["exact"](Prediction("(C) Picture 3", "judge"), sample(*ANIMALS, target="(C)"))
    assert wrong.value == 0.0
    assert score(sample(*ANIMALS, target="(C)"), "C", scoring("blink")).value == 1.0


@pytest.mark.parametrize(
    ("text", "expected", "lmms_eval"),
    [
        ("B", "B", "B"),
        ("b", None, "B"),
        ("B.", None, "B"),  # no blank behind it
        ("B. dog", "B", "B"),
        ("F", None, "F"),
        ("F. fish", "F", "F"),
        ("The answer is B.", "B", None),
        ("The answer is B", None, None),  # nothing behind the letter
        ("The answer is B\nbecause", None, None),
        ("The answer is Bob", "B", None),  # the period is any character
        ("The answer is A. No, The answer is B.", None, None),
        ("the answer is B.", None, None),
        ("(A)", None, None),
        ("A)", None, None),
        ("", None, None),
    ],
)
def test_scienceqa(text: str, expected: str | None, lmms_eval: str | None) -> None:
    """The phrase once; lmms-eval has the letter and the leading letter alone."""
    assert read("scienceqa", text) == expected
    assert read("scienceqa_lmms_eval", text) == lmms_eval


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", "A"),
        ("b. dog", "B"),
        ("(C)", "C"),
        ("Option D", "D"),
        ("The answer is A", "A"),
        ("a photo of a dog", "A"),
        ("Both", "B"),
        ("The photo", None),
        ("the answer is", None),
        ("Option: D", None),
        ("It is (B)", None),
        ("E", None),
        ("", None),
        ("(", None),
    ],
)
def test_mmstar(text: str, expected: str | None) -> None:
    """Anything that begins with the letter counts."""
    assert read("mmstar", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", "A"),
        ("(b).", "B"),
        ("B. open", "B"),
        ("a dog", "A"),
        ("(A) B", "A"),
        ("I say the answer  is (B), not A", "B"),
        ("Option about B", "A"),  # behind "option", be it a word
        ("the data is here", "A"),  # the end of a word
        ("Bob", "B"),
        ("neither", None),
        ("C", None),
        ("", None),
    ],
)
def test_mmvp(text: str, expected: str | None) -> None:
    """The first pattern that matches, none of which minds words."""
    assert read("mmvp", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", "A"),
        ("b) x", "B"),
        ("Blue", "B"),
        ("A red car", "A"),
        ("Right: the answer is: C", "C"),
        ("My choice\nB", "B"),
        ("my choice would (B) be", "B"),
        ("It is red.", "D"),  # the end of a word before a period
        ("just C here", "C"),
        ("north", None),
        ("teak", "A"),  # the only such character
        ("the band", None),
        ("the option b", "B"),
        ("", None),
    ],
)
def test_vstar(text: str, expected: str | None) -> None:
    """In upper case, so every a is an A."""
    assert read("vstar", text) == expected


@pytest.mark.parametrize(
    ("rule", "text", "choices", "target", "expected"),
    [
        ("realworldqa", "B. dog", ANIMALS, "B", "B"),
        ("realworldqa", "The dog.", ANIMALS, "B", "B"),
        ("realworldqa", "Cannot say", ANIMALS, "B", None),
        ("realworldqa", "Three.", (), "3", "3"),
        ("realworldqa", "1.5 m", (), "1.5 m", "1.5 m"),
        ("realworldqa", " ", (), "3", None),
        ("realworldqa_lmms_eval", "Cannot say", (), "B", "C"),
        ("realworldqa_lmms_eval", "(B) dog", (), "b", "B"),
        ("realworldqa_lmms_eval", "Three", (), "3", "Three"),
        ("realworldqa_lmms_eval", "", (), "3", None),
        ("realworldqa_lmms_eval_0_7_1", "a dogma", ANIMALS, "B", "B"),
        ("realworldqa_lmms_eval_0_7_1", "B.", ANIMALS, "B", "B"),
        ("realworldqa_lmms_eval_0_7_1", "Ten", (), "10", "10"),
        ("realworldqa_lmms_eval_0_7_1", "eleven", (), "11", "eleven"),
        ("realworldqa_lmms_eval_0_7_1", "1.5", (), "1.5", "15"),
        ("realworldqa_lmms_eval_0_7_1", "?!", (), "3", None),
    ],
)
def test_realworldqa(rule: str, text: str, choices: tuple[str, ...], target: str, expected: str | None) -> None:
    """Ours, lmms-eval's and its older one."""
    assert EXTRACTORS[rule](text, sample(*choices, target=target), {}).answer == expected


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("yes_no", "Yes, no doubt", "yes"),
        ("yes_no", "NO.", "no"),
        ("yes_no", "I know yesterday", None),
        ("yes_no", "A", None),
        ("multiple_choice", "B", "B"),
        ("multiple_choice", "It is a dog: B", "A"),  # the article
        ("multiple_choice", "**b** or A", "B"),
        ("multiple_choice", "yes", None),
        ("multiple_choice", "", None),
    ],
)
def test_naturalbench(kind: str, text: str, expected: str | None) -> None:
    """The first of the two words."""
    assert EXTRACTORS["naturalbench"](text, sample(question_type=kind), {}).answer == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(C)", "C"),
        ("(A) (C) (A) B B B", "A"),
        ("(A) or (C)", "C"),  # equally frequent: the one that came last
        ("(C) or (A) or (C) or (A)", "A"),
        ("B", "B"),
        ("A dog", "A"),
        ("Cat", None),
        ("a dog", "B"),
        ("bird", "D"),  # part of C, and equal to D, which is the last
        ("do", "B"),
        ("fish", None),
        ("", None),
    ],
)
def test_ii_bench(text: str, expected: str | None) -> None:
    """The most frequent letter, else an option that is akin; an empty response is akin to none."""
    assert read("ii_bench", text, *ANIMALS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b", "B"),
        ("B. link", "B"),
        ("Z. link", "Z"),
        ("(B) or (C)", "C"),
        ("the link D, I think", "D"),
        ("A link", "A"),
        ("B or C", "C"),
        ("H", "H"),
        ("I would say", None),
        ('"B"', "B"),
        ("**B**", None),
        ("7", None),
        ("link", None),
        ("", None),
    ],
)
def test_visualwebbench(text: str, expected: str | None) -> None:
    """Letters A to H; the last one wins."""
    assert read("visualwebbench_letter", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(A) no, (B)", "B"),
        ("so (b)", "B"),
        ("[Rationale] (A) [Answer] (C) [Context] (D)", "C"),
        ("[Answer] The (C) [Rationale] It is (D)", "C"),
        ("[Answer] x [Answer] (B)", "B"),
        ("[Context] [Rationale] Answer: (C)", "C"),  # nothing is cut where no answer is marked
        ("A CAT, a dog", "B"),  # the last option in order, not in the text
        ("a dog, a cat", "B"),
        ("a red bird", "D"),
        ("B, or C.", "C"),
        ("say b", "B"),
        ("A b", "A"),  # upper case first
        ("**B**", None),
        ("E", None),
        ("", None),
    ],
)
def test_m3cot(text: str, expected: str | None) -> None:
    """Brackets, option texts, words; of each the last."""
    assert read("m3cot", text, *ANIMALS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", "A"),
        (" B. running</s>", "B"),
        ("C) running", "C"),
        ("C)", "C"),
        ("E. running", None),
        ("a", None),
        ("A running", None),
        ("Answer: A", None),
        ("", None),
    ],
)
def test_tempcompass_multi_choice(text: str, expected: str | None) -> None:
    """What begins otherwise goes to the judge."""
    assert read("tempcompass_multi_choice", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes.", "yes"),
        ("no", "no"),
        ("</s>NO", "no"),
        ("Nothing", "no"),
        ("Yesterday", "yes"),
        ("It is, yes", None),
        ("", None),
    ],
)
def test_tempcompass_yes_no(text: str, expected: str | None) -> None:
    """What the response begins with."""
    assert read("tempcompass_yes_no", text) == expected


CAPTIONS = ("Caption A: A man runs.", "Caption B: The time: noon.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CAPTIONS[1], 1),
        ("A man runs.</s>", 0),
        ("1) A man runs.", 0),
        ("The time", 1),  # a sentence ends at a colon
        ("Caption B", 1),
        ("Caption A.", 0),
        ("B.", 1),
        ("a", None),
        ("A man runs", None),
        ("Caption A: A man runs. It fits.", None),
        ("C", None),
        ("", None),
    ],
)
def test_tempcompass_caption_matching(text: str, expected: int | None) -> None:
    """A line, its sentence or its label."""
    found = read("tempcompass_caption_matching", text, *CAPTIONS)
    assert found == (None if expected is None else CAPTIONS[expected])


def test_tempcompass_labels_and_odd_lines() -> None:
    """Options are numbered too; lines without a label, or empty ones, match as they are or not at all."""
    assert read("tempcompass_caption_matching", "2", "Option 1: x", "Option 2: y") == "Option 2: y"
    assert read("tempcompass_caption_matching", "x", "x", "", ": z") == "x"
    assert read("tempcompass_caption_matching", "", "", ": z") is None


@pytest.mark.parametrize(
    ("target", "answer", "value"),
    [("A. running", "A", 1.0), ("A. running", "B", 0.0), ("yes", "yes", 1.0), (CAPTIONS[0], "A", 0.0)],
)
def test_tempcompass_match(target: str, answer: str, value: float) -> None:
    """An accepted answer or its first letter."""
    assert MATCHERS["tempcompass"](Prediction(answer, ""), sample(target=target)).value == value


CHOICE, TRUE_OR_FALSE, FILL = "选择", "判断", "填空"


def cmmmu(kind: str, text: str, *choices: str) -> object:
    return EXTRACTORS["cmmmu"](text, sample(*choices, type=kind), {}).answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(B)", "B"),
        ("(A)(C)", "AC"),
        ("(C)和(A)，(C)", "C"),
        ("答案是B", "B"),
        ("A、C、D", "ACD"),
        ("(B) ABCD", "B"),
        ("DNA", "AD"),  # capitals of words
        ("红鸟", "C"),
        ("猫或狗", "AB"),
        ("鱼", None),
        ("", None),
    ],
)
def test_cmmmu_letters(text: str, expected: str | None) -> None:
    """All the most frequent ones."""
    assert cmmmu(CHOICE, text, "猫", "狗", "红鸟", "") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("对", "对"),
        ("错", "错"),
        ("这个说法是错误的", "错"),
        ("不正确", "对"),  # contains "正确"
        ("答案：不对", "对"),
        ("不合适。", "错"),
        ("判断对错", None),
        ("结果是对的。\n所以是错的", None),
        ("所以是对。\n结果是错。答案是不合适", "错"),
        ("天气", None),
        ("", None),
        ("。。", None),
    ],
)
def test_cmmmu_true_or_false(text: str, expected: str | None) -> None:
    """More parts for than against; a positive word outweighs what stands in front of it."""
    assert cmmmu(TRUE_OR_FALSE, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("答案是3", (3.0,)),
        ("x=7", (7.0,)),
        ("x=7。所以是水", ("水",)),
        ("红", ("红",)),
        ("约1，234米", ("约1，234米", "1，234", 234.0)),  # no number with a comma of full width
        ("1.5e3", (1500.0, 1.0, 3.0)),  # the exponent's parts, too
        ("", None),
        ("。", None),
    ],
)
def test_cmmmu_filled_in(text: str, expected: tuple[str | float, ...] | None) -> None:
    """Parts behind a key word, and their numbers."""
    found = cmmmu(FILL, text)
    assert (set(found) if isinstance(found, tuple) else found) == (set(expected) if expected else None)


@pytest.mark.parametrize(
    ("kind", "text", "gold", "value"),
    [
        (CHOICE, "(A)(C)", "AC", 1.0),
        (CHOICE, "(A)", "AC", 0.0),
        (TRUE_OR_FALSE, "对", "对", 1.0),
        (TRUE_OR_FALSE, "错", "对", 0.0),
        (FILL, "是3.004", "3", 1.0),
        (FILL, "是1,000", "1000", 1.0),
        (FILL, "氧气", "氧", 1.0),
        (FILL, "氧" + "很" * 20, "氧", 1.0),
        (FILL, "氧" + "很" * 21, "氧", 0.0),  # more than twenty characters longer
        (FILL, "abCO", "CO", 1.0),
        (FILL, "abcCO", "CO", 0.0),  # more than two Latin letters more
        (FILL, "3", "三", 0.0),
        (FILL, "nan", "nan", 0.0),
        (FILL, "", "氧", 0.0),
    ],
)
def test_cmmmu_match(kind: str, text: str, gold: str, value: float) -> None:
    """Letters and verdicts equal; a blank holds an equal number, or a text not much longer that contains the gold."""
    one = sample("猫", "狗", "红鸟", "鱼", target=gold, type=kind)
    assert score(one, text, scoring("cmmmu", "cmmmu", facts=["type"])).value == value


def test_cmmmu_dice() -> None:
    """For letters and verdicts that are not found; a blank has none."""
    rule = EXTRACTORS["cmmmu_random"]
    letters = [rule("？", sample(*ANIMALS, id=str(number), type=CHOICE), {}) for number in range(40)]
    verdicts = [rule("？", sample(*ANIMALS, id=str(number), type=TRUE_OR_FALSE), {}) for number in range(40)]
    assert {pick.answer for pick in letters} == set("ABCD")
    assert {pick.answer for pick in verdicts} == set("对错")
    assert {pick.rule for pick in letters + verdicts} == {RANDOM}
    assert rule("", sample(type=FILL), {}).answer is None
    assert rule("对", sample(type=TRUE_OR_FALSE), {}).rule != RANDOM


@pytest.mark.parametrize("kind", [CHOICE, TRUE_OR_FALSE, FILL])
@pytest.mark.parametrize("piece", ["是", "对是", "对错", "(A)", "A", "错。", "1，111", "1.5e", "所以=", "不"])
def test_cmmmu_is_linear(kind: str, piece: str) -> None:
    """20,000 characters of anything, and their comparison, in a moment."""
    text = (piece * 20_000)[:20_000]
    one = sample(*ANIMALS, target="5", type=kind)
    assert cpu_s(lambda: score(one, text, scoring("cmmmu", "cmmmu", facts=["type"]))) < 0.1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("left-hand", "left hand"),
        ("t-shirt, red", "t shirt red"),
        ("a,b", "a b"),
        ("1,000 (a)b", "1000 ab"),  # digits around a comma: every mark is deleted
        ("3 . 5", "3  5"),
        ("U.S.A.", "USA"),
        ("1.5.", "1.5"),
        ("10:30 *yes*", "10:30 *yes*"),
        ("." * 40, "." * 8),  # the challenge's code deletes no more than 32
        ("", ""),
    ],
)
def test_vqa_punctuation(text: str, expected: str) -> None:
    """Each mark is looked for in the text as it came."""
    assert vqa_punctuation(text) == expected


LETTER_RULES = [name for name in EXTRACTORS if EXTRACTORS[name].run.__module__.rpartition(".")[2].startswith("letters")]
PIECES = st.sampled_from(["answer is ", "Answer: ", "(", ")", "A", "b", "Z", ". ", "\n\n", "dog", "option ", "İ"])


@pytest.mark.parametrize("rule", LETTER_RULES)
@given(text=st.lists(PIECES).map("".join), choices=st.lists(st.sampled_from(ANIMALS), max_size=30))
def test_answers_are_what_the_rules_speak_of(rule: str, text: str, choices: list[str]) -> None:
    """A letter, BLINK's bracketed letter, a word of yes or no, or an option's line; never empty."""
    facts = dict.fromkeys(EXTRACTORS[rule].needs, "multiple_choice")
    answer = EXTRACTORS[rule](text, sample(*choices, **facts), {}).answer
    if rule == "first_character":
        assert answer is None or (isinstance(answer, str) and text.strip().startswith(answer))
    else:
        other = rule == "blink" or rule.startswith("realworldqa")  # whose open questions are answered by texts
        assert answer is None or answer in (*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", *choices, "yes", "no") or other
