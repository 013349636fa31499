"""One server with an engine of OpenAI's routes, for each test of these."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.server.api.openai_engine import Running, running


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as made:
        yield made
