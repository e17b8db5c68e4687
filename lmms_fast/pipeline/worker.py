"""A client process: asks a part of what a run asks, at the servers it is told of, and says what became of each sample.
Run as ``python -m lmms_fast.pipeline.worker FD``, where FD is its end of a socket pair.

It keeps nothing. Journal, budget, judges and servers are the run's; when the run is gone, so is it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from lmms_fast.data.source import open_source
from lmms_fast.endpoints.pool import Pool
from lmms_fast.errors import LmmsFastError
from lmms_fast.pipeline.answers import prepare, settler
from lmms_fast.pipeline.door import Door, opened
from lmms_fast.pipeline.link import Broken, Closing, Dark, Ended, Job, Link, Opening, SocketLink, WorkersLink
from lmms_fast.pipeline.run import run_to_end
from lmms_fast.pipeline.servers import Change, Reached
from lmms_fast.pipeline.session import first_of
from lmms_fast.pipeline.stop import Stop
from lmms_fast.pipeline.stream import Prepared, Stream
from lmms_fast.types import Outcome


class _Told:
    """The servers as the run tells of them; it looks after them, too."""

    def __init__(self) -> None:
        self.servers: asyncio.Future[Sequence[Reached]] = asyncio.get_running_loop().create_future()
        self._early: list[Change] = []
        self.changed: Callable[[Change], None] = self._early.append

    async def reach(self) -> Sequence[Reached]:
        """Wait for them."""
        return await self.servers

    @contextlib.asynccontextmanager
    async def kept(self, pool: Pool, changed: Callable[[Change], None]) -> AsyncIterator[None]:
        """Whatever the run tells is passed on."""
        self.changed = changed
        for change in self._early:
            changed(change)
        yield


async def work(link: WorkersLink) -> None:
    """Do the job that comes over the link."""
    job = await link.get()
    if job is None:
        return
    told, stop = _Told(), Stop()
    stop.how = lambda reason: link.put(Dark(reason))
    settled = settler(job.plan)

    def settle(item: Prepared, outcome: Outcome) -> None:
        link.put(settled(item, outcome))

    try:
        async with opened(told, job.terms, stop, link.put) as door:
            stream = Stream(_samples(job, link), door, settle, link.put)
            listening = asyncio.create_task(_listen(link, told, door, stream))
            try:
                await stream.run()
            finally:
                listening.cancel()
        link.put(Ended())
    except* LmmsFastError as errors:
        link.put(Broken(first_of(errors)))


def _samples(job: Job, link: WorkersLink) -> Iterator[tuple[Prepared, int]]:
    """Runs in the feed's thread, and stands still while the run does not take in what it is told."""
    sources = {task.task: open_source(task, job.plan.spec.data_dir) for task in job.plan.tasks}
    for prepared in prepare(job.plan, sources, job.terms, job.done.__contains__):
        link.room.wait()
        yield prepared


async def _listen(link: Link, told: _Told, door: Door, stream: Stream) -> None:
    while True:
        match await link.get():
            case None:
                os._exit(0)  # nobody is there to be told anything, and threads may be waiting for it
            case Opening(servers):
                told.servers.set_result(servers)
            case Closing():
                door.close("the run ends")
                stream.end()
            case change:
                told.changed(change)


def main() -> None:
    """Until the job is done, or the run is gone."""

    async def all_of_it() -> None:
        link = await SocketLink.over(socket.socket(fileno=int(sys.argv[1])))
        await work(link)
        await link.flush()
        link.close()

    run_to_end(all_of_it())


if __name__ == "__main__":
    main()
