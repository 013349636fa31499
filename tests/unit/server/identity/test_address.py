"""Whose address a request comes from."""

import pytest
from llmservice_server.gateway.identity.address import Addresses, network

from tests.unit.server.layer import Exchange

_TRUSTED = ("10.0.0.0/8", "fd00::/8", "192.0.2.7/32")


def _of(addresses: Addresses, client: str, *forwarded: str) -> str:
    exchange = Exchange()
    exchange.scope["client"] = (client, 1) if client else None
    exchange.scope["headers"] += [
        (b"x-forwarded-for", text.encode("latin-1")) for text in forwarded
    ]
    return addresses.of(exchange.scope)


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        ("198.51.100.1", ("203.0.113.9",), "198.51.100.1"),  # no proxy of ours
        ("10.1.2.3", (), "10.1.2.3"),
        ("10.1.2.3", ("203.0.113.9",), "203.0.113.9"),
        ("::ffff:10.1.2.3", ("203.0.113.9",), "203.0.113.9"),
        ("10.1.2.3", ("6.6.6.6, 203.0.113.9",), "203.0.113.9"),  # what the client wrote itself
        ("10.1.2.3", ("6.6.6.6", "203.0.113.9"), "203.0.113.9"),
        ("10.1.2.3", ("203.0.113.9, 10.9.9.9, 192.0.2.7",), "203.0.113.9"),
        ("10.1.2.3", ("10.4.4.4, 10.9.9.9",), "10.4.4.4"),
        ("10.1.2.3", ("203.0.113.9:4711",), "203.0.113.9"),
        ("10.1.2.3", ("[2001:db8:1:2::3]:80",), "2001:db8:1:2::3"),
        ("fd00::1", ("2001:DB8:1:2:3:4:5:6",), "2001:db8:1:2:3:4:5:6"),
        ("10.1.2.3", ("203.0.113.9, nonsense",), "10.1.2.3"),
        ("10.1.2.3", ("203.0.113.9, \xff\r\n",), "10.1.2.3"),
        ("10.1.2.3", ("203.0.113.9, " + "9" * 5000,), "10.1.2.3"),
        ("10.1.2.3", (",".join(["10.4.4.4"] * 10_000),), "10.4.4.4"),
        ("10.1.2.3", ("",), "10.1.2.3"),
        ("", ("203.0.113.9",), "unknown"),
        ("2001:db8::1", (), "2001:db8::1"),
        ("::1", (), "::1"),
    ],
)
def test_the_first_from_behind_that_is_no_proxy_of_ours(
    client: str, forwarded: tuple[str, ...], address: str
) -> None:
    assert _of(Addresses(_TRUSTED), client, *forwarded) == address


def test_without_trusted_proxies_nobody_is_believed() -> None:
    for client in ("10.1.2.3", "127.0.0.1"):
        assert _of(Addresses(()), client, "203.0.113.9") == client


def test_of_an_ipv6_address_the_first_half_is_whose_it_is() -> None:
    assert (
        network("2001:db8:1:2::3") == network("2001:db8:1:2:ffff::") != network("2001:db8:1:3::3")
    )
    assert network("203.0.113.9") == "203.0.113.9"
    assert network("unknown") == "unknown"
