"""What a Redis is asked, as its own MONITOR tells: for counting, not while times are taken."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_LATER = 0.5  # seconds in which what was batched comes, too
_LONGEST = 2**24  # bytes of a command
BESIDES = ("settle", "renew")  # which our script is asked for in batches, and nobody waits for


@asynccontextmanager
async def watched(url: str) -> AsyncGenerator[Counter[str]]:
    """How often each command came in the block, by the name of `command`."""
    address, found = urlsplit(url), Counter[str]()
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=_LONGEST)
    writer.write(f"AUTH {address.password}\r\nMONITOR\r\n".encode())
    for _ in range(2):
        if (said := await reader.readline()) != b"+OK\r\n":
            raise RuntimeError(f"Redis: {said.decode()}")
    reading = asyncio.ensure_future(_count(reader, found))
    try:
        yield found
        await asyncio.sleep(_LATER)
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        writer.close()


async def _count(reader: asyncio.StreamReader, found: Counter[str]) -> None:
    while line := await reader.readline():
        if name := command(line.decode("latin-1")):
            found[name] += 1


def command(line: str) -> str | None:
    """In small letters, of a line of MONITOR; None for what a script asks inside of Redis.

    A call of our script for what nobody waits for is named after that.
    """
    where, _, words = line.partition("] ")
    if where.endswith(" lua"):
        return None
    name = words.split('"', 2)[1].lower()
    if name in {"evalsha", "eval"}:
        return next((what for what in BESIDES if f' "{what}" ' in words), name)
    return name
