"""The order in which samples leave."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from lmms_fast.data.feed import Fed, longest_first
from lmms_fast.types import Sample


def _stream(task: str, count: int) -> Iterator[Fed]:
    return (Fed(row, Sample(task, str(row), (), ())) for row in range(count))


def test_long_answers_first_then_turns() -> None:
    """The task whose answers may be longest does not end alone; equals share the server."""
    order = [fed.sample.key for fed in longest_first([_stream("a", 3), _stream("long", 2), _stream("b", 1)],
                                                     [16, 512, 16])]  # fmt: skip
    assert order == ["long/0#0", "long/1#0", "a/0#0", "b/0#0", "a/1#0", "a/2#0"]


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from([1, 16, 512])), max_size=5))
def test_nothing_is_lost_and_rows_stay_in_order(tasks: list[tuple[int, int]]) -> None:
    """Every sample of every task once, in the order of its rows."""
    streams = [_stream(str(number), count) for number, (count, _) in enumerate(tasks)]
    seen: dict[str, list[int]] = {str(number): [] for number in range(len(tasks))}
    for fed in longest_first(streams, [length for _, length in tasks]):
        seen[fed.sample.task].append(fed.row)
    assert [seen[str(number)] for number in range(len(tasks))] == [list(range(count)) for count, _ in tasks]
