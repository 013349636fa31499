"""Requests to the API server: JSON over one pooled aiohttp session.

Promises: every refusal is an ApiError with the server's own sentence and, where it says so, how
long to wait, and so is an answer that cannot be read; every request has a timeout and is counted;
all but watches and the Lease keep the pace, and whoever is told 429 holds them up (pace.py);
a write of anything but the Lease asks may_write in the moment in which its bytes leave.
Never: a retry (the queue does that), a cache, a log of a body.
"""

import json
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar, cast
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection as Socket
from yarl import URL

from llmservice_operator import metrics
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.connection import Connection
from llmservice_operator.kinds import LEASE, Kind
from llmservice_operator.pace import Pace
from llmservice_operator.records import FIELD_MANAGER

_UNPRINTABLE = re.compile("[\x7f-\x9f\ufffe\uffff]")
_APPLY = "application/apply-patch+yaml"  # JSON is YAML
_MERGE = "application/merge-patch+json"
_MANAGER = {"fieldManager": FIELD_MANAGER}
# The API server gives a webhook 30 seconds at most and a write 34, and says so in its own words.
_TIMEOUT = aiohttp.ClientTimeout(total=40, sock_connect=5)
_WRITES = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
R = TypeVar("R")
NAMESPACE_TERMINATING, UNREADABLE = "NamespaceTerminating", "Unreadable"  # reasons of ApiError
_TOO_MANY = 429
PAGE = 100  # objects in one answer to a list: what is decoded at once takes memory for good


class ApiError(Exception):
    """code: the HTTP status, 0 where no answer came or none that can be read. message: the
    server's words.
    """

    def __init__(self, code: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code, self.reason, self.message, self.retry_after = code, reason, message, retry_after

    @property
    def failed(self) -> bool:
        """Did the server, or a webhook that it asks, fail, rather than refuse?"""
        return self.code >= 500

    @property
    def unanswered(self) -> bool:
        """Did no answer come, or none that can be read? What was asked may have been done."""
        return self.code == 0


@dataclass(frozen=True, slots=True)
class _Request:
    verb: str
    kind: Kind
    path: str
    query: dict[str, str] = field(default_factory=dict[str, str])
    body: Manifest | None = None
    content: str = "application/json"
    timeout: aiohttp.ClientTimeout = _TIMEOUT


@dataclass(frozen=True, slots=True)
class Selection:
    """The objects of a kind, in one namespace or (where it is "") in all, by labels and fields.

    page: objects in one answer to a list, fewer where they are large and little is kept of them.
    """

    kind: Kind
    namespace: str = ""
    labels: str = ""
    fields: str = ""
    page: int = PAGE

    def query(self) -> dict[str, str]:
        chosen = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {name: selector for name, selector in chosen.items() if selector}


class Client:
    def __init__(
        self,
        connection: Connection,
        may_write: Callable[[], None],
        *,
        per_second: float = 0,
        dry_run: bool = False,
        traces: Iterable[aiohttp.TraceConfig] = (),
    ) -> None:
        """may_write raises where a write must not be sent now (see leader.py). per_second: a
        ceiling on the requests; 0 is none. With dry_run no request writes anything. traces: hear
        of each request as it is sent.
        """
        self.connection = connection
        self._pace = Pace(per_second, time.monotonic)
        self._host = urlsplit(connection.server).netloc
        self._dry_run = {"dryRun": "All"} if dry_run else {}
        # No limit on connections: what is in flight is bounded by the workers and the watches.
        self.connector = aiohttp.TCPConnector(limit=0, ssl=connection.tls)
        self._traces = list(traces)
        self._session = self._open(aiohttp.ClientRequest)
        self._writing = self._open(_asking(may_write))

    def _open(self, request: type[aiohttp.ClientRequest]) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self.connector,
            timeout=_TIMEOUT,
            headers={"User-Agent": FIELD_MANAGER},
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=request,
            trace_configs=self._traces,
        )

    async def close(self) -> None:
        await self._session.close()
        await self._writing.close()

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        return await self._json(_Request("get", kind, kind.path(namespace, name)))

    async def find(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        named = Selection(kind, namespace, fields=f"metadata.name={name}")
        found, _ = await self.list(named, lambda obj: obj)
        return found[0] if found else None

    async def there(self, kind: Kind, namespace: str, name: str, uid: str) -> bool:
        """False is certain, as an answer of 404 or 409 to a write is not: perhaps the kind is not
        served just now, or a proxy answers.
        """
        found = await self.find(kind, namespace, name)
        return found is not None and found["metadata"]["uid"] == uid

    async def list(
        self, selection: Selection, parse: Callable[[Manifest], R | None]
    ) -> tuple[list[R], int]:
        """What parse makes of each object, and the resourceVersion of the list.

        Page by page, so that a large list is never here as a whole; None is left out.
        """
        kind, parsed = selection.kind, list[R]()
        query = selection.query() | {"limit": str(selection.page)}
        while True:
            page = await self._json(_Request("list", kind, kind.path(selection.namespace), query))
            for item in page.get("items") or ():
                item.setdefault("kind", kind.name)  # the server leaves it out in a list
                if (record := parse(item)) is not None:
                    parsed.append(record)
            metadata = page["metadata"]
            if not (more := metadata.get("continue")):
                return parsed, int(metadata["resourceVersion"])
            query["continue"] = more

    async def watch(
        self, selection: Selection, version: int, seconds: int, silence: float
    ) -> AsyncIterator[Manifest]:
        """Watch events after version, until the server ends the stream after so many seconds.

        Raises ApiError with code 0 where nothing, not even a bookmark, came for silence seconds.
        """
        kind = selection.kind
        query = selection.query() | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(version),
            "timeoutSeconds": str(seconds),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=silence)
        path = kind.path(selection.namespace)
        async with self._send(_Request("watch", kind, path, query, timeout=timeout)) as response:
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield _decoded(line)

    async def create(self, kind: Kind, obj: Manifest) -> Manifest:
        path = kind.path(obj["metadata"]["namespace"])
        return await self._json(_Request("create", kind, path, dict(_MANAGER), obj))

    async def replace(self, kind: Kind, obj: Manifest) -> Manifest:
        path = kind.path(obj["metadata"]["namespace"], obj["metadata"]["name"])
        return await self._json(_Request("update", kind, path, dict(_MANAGER), obj))

    async def apply(self, kind: Kind, obj: Manifest, manager: str = FIELD_MANAGER) -> Manifest:
        """Server-side apply by force: fields that we render and others hold are taken back."""
        path = kind.path(obj["metadata"]["namespace"], obj["metadata"]["name"])
        query = {"fieldManager": manager, "force": "true"}
        return await self._json(_Request("patch", kind, path, query, obj, _APPLY))

    async def merge(self, kind: Kind, namespace: str, name: str, patch: Manifest) -> Manifest:
        path = kind.path(namespace, name)
        return await self._json(_Request("patch", kind, path, dict(_MANAGER), patch, _MERGE))

    async def merge_status(
        self, kind: Kind, namespace: str, name: str, patch: Manifest
    ) -> Manifest:
        path = kind.path(namespace, name, "status")
        return await self._json(_Request("patch", kind, path, dict(_MANAGER), patch, _MERGE))

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Only the object of that uid: a namesake is refused with 409."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        await self._json(_Request("delete", kind, kind.path(namespace, name), body=body))

    async def _json(self, request: _Request) -> Manifest:
        async with self._send(request) as response:
            return _decoded(await response.read())

    @asynccontextmanager
    async def _send(self, request: _Request) -> AsyncGenerator[aiohttp.ClientResponse]:
        body, verb, kind, query = request.body, request.verb, request.kind, request.query
        if kind is not LEASE and verb != "watch":
            await self._pace.turn()
        session = self._session
        if verb in _WRITES:
            query = query | self._dry_run
            if kind is not LEASE:
                session = self._writing
        # Encoded here, since yarl would look at every character again.
        url = f"{self.connection.server}{request.path}?{urlencode(query)}"
        try:
            async with session.request(
                _WRITES.get(verb, "GET"),
                URL(url, encoded=True),
                data=None if body is None else _encoded(body),
                headers={**self.connection.headers(), "Content-Type": request.content},
                timeout=request.timeout,
            ) as response:
                self.count(str(response.status), verb, kind.name)
                if response.status >= 400:
                    error = await _refusal(response)
                    if error.code == _TOO_MANY and error.retry_after:
                        self._pace.hold(error.retry_after)
                    raise error
                yield response
        except (aiohttp.ClientError, OSError) as error:  # a token that cannot be read is one, too
            self.count("<error>", verb, kind.name)
            words = str(error) or f"no answer within {request.timeout.total} s"
            raise ApiError(0, "NoAnswer", words) from error

    def count(self, code: str, verb: str, kind: str) -> None:
        """A request to the API server, be it ours or kopf's."""
        method = _WRITES.get(verb, "GET")
        metrics.requests.labels(code, method, self._host, kind, verb).inc()


