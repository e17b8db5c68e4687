"""Start a vLLM, wait until it answers, notice when it dies, stop it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import httpx
import orjson

from lmms_fast.errors import ServerError
from lmms_fast.events import Notice, Notify, ServerPhase
from lmms_fast.server import kept, leftover
from lmms_fast.server.command import LOOPBACK, Platform, command, environment, installed, write_stub
from lmms_fast.server.hints import explain, phase, tail
from lmms_fast.server.kept import KeptServer
from lmms_fast.server.spec import ServerSpec, weights_digest
from lmms_fast.server.tune import Choice, tune

_GUARD = Path(__file__).with_name("guard.py")
_NOT_SHOWN = ("VLLM_API_KEY", "PYTHONPATH", "VLLM_RPC_BASE_PATH")
_PATIENCE_S = 600.0  # without any sign of progress: a new log line, or a growing download
_DTYPE = re.compile(r"\bdtype=torch\.(\w+)")  # of the engine's configuration, which vLLM logs; no API tells it


class _Process(Protocol):
    """What a server needs of its guard's process."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    async def wait(self) -> int: ...


class Server:
    """A vLLM of ours. Use as an async context manager; leaving it stops the server unless it is to be kept."""

    def __init__(
        self, process: _Process, lifeline: int | None, *, port: int, api_key: str, names: Sequence[str],
        argv: Sequence[str], log_path: Path, notify: Notify, facts: Mapping[str, Any], identity: Mapping[str, Any],
        platform: Platform, host: str = LOOPBACK,
    ) -> None:  # fmt: skip
        self._process, self._lifeline, self._notify = process, lifeline, notify
        self._names, self._port, self._identity = tuple(names), port, dict(identity)
        self._started = time.monotonic()
        self._was_ready = False
        self._only_works = "--headless" in argv  # and never answers
        self.base_url = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
        self.api_key = api_key
        self.served_name = names[0]
        self.command = tuple(argv)
        self.log_path = log_path
        self.platform = platform
        self.facts: dict[str, Any] = dict(facts)

    async def ready(self) -> None:
        """Wait until the server answers to our own model name. Raises ServerError with the cause if it will not."""
        progress, seen = time.monotonic(), (0, 0)
        async with httpx.AsyncClient(timeout=5) as client:
            while not await self._answers(client):
                if self._process.returncode is not None:
                    raise self._death("did not start")
                if (now := (self._log_size(), _download_size())) != seen:
                    progress, seen = time.monotonic(), now
                if time.monotonic() - progress > _PATIENCE_S:
                    raise self._death(f"showed no progress for {_PATIENCE_S:.0f} s")
                self._tell(phase(self.log()))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), 0.5)
        self._was_ready = True
        if dtype := _DTYPE.search(self.log()):
            self.facts["dtype"] = dtype[1]
        self._tell("reused" if self.facts.get("reused") else "ready")

    def keep(self) -> None:
        """Leave it running for later runs; only a server that is ready is worth it. Raises StorageError."""
        if self._lifeline is None:
            return
        started = kept.start_ticks(self._process.pid) or 0
        kept.register(KeptServer(self._identity, self._names, self._port, self._process.pid, started,
                                 str(self.log_path.resolve()), self.command, self.facts))  # fmt: skip
        os.write(self._lifeline, b"k")
        os.close(self._lifeline)
        self._lifeline = None

    async def died(self) -> ServerError:
        """Wait for an end that nobody asked for. vLLM exits with 0 when its engine dies, so the code says nothing."""
        await self._process.wait()
        await asyncio.to_thread(leftover.end, self._names[-1])
        return self._death("died" if self._was_ready or self._only_works else "did not start")

    async def stop(self) -> None:
        """End the server and everything below it, if it is this run's own; harmless when it has ended."""
        if self._lifeline is None:
            return
        os.close(self._lifeline)
        self._lifeline = None
        await self._process.wait()
        await asyncio.to_thread(leftover.end, self._names[-1])

    async def answers(self) -> bool:
        """Whether it answers now, to our own model name."""
        async with httpx.AsyncClient(timeout=5) as client:
            return await self._answers(client)

    async def _answers(self, client: httpx.AsyncClient) -> bool:
        headers = {"Authorization": f"Bearer {self.api_key}"}
        try:
            answer = await client.get(f"{self.base_url}/models", headers=headers)
            models = {item["id"]: item for item in answer.json()["data"]}
        except (httpx.HTTPError, ValueError, KeyError):
            return False
        # Two servers can share a port without noticing (SO_REUSEPORT); the unique name tells ours.
        if self._names[-1] not in models:
            return False
        self.facts["max_model_len"] = models[self._names[-1]].get("max_model_len")
        return True

    def _death(self, what: str) -> ServerError:
        log = self.log()
        return ServerError(
            f"vLLM {what} (exit code {self._process.returncode}).{explain(log)} Its log: {self.log_path}; it ends:\n"
            f"{tail(log)}"
        )

    def _tell(self, phase: str) -> None:
        last = tail(self.log(), 1)
        self._notify(ServerPhase(phase, last, time.monotonic() - self._started))

    def log(self) -> str:
        """The end of its log."""
        return end_of(self.log_path)

    def _log_size(self) -> int:
        return self.log_path.stat().st_size

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class Elsewhere:
    """A process that is not our child, such as a kept server's guard: its end can be seen, its exit code not."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._handle = os.pidfd_open(pid)

    async def wait(self) -> int:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._handle, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._handle)
        self.returncode = 0
        return 0


async def launch(
    spec: ServerSpec, *, log_path: Path, notify: Notify, requests: int | None = None, repeats: int = 1
) -> Server:
    """A server for `spec`: a kept one that answers, or a new one. Returns at once; `Server.ready` waits for it.

    `requests` is how many will be made, `repeats` how many of each sample; a new server is set up for them. Raises
    ServerError when vLLM is not installed.
    """
    platform, version = installed()
    identity = {"spec": [getattr(spec, name) for name in spec.__dataclass_fields__], "vllm": version,
                "weights": weights_digest(spec.model)}  # fmt: skip
    identity = orjson.loads(orjson.dumps(identity))
    for candidate in kept.running():
        if candidate.identity == identity and (server := await _adopt(candidate, platform, notify)):
            return server
    return await start(spec, choices(spec, requests, repeats), log_path, notify, identity=identity)


def choices(spec: ServerSpec, requests: int | None, repeats: int) -> tuple[Choice, ...]:
    """What a new server is told beside `spec`, on this machine. Raises ServerError when vLLM is not installed."""
    return tune(spec, installed()[0], cores=len(os.sched_getaffinity(0)), memory_bytes=_memory_bytes(),
                requests=requests, repeats=repeats)  # fmt: skip


async def _adopt(candidate: KeptServer, platform: Platform, notify: Notify) -> Server | None:
    """A kept server, if it answers."""
    api_key = candidate.api_key()
    if api_key is None:
        return None
    try:
        process = Elsewhere(candidate.pid)
    except OSError:
        return None
    server = Server(process, None, port=candidate.port, api_key=api_key, names=candidate.names,
                    argv=candidate.command, log_path=Path(candidate.log_path), notify=notify,
                    facts={**candidate.facts, "reused": True}, identity=candidate.identity,
                    platform=platform)  # fmt: skip
    return server if await server.answers() else None


async def start(
    spec: ServerSpec, choices: Sequence[Choice], log_path: Path, notify: Notify, *, host: str = LOOPBACK,
    identity: Mapping[str, Any] | None = None,
) -> Server:  # fmt: skip
    """A new server, bound to `host`. Without an `identity` it cannot be kept. Raises ServerError when vLLM is not
    installed."""
    platform, version = installed()
    port = free_port(host)
    # The model's own name for people, a unique one to recognise our server by.
    names = (_short_name(spec.model), f"lmms-fast-{secrets.token_hex(6)}")
    api_key = secrets.token_urlsafe(32)
    argv = command(spec, port=port, names=names, platform=platform, host=host,
                   chosen=[(one.flag, one.value) for one in choices])  # fmt: skip
    if choices:
        said = ", ".join(f"{one.flag} {one.value} ({one.why})" for one in choices)
        notify(Notice(f"Set on vLLM, unless given after `--`: {said}."))
    extra = environment(
        spec, platform=platform, api_key=api_key, cores=sorted(os.sched_getaffinity(0)), memory_bytes=_memory_bytes()
    )
    if platform == "cpu":
        stub = Path(tempfile.gettempdir()) / f"lmms-fast-{os.getuid()}" / "vllm-stub"
        write_stub(stub, version)
        extra["PYTHONPATH"] = os.pathsep.join(filter(None, [str(stub), os.environ.get("PYTHONPATH")]))
    leftover.scratch(names[-1]).mkdir(mode=0o700)
    extra |= leftover.marked(names[-1])
    read_end, write_end = os.pipe()
    try:
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", str(_GUARD), str(read_end), *argv,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **extra},
                pass_fds=(read_end,), start_new_session=True,
            )  # fmt: skip
    finally:
        os.close(read_end)
    shown = {name: value for name, value in extra.items() if name not in _NOT_SHOWN}
    facts = {"vllm": version, "platform": platform, "model": spec.model, "environment": shown,
             "chosen": [asdict(one) for one in choices]}  # fmt: skip
    return Server(process, write_end, port=port, api_key=api_key, names=names, argv=argv, log_path=log_path,
                  notify=notify, facts=facts, identity=identity or {}, platform=platform, host=host)  # fmt: skip


def end_of(log_path: Path) -> str:
    """The end of a log, which may not be there yet."""
    with contextlib.suppress(FileNotFoundError), log_path.open("rb") as file:
        file.seek(max(0, log_path.stat().st_size - 65536))
        return file.read().decode("utf-8", "replace")
    return ""


def _short_name(model: str) -> str:
    return Path(model).resolve().name if Path(model).is_dir() else model


def free_port(host: str) -> int:
    """One that nobody has there at the moment."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _download_size() -> int:
    """Bytes of unfinished downloads in the hub's cache."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")) / "hub"
    return sum(path.stat().st_size for path in home.glob("models--*/blobs/*.incomplete"))
