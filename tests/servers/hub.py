"""A real HTTP server that speaks what `huggingface_hub` asks of the hub, over datasets in a folder."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.servers.thread import served


@dataclass
class Hub:
    """Datasets in ``folder/OWNER/NAME``; each has one commit, which follows from its files' names and contents."""

    folder: Path
    url: str = ""
    gated: set[str] = field(default_factory=set)
    fetched: list[str] = field(default_factory=list)
    """Requests for files: ``OWNER/NAME/PATH``, with the range that was asked for."""
    cut_after: dict[str, int] = field(default_factory=dict)
    """Files whose transfers break off after so many bytes; at once where the rest is asked for."""
    lies: set[str] = field(default_factory=set)
    """Files whose bytes are not those that the listing tells, the size apart."""

    def files(self, name: str) -> dict[str, bytes]:
        """Of a dataset, by path."""
        root = self.folder / name
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*"))
                if path.is_file()}  # fmt: skip

    def commit(self, name: str) -> str:
        """40 hex digits."""
        content = "".join(f"{path}{hashlib.sha256(data).hexdigest()}" for path, data in self.files(name).items())
        return hashlib.sha1(content.encode()).hexdigest()

    def _refusal(self, request: web.Request) -> web.Response | None:
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        if name in self.gated:
            return web.json_response({"error": "gated"}, status=403, headers={"X-Error-Code": "GatedRepo"})
        if not (self.folder / name).is_dir():
            return web.json_response({"error": "not found"}, status=404, headers={"X-Error-Code": "RepoNotFound"})
        revision = request.match_info.get("revision", "main")
        if revision not in ("main", self.commit(name)):
            return web.json_response({"error": "?"}, status=404, headers={"X-Error-Code": "RevisionNotFound"})
        return None

    async def info(self, request: web.Request) -> web.Response:
        """The dataset, with its files."""
        if refusal := self._refusal(request):
            return refusal
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        return web.json_response({
            "id": name, "sha": self.commit(name), "private": False, "gated": False, "disabled": False, "tags": [],
            "downloads": 0, "likes": 0,
            "siblings": [{"rfilename": path, "size": len(data), "blobId": hashlib.sha1(data).hexdigest(),
                          **({"lfs": self._lfs(data, "sha256")} if _is_large(path) else {})}
                         for path, data in self.files(name).items()],
        })  # fmt: skip

    async def tree(self, request: web.Request) -> web.Response:
        """What is in a folder, or below it."""
        if refusal := self._refusal(request):
            return refusal
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        below = request.match_info.get("path", "").strip("/")
        prefix = f"{below}/" if below else ""
        entries = {path: self._entry(path, data) for path, data in self.files(name).items() if path.startswith(prefix)}
        if below and not entries:
            return web.json_response({"error": "?"}, status=404, headers={"X-Error-Code": "EntryNotFound"})
        if request.query.get("recursive", "").lower() != "true":
            inside = {prefix + path.removeprefix(prefix).partition("/")[0] for path in entries}
            entries = {path: entries.get(path) or {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
                       for path in sorted(inside)}  # fmt: skip
        return web.json_response([*entries.values()])

    async def paths(self, request: web.Request) -> web.Response:
        """What is known of the paths that are named."""
        if refusal := self._refusal(request):
            return refusal
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        form = await request.post() if "form" in request.content_type else await request.json()
        asked = form["paths"] if isinstance(form, dict) else form.getall("paths")
        files = self.files(name)
        found = [self._entry(str(path), files[str(path)]) for path in asked if path in files]
        found += [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in asked
                  if any(file.startswith(f"{path}/") for file in files)]  # fmt: skip
        return web.json_response(found)

    def _entry(self, path: str, data: bytes) -> dict[str, Any]:
        large = {"lfs": self._lfs(data, "oid")} if _is_large(path) else {}
        return {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest(), **large}

    @staticmethod
    def _lfs(data: bytes, key: str) -> dict[str, Any]:
        return {key: hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file, or the part of it that is asked for."""
        if refusal := self._refusal(request):
            return refusal
        name, path = f"{request.match_info['owner']}/{request.match_info['name']}", request.match_info["path"]
        data = self.files(name).get(path)
        if data is None:
            return web.Response(status=404, headers={"X-Error-Code": "EntryNotFound"})
        etag = hashlib.sha256(data).hexdigest() if _is_large(path) else hashlib.sha1(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": self.commit(name), "Accept-Ranges": "bytes"}
        if request.method == "HEAD":
            return web.Response(headers={**headers, "Content-Length": str(len(data))})
        asked = request.headers.get("Range", "")
        self.fetched.append(f"{name}/{path} {asked}".strip())
        if path in self.lies:
            data = bytes(255 - byte for byte in data)
        start = int(asked.removeprefix("bytes=").partition("-")[0] or 0) if asked else 0
        if asked:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        answer = web.StreamResponse(status=206 if asked else 200,
                                    headers={**headers, "Content-Length": str(len(data) - start)})  # fmt: skip
        await answer.prepare(request)
        limit = 0 if start and path in self.cut_after else self.cut_after.get(path)
        await answer.write(data[start:] if limit is None else data[start : start + limit])
        if limit is not None and request.transport is not None:
            await asyncio.sleep(0.2)  # or the client never sees what was written
            request.transport.abort()
        return answer


def _is_large(path: str) -> bool:
    """Whether the hub keeps it in its large-file store."""
    return path.endswith((".parquet", ".pdf"))


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    """The server on loopback."""
    hub = Hub(folder)
    app = web.Application()
    for path, handler in (
        ("/api/datasets/{owner}/{name}", hub.info),
        ("/api/datasets/{owner}/{name}/revision/{revision}", hub.info),
        ("/api/datasets/{owner}/{name}/tree/{revision}", hub.tree),
        ("/api/datasets/{owner}/{name}/tree/{revision}/{path:.+}", hub.tree),
        ("/datasets/{owner}/{name}/resolve/{revision}/{path:.+}", hub.file),
    ):
        app.router.add_get(path, handler)
    app.router.add_post("/api/datasets/{owner}/{name}/paths-info/{revision}", hub.paths)
    with served(app) as hub.url:
        yield hub
