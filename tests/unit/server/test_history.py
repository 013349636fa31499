"""What is kept of each request: who asked, how it went, and what was said where a plan wants it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx2
import pytest
from llmservice_server.config import (
    AuthConfig,
    CacheConfig,
    DatabaseConfig,
    HistoryConfig,
    IdempotencyConfig,
    Place,
    Plan,
    Rates,
    ServerConfig,
)
from llmservice_server.store.address import Address, Postgres, Sqlite
from llmservice_server.store.database import Database
from llmservice_server.store.failures import StoreError
from llmservice_server.store.history import History, KeptRequest, WholeRequest
from prometheus_client import REGISTRY

from dev.postgres import Postgres as Server
from dev.process import free_port
from tests.unit.server.api.openai_engine import Running, running
from tests.unit.server.proxy.proxied import CHAT, chat, to
from tests.unit.server.proxy.upstream_double import answer, upstream
from tests.unit.server.small_engine import MODEL

_KEYS = {"alice": "alices-key-of-the-tests", "bob": "bobs-key-of-the-tests"}
_COMPLETIONS = "/v1/completions"


def bearer(name: str = "alice") -> dict[str, str]:
    return {"authorization": f"Bearer {_KEYS[name]}"}


def auth_of(folder: Path, **parts: Any) -> AuthConfig:
    """Two users with keys, and whatever else."""
    file = folder / "keys"
    file.write_text("".join(f"{name}: {key}\n" for name, key in _KEYS.items()))
    return AuthConfig(keys=Place(file=str(file)), **parts)


async def _kept(server: Running, count: int) -> tuple[KeptRequest, ...]:
    """Once there are so many, the oldest first."""
    assert server.context.store
    async with asyncio.timeout(60):
        while len(found := await server.context.store.history.requests(100)) < count:
            await asyncio.sleep(0.05)
    return found[::-1]


async def _whole(server: Running, count: int) -> list[WholeRequest]:
    assert server.context.store
    store = server.context.store
    return [await store.history.request(one.number) for one in await _kept(server, count)]


async def test_each_request_is_kept_with_who_asked_and_how_it_went(
    database_config: DatabaseConfig, tmp_path: Path
) -> None:
    auth = auth_of(tmp_path)
    async with running(auth=auth, database=database_config, history=HistoryConfig()) as server:
        post = server.client.post
        body = {"model": "small", "prompt": "hello"}
        await post(_COMPLETIONS, json=body, headers={**bearer(), "x-request-id": "first"})
        stream = {**body, "stream": True, "stream_options": {"include_usage": True}}
        await post(_COMPLETIONS, json=stream, headers=bearer("bob"))
        await post(_COMPLETIONS, json={**body, "prompt": "500"}, headers=bearer())
        await server.client.get("/v1/models", headers=bearer())
        kept = await _kept(server, 4)
    assert [(one.user, one.key, one.route, one.status, one.error) for one in kept] == [
        ("static:alice", "static:alice", _COMPLETIONS, 200, None),
        ("static:bob", "static:bob", _COMPLETIONS, 200, None),
        ("static:alice", "static:alice", _COMPLETIONS, 500, "internal"),
        ("static:alice", "static:alice", "/v1/models", 200, None),
    ]
    whole, streamed = kept[:2]
    assert (whole.request_id, whole.model, whole.streaming) == ("first", "small", False)
    assert (whole.input_tokens, whole.output_tokens, whole.first_token_seconds) == (5, 2, None)
    assert streamed.streaming
    assert (streamed.input_tokens, streamed.output_tokens) == (5, 2)
    assert streamed.first_token_seconds
    assert 0 < streamed.first_token_seconds <= streamed.seconds < 10
    assert whole.at < streamed.at
    assert whole.replica == streamed.replica != ""


async def test_what_was_given_again_is_kept_as_that_and_took_no_tokens(
    database_config: DatabaseConfig, tmp_path: Path
) -> None:
    parts: dict[str, Any] = {"cache": CacheConfig(), "idempotency": IdempotencyConfig()}
    parts |= {"database": database_config, "history": HistoryConfig()}
    auth = auth_of(tmp_path, plans=(Plan(name="default", keep_bodies=True),))
    async with running(auth=auth, **parts) as server:
        said = {"model": "small", "prompt": "hello"}
        again = {**bearer(), "idempotency-key": "k"}
        for body, headers in (
            *(({**said, "temperature": 0}, bearer()),) * 2,
            *((said, again),) * 2,
        ):
            answer = await server.client.post(_COMPLETIONS, json=body, headers=headers)
            assert answer.status_code == 200
        kept = await _whole(server, 4)
    assert [(one.answered_by, one.input_tokens, one.output_tokens) for one in kept] == [
        (None, 5, 2),
        ("cache", 0, 0),
        (None, 5, 2),
        ("idempotency", 0, 0),
    ]
    assert len({one.answered for one in kept}) == 1


async def test_who_shows_no_good_key_fills_no_history(
    database_config: DatabaseConfig, tmp_path: Path
) -> None:
    auth = auth_of(tmp_path, anonymous=True)
    async with running(auth=auth, database=database_config, history=HistoryConfig()) as server:
        body = {"model": "small", "prompt": "hello"}
        bad = {"authorization": "Bearer none-of-ours"}
        assert (await server.client.post(_COMPLETIONS, json=body, headers=bad)).status_code == 401
        assert (await server.client.post(_COMPLETIONS, content=b"[")).status_code == 400
        for path in ("/livez", "/metrics", "/docs"):
            assert (await server.client.get(path)).status_code == 200
        assert (await server.client.post(_COMPLETIONS, json=body)).status_code == 200
        (kept,) = await _kept(server, 1)
    assert (kept.user, kept.key, kept.status) == ("", "", 200)


async def test_an_open_server_keeps_what_everybody_asks(database_config: DatabaseConfig) -> None:
    async with running(database=database_config, history=HistoryConfig()) as server:
        await server.client.get("/livez")
        await server.client.post("/no/such/route", json={})
        (kept,) = await _kept(server, 1)
    assert (kept.user, kept.route, kept.status) == ("", "other", 404)


async def test_bodies_are_kept_where_the_plan_asks_for_them_and_nowhere_else(
    database_config: DatabaseConfig, tmp_path: Path
) -> None:
    for keeps in (True, False):
        auth = auth_of(tmp_path, plans=(Plan(name="default", keep_bodies=keeps),))
        async with running(auth=auth, database=database_config, history=HistoryConfig()) as server:
            said = {"model": "small", "prompt": "a secret"}
            whole = await server.client.post(_COMPLETIONS, json=said, headers=bearer())
            stream = {"prompt": "a secret"}
            streamed = await server.client.post("/stream", json=stream, headers=bearer())
            query = await server.client.get("/stream?prompt=x", headers=bearer())
            await server.client.get("/v1/models", headers=bearer())
            *_, first, second, third, fourth = await _whole(server, 4 if keeps else 8)
        if keeps:
            assert json.loads(first.asked or "") == said
            assert first.answered == whole.text
            assert (json.loads(second.asked or ""), second.answered) == (stream, streamed.text)
            assert (third.asked, third.answered) == ("prompt=x", query.text)
            assert fourth.asked is None
        else:
            kept = {one.asked or one.answered for one in (first, second, third, fourth)}
            assert kept == {None}


async def test_a_body_is_kept_up_to_a_bound_and_what_is_no_text_is_not(
    database_config: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # by this way, as the package calls a function so
    monkeypatch.setattr(import_module("llmservice_server.gateway.bodies"), "_LONGEST", 20)
    auth = auth_of(tmp_path, plans=(Plan(name="default", keep_bodies=True),))
    async with running(auth=auth, database=database_config, history=HistoryConfig()) as server:
        sent = json.dumps({"model": "small", "prompt": "é" * 30}, ensure_ascii=False)
        json_type = {"content-type": "application/json"}
        answered = await server.client.post(
            _COMPLETIONS, content=sent.encode(), headers={**bearer(), **json_type}
        )
        files = {"file": ("speech.wav", b"RIFF....", "audio/wav")}
        form = await server.client.post("/v1/audio/transcriptions", files=files, headers=bearer())
        assert form.status_code == 404
        first, second = await _whole(server, 2)
    assert first.asked == sent.encode()[:20].decode(errors="replace")
    assert first.answered == answered.text[:20]
    assert second.asked is None


async def test_a_refused_request_of_a_known_caller_is_kept_too(
    database_config: DatabaseConfig, tmp_path: Path
) -> None:
    auth = auth_of(tmp_path, plans=(Plan(name="default", per_key=Rates(requests_per_minute=1)),))
    async with running(auth=auth, database=database_config, history=HistoryConfig()) as server:
        for _ in range(2):
            await server.client.get("/v1/models", headers=bearer())
        kept = await _kept(server, 2)
    assert [(one.status, one.error) for one in kept] == [(200, None), (429, "rate_limited")]


async def test_without_it_nothing_is_kept(database_config: DatabaseConfig, tmp_path: Path) -> None:
    plans = (Plan(name="default", keep_bodies=True),)
    async with running(auth=auth_of(tmp_path, plans=plans), database=database_config) as server:
        await server.client.get("/v1/models", headers=bearer())
        assert server.context.store
        assert server.context.store.journal is None
        await asyncio.sleep(1)
        assert await server.context.store.history.requests(10) == ()


async def test_a_database_that_is_away_fails_and_slows_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("llmservice_server.store.journal._MOST", 3)
    monkeypatch.setenv("NOWHERE", f"postgresql://u:hidden@127.0.0.1:{free_port()}/x")
    parts = {
        "auth": auth_of(tmp_path),
        "database": DatabaseConfig(url=Place(variable="NOWHERE")),
        "history": HistoryConfig(),
    }
    lost = REGISTRY.get_sample_value("llmservice_history_lost_total", {"what": "request"}) or 0
    async with running(**parts) as server:
        for _ in range(5):
            answered = await server.client.get("/v1/models", headers=bearer())
            assert answered.status_code == 200
        await asyncio.sleep(1.5)
    now = REGISTRY.get_sample_value("llmservice_history_lost_total", {"what": "request"}) or 0
    assert now - lost >= 1
    said = [record.message for record in caplog.records if record.name == "llmservice.history"]
    assert [line.partition(":")[0] for line in said] == [
        "history is kept until the database answers again",
        f"the last {5 - round(now - lost)} requests of the history are lost",
    ]
    assert "hidden" not in caplog.text


async def test_a_postgresql_that_is_killed_and_comes_back_has_all_of_it(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    del postgres  # that it is there means that another one can be
    own = Server()
    try:
        own.start()
        monkeypatch.setenv("OWN_DATABASE", own.make("history"))
        parts = {
            "auth": auth_of(tmp_path),
            "database": DatabaseConfig(url=Place(variable="OWN_DATABASE")),
            "history": HistoryConfig(),
        }
        async with running(**parts) as server:

            async def ask(name: str) -> None:
                headers = {**bearer(), "x-request-id": name}
                assert (await server.client.get("/v1/models", headers=headers)).status_code == 200

            await ask("before")
            await _kept(server, 1)
            caplog.clear()
            await asyncio.to_thread(own.kill)
            for name in ("while", "it", "was", "away"):
                await ask(name)
            async with asyncio.timeout(60):
                while "history is kept until" not in caplog.text:
                    await asyncio.sleep(0.05)
            await asyncio.to_thread(own.start)
            kept = await _until_kept(server, 5)
        assert [one.request_id for one in kept] == ["before", "while", "it", "was", "away"]
        assert caplog.text.count("history is kept until the database answers again") == 1
    finally:
        own.close()


async def _until_kept(server: Running, count: int) -> tuple[KeptRequest, ...]:
    """The same where the database does not answer at first."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await _kept(server, count)
            except StoreError:
                await asyncio.sleep(0.1)


