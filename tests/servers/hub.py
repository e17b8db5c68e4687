"""A real HTTP server that speaks what `huggingface_hub` asks of the hub, over datasets in a folder. What is pushed is
written there; models are in the folder's `models`."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
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

    token: str | None = None
    """Without which nothing is written."""
    created: dict[str, bool] = field(default_factory=dict)
    """Repositories that were made, and whether they are private."""
    commits: list[dict[str, Any]] = field(default_factory=list)
    """Each with repo, message, files, pull_request."""
    proposed: dict[str, bytes] = field(default_factory=dict)
    """Files of pull requests: ``OWNER/NAME/PATH``."""
    stored: dict[str, bytes] = field(default_factory=dict)
    """Large files by their hash, once uploaded."""

    def files(self, name: str) -> dict[str, bytes]:
        """Of a dataset, by path."""
        root = self.folder / name
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*"))
                if path.is_file()}  # fmt: skip

    def commit(self, name: str) -> str:
        """40 hex digits."""
        content = "".join(f"{path}{hashlib.sha256(data).hexdigest()}" for path, data in self.files(name).items())
        return hashlib.sha1(content.encode()).hexdigest()

    @staticmethod
    def _repo(request: web.Request) -> str:
        """Its folder below `folder`."""
        kind = "" if "/datasets/" in request.path else "models/"
        return f"{kind}{request.match_info['owner']}/{request.match_info['name']}"

    def _barred(self, request: web.Request) -> web.Response | None:
        if self.token is None or request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "Invalid username or password."}, status=401)
        return None

    async def create(self, request: web.Request) -> web.Response:
        """A repository, unless it is there."""
        if refusal := self._barred(request):
            return refusal
        asked = await request.json()
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        url = f"{self.url}/datasets/{name}"
        if (self.folder / name).is_dir():
            return web.json_response({"error": "You already created this dataset repo", "url": url}, status=409)
        (self.folder / name).mkdir(parents=True)
        self.created[name] = bool(asked.get("private")) or asked.get("visibility") == "private"
        return web.json_response({"url": url, "name": name})

    async def validate(self, request: web.Request) -> web.Response:
        """A card's YAML."""
        asked = await request.json()
        if not asked["content"].startswith("---\n"):
            return web.json_response({"errors": [{"message": "no metadata"}]}, status=400)
        return web.json_response({"errors": [], "warnings": []})

    async def preupload(self, request: web.Request) -> web.Response:
        """How each file is to come: Parquet by the large-file store."""
        if refusal := self._barred(request):
            return refusal
        asked = (await request.json())["files"]
        return web.json_response({"files": [
            {"path": one["path"], "uploadMode": "lfs" if _is_large(one["path"]) else "regular", "shouldIgnore": False}
            for one in asked
        ]})  # fmt: skip

    async def batch(self, request: web.Request) -> web.Response:
        """Where large files are to be put."""
        if refusal := self._barred(request):
            return refusal
        asked = (await request.json())["objects"]
        return web.json_response({"transfer": "basic", "objects": [
            {**one, "actions": {"upload": {"href": f"{self.url}/store/{one['oid']}"}}} for one in asked
        ]})  # fmt: skip

    async def store(self, request: web.Request) -> web.Response:
        """A large file; what it says it is, it is."""
        data = await request.read()
        if hashlib.sha256(data).hexdigest() != request.match_info["oid"]:
            return web.Response(status=400)
        self.stored[request.match_info["oid"]] = data
        return web.Response()

    async def change(self, request: web.Request) -> web.Response:
        """A commit, or a pull request."""
        if refusal := self._barred(request):
            return refusal
        name, proposal = self._repo(request), request.query.get("create_pr") == "1"
        lines = [json.loads(line) for line in (await request.text()).splitlines()]
        files: dict[str, bytes] = {}
        for line in lines[1:]:
            one = line["value"]
            large = line["key"] == "lfsFile"
            files[one["path"]] = self.stored[one["oid"]] if large else base64.b64decode(one["content"])
        self.commits.append({"repo": name, "message": lines[0]["value"]["summary"], "files": sorted(files),
                             "pull_request": proposal})  # fmt: skip
        for path, data in files.items():
            if proposal:
                self.proposed[f"{name}/{path}"] = data
            else:
                place = self.folder / name / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
        return web.json_response({"commitUrl": f"{self.url}/{name}/commit/{'1' * 40}", "commitOid": "1" * 40,
                                  "pullRequestUrl": f"{self.url}/{name}/discussions/1" if proposal else None,
                                  "success": True})  # fmt: skip

    def _refusal(self, request: web.Request) -> web.Response | None:
        name = self._repo(request)
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
        name = self._repo(request)
        return web.json_response({
            "id": name, "sha": self.commit(name), "private": self.created.get(name, False), "gated": False,
            "disabled": False, "tags": [], "downloads": 0, "likes": 0,
            "siblings": [{"rfilename": path, "size": len(data), "blobId": hashlib.sha1(data).hexdigest(),
                          **({"lfs": self._lfs(data, "sha256")} if _is_large(path) else {})}
                         for path, data in self.files(name).items()],
        })  # fmt: skip

    async def tree(self, request: web.Request) -> web.Response:
        """What is in a folder, or below it."""
        if refusal := self._refusal(request):
            return refusal
        name = self._repo(request)
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
        name = self._repo(request)
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
        name, path = self._repo(request), request.match_info["path"]
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
        ("/api/models/{owner}/{name}", hub.info),
        ("/{owner}/{name}/resolve/{revision}/{path:.+}", hub.file),
    ):
        app.router.add_get(path, handler)
    for path, handler in (
        ("/api/repos/create", hub.create),
        ("/api/validate-yaml", hub.validate),
        ("/api/{kind:datasets|models}/{owner}/{name}/preupload/{revision}", hub.preupload),
        ("/api/{kind:datasets|models}/{owner}/{name}/commit/{revision}", hub.change),
        ("/datasets/{owner}/{name}.git/info/lfs/objects/batch", hub.batch),
    ):
        app.router.add_post(path, handler)
    app.router.add_put("/store/{oid}", hub.store)
    app.router.add_post("/api/datasets/{owner}/{name}/paths-info/{revision}", hub.paths)
    with served(app) as hub.url:
        yield hub
