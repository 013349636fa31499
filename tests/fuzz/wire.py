"""Bytes to a socket, and whatever comes back as answers: nothing of a client's good manners.

In a pod it is a program, `HOST PORT SECONDS`, so it needs nothing but the standard library.
"""

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_AT_ONCE = 64  # connections


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool
    """Whether it ended as its head says."""

    def json(self) -> Any:
        """Raises ValueError where it is none, and where it has a number that JSON has not."""
        return json.loads(self.body, parse_constant=_no_number)


class Hang(AssertionError):  # noqa: N818
    """The server neither answered in time nor closed the connection."""


async def sent(
    address: tuple[str, int],
    data: bytes,
    *,
    pieces: int = 1,
    cut: bool = False,
    seconds: float = 15,
) -> bytes:
    """What comes back until the server closes, or keeps the connection for another request.

    cut: the client is gone as soon as it has sent.

    Raises:
        Hang: it does neither.
    """
    reader, writer = await asyncio.open_connection(*address)
    received = bytearray()
    try:
        async with asyncio.timeout(seconds):
            size = max(len(data) // pieces, 1)
            for start in range(0, len(data), size):
                writer.write(data[start : start + size])
                if pieces > 1:
                    await asyncio.sleep(0)
            if cut:
                writer.transport.abort()
                return b""
            while more := await reader.read(1 << 16):
                received += more
    except TimeoutError:
        if not _whole(bytes(received)):
            raise Hang(f"no end within {seconds} s, after {bytes(received[:300])!r}") from None
    except ConnectionError:
        pass
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return bytes(received)


async def all_sent(
    address: tuple[str, int],
    streams: list[bytes],
    *,
    pieces: int = 1,
    cut: bool = False,
    seconds: float = 15,
) -> list[bytes | Hang]:
    """What comes back on each, many at once."""
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(data: bytes) -> bytes | Hang:
        async with turn:
            try:
                return await sent(address, data, pieces=pieces, cut=cut, seconds=seconds)
            except Hang as hang:
                return hang

    return await asyncio.gather(*(one(data) for data in streams))


def answers(received: bytes, *, to_head: bool = False) -> list[Answer]:
    """Those that the bytes hold; an interim one is none.

    Raises:
        ValueError: they are no HTTP.
    """
    found = list[Answer]()
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = (first + "  ").split(" ", 2)
        if not end or version != "HTTP/1.1":
            raise ValueError(f"not the head of an answer: {received[:200]!r}")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        if status.startswith("1"):
            received = rest
            continue
        if to_head or status in {"204", "304"}:
            body, whole, received = b"", True, rest
        elif headers.get("transfer-encoding") == "chunked":
            body, whole, received = _chunks(rest)
        else:
            size = int(headers.get("content-length", len(rest)))
            body, whole, received = rest[:size], len(rest) >= size, rest[size:]
        found.append(Answer(int(status), headers, body, whole))
    return found


def _whole(received: bytes) -> bool:
    try:
        found = answers(received)
    except ValueError:
        return False
    return bool(found) and all(answer.whole for answer in found)


def _chunks(rest: bytes) -> tuple[bytes, bool, bytes]:
    body = b""
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line, 16)
        if not size:
            return body, rest.startswith(b"\r\n"), rest[2:]
        body, rest = body + rest[:size], rest[size + 2 :]
    return body, False, rest


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


async def _relay() -> None:
    """A JSON list of hexadecimal texts comes in and another goes out; null is a hang."""
    streams = [bytes.fromhex(text) for text in json.load(sys.stdin)]
    came = await all_sent((sys.argv[1], int(sys.argv[2])), streams, seconds=float(sys.argv[3]))
    json.dump([None if isinstance(each, Hang) else each.hex() for each in came], sys.stdout)


if __name__ == "__main__":
    asyncio.run(_relay())
