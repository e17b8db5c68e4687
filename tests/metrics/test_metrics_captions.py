"""Captions: their words, and the numbers that the reference (pycocoevalcap 1.2, Java tokeniser) gives for them."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_fast.errors import TaskError
from lmms_fast.metrics import MATCHERS, Step, aggregate, check_aggregate, scoring
from lmms_fast.metrics.captions import rouge_l
from lmms_fast.metrics.meteor import aligned, meteor
from lmms_fast.metrics.tokenise import penn_words
from lmms_fast.types import Prediction, Sample, Scored
from tests.metrics.clock import cpu_s


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("", ""),
        (" \n ", ""),
        ("A man,\na plan.", "a man a plan"),
        ('A dog\'s bowl isn\'t (very) full, "Bob" -- yes!', "a dog 's bowl is n't -lrb- very -rrb- full bob yes"),
        ("I cannot, he's gonna; y'all won't've 'em", "i can not he 's gon na y' all wo n't 've 'em"),
        (
            "The girls' bikes , o'clock o'neil ma'am rock 'n' roll",
            "the girls bikes o'clock o'neil ma'am rock 'n' roll",
        ),
        (
            "A red-and-white t-shirt, and/or a black/white 10-year-old",
            "a red-and-white t-shirt and/or a black/white 10-year-old",
        ),
        ("2:30pm on 01/02/2014, 1,000.50 -5 and 5-6 or .5", "2:30 pm on 01/02/2014 1,000.50 -5 and 5-6 or .5"),
        ("Mr. Smith of St. Louis, U.S. army, etc.", "mr. smith of st. louis u.s. army etc."),
        ("plan B. Then no. 5 or no.", "plan b then no. 5 or no"),
        ("Plan b. it has art. 5 in La. or la.", "plan b. it has art. 5 in la. or la"),
        ("$5, £5, €5 and 5¢ for 1½ or 3 1/2", "$ 5 # 5 $ 5 and 5 cents for 1 1/2 or 3\xa01/2"),
        ("a “curly” don’t… wait — no", "a curly do n't wait no"),
        (
            "AT&T b&w &amp; C++ #tag @home foo@bar.com http://a.org/x.",
            "at&t b & w & c++ #tag @home foo@bar.com http://a.org/x",
        ),
        (
            "wow!! what?! :) * ** [x] {y} <b>z</b> ----- ---",
            "wow !! what ?! :-rrb- * ** -lsb- x -rsb- -lcb- y -rcb- <b> z </b> -----",
        ),
        ("call (555) 123-4567 or 555-1234", "call -lrb-555-rrb-\xa0123-4567 or 555-1234"),
        ("café 字 русский 😀x 5° m²", "café 字 русский x 5 ° m ²"),
        ("the end., of it.; or that.", "the end. of it. or that"),
        ("[a@b.org], c@d.org; x@y:1/2 it's", "-lsb- a@b.org], c@d.org; x@y:1/2 it 's"),
        ("'95 and '95, '10:30' or '10/20", "'95 and 95 10:30 or 10/20"),
    ],
)
def test_words_are_those_of_the_penn_treebank(caption: str, words: str) -> None:
    """As Stanford's tokeniser parts them, in lower case, without punctuation."""
    assert penn_words(caption) == words


@given(st.text() | st.text(alphabet="aAnN't.,-/&0159 ()<>:;!?$#@_’½"))
def test_no_text_breaks_the_tokeniser(caption: str) -> None:
    """Words in lower case with single spaces between them."""
    found = penn_words(caption)
    assert "" not in found.split(" ") or found == ""
    assert found == found.lower()


@pytest.mark.parametrize(
    "piece", ["a", "1", "a.", "1,", "-", "a-", "a'", "n't", "<a ", "&amp;", "A&", "(12) ", "12 ", "a@", "#", "a/b", "_",
              "?!", "www.", "é", "😀", "字", "ma'a", "can not ", "no. ", "A. T"],
)  # fmt: skip
def test_hostile_length_is_no_trouble(piece: str) -> None:
    """20,000 characters of anything are read in a moment, and compared with short references."""
    text = (piece * 20_000)[:20_000]
    assert cpu_s(lambda: MATCHERS["caption"](Prediction(text, ""), Sample("demo", "1", (), ("a dog",)))) < 0.1


REFERENCES = {
    "1": ("a dog runs on the green grass", "the brown dog is running in a park"),
    "2": ("two cats sleep on a red sofa", "cats on a sofa"),
    "3": ("a man rides a horse on the beach", "someone riding a horse near the sea"),
}
CAPTIONS = {
    "1": "a dog runs in the park park",
    "2": "two cats on a sofa",
    "3": "a man on the beach beach beach",
}


def rows() -> list[Scored]:
    return [Scored(id, 0, {}, 1.0, True, {}, CAPTIONS[id], REFERENCES[id]) for id in CAPTIONS]


def values(scored: list[Scored], **options: object) -> dict[str, float | None]:
    return {one.metric: one.value for one in aggregate("captions", scored, options)}


