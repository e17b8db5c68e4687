"""Numbers over many samples or answers: pass@k, majority, F1 of classes, rank correlation, word errors."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_fast.errors import TaskError
from lmms_fast.metrics import MATCHERS, aggregate, check_aggregate
from lmms_fast.metrics.wer import basic_words, english_words
from lmms_fast.types import Prediction, Sample, Scored
from tests.metrics.clock import cpu_s


def one(id: str, value: float | None, answer: str | None = "x", target: str = "x", repeat: int = 0) -> Scored:
    return Scored(id, repeat, {}, value, answer is not None, {}, answer, (target,))


def answers(id: str, *values: float | None) -> list[Scored]:
    return [one(id, value, repeat=repeat) for repeat, value in enumerate(values)]


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(1, 7))
def test_pass_at_k_is_the_share_of_choices_with_a_right_one(right: list[bool], k: int) -> None:
    """Counted over every choice of k answers."""
    [found] = aggregate("pass_at_k", answers("1", *map(float, right)), {"k": [k]})
    if k > len(right):
        assert found.value is None
        return
    choices = list(itertools.combinations(right, k))
    assert found.value == pytest.approx(sum(map(any, choices)) / len(choices))
    assert found.metric == f"pass@{k}"


def test_pass_at_k_leaves_out_what_was_not_measured() -> None:
    """A failure is no wrong answer: with one of two measured, pass@2 has nothing to say about the question."""
    rows = [*answers("1", 1.0, None), *answers("2", 0.0, 1.0)]
    one_of, both = aggregate("pass_at_k", rows, {"k": [1, 2]})
    assert (one_of.value, both.value) == (0.75, 1.0)
    assert (one_of.n, one_of.n_failed) == (3, 1)


def test_majority() -> None:
    """The first k vote, silence does not, and of equals the first named counts."""
    rows = [one("1", float(said == "b"), said, "b", repeat) for repeat, said in enumerate(["a", "b", "b", "a", "a"])]
    assert [found.value for found in aggregate("majority", rows, {"k": [1, 3, 4, 5]})] == [0.0, 1.0, 0.0, 0.0]
    silent = [one("1", 0.0, None), one("1", 1.0, "b", "b", 1)]
    assert aggregate("majority", silent, {"k": [2]})[0].value == 1.0
    assert aggregate("majority", silent[:1], {})[0].value == 0.0


def test_what_cannot_be_compared_is_counted() -> None:
    """An answer that is no number is no answer; a sample without a gold is not measured."""
    rows = [one("1", 1.0, "1", "1"), one("2", 0.0, "3", "2"), one("3", 0.0, "many", "3"), one("4", 0.0, "4", "few")]
    [found] = aggregate("spearman", rows)
    assert (found.value, found.n, found.n_no_answer, found.n_failed) == (pytest.approx(1.0), 3, 1, 1)
    no_gold = [rows[0], replace(rows[1], target=())]
    for name in ("wer", "macro_f1"):
        assert (aggregate(name, no_gold)[0].n, aggregate(name, no_gold)[0].n_failed) == (1, 1)


@pytest.mark.parametrize("k", [[], [0], 3, ["2"]])
def test_k_is_checked(k: object) -> None:
    """Before anything is asked."""
    with pytest.raises(TaskError, match="`k` is a list"):
        check_aggregate("pass_at_k", {"k": k}, ())


def test_macro_f1_by_hand() -> None:
    """cat: 1 right of 2, said 2 times; dog: 1 of 1, said once more by mistake."""
    rows = [one("1", 1.0, "CAT", "cat"), one("2", 0.0, "dog", "cat"), one("3", 1.0, "dog", "dog"),
            one("4", 0.0, None, "cow"), one("5", None, None, "cow")]  # fmt: skip
    macro, cat, cow, dog = aggregate("macro_f1", rows, {})
    assert (cat.value, dog.value, cow.value) == (2 / 3, 2 / 3, 0.0)
    assert macro.value == pytest.approx(4 / 9)
    assert (macro.n, macro.n_no_answer, macro.n_failed) == (4, 1, 1)


def ranked(*pairs: tuple[str | None, str]) -> float | None:
    return aggregate("spearman", [one(str(n), 0.0, said, gold) for n, (said, gold) in enumerate(pairs)], {})[0].value


def test_spearman_by_hand() -> None:
    """Ties share their mean rank; what is no number is left out."""
    assert ranked(("1", "10"), ("2", "20"), ("3", "70")) == pytest.approx(1.0)
    assert ranked(("1", "3"), ("2", "2"), ("3", "1")) == pytest.approx(-1.0)
    assert ranked(("1", "1"), ("2", "2"), ("3", "3"), ("4", "5"), ("5", "4")) == pytest.approx(0.9)
    assert ranked(("1", "1"), ("1", "2"), ("2", "3")) == pytest.approx(math.sqrt(3) / 2)
    assert ranked(("1", "1"), ("?", "9"), (None, "2"), ("2", "2")) == pytest.approx(1.0)
    assert ranked(("1", "1"), ("1", "2")) is None
    assert ranked(("1", "1")) is None
    assert ranked(("nan", "1"), ("inf", "2")) is None


@pytest.mark.parametrize(
    ("said", "reference", "percent"),
    [
        ("the cat sat", "THE CAT SAT", 0.0), ("The cat, sat.", "the cat sat", 0.0), ("the cat", "the cat sat", 100 / 3),
        ("the dog sat down", "the cat sat", 200 / 3), ("", "a b", 100.0), (None, "a b", 100.0),
        ("a b c d e f", "a", 500.0), ("[noise] a (laughs) b", "a b", 0.0), ("ｃａｆé", "café", 0.0), ("", "", None),
    ],
)  # fmt: skip
def test_word_errors(said: str | None, reference: str, percent: float | None) -> None:
    """Edits per word of the reference."""
    [found] = aggregate("wer", [one("1", 0.0, said, reference)], {})
    assert found.value == (percent if percent is None else pytest.approx(percent))


def test_word_errors_are_of_the_corpus() -> None:
    """Not a mean of rates: long utterances weigh more."""
    rows = [one("1", 0.0, "a", "b"), one("2", 1.0, "a b c", "a b c")]
    assert aggregate("wer", rows, {})[0].value == 25.0
    assert MATCHERS["wer"](Prediction("a b x", "t"), Sample("t", "1", (), ("a b c",))).value == pytest.approx(2 / 3)


def test_nested_brackets_take_linear_time() -> None:
    """And nothing is lost that is not in brackets."""
    assert basic_words("(" * 50_000 + "a") == ["a"]
    assert len(basic_words("a " * 50_000)) == 50_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""), ("  \n ", ""), ("THE cat, sat.", "the cat sat"), ("Mr. Smith won't", "mister smith will not"),
        ("the colour of the harbour", "the color of the harbor"), ("twenty-five dollars and ten cents", "$25.10"),
        ("three point five million", "3500000"), ("one oh one", "101"), ("the 1990s", "the 1990s"),
        ("forty second street", "42nd street"), ("hmm, uh, okay (laughs) [noise]", "okay"), ("naïve", "naive"),
        ("gonna", "going to"), ("he's been", "he has been"), ("(((a", "a"), ("a [b <c", "a b c"), ("[x] a (y", "a y"),
        ("5%", "5%"), ("Ⅷ", "viii"), ("猫", "猫"), ("9" * 5_000, "9" * 5_000), ("o'clock", "0 clock"),
    ],
)  # fmt: skip
def test_whispers_english_normaliser(text: str, words: str) -> None:
    """Contractions, spellings and numbers; what it cannot take is left to the basic one."""
    assert " ".join(english_words(text)) == words


def test_word_errors_as_whisper_counts_them() -> None:
    """The option is the matcher's and the aggregation's; the package is asked for when the task is read."""
    said, reference, english = "It's 25 dollars", "it is twenty-five dollars", {"normaliser": "whisper_english"}
    rows = [one("1", 0.0, said, reference)]
    assert aggregate("wer", rows, english)[0].value == 0.0
    assert aggregate("wer", rows)[0].value == pytest.approx(60.0)
    assert MATCHERS["wer"](Prediction(said, "t"), Sample("t", "1", (), (reference,)), english).value == 1.0
    with pytest.raises(TaskError, match="`normaliser` is 'whisper'; allowed: basic, whisper_english"):
        check_aggregate("wer", {"normaliser": "whisper"}, [])


def test_whispers_english_normaliser_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the task is refused with what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    check_aggregate("wer", {}, [])
    with pytest.raises(TaskError, match=r"pip install 'lmms-fast\[wer\]'"):
        check_aggregate("wer", {"normaliser": "whisper_english"}, [])


@pytest.mark.parametrize("text", ["(", "<", "[", " ", ".", "1", "1 ", "one ", "'", "$1.1", "a(", "hundred ", "mr "])
def test_whispers_english_normaliser_takes_linear_time(text: str) -> None:
    """It walks to the end from every bracket and every blank that is left to it."""
    assert cpu_s(lambda: english_words(text * 20_000)) < 1.0
