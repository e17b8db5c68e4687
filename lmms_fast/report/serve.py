"""A folder of runs in a browser, on this machine only: an index, each run's page, and how far those are that go on.

An address names a run by a digest of its name, which is looked up among the runs that were found; no part of an address
becomes part of a path. A request whose Host is not this machine's is refused, since a page elsewhere may have given its
own name this address (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from lmms_fast.errors import LmmsFastError, UsageError
from lmms_fast.report.finished import open_run
from lmms_fast.report.html import rendered, write_page
from lmms_fast.report.live import Tail, progress, summary
from lmms_fast.report.shown import line_of, shown

_RUNS = 2_000
_FILES = ("manifest.json", "results.json", "journal.jsonl", "judgements.jsonl")
_PATIENCE_S = 2.0
_HEADERS = {
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}  # fmt: skip


def runs_below(root: Path) -> dict[str, Path]:
    """The runs of a folder, by what addresses call them: itself, or those up to two levels below it, newest first.
    Links that lead elsewhere are not followed."""
    root = root.resolve()
    patterns = ("manifest.json",) if (root / "manifest.json").is_file() else ("*/manifest.json", "*/*/manifest.json")
    found = [path.parent for pattern in patterns for path in root.glob(pattern)]
    found = [run for run in found if all((run / name).resolve().is_relative_to(root) for name in _FILES)]
    with contextlib.suppress(OSError):
        found.sort(key=lambda run: (run / "manifest.json").stat().st_mtime, reverse=True)
    return {hashlib.blake2b(bytes(run), digest_size=8).hexdigest(): run for run in found[:_RUNS]}


@dataclass(slots=True)
class Shelf:
    """The runs that are shown, and the pages made of them."""

    root: Path
    pages: Path
    pictures: int
    include: Sequence[Path]
    _making: dict[tuple[str, int], asyncio.Task[Path]] = field(default_factory=dict)
    _tails: dict[str, tuple[Tail, Tail]] = field(default_factory=dict)
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Pages are made one after the other."""
    _looks: dict[str, asyncio.Lock] = field(default_factory=dict)
    """A journal's tail is read by one request at a time."""

    def run(self, request: web.Request) -> Path:
        """The run that an address names. Raises HTTPNotFound."""
        found = runs_below(self.root).get(request.match_info["run"])
        if found is None:
            raise web.HTTPNotFound(text="There is no such run.")
        return found

    async def index(self, request: web.Request) -> web.Response:
        """The page that lists them."""
        return _page(rendered("runs.html", "runs.js", connect="'self'", root=line_of(str(self.root), 200)))

    async def runs(self, request: web.Request) -> web.Response:
        """What it lists."""
        return web.json_response(await asyncio.to_thread(self._listed))

    def _listed(self) -> list[dict[str, object]]:
        root = self.root.resolve()
        return [{"run": name, "name": line_of(str(path.relative_to(root)) if path != root else path.name, 160),
                 **summary(path)} for name, path in runs_below(root).items()]  # fmt: skip

    async def live(self, request: web.Request) -> web.Response:
        """The page of a run that goes on."""
        run = self.run(request)
        return _page(rendered("live.html", "live.js", connect="'self'", name=line_of(run.name, 120)))

    async def progress(self, request: web.Request) -> web.Response:
        """What that page asks for now and then."""
        run, name = self.run(request), request.match_info["run"]
        files = (Tail(run / "journal.jsonl"), Tail(run / "judgements.jsonl"))
        try:
            async with self._looks.setdefault(name, asyncio.Lock()):
                found = await asyncio.to_thread(progress, run, *self._tails.setdefault(name, files))
        except UsageError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from None
        return web.json_response(found)

    async def report(self, request: web.Request) -> web.StreamResponse:
        """A run's page, made anew when its results are newer."""
        run, name = self.run(request), request.match_info["run"]
        try:
            key = name, (run / "results.json").stat().st_mtime_ns
        except OSError:
            raise web.HTTPFound(f"/run/{name}/") from None
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(self._made(run, *key))
        done, _ = await asyncio.wait([task], timeout=_PATIENCE_S)
        if not done:
            return _page(rendered("wait.html", name=line_of(run.name, 120)))
        try:
            return web.FileResponse(task.result(), headers={"Content-Type": "text/html; charset=utf-8"})
        except LmmsFastError as error:
            self._making.pop(key, None)
            raise web.HTTPInternalServerError(text=shown(str(error), 2_000)) from None

    async def _made(self, run: Path, name: str, stamp: int) -> Path:
        async with self._one:
            out = self.pages / f"{name}.{stamp}.html"
            await asyncio.to_thread(self._make, run, out)
            for old in self.pages.glob(f"{name}.*.html"):
                if old != out:
                    old.unlink(missing_ok=True)
            return out

    def _make(self, run: Path, out: Path) -> None:
        write_page(open_run(run), out, pictures=self.pictures, include=self.include)


def _page(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", charset="utf-8")


@web.middleware
async def _guarded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Only for those who asked this machine by its own name."""
    assert request.transport is not None
    port = request.transport.get_extra_info("sockname")[1]
    if request.host not in (f"127.0.0.1:{port}", f"localhost:{port}"):
        raise web.HTTPMisdirectedRequest(text="This is for this machine only.")
    return await handler(request)


async def _with_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


@contextlib.contextmanager
def application(root: Path, pictures: int, include: Sequence[Path] = ()) -> Iterator[web.Application]:
    """The server's application, with a folder for its pages while the block lasts. Raises UsageError."""
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder.")
    with tempfile.TemporaryDirectory(prefix="lmms-fast-view-") as pages:
        shelf = Shelf(root, Path(pages), pictures, include)
        app = web.Application(middlewares=[_guarded])
        app.on_response_prepare.append(_with_headers)
        app.router.add_get("/", shelf.index)
        app.router.add_get("/runs.json", shelf.runs)
        app.router.add_get("/run/{run:[0-9a-f]{16}}/", shelf.live)
        app.router.add_get("/run/{run:[0-9a-f]{16}}/progress.json", shelf.progress)
        app.router.add_get("/run/{run:[0-9a-f]{16}}/report.html", shelf.report)
        yield app


def serve(root: Path, port: int, pictures: int, include: Sequence[Path]) -> None:
    """Until Ctrl-C. Raises UsageError for a folder that is none, or a port that is taken."""
    with application(root, pictures, include) as app, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(app, root, port))


async def _serve(app: web.Application, root: Path, port: int) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            raise UsageError(f"--port {port}: {error.strerror}.") from None
        print(f"{root}: http://127.0.0.1:{runner.addresses[0][1]}/ (Ctrl-C ends it)", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
