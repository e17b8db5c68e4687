"""What the live view adds up."""

from lmms_fast.events import RequestRetried, RequestStarted, SampleDone, TaskSized
from lmms_fast.report.console import Tally


def test_only_requests_that_are_out_are_in_flight() -> None:
    """Not those that back off, and a sample that was never sent does not count against another."""
    tally = Tally()
    tally.add(TaskSized("t", 3, 0))
    tally.add(RequestStarted("t/1#0", 1))
    tally.add(RequestStarted("t/2#0", 1))
    tally.add(SampleDone("t", "t/3#0", None, "media", 0, 0, None))
    assert len(tally.in_flight) == 2
    tally.add(RequestRetried("t/1#0", "server", "HTTP 500", 1.0))
    assert len(tally.in_flight) == 1
    tally.add(RequestStarted("t/1#0", 2))
    tally.add(SampleDone("t", "t/1#0", 1.0, None, 5, 2, 0.5))
    tally.add(SampleDone("t", "t/2#0", 0.0, None, 5, 1, 0.5))
    assert not tally.in_flight
    progress = tally.tasks["t"]
    assert (progress.done, progress.failed, progress.score) == (3, 1, "0.500")