def _asking(may_write: Callable[[], None]) -> type[aiohttp.ClientRequest]:
    """Requests that ask in the moment in which their first byte would leave.

    Before it they wait for a connection and, up to Python 3.11, for the event loop, which a pause
    of the process makes as long as it pleases. Headers are sent together with the body, which every
    write has.
    """

    class Asking(aiohttp.ClientRequest):
        async def write_bytes(
            self,
            writer: AbstractStreamWriter,
            conn: Socket,
            content_length: int | None = None,
        ) -> None:
            try:
                may_write()
            except Exception as refused:  # noqa: BLE001  what waits for the answer gets this instead
                if conn.protocol is not None:  # and the connection is closed for it
                    conn.protocol.set_exception(refused)
            else:
                await super().write_bytes(writer, conn, content_length)

    return Asking


def _decoded(text: bytes) -> Manifest:
    try:
        said: object = _read(text)
    except (ValueError, RecursionError) as error:
        raise ApiError(0, UNREADABLE, f"{error}; the answer has {len(text)} bytes") from error
    if not isinstance(said, dict):
        raise ApiError(0, UNREADABLE, f"no object; the answer has {len(text)} bytes")
    return cast("Manifest", said)


def _read(text: bytes) -> object:
    """The fast reader knows fewer levels than the API server, and no half of a character."""
    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text)


def _encoded(body: Manifest) -> bytes:
    """JSON that a YAML reader takes too, since the API server reads apply patches as YAML.

    It refuses surrogate pairs as escapes, and these characters other than as escapes.
    """
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    text = await response.text(errors="replace")
    reason, message = response.reason or "", text[:300]
    # What is no Status is a proxy's page.
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        status: Manifest = dict(json.loads(text))
        reason, message = str(status.get("reason", reason)), str(status.get("message", message))
        details: Manifest = status.get("details") or cast("Manifest", {})
        causes: list[Manifest] = details.get("causes") or []
        if any(cause.get("reason") == NAMESPACE_TERMINATING for cause in causes):
            reason = NAMESPACE_TERMINATING
    wait = response.headers.get("Retry-After", "")
    return ApiError(response.status, reason, message, float(wait) if wait.isdigit() else 0.0)
