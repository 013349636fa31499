"""Clients that ask without end while servers are killed, what each of them knows afterwards of what
it used, and whether what the servers say of it agrees.

A client knows what it used where it was answered whole. It does not where its server died or it
left; there, and of what a server answered just before it was killed, the bounds are nothing and all
that was reserved.
"""

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from llmservice_server.gateway.toll.estimate import tokens

from tests.cluster.gateway.callers import CHAT, chat

LOST = 1 + 1.5
"""Seconds before a crash of which usage may be lost: as promised, and a little."""
_SLOWER = 5  # times what one question takes: what it takes to tell a second's usage
_CLIENTS = 48
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_TOLD = re.compile(rb'"total_tokens": ?(\d+)')
_REFUSED = {429, 503}
_GIVEN = (b"; hit", b"; collapsed")
_UNTOLD = (OSError, asyncio.IncompleteReadError, ValueError)


class Asked(NamedTuple):
    """``most``: what was reserved for it; ``took``: None where nobody told its client."""

    user: str
    replica: int
    began: float
    ended: float
    most: int
    took: int | None


class Death(NamedTuple):
    replica: int
    at: float


class Used(NamedTuple):
    requests: int
    tokens: int


@dataclass
class Seen:
    """What all clients know. refusals: by code; faults: what no client should see; lost: when Redis
    lost all that it held; slowest: the seconds that it took at most, on a machine as busy as it
    was, to ask the database something.
    """

    asked: list[Asked] = field(default_factory=list[Asked])
    refusals: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])
    deaths: list[Death] = field(default_factory=list[Death])
    lost: list[float] = field(default_factory=list[float])
    slowest: float = 0

    @property
    def requests(self) -> int:
        return len(self.asked) + self.refusals.total()

    def uncertain(self, one: Asked) -> bool:
        """Whether the servers may not know what its client does, or the other way round."""
        return one.took is None or any(
            one.replica == death.replica and self.just_before(one, death.at)
            for death in self.deaths
        )

    def just_before(self, one: Asked, at: float) -> bool:
        """Whether what it used may not have been told by then."""
        return one.began < at and one.ended > at - LOST - _SLOWER * self.slowest


def findings(seen: Seen, told: Mapping[str, Used], quotas: Mapping[str, int]) -> list[str]:
    """What is wrong with what the servers say; pure. quotas: of tokens, by user."""
    found = [*seen.faults[:5]]
    mine: dict[str, list[Asked]] = {user: [] for user in told}
    for one in seen.asked:
        mine.setdefault(one.user, []).append(one)
    for user, all_ in mine.items():
        doubtful = [one for one in all_ if seen.uncertain(one)]
        sure = len(all_) - len(doubtful)
        known = sum(one.took or 0 for one in all_)
        least = known - sum(one.took or 0 for one in doubtful)
        most = least + sum(one.most for one in doubtful)
        said = told.get(user, Used(0, 0))
        if not least <= said.tokens <= most:
            found.append(f"{user} used {least} to {most} tokens, and {said.tokens} are billed")
        if not sure <= said.requests <= len(all_):
            found.append(f"{user} asked {sure} to {len(all_)} times, {said.requests} are billed")
        quota = quotas.get(user)
        if quota is None:
            continue
        if known > quota + _once_more(seen, all_):
            found.append(f"{user} overspent: {known} of {quota} tokens")
        if most + max((one.most for one in all_), default=0) < quota:
            found.append(f"{user} was refused too early: {known} of {quota} tokens")
    return found


def _once_more(seen: Seen, asked: Iterable[Asked]) -> int:
    """What a user may have beyond its quota: where Redis lost what it held, what was in flight then
    and used in the last second before, and what of servers that died nobody had told.
    """
    if not seen.lost:
        return 0
    return sum(
        one.most
        for one in asked
        if seen.uncertain(one) or any(seen.just_before(one, at) for at in seen.lost)
    )


