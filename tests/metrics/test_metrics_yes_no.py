"""Four benchmarks, four ways to read yes or no out of the same words."""

from __future__ import annotations

import pytest

from lmms_fast.metrics import EXTRACTORS
from lmms_fast.types import Sample

SAMPLE = Sample("demo", "1", (), ("yes",))


@pytest.mark.parametrize(
    ("text", "vlmevalkit", "pope", "contains", "mme"),
    [
        ("Yes", "yes", "yes", "yes", "yes"),
        ("no.", "no", "no", "no", "no"),
        ("NO", "no", "yes", "no", "no"),  # POPE knows "No" and "no"
        ("No, there is none", "no", "no", "no", "no"),
        ("There is not. Yes", "yes", "no", "yes", None),  # POPE stops at the period
        ("There is a dog. No", "no", "yes", "no", None),
        ("It is yes", "yes", "yes", "yes", None),  # MME reads four characters
        ("Yes and no", None, "no", "yes", "yes"),
        ("I know", None, "yes", "no", None),
        ("nothing", None, "yes", "no", "no"),
        ("yesterday", None, "yes", "yes", "yes"),
        ("yes/no", None, "yes", "yes", "yes"),
        ("**Yes**", None, "yes", "yes", None),  # no mark of the VQA challenge
        ("answer:yes", None, "yes", "yes", None),
        ("(yes)", "yes", "yes", "yes", "yes"),
        ("yes,no", None, "yes", "yes", "yes"),  # POPE deletes the comma and sees one word
        ("no\nit is not", "no", "no", "no", "no"),
        ("no\n", "no", "yes", "no", "no"),  # split by single blanks alone
        ("1,000 yes-men", None, "yes", "yes", None),  # a comma between digits joins the words
        ("yes-men", "yes", "yes", "yes", "yes"),
        ("Y", None, "yes", "no", "yes"),
        ("нет", None, "yes", "no", None),
        ("ＮＯ", None, "yes", "no", None),  # full width
        ("", None, "yes", "no", None),
    ],
)
def test_yes_no(text: str, vlmevalkit: str | None, pope: str, contains: str, mme: str | None) -> None:
    """Same task names, different scores; what is odd or empty is a yes to POPE and a no to HallusionBench's rule."""
    expected = {"vlmevalkit_yes_no": vlmevalkit, "pope": pope, "contains_yes": contains, "mme": mme}
    assert {rule: EXTRACTORS[rule](text, SAMPLE, {}).answer for rule in expected} == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Yes", "yes"), ("no, it is", "no"), ("NO", "no"), ("noyes", "no"), ("nyes", "yes"), ("ayes", "yes"),
        ("y", None), ("n.", None), ("a.yes", None), ("  no", "no"), ("   no", None), ("\nyes", "yes"), ("", None),
        ("no" * 50_000, "no"), ("ＮＯ", None), ("İyes", None),
    ],
)  # fmt: skip
def test_mme_of_its_authors(text: str, found: str | None) -> None:
    """The first four characters as they come; a letter alone is nothing."""
    assert EXTRACTORS["mme_official"](text, SAMPLE).answer == found
