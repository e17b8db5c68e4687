"""Media named by address: nothing from inside the network, nothing endless, no credentials."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from lmms_fast.media import fetch as fetching
from lmms_fast.media.encode import BadMedia
from lmms_fast.media.fetch import Address, fetch, is_public
from tests.servers.plain import Plain, plain

PICTURE = b"\x89PNG any bytes will do"


def anywhere(_: Address) -> bool:
    """Allows loopback, where the tests' servers are."""
    return True


@pytest.fixture
def server() -> Iterator[Plain]:
    """One that has a picture at every path."""
    with plain(lambda path: (200, {}, PICTURE)) as running:
        yield running


def test_what_is_there_arrives_without_credentials(server: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes as they are; proxies and keys of the environment stay out of it."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("LMMS_FAST_API_KEY", "sk-secret-of-the-user")
    assert fetch(f"{server.url}/a/b.png?c=d", allowed=anywhere) == PICTURE
    [(path, headers)] = server.asked
    assert path == "/a/b.png?c=d"
    assert headers["host"] == server.url.removeprefix("http://")
    assert "authorization" not in headers
    assert "sk-secret" not in str(headers)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]",
             "[::]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "169.254.169.254", "10.0.0.1", "192.168.1.1", "100.64.0.1",
             "224.0.0.1", "[fd00::1]", "[fe80::1]", "[ff02::1]"],
)  # fmt: skip
def test_no_address_inside_the_network(server: Plain, host: str) -> None:
    """However loopback, the cloud's metadata or the local network is spelt, no connection is made."""
    port = server.url.rpartition(":")[2]
    with pytest.raises(BadMedia, match="not an address of the public internet"):
        fetch(f"http://{host}:{port}/", timeout_s=2)
    assert server.asked == []


def test_public_addresses() -> None:
    """Ordinary ones of both kinds, and those that a network without IPv4 uses for them."""
    for address in ("8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"):
        assert is_public(ip_address(address))


def test_every_address_of_a_name_must_be_public(server: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with one public address and one of the local network is refused."""
    _names(monkeypatch, {"pictures.example": ["8.8.8.8", "127.0.0.1"]})
    with pytest.raises(BadMedia, match=r"pictures\.example is at 127\.0\.0\.1, which is not"):
        fetch("http://pictures.example/")


def test_the_address_that_was_checked_is_the_one_connected_to(server: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that answers otherwise the second time is not asked a second time; the host still sees its name."""
    looked_up = _names(monkeypatch, {"pictures.example": ["127.0.0.1"]})
    port = server.url.rpartition(":")[2]
    assert fetch(f"http://pictures.example:{port}/x", allowed=anywhere) == PICTURE
    assert looked_up == ["pictures.example"]
    assert server.asked[0][1]["host"] == f"pictures.example:{port}"


def _names(monkeypatch: pytest.MonkeyPatch, known: dict[str, list[str]]) -> list[str]:
    """A name server of our own; what it was asked."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, port: Any, *args: Any, **options: Any) -> Any:
        if host not in known:
            return real(host, port, *args, **options)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_every_redirect_is_checked(server: Plain) -> None:
    """From a host that may be asked to one that may not: the second is not connected to."""
    with plain(lambda path: (302, {"Location": server.url}, b""), host="127.0.0.2") as first:
        assert fetch(first.url, allowed=anywhere) == PICTURE
        server.asked.clear()
        with pytest.raises(BadMedia, match=r"127\.0\.0\.1, which is not"):
            fetch(first.url, allowed=lambda address: str(address) == "127.0.0.2")
    assert server.asked == []


def test_redirects_end(server: Plain) -> None:
    """Three are followed, relative ones too; not a fourth, and none to another kind of address."""
    server.reply = lambda path: (302, {"Location": f"{path}x"}, b"") if len(path) < 5 else (200, {}, PICTURE)
    assert fetch(f"{server.url}/x", allowed=anywhere) == PICTURE
    server.reply = lambda path: (302, {"Location": f"{path}x"}, b"")
    with pytest.raises(BadMedia, match="more than 3 redirects"):
        fetch(f"{server.url}/x", allowed=anywhere)
    server.reply = lambda path: (302, {"Location": "file:///etc/passwd"}, b"")
    with pytest.raises(BadMedia, match="not an http or https address"):
        fetch(f"{server.url}/x", allowed=anywhere)


def test_size_is_limited(server: Plain) -> None:
    """Also where the answer does not say how long it is, and a small one does not unfold."""
    server.reply = lambda path: (200, {}, b"x" * 3000)
    assert len(fetch(server.url, max_bytes=3000, allowed=anywhere)) == 3000
    with pytest.raises(BadMedia, match="more than 2,999 bytes"):
        fetch(server.url, max_bytes=2999, allowed=anywhere)
    server.reply = lambda path: (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b not unpacked")
    assert fetch(server.url, allowed=anywhere) == b"\x1f\x8b not unpacked"


def test_time_is_limited_in_all() -> None:
    """A server that sends a byte now and then keeps every single wait short; the sum counts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                while not ended.wait(0.02):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        started = time.monotonic()
        with pytest.raises(BadMedia, match=r"no complete answer within 0\.2 s"):
            fetch(f"http://127.0.0.1:{listening.getsockname()[1]}/", timeout_s=0.2, allowed=anywhere)
        assert time.monotonic() - started < 2
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("url", "says"),
    [("ftp://127.0.0.1/x", "not an http or https"), ("http://", "not an http or https"), ("http://[::1", "fetched"),
     ("http://\x00", "fetched"), ("http://a b/", "fetched"), ("http://127.0.0.1:9/", "does not accept a connection"),
     ("http://127.0.0.1:99999/", "fetched"), (f"http://{'a' * 300}/", "fetched"), ("http://ä..ö/", "fetched")],
)  # fmt: skip
def test_one_sentence_for_every_failure(url: str, says: str) -> None:
    """Never another exception."""
    with pytest.raises(BadMedia, match=says):
        fetch(url, timeout_s=2, allowed=anywhere)


def test_other_statuses_are_failures(server: Plain) -> None:
    """A page that says 404 is no picture."""
    server.reply = lambda path: (404, {}, b"<html>")
    with pytest.raises(BadMedia, match="HTTP 404"):
        fetch(server.url, allowed=anywhere)


def test_a_certificate_is_checked_against_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Though the connection goes to an address; one made out for another name is refused."""
    crypto = pytest.importorskip("cryptography.x509", reason="makes the certificate")
    _names(monkeypatch, {"pictures.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    certificate = _certificate(crypto, tmp_path, "pictures.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    fetching._tls.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    try:
        with plain(lambda path: (200, {}, PICTURE), context) as server:
            port = server.url.rpartition(":")[2]
            assert fetch(f"https://pictures.example:{port}/", allowed=anywhere) == PICTURE
            with pytest.raises(BadMedia, match=r"(?i)certificate"):
                fetch(f"https://other.example:{port}/", allowed=anywhere)
    finally:
        fetching._tls.cache_clear()


def _certificate(x509: Any, folder: Path, name: str) -> Path:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    path = folder / "certificate.pem"
    encoding = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(encoding)
    )
    return path
