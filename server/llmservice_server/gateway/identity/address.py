"""Whose address a request comes from, behind the proxies that are trusted to say it.

X-Forwarded-For is read from its end, where the nearest proxy wrote: the first address that is no
trusted proxy's is the client's, and whatever a client wrote itself stands before that. Without
trusted proxies the header is not even looked for.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from llmservice_server.gateway.asgi import Scope

_HEADER = b"x-forwarded-for"
_HOPS = 32  # from the end; more proxies than these stand before nobody
_CUSTOMER = 64  # bits; who has the 2^64 addresses below is one
_LONGEST = 64  # characters of an address
_NOBODY = "unknown"  # of a socket without an address


class Addresses:
    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = tuple(ip_network(proxy, strict=False) for proxy in trusted)
        self._known = lru_cache(4096)(self._look)

    def of(self, scope: Scope) -> str:
        """The client's; an IPv4 one as such, however the socket says it."""
        client = scope.get("client")
        name, trusted = self._known(client[0] if client else "")
        if not trusted:
            return name
        told = [value for header, value in scope["headers"] if header == _HEADER]
        for hop in reversed(b",".join(told).split(b",")[-_HOPS:]):
            text = hop.strip().decode("latin-1")
            if not 0 < len(text) <= _LONGEST:
                break
            further, trusted = self._known(text)
            if further == _NOBODY:
                break  # no address: what stands before it is worth no more
            name = further
            if not trusted:
                break
        return name

    def _look(self, text: str) -> tuple[str, bool]:
        """How the address is called, and whether it is a trusted proxy's."""
        address = _address(text)
        if address is None:
            return _NOBODY, False
        trusted = any(
            address.version == network.version and address in network for network in self._trusted
        )
        return str(address), trusted


@lru_cache(4096)
def network(address: str) -> str:
    """What of an address is one customer's: all of an IPv4 one, the first half of an IPv6 one."""
    found = _address(address)
    if not isinstance(found, IPv6Address):
        return str(found or address)
    return str(IPv6Network((int(found), _CUSTOMER), strict=False))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Also one with a port; None of what is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
