"""Every line of the README's API table is run as it stands there, and every route is in it."""

import asyncio
import re

import pytest

from tests.readme_api import Line, lines
from tests.unit.server.api.openai_engine import running

_OPENAI = {"/v1/chat/completions", "/v1/completions", "/v1/models"}
_READ = {"/docs", "/redoc", "/openapi.json"}
_ENGINES_OWN = {"/tokenize", "/version", "/metrics"}


async def test_each_line_is_answered_as_it_says() -> None:
    async with running() as server:
        for line in lines():
            answer = await asyncio.to_thread(line.run, server.url)
            assert [word for word in line.words if word not in answer] == [], answer


async def test_a_line_that_is_refused_fails() -> None:
    async with running() as server:
        with pytest.raises(AssertionError, match="404"):
            await asyncio.to_thread(Line("curl $URL/no/such/route", ()).run, server.url)


async def test_every_route_has_a_line() -> None:
    async with running() as server:
        described = (await server.client.get("/openapi.json")).json()["paths"].keys()
    named = {line.path for line in lines()}
    assert named == (described - _ENGINES_OWN) | _OPENAI | _READ | {"/metrics"}
    assert not [line for line in lines() if not re.match(r'curl (-[NL] )?"?\$URL/', line.command)]
