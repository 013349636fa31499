"""How upstreams are reached: over TLS, and through a proxy that the environment names."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from devcluster.certificates import Authority
from llmservice_server.config import UpstreamConfig
from llmservice_server.engines.failures import EngineConfigError
from llmservice_server.engines.proxy import dial
from llmservice_server.engines.proxy.connection import BrokenError
from llmservice_server.engines.proxy.dial import Dial, UnreachableError
from llmservice_server.engines.proxy.upstream import Upstream

from tests.unit.server.proxy.proxied import to

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture(autouse=True)
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """The authority that the process trusts, and no proxy that the machine has."""
    made = Authority(tmp_path / "trusted", "trusted")
    made.create()
    monkeypatch.setenv("SSL_CERT_FILE", str(made.pair.certificate))
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    dial._verifying.cache_clear()  # noqa: SLF001  it is read once in a process
    yield made
    dial._verifying.cache_clear()  # noqa: SLF001


@dataclass
class _Peer:
    port: int = 0
    heads: list[str] = field(default_factory=list[str])


@asynccontextmanager
async def _peer(
    authority: Authority | None = None, name: str = "localhost"
) -> AsyncIterator[_Peer]:
    """Answers each request; with an authority by a certificate of its that is for that name."""
    made = _Peer()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                made.heads.append(head)
                length = head.lower().partition("content-length: ")[2].partition("\r\n")[0]
                await reader.readexactly(int(length or 0))
                writer.write(_ANSWER)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    context = None
    if authority is not None:
        pair = authority.issue(f"server-{name}", "server", addresses=[name])
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate, pair.key)
    server = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


@asynccontextmanager
async def _proxy(
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n",
) -> AsyncIterator[_Peer]:
    """Opens tunnels, or refuses to."""
    made = _Peer()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(1 << 16):
                writer.write(piece)
        except OSError:
            pass
        writer.close()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        made.heads.append(head)
        writer.write(answer)
        if b" 200 " not in answer:
            writer.close()
            return
        _, port = head.split(" ")[1].rsplit(":", 1)
        there, far = await asyncio.open_connection("127.0.0.1", int(port))
        await asyncio.gather(pump(reader, far), pump(there, writer))

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


async def _ask(url: str, times: int = 1, seconds: float = 5) -> bytes:
    up = Upstream(UpstreamConfig.model_validate(to(url)), None)
    body = b""
    async with AsyncExitStack() as stack, asyncio.timeout(10):
        stack.callback(up.close)
        for _ in range(times):
            answer = await up.post("/v1/completions", b"", b"{}", seconds)
            await answer.begun()
            body = await answer.piece()
            answer.close()
    return body


async def test_an_upstream_with_a_good_certificate_is_asked(trusted: Authority) -> None:
    async with _peer(trusted) as peer:
        assert await _ask(f"https://localhost:{peer.port}/v1", times=2) == b"{}"
        assert peer.heads[0].startswith("POST /v1/completions HTTP/1.1\r\nhost: localhost:")


async def test_one_with_another_name_or_of_another_authority_hears_nothing(
    trusted: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", "trusted")
    other.create()
    for authority, name in ((trusted, "example.com"), (other, "localhost")):
        async with _peer(authority, name) as peer:
            with pytest.raises(UnreachableError, match="certificate verify failed"):
                await _ask(f"https://localhost:{peer.port}/v1")
            assert not peer.heads


async def test_one_without_tls_hears_nothing() -> None:
    async with _peer() as peer:
        with pytest.raises(UnreachableError):
            await _ask(f"https://localhost:{peer.port}/v1", seconds=0.5)
        assert not peer.heads


async def test_one_that_never_answers_the_handshake_is_not_waited_for() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    up = Upstream(UpstreamConfig.model_validate(to(f"https://localhost:{port}/v1")), None)
    async with server:
        with pytest.raises(UnreachableError, match="in time"):
            await up.post("/v1/completions", b"", b"{}", 0.2)


async def test_a_proxy_is_asked_for_the_whole_address_with_its_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with _peer() as peer:
        monkeypatch.setenv("http_proxy", f"http://us%65r:pass@127.0.0.1:{peer.port}")
        assert await _ask("http://Example.com:80/a%2fb/v1") == b"{}"
        lines = peer.heads[0].split("\r\n")
        assert lines[0] == "POST http://example.com/a%2fb/v1/completions HTTP/1.1"
        assert "host: example.com" in lines
        assert "proxy-authorization: Basic dXNlcjpwYXNz" in lines


async def test_a_tunnel_is_asked_for_once_and_the_upstream_is_verified_through_it(
    trusted: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _peer(trusted) as peer, _proxy() as proxy:
        monkeypatch.setenv("https_proxy", f"http://user:pass@127.0.0.1:{proxy.port}")
        assert await _ask(f"https://localhost:{peer.port}/v1", times=3) == b"{}"
        assert len(proxy.heads) == 1
        assert proxy.heads[0].startswith(f"CONNECT localhost:{peer.port} HTTP/1.1\r\n")
        assert "proxy-authorization: Basic dXNlcjpwYXNz\r\n" in proxy.heads[0]
        assert len(peer.heads) == 3
        assert "proxy-authorization" not in peer.heads[0]
    async with _peer(trusted, "example.com") as peer:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy.port}")
        with pytest.raises(UnreachableError):
            await _ask(f"https://localhost:{peer.port}/v1")
        assert not peer.heads


async def test_a_proxy_that_lets_nothing_through_is_no_upstream(
    trusted: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer in (b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n", b""):
        async with _peer(trusted) as peer, _proxy(answer) as proxy:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            with pytest.raises(BrokenError):
                await _ask(f"https://localhost:{peer.port}/v1")
            assert not peer.heads


async def test_what_needs_no_proxy_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _peer() as peer:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "localhost")
        assert await _ask(f"http://localhost:{peer.port}/v1") == b"{}"
        monkeypatch.delenv("no_proxy")
        with pytest.raises(UnreachableError):
            await _ask(f"http://localhost:{peer.port}/v1")


async def test_a_proxy_of_another_kind_is_named_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(EngineConfigError, match="HTTPS_PROXY"):
        Dial("https://api.openai.com/v1")


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("https://api.openai.com/v1", "api.openai.com", "/v1"),
        ("https://api.openai.com:443/v1", "api.openai.com", "/v1"),
        ("http://[::1]:8000/v1", "[::1]:8000", "/v1"),
        ("http://bücher.example/ä b/v1/", "xn--bcher-kva.example", "/%C3%A4%20b/v1"),
        ("http://a/x%2Fy", "a", "/x%2Fy"),
        ("http://a", "a", ""),
    ],
)
async def test_what_a_head_names(url: str, host: str, target: str) -> None:
    made = Dial(url)
    assert (made.host, made.target) == (host, target)
