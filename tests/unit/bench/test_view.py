"""What the watches show is what counts, also where one of them ends."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from bench.operator.api import Api, RefusedError
from bench.operator.view import Ref, TooLateError, View, watching


class _Api:
    """Each list and each watch of a kind in its turn; after the last watch nothing comes."""

    def __init__(self, lists: list[list[str]], watches: list[list[tuple[str, str]]]) -> None:
        self._lists, self._watches = iter(lists), iter(watches)

    async def listed(self, kind: str, namespace: str) -> dict[str, Any]:
        names = next(self._lists)
        return {"metadata": {"resourceVersion": "1"}, "items": [_object(name) for name in names]}

    async def watch(self, kind: str, namespace: str, version: str) -> AsyncIterator[list[Any]]:
        for what, name in next(self._watches, ()):
            await asyncio.sleep(0)
            yield [{"type": what, "object": _object(name)}]
        if next(self._watches, None) is None:
            await asyncio.sleep(60)


def _object(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid of {name}"}}


def _refs(*names: str) -> list[Ref]:
    return [Ref("Service", name) for name in names]


def _seen(api: _Api) -> Any:
    return watching(cast("Api", api), "bench", ["Service"])


async def test_what_is_there_already_and_what_comes_is_seen() -> None:
    async with _seen(_Api([["a", "b"]], [[("ADDED", "c"), ("DELETED", "a")]])) as view:
        await view.until("c", lambda: view.there(_refs("c")), 1, limit=5)
        await view.until("a gone", lambda: 1 - view.there(_refs("a")), 1, limit=5)
        assert list(view.seen) == _refs("b", "c")


async def test_a_watch_that_ends_is_begun_anew_and_misses_nothing() -> None:
    api = _Api([["a", "b"], ["b", "c"]], [[("MODIFIED", "a")], []])
    async with _seen(api) as view:
        await view.until("c", lambda: view.there(_refs("c")), 1, limit=5)
        assert list(view.seen) == _refs("b", "c")


async def test_waiting_ends_in_time_with_what_was_missing() -> None:
    with pytest.raises(TooLateError, match="children: 3 of 4 after"):
        await View().until("children", lambda: 3, 4, limit=-0.1)


async def test_an_error_of_a_watch_ends_the_bench() -> None:
    with pytest.raises(ExceptionGroup) as group:
        async with _seen(_Api([["a"]], [[("ERROR", "a")]])):
            await asyncio.sleep(5)
    assert group.group_contains(RefusedError)
