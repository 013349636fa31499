"""How an upstream is reached: its addresses, the proxy that the environment names, and TLS.

Promises: who answers for an https address has proved its name; of several addresses one that does
not answer costs a quarter of a second; a name is looked up every ten seconds at most, once for all
who wait for it.
"""

import asyncio
import base64
import functools
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

from llmservice_server.engines.failures import EngineConfigError
from llmservice_server.engines.proxy.connection import Answer, BrokenError, Connection

_STAGGER = 0.25  # seconds until another address is tried beside one that does not answer
_BELIEVED = 10.0  # seconds for which a name has the addresses that were found
_PATH = "!$&'()*+,;=:@/%~"  # what of a path is left as it is written
_PORTS = {"http": 80, "https": 443}


class UnreachableError(Exception):
    """There is no connection, and so nothing was sent. The text is for our log."""


class Dial:
    """For one address. host, target: what the head of a request names, before a path below it;
    fields: what a proxy on the way wants of each.
    """

    def __init__(self, url: str) -> None:
        far = urlsplit(url)
        near = _proxy(far) or far
        self._far, self._near = _End(far), _End(near)
        self.host = self._far.authority(always=False)
        self.target = quote(far.path.rstrip("/"), safe=_PATH)
        self.fields = self._tunnel = b""
        if near is not far and self._far.tls:
            there = self._far.authority(always=True)
            self._tunnel = f"CONNECT {there} HTTP/1.1\r\nhost: {there}\r\n".encode()
            self._tunnel += _credentials(near) + b"\r\n"
        elif near is not far:
            self.target = f"http://{self.host}{self.target}"
            self.fields = _credentials(near)

    async def open(self, make: Callable[[], Connection], seconds: float) -> Connection:
        """A connection to it.

        Raises:
            UnreachableError: none came about in so many seconds.
            BrokenError: the proxy on the way lets nothing through.
        """
        try:
            async with asyncio.timeout(seconds):
                if not self._tunnel:
                    return await self._near.open(make())
                tunnel = await self._near.open(Connection(_no_more, _no_more))
                return await self._through(tunnel, make())
        except TimeoutError:
            raise UnreachableError("no connection came about in time") from None
        except (OSError, UnicodeError) as error:
            raise UnreachableError(str(error)) from None

    async def _through(self, tunnel: Connection, made: Connection) -> Connection:
        try:
            await _let_through(tunnel.ask(self._tunnel))
            transport = await asyncio.get_running_loop().start_tls(
                tunnel.transport, made, _verifying(), server_hostname=self._far.name
            )
        except BaseException:
            tunnel.end()
            raise
        assert transport is not None  # noqa: S101  which its type would allow
        made.connection_made(transport)
        return made


class _End:
    """Of a connection, the other one: an upstream, or a proxy before it."""

    def __init__(self, parts: SplitResult) -> None:
        name = parts.hostname or ""
        self.name = name if name.isascii() else name.encode("idna").decode()
        self.tls = parts.scheme == "https"
        self._usual = _PORTS[parts.scheme]
        self._port = parts.port or self._usual
        self._since = 0.0
        self._looking: asyncio.Task[Sequence[Any]] | None = None

    def authority(self, *, always: bool) -> str:
        """With its port: always, or where that is not the usual one."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{name}:{self._port}" if always or self._port != self._usual else name

    async def open(self, made: Connection) -> Connection:
        addresses = await self._addresses()
        accepted = await start_connection(addresses, happy_eyeballs_delay=_STAGGER)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls, name = (_verifying(), self.name) if self.tls else (None, None)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: made, sock=accepted, ssl=tls, server_hostname=name)
        return made

    async def _addresses(self) -> Sequence[Any]:
        loop = asyncio.get_running_loop()
        if self._looking is None or loop.time() - self._since > _BELIEVED:
            look = loop.getaddrinfo(self.name, self._port, type=socket.SOCK_STREAM)
            self._since, self._looking = loop.time(), asyncio.ensure_future(look)
        try:
            return await asyncio.shield(self._looking)
        except (OSError, UnicodeError):
            self._looking = None
            raise


async def _let_through(answer: Answer) -> None:
    await answer.begun()
    if answer.status != 200:
        raise BrokenError(f"the proxy answers with status {answer.status}")


@functools.cache
def _verifying() -> ssl.SSLContext:
    """Made when it is first needed: it reads the certificates of all authorities."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _proxy(far: SplitResult) -> SplitResult | None:
    """What HTTPS_PROXY, HTTP_PROXY and NO_PROXY say of it.

    Raises:
        EngineConfigError: it is none that can be used.
    """
    named = None if proxy_bypass(far.hostname or "") else getproxies().get(far.scheme)
    if not named:
        return None
    near = urlsplit(named if "://" in named else f"http://{named}")
    if near.scheme not in _PORTS or not near.hostname:
        variable = f"{far.scheme.upper()}_PROXY"
        raise EngineConfigError(f"{variable}: write an http:// or https:// address")
    return near


def _credentials(near: SplitResult) -> bytes:
    """The field with the name and password that stand in a proxy's address."""
    if near.username is None:
        return b""
    pair = f"{unquote(near.username)}:{unquote(near.password or '')}".encode()
    return b"proxy-authorization: Basic " + base64.b64encode(pair) + b"\r\n"


def _no_more(_: Connection) -> None:
    """A tunnel is for one connection."""
