"""A SQLite is one server's; but of a pod that is evicted the next one may start while it still
finishes what it has, on the same node: for that while two have the file.
"""

import asyncio
from pathlib import Path

from tests.cluster.gateway.callers import Servers, until
from tests.cluster.gateway.engine import PROMPT
from tests.cluster.gateway.replicas import Replicas, engine

_TIMES, _AT_ONCE, _WORDS = 5, 20, 10


async def test_of_what_two_servers_write_into_it_nothing_is_lost(tmp_path: Path) -> None:
    with engine() as url:
        upstream = {"url": f"{url}/v1", "models": [{"name": "quick"}]}
        config = {
            "engine": {"type": "proxy", "upstreams": [upstream]},
            "auth": {"stored": True, "pepper": {"variable": "PEPPER"}},
            "database": {"sqlite": str(tmp_path / "store.db")},
            "history": {},
        }
        replicas = Replicas(tmp_path, config, {"PEPPER": "a-pepper-of-the-tests"}, 2)
        try:
            key = replicas.admin("bootstrap")["key"]
            replicas.start()
            servers = Servers(replicas, url, replicas.start, key)
            async with servers.user() as ann, servers.admin() as admin:
                for _ in range(_TIMES):
                    asked = (ann.chat(_WORDS) for _ in range(_AT_ONCE))
                    answers = await asyncio.gather(*asked)
                    assert {answer.status_code for answer in answers} == {200}
                    await asyncio.sleep(0.3)  # they write each second, and more often

                async def all_there() -> bool:
                    used = await admin.used(ann.name)
                    listed = await admin.done("GET", f"/admin/v1/history?user={ann.name}&limit=999")
                    return (used["requests"], len(listed)) == (_TIMES * _AT_ONCE,) * 2

                await until(all_there)
                tokens = await admin.used(ann.name)
                assert tokens["inputTokens"] == _TIMES * _AT_ONCE * PROMPT
                assert tokens["outputTokens"] == _TIMES * _AT_ONCE * _WORDS
        finally:
            replicas.close()