class Connection:
    """One of HTTP/1.1, with as much of it as these servers' answers need."""

    def __init__(self, url: str) -> None:
        self._at = urlsplit(url)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Raises OSError: nobody listens."""
        if self._streams and self._streams[0].at_eof():
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._at.hostname, self._at.port)

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        """The answer's head and body; what is raised otherwise is one of `_UNTOLD`."""
        try:
            reader, _ = await self._sent(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await (reader.readexactly(int(length[1])) if length else _chunks(reader))
        except BaseException:
            self.close()
            raise
        if b"\r\nconnection: close" in head.lower():
            self.close()
        return head, body

    async def leave(self, request: bytes, seconds: float) -> None:
        """Ask, and go."""
        with suppress(OSError):
            await self._sent(request)
            await asyncio.sleep(seconds)
        self.close()

    async def _sent(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert self._streams
        self._streams[1].write(request)
        return self._streams

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    read = b""
    while size := int(await reader.readline(), 16):
        read += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return read


class _Wanted(NamedTuple):
    request: bytes
    most: int
    leaves: bool


def _wanted(chance: random.Random, key: str) -> _Wanted:
    """Most ask for a short answer; some for a stream, for a slow one, for what was asked before;
    and a few leave.
    """
    drawn, words = chance.random(), chance.randint(1, 20)
    leaves = drawn < 0.02
    if leaves:
        body = chat(20, "slow", stream=True)
    elif drawn < 0.10:
        body = chat(chance.randint(1, 4), "slow")
    elif drawn < 0.20:
        body = chat(7, temperature=0)
    else:
        body = chat(words, stream=drawn < 0.35)
    sent = json.dumps(body).encode()
    lines = (
        *(f"POST {CHAT} HTTP/1.1", "host: servers", "content-type: application/json"),
        *(f"authorization: Bearer {key}", f"content-length: {len(sent)}", "", ""),
    )
    reserved = tokens(body) + int(body["max_tokens"])
    return _Wanted("\r\n".join(lines).encode() + sent, reserved, leaves)


async def load(
    seen: Seen, urls: Sequence[str], keys: Mapping[str, str], requests: int, seed: int
) -> None:
    """So many requests of these users, of all of them together. Cancelled, it ends earlier."""
    clients = (_client(seen, urls, keys, requests, f"{seed} {n}") for n in range(_CLIENTS))
    await asyncio.gather(*clients)


async def _client(
    seen: Seen, urls: Sequence[str], keys: Mapping[str, str], requests: int, seed: str
) -> None:
    chance, users = random.Random(seed), [*keys]
    connections = [Connection(url) for url in urls]
    try:
        while seen.requests < requests:
            replica, user = chance.randrange(len(urls)), chance.choice(users)
            try:
                await connections[replica].open()
            except OSError:  # it was killed
                await asyncio.sleep(0.02)
                continue
            await _one(seen, connections[replica], replica, user, _wanted(chance, keys[user]))
    finally:
        for connection in connections:
            connection.close()


async def _one(
    seen: Seen, connection: Connection, replica: int, user: str, wanted: _Wanted
) -> None:
    began, took = time.monotonic(), None
    try:
        if wanted.leaves:
            await connection.leave(wanted.request, 0.1)
        else:
            head, body = await connection.ask(wanted.request)
            if (status := int(head[9:12])) != 200:
                _refused(seen, status, body)
                await asyncio.sleep(0.05 if status == 503 else 0)
                return
            took = _took(head, body)
    except _UNTOLD:
        pass  # its server was killed
    seen.asked.append(Asked(user, replica, began, time.monotonic(), wanted.most, took))


def _refused(seen: Seen, status: int, body: bytes) -> None:
    if status in _REFUSED:
        seen.refusals[str(json.loads(body)["error"]["code"])] += 1
    else:
        seen.refusals["fault"] += 1
        seen.faults.append(f"{status}: {body[:200].decode(errors='replace')}")


def _took(head: bytes, body: bytes) -> int:
    """Raises ValueError: it is not whole."""
    if b"text/event-stream" in head and not body.endswith(b"data: [DONE]\n\n"):
        raise ValueError("no end")
    if any(given in head for given in _GIVEN):
        return 0
    told = _TOLD.search(body)
    if told is None:
        raise ValueError("no count")
    return int(told[1])