def test_numbers_are_the_references() -> None:
    """To the last digits, with the headline first."""
    found = aggregate("captions", rows(), {})
    assert [one.metric for one in found] == ["CIDEr", "Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L"]
    assert [one.value for one in found] == pytest.approx(
        [2.726819297102896, 0.8421052631135734, 0.6882472015720659, 0.526261802795911, 0.3474572570406334,
         0.7433919572148514], rel=1e-12,
    )  # fmt: skip
    assert all((one.n, one.n_failed) == (3, 0) for one in found)


def test_words_without_the_tokeniser() -> None:
    """Spaces part them as they are: two spaces hold an empty word for ROUGE-L, and an empty caption is worth 0."""
    odd = [
        Scored("1", 0, {}, 1.0, True, {}, "a c  ", ("a  b c",)),
        Scored("2", 0, {}, 0.0, False, {}, None, ("d e f g", "d")),
    ]
    found = values(odd, tokeniser="none")
    assert found["CIDEr"] == pytest.approx(1.0065434236349982, rel=1e-12)
    assert found["Bleu_1"] == pytest.approx(0.36787944080356333, rel=1e-12)
    assert found["Bleu_4"] == pytest.approx(6.541924350393833e-08, rel=1e-9)
    assert found["ROUGE_L"] == pytest.approx(0.25, rel=1e-12)


def test_names() -> None:
    """`metric_prefix` stands before every name."""
    prefixed = {f"coco_{name}": value for name, value in values(rows()).items()}
    assert values(rows(), metric_prefix="coco_") == prefixed


def test_order_does_not_show() -> None:
    """Not in one digit."""
    many = [replace(one, id=f"{one.id}/{copy}") for copy in range(9) for one in rows()]
    assert aggregate("captions", random.Random(0).sample(many, len(many)), {}) == aggregate("captions", many, {})


def test_what_was_not_measured_is_left_out() -> None:
    """So are samples whose references are withheld; an answer not found is an empty caption."""
    failed = Scored("4", 0, {}, None, False, {}, None, ("x",))
    withheld = Scored("5", 0, {}, 0.0, True, {}, "x", ())
    found = aggregate("captions", [*rows(), failed, withheld], {})
    assert {one.metric: one.value for one in found} == values(rows())
    assert (found[0].n, found[0].n_failed) == (3, 2)
    silent = aggregate("captions", [*rows()[:2], replace(rows()[2], answer=None, answered=False)], {})
    assert (silent[0].n, silent[0].n_no_answer) == (3, 1)
    assert silent[0].value < found[0].value  # type: ignore[operator]


def test_one_picture_or_none() -> None:
    """CIDEr of one picture is 0, for no word is rarer than another; over nothing there is no number."""
    assert values(rows()[:1])["CIDEr"] == 0.0
    assert set(values([]).values()) == {None}


def test_repeats_share_a_document() -> None:
    """Each sample measured twice alike changes nothing, and adds no certainty."""
    once, twice = aggregate("captions", rows(), {}), aggregate(
        "captions", [*rows(), *(replace(one, repeat=1) for one in rows())], {}
    )
    assert [one.value for one in twice[:-1]] == pytest.approx([one.value for one in once[:-1]], rel=1e-8)
    assert twice[0].stderr == once[0].stderr


@given(st.lists(st.sampled_from("abc"), min_size=1), st.lists(st.sampled_from("abcd"), min_size=1))
def test_rouge_l_is_the_longest_common_subsequence(caption: list[str], reference: list[str]) -> None:
    """Against the table of the textbook."""
    above = [0] * (len(reference) + 1)
    for word in caption:
        row = [0]
        for place, other in enumerate(reference):
            row.append(above[place] + 1 if word == other else max(above[place + 1], row[-1]))
        above = row
    precision, recall = above[-1] / len(caption), above[-1] / len(reference)
    expected = 2.44 * precision * recall / (recall + 1.44 * precision) if above[-1] else 0.0
    assert rouge_l(" ".join(caption), [" ".join(reference)]) == pytest.approx(expected)


def test_the_matcher_gives_one_captions_rouge_l() -> None:
    """Precision and recall may come from different references."""
    sample = Sample("demo", "1", (), REFERENCES["3"])
    assert MATCHERS["caption"](Prediction(CAPTIONS["3"], ""), sample).value == pytest.approx(0.6587473, abs=1e-7)
    assert MATCHERS["caption"](Prediction("x", ""), Sample("demo", "1", (), ())).value == 0.0


def test_wrong_options_are_named() -> None:
    """The error says which tokenisers there are."""
    with pytest.raises(TaskError, match="allowed: ptb, none"):
        check_aggregate("captions", {"tokeniser": "13a"}, ())
    with pytest.raises(TaskError, match="allowed: ptb, none"):
        scoring("text", Step("caption", {"tokeniser": "13a"}))
    with pytest.raises(TaskError, match="`meteor` is 1"):
        check_aggregate("captions", {"meteor": 1}, ())


