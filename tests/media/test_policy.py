"""What --image says: understood, or refused with one sentence."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_fast.errors import UsageError
from lmms_fast.media.encode import _fitting
from lmms_fast.media.policy import ORIGINAL, Policy, parse_policy


@pytest.mark.parametrize(
    ("text", "policy"),
    [(None, ORIGINAL), ("format=original", ORIGINAL), ("max-pixels=1048576", Policy(1048576)),
     ("format=png", Policy(None, "png")), ("format=webp,quality=1", Policy(None, "webp", 1)),
     ("quality=90,format=jpeg,max-pixels=1", Policy(1, "jpeg", 90)),
     (" format=jpeg , max-pixels=7 ", Policy(7, "jpeg")), ("max-pixels=178956970,format=original", Policy(178956970))],
)  # fmt: skip
def test_understood(text: str | None, policy: Policy) -> None:
    """In any order; what is left out stays as it is stored."""
    assert parse_policy(text) == policy


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "'' is not understood"), ("jpeg", "'jpeg' is not understood"), ("size=3", "'size=3' is not understood"),
     ("format=jpeg,", "'' is not understood"), ("format=jpeg;quality=3", "no format 'jpeg;quality=3'"),
     ("format=", "no format ''"), ("format=JPEG", "no format 'JPEG'"), ("format=gif", "no format 'gif'"),
     ("format=png,format=jpeg", "'format=jpeg' is not understood"), ("max-pixels=0", "max-pixels is not '0'"),
     ("max-pixels=-5", "max-pixels is not '-5'"), ("max-pixels=1e6", "max-pixels is not '1e6'"),
     ("max-pixels=1024x1024", "max-pixels is not '1024x1024'"), ("max-pixels=178956971", "max-pixels is not"),
     ("max-pixels=" + "9" * 5000, "max-pixels is not"), ("max-pixels=²", "max-pixels is not '²'"),
     ("max-pixels", "max-pixels is not ''"), ("format=jpeg,quality=101", "quality is not '101'"),
     ("format=jpeg,quality=0", "quality is not '0'"), ("quality=90", "quality needs format=jpeg or format=webp"),
     ("format=png,quality=90", "quality needs format=jpeg or format=webp")],
)  # fmt: skip
def test_refused(text: str, says: str) -> None:
    """One sentence: what is wrong, and what is allowed."""
    with pytest.raises(UsageError) as caught:
        parse_policy(text)
    said = str(caught.value)
    assert says in said
    assert said.endswith("quality=1 to 100, comma-separated.")
    assert "max-pixels=1 to 178956970, format=original|jpeg|png|webp" in said


@given(st.integers(1, 70_000), st.integers(1, 70_000), st.integers(1, 178_956_970))
def test_the_shape_is_kept(width: int, height: int, most: int) -> None:
    """Never more pixels than allowed, never none, and both sides within a pixel of the same share."""
    wide, high = _fitting(width, height, most)
    assert 1 <= wide <= width
    assert 1 <= high <= height
    assert wide * high <= most
    if width * height <= most:
        assert (wide, high) == (width, height)
    elif min(wide, high) > 1:
        scale = math.sqrt(most / (width * height))
        assert abs(wide - width * scale) <= 1
        assert abs(high - height * scale) <= 1