_RETRIES = 400
_LAST = 1 + 1.5  # seconds; a busy machine takes its time


@asynccontextmanager
async def _process(folder: Path, document: dict[str, Any]) -> AsyncIterator[Any]:
    """The server as a process, which may be killed."""
    file = folder / "config.json"
    file.write_text(json.dumps(document))
    command = (sys.executable, "-m", "llmservice_server", "serve", "--config", str(file))
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.usefixtures("empty")
async def test_a_server_that_is_killed_has_lost_at_most_the_last_second(
    address: Address, tmp_path: Path, replica: Callable[[], Database]
) -> None:
    auth = auth_of(tmp_path)
    assert auth.keys
    where: dict[str, Any] = {}
    match address:
        case Sqlite(file):
            where = {"sqlite": str(file)}
        case Postgres(dsn):
            (tmp_path / "dsn").write_text(dsn)
            where = {"url": {"file": str(tmp_path / "dsn")}}
    port = free_port()
    ended: dict[str, float] = {}
    async with upstream(answer(200, b'{"choices": []}')) as up:
        document = {
            "port": port,
            "engine": {"type": "proxy", "upstreams": [to(up.url)]},
            "auth": {"keys": {"file": auth.keys.file}},
            "database": where,
            "history": {},
        }
        async with (
            _process(tmp_path, document) as process,
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
        ):
            for attempt in range(_RETRIES):
                try:
                    if (await client.get("/readyz")).status_code == 200:
                        break
                except httpx2.TransportError:
                    assert process.returncode is None, (tmp_path / "log").read_text()
                await asyncio.sleep(0.1)
                assert attempt < _RETRIES - 1
            history, loop = History(replica()), asyncio.get_running_loop()
            await client.get("/v1/models", headers=bearer())
            while "the tables are brought" not in (tmp_path / "log").read_text():
                await asyncio.sleep(0.1)
            until = loop.time() + 5
            while (now := loop.time()) < until:
                headers = {**bearer(), "x-request-id": f"r{len(ended)}"}
                assert (await client.post(CHAT, json=chat(), headers=headers)).status_code == 200
                ended[f"r{len(ended)}"] = now
                await asyncio.sleep(0.02)
            os.kill(process.pid, signal.SIGKILL)
            killed = loop.time()
            await process.wait()
    kept = await history.requests(1000)
    names = [one.request_id for one in kept if one.route == CHAT]
    assert len(names) == len(set(names))
    lost = [name for name, at in ended.items() if name not in names and killed - at > _LAST]
    assert lost == []
    assert len(ended) > 20
    log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [one["message"] for one in log if one["logger"] == "llmservice.store"] == [
        "the tables are brought from base to 0004"
    ]
    assert {one["logger"].partition(".")[0] for one in log} <= {"llmservice", "uvicorn"}