def test_meteor_by_hand() -> None:
    """METEOR 1.5's formula over exact and stem matches, in one caption."""
    same = "a dog runs on grass"
    assert meteor([(same, [same])]) == 1.0  # no penalty where the texts are one run
    assert meteor([(same, ["two cats sleep"])]) == meteor([("", [same])]) == meteor([("", [""])]) == meteor([]) == 0.0
    # The same words in two runs: "on grass", "a dog runs".
    assert meteor([("on grass a dog runs", [same])]) == pytest.approx(1 - 0.6 * (2 / 5) ** 0.2)
    # Matches with another word between are runs of their own: 3 of 4 content words, 3 of 3 in the reference.
    mean = 1 / (0.15 / 0.75 + 0.85 / 1)
    assert meteor([("dogs cats red sofa", ["dogs red sofa"])]) == pytest.approx(mean * (1 - 0.6 * (2 / 3) ** 0.2))


def test_meteor_weighs_stems_and_function_words() -> None:
    """A stem match is worth 0.6; a content word is worth three function words."""
    assert meteor([("dogs running", ["dog runs"])]) == pytest.approx(0.6)  # one run of all words: no penalty
    # "the" of "the dog" against "the cat": 0.25 of 0.25 + 0.75, one run of one match.
    assert meteor([("the dog", ["the cat"])]) == pytest.approx(0.25 * (1 - 0.6))
    assert meteor([("big dog", ["small dog"])]) == pytest.approx(0.5 * (1 - 0.6))


def test_meteor_reads_words_as_its_normaliser() -> None:
    """Hyphens part words, case does not count; the words of the reference's tokeniser are the plain text's."""
    assert meteor([("A red-and-white T-shirt", ["a red and white t shirt"])]) == 1.0
    assert meteor([("a dog 's bowl", ["a dog ' s bowl"])]) == 1.0


def test_meteor_of_a_corpus() -> None:
    """Counts are summed, each caption's with its best reference: not the mean of the captions' scores."""
    first, second = ("big dog", ["red sofa", "small dog", "big dog"]), ("cat x y z", ["cat"])
    # Matched 2 + 1 of 2 + 4 and of 2 + 1; a caption equal to its reference adds no run.
    mean = 1 / (0.15 / (3 / 6) + 0.85 / 1)
    assert meteor([first, second]) == pytest.approx(mean * (1 - 0.6 * (1 / 3) ** 0.2))


def test_meteor_is_reported_when_asked_for() -> None:
    """Last, under a name that is not METEOR's, and in any order the same."""
    found = aggregate("captions", rows(), {"meteor": True, "metric_prefix": "coco_"})
    assert found[-1].metric == "coco_METEOR_exact_stem"
    assert 0 < (found[-1].value or 0) < 1
    assert (found[-1].n, found[-1].n_failed, found[-1].stderr) == (3, 0, None)
    many = [replace(one, id=f"{one.id}/{copy}") for copy in range(9) for one in rows()]
    mixed = random.Random(0).sample(many, len(many))
    assert aggregate("captions", mixed, {"meteor": True})[-1] == aggregate("captions", many, {"meteor": True})[-1]
    assert aggregate("captions", [], {"meteor": True})[-1].value is None


@given(st.lists(st.sampled_from("abc"), max_size=7), st.lists(st.sampled_from("abcd"), max_size=7))
def test_alignments_have_most_pairs_and_fewest_runs(ours: list[str], theirs: list[str]) -> None:
    """Each place once, equal words, as many pairs as there can be; no alignment of short texts has fewer runs."""
    pairs = aligned(ours, theirs)
    assert all(ours[here] == theirs[there] for here, there in pairs)
    assert len({there for _, there in pairs}) == len({here for here, _ in pairs}) == len(pairs)
    assert len(pairs) == sum(min(ours.count(word), theirs.count(word)) for word in "abc")

    def runs(found: list[tuple[int, int]]) -> int:
        return sum((here - 1, there - 1) not in found for here, there in found)

    def all_of(here: int, taken: tuple[tuple[int, int], ...]) -> list[tuple[tuple[int, int], ...]]:
        if here == len(ours):
            return [taken]
        used = {there for _, there in taken}
        steps = [taken, *((*taken, (here, there)) for there in range(len(theirs))
                          if theirs[there] == ours[here] and there not in used)]  # fmt: skip
        return [one for step in steps for one in all_of(here + 1, step)]

    if len(ours) <= 4 and len(theirs) <= 5:
        assert runs(pairs) == min(runs(list(one)) for one in all_of(0, ()) if len(one) == len(pairs))


@pytest.mark.parametrize("piece", ["a ", "dog ", "a b ", "running ", "x", "'", "-", "1,", "a'", ". "])
def test_hostile_length_is_no_trouble_to_meteor(piece: str) -> None:
    """20,000 characters of anything against as many: words beyond the 200th are not read."""
    text = (piece * 20_000)[:20_000]
    assert cpu_s(lambda: meteor([(text, [text])]), 0.3) < 0.5
