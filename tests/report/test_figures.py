"""The numbers of a page: steps of a histogram, bars, texts that are shown."""

from __future__ import annotations

import pytest

from lmms_fast.report.figures import bars_of, histogram, interval_of, top_of
from lmms_fast.report.shown import answer_of, line_of, shown
from tests.report.pages import aggregate


@pytest.mark.parametrize("values", [[0.0], [5.0] * 10, [1.0, 2.0, 3.0], [0.001 * n for n in range(1000)],
                                    [1.0] * 999 + [1e6], [0.0] * 5 + [1e-9]])  # fmt: skip
@pytest.mark.parametrize("whole", [True, False])
def test_a_histogram_counts_every_value(values: list[float], whole: bool) -> None:
    """In steps of a round width, not many; what is far out is counted apart."""
    found = histogram([round(one) for one in values] if whole else values, whole=whole)
    assert found is not None
    assert sum(found.counts) + found.above == found.n == len(values)
    assert 1 <= len(found.counts) <= 37
    assert found.above <= 0.01 * len(values) + 1
    assert found.median <= found.high <= found.highest <= found.most
    assert not whole or found.width == int(found.width)


def test_nothing_has_no_histogram() -> None:
    """Rather than an empty one."""
    assert histogram([]) is None


def test_intervals() -> None:
    """Those of the results, in either form, else 1.96 standard errors, else none."""
    assert interval_of({"value": 0.5, "stderr": 0.1, "interval": [0.2, 0.7]}) == (0.2, 0.7)
    assert interval_of({"value": 0.5, "stderr": 0.1, "interval": {"low": 0.2, "high": 0.7}}) == (0.2, 0.7)
    assert interval_of({"value": 0.5, "stderr": 0.1, "interval": None}) == pytest.approx((0.304, 0.696))
    assert interval_of({"value": 0.5, "stderr": 0.1, "interval": [None, None]}) == pytest.approx((0.304, 0.696))
    assert interval_of({"value": 1.0, "stderr": 0.0}) is None
    assert interval_of({"value": None, "stderr": None}) is None


def test_bars() -> None:
    """By metric and column, on one scale: 1, 100, or what the largest is."""
    numbers = [aggregate("acc", None, 0.5, 10), aggregate("acc", "kind=a", 0.4, 5),
               aggregate("acc", "kind=b=c", 0.6, 5), aggregate("acc", "l2=x", 55.0, 5),
               aggregate("f1", "kind=a", None, 0)]  # fmt: skip
    found = bars_of("t", numbers)
    assert [(one.metric, one.title, one.top, [bar.label for bar in one.bars]) for one in found] == [
        ("acc", "kind", 1.0, ["a", "b=c"]), ("acc", "l2", 100.0, ["x"]), ("f1", "kind", 1.0, ["a"]),
    ]  # fmt: skip
    assert found[0].bars[1].link == {"task": "t", "group": "kind=b=c"}
    assert top_of([2000.0, None]) == 2000.0


def test_what_is_hidden_is_shown() -> None:
    """Control characters and bidirectional overrides by their number; tabs, newlines and marks of scripts stay."""
    assert shown("a\x00\x1b[31m\u202eb", 99) == "a⟨U+0000⟩⟨U+001B⟩[31m⟨U+202E⟩b"
    assert shown("\x9b\r\n\tc\u200f", 99) == "⟨U+009B⟩⟨U+000D⟩\n\tc\u200f"
    assert shown("x" * 30, 10) == "x" * 10 + "\n⟦20 more characters, which are in the samples file⟧"
    assert line_of("a\n  b\t\u2067c", 99) == "a b ⟨U+2067⟩c"
    assert line_of("x" * 1_000_000, 10) == "x" * 9 + "…"
    assert (answer_of(None), answer_of(["a", 1.5]), answer_of("b")) == (None, "a | 1.5", "b")