@pytest.mark.parametrize("part", [{"history": {}}, {"auth": {"stored": True}}])
def test_in_a_pod_what_is_kept_needs_a_database(
    part: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from llmservice_server.__main__ import _main  # noqa: PLC0415

    pepper = {"pepper": {"variable": "PEPPER"}}
    document = {"model": MODEL.model_dump(by_alias=True, exclude_none=True)}
    document |= {name: value | pepper if name == "auth" else value for name, value in part.items()}
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(document))
    ServerConfig.from_yaml(file.read_text())
    monkeypatch.setenv("PEPPER", "a-pepper-of-the-tests")
    monkeypatch.setenv("LLMSERVICE_TERMINATION_LOG", str(tmp_path / "termination"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    for command in ("check", "serve"):
        assert _main([command, "--config", str(file)]) == 2
        assert "database: is missing, and nothing in a pod stays; write" in capsys.readouterr().err
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))  # the control
    assert _main(["check", "--config", str(file)]) == 0
    assert f"sqlite: {tmp_path}/llmservice/store.db" in capsys.readouterr().out


async def test_the_store_is_not_asked_while_a_request_runs(
    database_config: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control is that it is asked later, and fails."""
    failed = 0

    async def fail(*_: object, **__: object) -> None:
        nonlocal failed
        failed += 1
        raise StoreError("away")

    monkeypatch.setattr(History, "add", fail)
    parts = {"auth": auth_of(tmp_path), "database": database_config, "history": HistoryConfig()}
    async with running(**parts) as server:
        assert (await server.client.get("/v1/models", headers=bearer())).status_code == 200
        async with asyncio.timeout(30):
            while not failed:
                await asyncio.sleep(0.05)
        assert (await server.client.get("/v1/models", headers=bearer())).status_code == 200
