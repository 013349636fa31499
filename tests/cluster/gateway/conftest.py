"""One server with SQLite and its memory, and three with PostgreSQL and Redis: the same tests."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from dev.postgres import Postgres
from dev.redis import Redis
from tests.cluster.gateway.callers import Servers
from tests.cluster.gateway.replicas import Replicas, engine
from tests.unit.server.identity.identity_provider import (
    AUDIENCE,
    IdentityProvider,
    identity_provider,
)

_PASSWORD = "a-password-of-the-tests"


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as made:
        yield made


@pytest.fixture(scope="module", params=["one: sqlite, memory", "three: postgresql, redis"])
def servers(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    provider: IdentityProvider,
) -> Iterator[Servers]:
    folder, pepper = tmp_path_factory.mktemp("servers"), secrets.token_hex(32)
    with ExitStack() as stack:
        url = stack.enter_context(engine())
        config, environment = _config(url, provider), {"PEPPER": pepper}
        if three := request.param.startswith("three"):
            redis, postgres = Redis(), Postgres()
            for server in (redis, postgres):
                stack.callback(server.close)
                server.start()
            dsn = postgres.make("servers").replace("llmservice@", f"llmservice:{_PASSWORD}@")
            environment |= {"REDIS_URL": redis.url, "DATABASE_URL": dsn}
            config |= {"redis": {"url": {"variable": "REDIS_URL"}}}
            config |= {"database": {"url": {"variable": "DATABASE_URL"}}}
        else:
            redis = None
            config |= {"database": {"sqlite": str(folder / "store.db")}}
        patient = "tests.cluster.gateway.patient"
        replicas = Replicas(folder, config, environment, 3 if three else 1, patient)
        stack.callback(replicas.close)

        def lose() -> None:
            replicas.stop()
            if redis:
                redis.kill()
                redis.start()
            replicas.start()

        made = replicas.admin("bootstrap")
        hidden = [pepper, made["key"], *([redis.password, _PASSWORD] if redis else [])]
        replicas.start()
        yield Servers(replicas, url, lose, made["key"], hidden)


def _config(engine_url: str, provider: IdentityProvider) -> dict[str, Any]:
    upstream = {"url": f"{engine_url}/v1", "models": [{"name": "quick"}, {"name": "slow"}]}
    return {
        "engine": {"type": "proxy", "upstreams": [upstream]},
        "logLevel": "debug",
        "drain": {"graceSeconds": 0, "timeoutSeconds": 10},
        "auth": {
            "stored": True,
            "pepper": {"variable": "PEPPER"},
            "oidc": {"issuer": provider.url, "audience": AUDIENCE},
            "trustedProxies": ["127.0.0.0/8"],
        },
        "limits": {"perAddress": {"requestsPerMinute": 20}},
        "history": {},
        "cache": {},
        "idempotency": {},
        "prices": [{"model": "quick", "inputPerMillion": 2, "outputPerMillion": 0.5}],
    }
