"""On which event loops tests run: those of the client on both that a process may have."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

_ON_BOTH = frozenset({"test_pool.py", "test_dial.py"})


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    asyncios = {"asyncio": asyncio.new_event_loop}
    both = asyncios | {"uvloop": uvloop.new_event_loop}
    return both if item.path.name in _ON_BOTH else asyncios
