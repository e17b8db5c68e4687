"""Media that a dataset names by address: fetched where the user allowed it, from public addresses only."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx

from lmms_fast.media.encode import BadMedia

Address = IPv4Address | IPv6Address
_REDIRECTS = 3
_PORT_MAX = 65535
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether it belongs to the public internet. An IPv4 address inside an IPv6 one counts as itself."""
    if isinstance(address, IPv6Address):
        inside = IPv4Address(address.packed[-4:]) if address in _NAT64 else address.ipv4_mapped or address.sixtofour
        address = inside or address
    return address.is_global and not address.is_multicast


@dataclass(frozen=True, slots=True)
class Remote:
    """A medium on the network, as a source of `types.Media`."""

    url: str
    allowed: Callable[[Address], bool] = is_public

    def read_bytes(self) -> bytes:
        """As `fetch`."""
        return fetch(self.url, allowed=self.allowed)


def fetch(
    url: str, *, max_bytes: int = 64 << 20, timeout_s: float = 30.0, allowed: Callable[[Address], bool] = is_public
) -> bytes:
    """What an http(s) address holds, undecoded. Raises BadMedia with one sentence.

    Blocks its thread, which must have no event loop. Proxies and credentials of the environment are not used.
    """
    try:
        return asyncio.run(_follow(httpx.URL(url), max_bytes, timeout_s, allowed))
    except TimeoutError:
        why = f"no complete answer within {timeout_s:g} s"
    except (BadMedia, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        why = str(error) or type(error).__name__
    raise BadMedia(f"{url[:200]!r} was not fetched: {why}")


async def _follow(url: httpx.URL, max_bytes: int, timeout_s: float, allowed: Callable[[Address], bool]) -> bytes:
    async with asyncio.timeout(timeout_s):
        for _ in range(1 + _REDIRECTS):
            if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > _PORT_MAX:
                raise BadMedia(f"{str(url)[:200]!r} is not an http or https address")
            found = await _ask(url, await _resolve(url, allowed), max_bytes)
            if isinstance(found, bytes):
                return found
            url = found
    raise BadMedia(f"more than {_REDIRECTS} redirects")


async def _resolve(url: httpx.URL, allowed: Callable[[Address], bool]) -> list[str]:
    """The addresses of a host, every one of them allowed."""
    host = url.raw_host.decode("ascii")
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not allowed(ip_address(address)):
            raise BadMedia(f"{host} is at {address}, which is not an address of the public internet")
    return addresses


async def _ask(url: httpx.URL, addresses: list[str], max_bytes: int) -> bytes | httpx.URL:
    """The content, or where it has moved to."""
    headers = {"Host": url.netloc.decode("ascii"), "User-Agent": "lmms-fast", "Accept-Encoding": "identity"}
    host, why = url.raw_host.decode("ascii"), "no address"
    async with httpx.AsyncClient(verify=_tls(), trust_env=False, timeout=None) as client:
        for address in addresses:
            # To the address that was checked: looking the name up again could give another. TLS is told the name.
            there = url.copy_with(host=address)
            try:
                async with client.stream("GET", there, headers=headers, extensions={"sni_hostname": host}) as answer:
                    if answer.has_redirect_location:
                        return url.join(answer.headers["Location"])
                    if answer.status_code != httpx.codes.OK:
                        raise BadMedia(f"HTTP {answer.status_code}")
                    return await _read(answer, max_bytes)
            except httpx.ConnectError as error:
                why = str(error)
    raise BadMedia(f"{host} does not accept a connection ({why})")


async def _read(answer: httpx.Response, max_bytes: int) -> bytes:
    content = bytearray()
    async for chunk in answer.aiter_raw():  # raw: nothing is unpacked, so a small answer cannot become a large one
        content += chunk
        if len(content) > max_bytes:
            raise BadMedia(f"more than {max_bytes:,} bytes")
    return bytes(content)


@functools.cache
def _tls() -> ssl.SSLContext:
    """Made once: reading the certificates takes longer than a small picture."""
    return httpx.create_ssl_context()
