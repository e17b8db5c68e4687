"""A real HTTP server that says whatever it is told to, for what the stand-in is too well-behaved for."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Reply = tuple[int, Mapping[str, str], bytes]


@dataclass
class Plain:
    """Replies by `reply(path)`; keeps what it was asked."""

    url: str
    reply: Callable[[str], Reply]
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    """Paths and headers, these by their names in small letters."""


@contextlib.contextmanager
def plain(
    reply: Callable[[str], Reply], tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Plain]:
    """A running server on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            status, headers, body = server.reply(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # a client that has had enough
                self.wfile.write(body)

        do_POST = do_CONNECT = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer((host, 0), Handler) as http:
        if tls is not None:
            http.socket = tls.wrap_socket(http.socket, server_side=True)
        server = Plain(f"http{'s' if tls else ''}://{host}:{http.server_address[1]}", reply)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
