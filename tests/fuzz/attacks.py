"""Bytes that no well-behaved client sends, for any route that takes a JSON object."""

import re
from dataclasses import dataclass, field, replace

_PATH = "/v1/completions"


@dataclass(frozen=True)
class Attack:
    name: str
    bytes_: bytes
    harms: bool = False
    """Whether a naive engine alone answers 500 or does not end."""
    answers: frozenset[int] = field(default_factory=frozenset)
    """What it is answered with, whatever the route; nothing where that depends on it."""

    @property
    def method(self) -> str:
        return self.bytes_.partition(b" ")[0].decode("latin-1")

    @property
    def path(self) -> str:
        """The one that is asked for, whatever stands around it."""
        found = re.match(rb"\S+ (?:http://[^/]*)?([^\s?#]*)", self.bytes_)
        return found[1].decode("latin-1") if found else ""

    def at(self, path: str) -> "Attack":
        """The same at another route."""
        return replace(self, bytes_=self.bytes_.replace(_PATH.encode(), path.encode()))


def post(body: bytes, *lines: str, length: int | None = None, path: str = _PATH) -> bytes:
    size = len(body) if length is None else length
    head = [f"POST {path} HTTP/1.1", "host: x", "connection: close", *lines]
    if not any("transfer-encoding" in line.lower() for line in lines):
        head.append(f"content-length: {size}")
    if not any("content-type" in line.lower() for line in lines):
        head.append("content-type: application/json")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def get(path: str = "/livez", *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "host: x", *lines, "", ""]).encode("latin-1")


def _attack(name: str, data: bytes, *answers: int, harms: bool = False) -> Attack:
    return Attack(name, data, harms, frozenset(answers))


