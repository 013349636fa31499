"""What an OpenAPI document's operations can be asked, by its schemas and against them.

By schemathesis: what covers each bound, type and method once, the same each time; and what
Hypothesis draws, by a fixed seed but in full runs.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.length import FULL

_HOST = "server"
_DROPPED = frozenset({"user-agent", "connection", "x-schemathesis-testcaseid", "content-length"})


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def __bytes__(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", f"host: {_HOST}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body is not None:
            lines.append(f"content-length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (self.body or b"")

    def with_fields(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> "Asked":
        """The same with other fields, where its body is an object."""
        try:
            fields: Any = json.loads(self.body or b"")
        except ValueError:
            return self
        if not isinstance(fields, dict):
            return self
        return replace(self, body=json.dumps(change(fields)).encode())


def asked(
    document: dict[str, Any],
    *,
    wanted: Callable[[str], bool] = lambda path: True,
    covering: int = 200,
    drawn: int = 10,
) -> list[Asked]:
    """Of each wanted path's operations at most so many that cover and so many that are drawn."""
    schema = schemathesis.openapi.from_dict(document)
    modes = list(GenerationMode)
    found = list[Asked]()
    for result in schema.get_all_operations():
        operation = result.ok()
        if not wanted(operation.path):
            continue
        covered = schema.iter_coverage_cases(
            operation, generation_modes=modes, generation_config=schema.config.generation
        )
        cases = list(islice(covered, covering))
        for mode in modes if drawn else ():
            cases += _drawn(operation.as_strategy(generation_mode=mode), drawn)
        found += [request for case in cases for request in _prepared(case)]
    return list(dict.fromkeys(found))


def _drawn(strategy: Any, count: int) -> list[Any]:
    found = list[Any]()

    @settings(
        max_examples=count,
        derandomize=not FULL,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(strategy)
    def draw(case: Any) -> None:
        found.append(case)

    with suppress(Unsatisfiable):  # nothing is wrong for an operation that takes nothing
        draw()
    return found


def _prepared(case: Any) -> Iterator[Asked]:
    try:
        ready = requests.Request(**case.as_transport_kwargs(f"http://{_HOST}")).prepare()
    except (ValueError, requests.RequestException):
        return  # no client sends it; what none sends is in attacks.py
    body = ready.body.encode() if isinstance(ready.body, str) else ready.body
    headers = [(n, _text(v)) for n, v in ready.headers.items() if n.lower() not in _DROPPED]
    yield Asked(str(ready.method), ready.path_url, tuple(headers), body)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def with_model(request: Asked, model: str) -> Asked:
    """The same of a model that there is, so that more than its name is looked at."""
    if "model=" in request.target:
        path, _, query = request.target.partition("?")
        pairs = [pair for pair in query.split("&") if not pair.startswith("model=")]
        return replace(request, target=f"{path}?{'&'.join([*pairs, urlencode({'model': model})])}")
    return request.with_fields(
        lambda fields: {**fields, **({"model": model} if _names_one(fields) else {})}
    )


def _names_one(fields: dict[str, Any]) -> bool:
    return isinstance(fields.get("model"), str)