_GET = get()
ATTACKS = [
    _attack("nothing", b"", harms=True),
    _attack("half a line", b"POST /v1/compl", 408, harms=True),
    _attack("half a head", b"POST /v1/completions HTTP/1.1\r\nhost: x\r\nco", 408, harms=True),
    _attack("half a body", post(b'{"max_tokens"', length=99), 408, harms=True),
    _attack("half a chunk", post(b"ff\r\n{", "Transfer-Encoding: chunked"), 408, harms=True),
    _attack("a head of 1 MB", post(b"{}", f"x: {'y' * 1_000_000}"), 431),
    _attack("10,000 headers", post(b"{}", *(f"x{n}: y" for n in range(10_000))), 431),
    _attack("a path of 20 kB", b"GET /%s HTTP/1.1\r\n\r\n" % (b"x" * 20_000), 431),
    _attack("a path that is no UTF-8", b"GET /\xff\xfe HTTP/1.1\r\n\r\n", 400),
    _attack("an escaped path", b"GET /%00%ff%2e%2e HTTP/1.1\r\nconnection: close\r\n\r\n", 404),
    _attack("no length at all", b"POST /v1/completions HTTP/1.1\r\nconnection: close\r\n\r\n"),
    _attack("a body of 1 MB", post(b'"' + b"x" * 1_000_000 + b'"'), 413),
    _attack("a length of 1 TB", post(b"{", length=10**12), 413, harms=True),
    _attack("a length beyond 64 bits", post(b"{", length=10**30), 400),
    _attack("a negative length", post(b"{}", length=-1), 400),
    _attack("two lengths", post(b"{}", "Content-Length: 1"), 400),
    _attack(
        "a length and chunks",
        post(b"0\r\n\r\n", "Content-Length: 5", "Transfer-Encoding: chunked"),
        400,
    ),
    _attack("chunks that are none", post(b"xyz\r\n\r\n", "Transfer-Encoding: chunked"), 400),
    _attack("a chunk of 2^63", post(b"8000000000000000\r\n{", "Transfer-Encoding: chunked"), 408),
    _attack("invalid UTF-8", post(b'{"prompt": "\xff\xc3\x28"}'), 400, harms=True),
    _attack("a lone surrogate", post(b'{"max_tokens": "\\ud800"}'), 400, harms=True),
    _attack("UTF-16", post('{"max_tokens": 1}'.encode("utf-16")), 400),
    _attack("deep lists", post(b"[" * 40_000 + b"]" * 40_000), 400, harms=True),
    _attack("deep objects", post(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), 400, harms=True),
    _attack("depth without an end", post(b"[" * 90_000), 400, harms=True),
    _attack("text for JSON", post(b"max_tokens=1"), 400),
    _attack("plain text", post(b'{"max_tokens": 1}', "Content-Type: text/plain"), 415),
    _attack("a form", post(b"a=1", "Content-Type: application/x-www-form-urlencoded"), 415),
    _attack("a list", post(b"[1]"), 400),
    _attack("null", post(b"null"), 400),
    _attack("a negative number", post(b'{"max_tokens": -1}'), 400),
    _attack("an enormous number", post(b'{"max_tokens": 1%s}' % (b"0" * 4000)), 400),
    _attack("more digits than Python reads", post(b"1" * 5000), 400, harms=True),
    _attack("an enormous seed", post(b'{"seed": 1e400}'), 400, harms=True),
    _attack("NaN", post(b'{"max_tokens": NaN}'), 400, harms=True),
    _attack("Infinity", post(b'{"max_tokens": -Infinity}'), 400, harms=True),
    _attack("NaN deep inside", post(b'{"max_tokens": 0, "a": [{"b": NaN}]}'), 400, harms=True),
    _attack("an infinite float", post(b'{"max_tokens": 1e999}'), 400, harms=True),
    _attack("garbage", bytes(range(256)) * 10, 400),
    _attack("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, 400),
    _attack("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    _attack("garbage after a request", _GET + b"\x00\xff\r\n\r\n"),
    _attack(
        "requests in a row",
        _GET * 20 + get("/livez", "connection: close"),
        200,
    ),
    _attack("an upgrade to nothing", post(b"{}", "Upgrade: h2c", "Connection: upgrade")),
    _attack("CONNECT", b"CONNECT evil:443 HTTP/1.1\r\nhost: x\r\n\r\n"),
    _attack("expects", post(b'{"max_tokens": 1}', "Expect: 100-continue"), 100, 200),
]
_CLOSE = "connection: close"
_SMALL = b'{"max_tokens": 1}'
_DEFLATED = b"x\x9c\xabV\xcaM\xac\x88/\xc9\xcfN\xcd+V\xb2R0\xac\x05\x009[\x06\x01"
ODDITIES = [
    _attack("bytes that are no UTF-8 in a header", post(_SMALL, "x-request-id: \xff\xfe\xe2\x28")),
    _attack("a key that is no UTF-8", post(_SMALL, "authorization: Bearer \xff\xc3\x28")),
    _attack("a host that is none", post(_SMALL, "host: \xff:99999999999999999999")),
    _attack("an origin that is none", post(_SMALL, "origin: \xff\xfe")),
    _attack(
        "a trace that is none", post(_SMALL, "traceparent: \xff-\x01", "tracestate: " + "," * 600)
    ),
    _attack("NUL in a header", post(_SMALL, "x: a\x00b")),
    _attack("a header without a name", post(_SMALL, ": x")),
    _attack("a header without a colon", post(_SMALL, "x")),
    _attack("a folded header", post(_SMALL, "x: a", " content-length: 0")),
    _attack("a space before the colon", post(_SMALL, "content-length : 0")),
    _attack("lines that end in LF", post(_SMALL).replace(b"\r\n", b"\n")),
    _attack("a length with a sign", post(b"{}", "content-length: +2", length=2)),
    _attack("a length in hexadecimal", post(b"{}", "Content-Length: 0x2", length=2)),
    _attack("a list of lengths", post(b"{}", "Content-Length: 2, 2", length=2)),
    _attack("an encoding before chunks", post(b"0\r\n\r\n", "Transfer-Encoding: gzip, chunked")),
    _attack("no chunks", post(b"{}", "Transfer-Encoding: identity")),
    _attack(
        "an extension of a chunk",
        post(b"2;%s\r\n{}\r\n0\r\n\r\n" % (b"x" * 9000), "Transfer-Encoding: chunked"),
    ),
    _attack(
        "a trailer",
        post(b"2\r\n{}\r\n0\r\ncontent-length: 9\r\n\r\n", "Transfer-Encoding: chunked"),
    ),
    _attack(
        "an endless trailer", post(b"0\r\nx: %s" % (b"y" * 9000), "Transfer-Encoding: chunked")
    ),
    _attack("more than its length", post(_SMALL * 2, length=len(_SMALL))),
    _attack("a deflated body", post(_DEFLATED, "Content-Encoding: deflate")),
    _attack("another charset", post(_SMALL, "Content-Type: application/json; charset=utf-16")),
    _attack("a type that is none", post(_SMALL, "Content-Type: \xff/\xfe")),
    _attack("an empty type", post(_SMALL, "Content-Type:")),
    _attack(
        "two types", post(_SMALL, "Content-Type: text/plain", "Content-Type: application/json")
    ),
    _attack("a form without a boundary", post(_SMALL, "Content-Type: multipart/form-data")),
    _attack(
        "a form in parts",
        post(b"--b\r\n\xff\r\n--b--", "Content-Type: multipart/form-data; boundary=b"),
    ),
    _attack("an empty body", post(b"")),
    _attack("a blank body", post(b"  \r\n\t"), 400),
    _attack("a byte order mark", post(b"\xef\xbb\xbf" + _SMALL), 400),
    _attack("a name twice", post(b'{"max_tokens": 1, "max_tokens": "x", "model": 1, "model": []}')),
    _attack("half a character as a name", post(b'{"\\udc00": 1}'), 400),
    _attack(
        "NUL in texts", post(b'{"prompt": "\\u0000", "model": "\\u0000", "messages": "\\u0000"}')
    ),
    _attack("10,000 names", post(b"{%s}" % b",".join(b'"%d":0' % n for n in range(9000)))),
    _attack(
        "10,000 numbers", post(b'{"prompt": [%s]}' % b",".join(b"-%d" % n for n in range(9000)))
    ),
    _attack("a number in 80 kB", post(b'{"max_tokens": 0.%s}' % (b"1" * 80_000))),
    _attack("a tiny number", post(b'{"temperature": 1e-999999999}')),
    _attack("minus nothing", post(b'{"temperature": -0.0, "max_tokens": -0}')),
    _attack("a truth", post(b"true"), 400),
    _attack("a text", post(b'"%s"' % (b"\\u0000" * 9000)), 400),
    _attack("two objects", post(b"{}{}"), 400),
    _attack("a comment", post(b'{/*x*/"max_tokens":1}'), 400),
    _attack("GET with a body", post(_SMALL).replace(b"POST", b"GET", 1)),
    _attack("HEAD", get(_PATH, _CLOSE).replace(b"GET", b"HEAD", 1)),
    _attack("OPTIONS of all", b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    _attack(
        "a preflight",
        get(_PATH, _CLOSE, "origin: null", "access-control-request-method: \xff").replace(
            b"GET", b"OPTIONS", 1
        ),
    ),
    _attack("a method that is none", get(_PATH, _CLOSE).replace(b"GET", b"EAT", 1)),
    _attack("a method in small letters", get(_PATH, _CLOSE).replace(b"GET", b"get", 1)),
    _attack("a method that WebDAV has", get(_PATH, _CLOSE).replace(b"GET", b"PROPFIND", 1)),
    _attack("a whole URL", get(f"http://evil{_PATH}?x", _CLOSE)),
    _attack("slashes", get(f"//{_PATH}///..//", _CLOSE)),
    _attack(
        "a query of all bytes",
        get(f"{_PATH}?" + "".join(f"%{n:02x}=%{n:02x}&" for n in range(256)), _CLOSE),
    ),
    _attack("a query that is no UTF-8", get(f"{_PATH}?prompt=%ff%c3%28&max_tokens=%ff", _CLOSE)),
    _attack("half characters in a query", get(f"{_PATH}?prompt=%ed%a0%80&model=%ed%a0%80", _CLOSE)),
    _attack(
        "numbers in a query",
        get(f"{_PATH}?prompt=x&max_tokens=1e999&temperature=nan&top_p=inf", _CLOSE),
    ),
    _attack("1,000 of a name in a query", get(f"{_PATH}?prompt=x" + "&stop=y" * 1000, _CLOSE)),
    _attack("escapes that are none", get(f"{_PATH}?prompt=%zz%&%=%", _CLOSE)),
    _attack("a fragment", get(f"{_PATH}#x", _CLOSE)),
    _attack("an old version", get(_PATH).replace(b"1.1", b"1.0", 1)),
    _attack("a version to come", get(_PATH).replace(b"1.1", b"9.9", 1)),
    _attack("no version", f"GET {_PATH}\r\n\r\n".encode()),
    _attack(
        "a websocket",
        get(
            _PATH,
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
        ),
    ),
    _attack("a websocket without a key", get(_PATH, "connection: upgrade", "upgrade: websocket")),
    _attack(
        "a request behind a wrong one",
        post(b"[NaN", "connection: keep-alive").replace(b"connection: close\r\n", b"")
        + get(_PATH, _CLOSE),
    ),
    _attack("a request in a body", post(get(_PATH), length=0)),
]
