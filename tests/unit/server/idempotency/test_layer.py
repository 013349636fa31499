"""An Idempotency-Key as a client meets it: sent again it is answered again, and runs once."""

import asyncio
import json

import pytest
from llmservice_server.config import IdempotencyConfig
from llmservice_server.gateway.answers import shelf
from llmservice_server.gateway.answers.given import By, answered_by
from llmservice_server.gateway.idempotency.layer import idempotency
from llmservice_server.gateway.usage import Usage

from tests.unit.server.cache.engine import Engine, body_of, number
from tests.unit.server.idempotency.world import World, replayed
from tests.unit.server.layer import Exchange, context
from tests.unit.server.small_engine import until


@pytest.fixture
def world() -> World:
    return World()


async def test_who_sends_it_again_gets_the_answer_that_there_was(world: World) -> None:
    first, again = await world.ask(a=1, b=2), await world.ask(b=2, a=1)
    assert world.engine.asked == 1
    assert (replayed(first), replayed(again)) == (False, True)
    assert (again.status, body_of(again)) == (first.status, body_of(first))
    for name in ("content-type", "content-length"):
        assert again.headers[name] == first.headers[name]
    assert [exchange.usage for exchange in world.seen] == [Usage(3, 5), Usage(0, 0)]
    assert answered_by(world.seen[1].scope) is By.IDEMPOTENCY
    assert number(await world.ask("another", a=1, b=2)) == 2


async def test_a_key_is_its_callers_alone(world: World) -> None:
    await world.ask()
    for user in ("bob", None):
        answer = await world.ask(user=user)
        assert answer.status == 200
        assert not replayed(answer)
    assert len(set(world.given)) == 3  # also for who stands behind the engine
    assert b"k" not in world.given


async def test_another_request_by_the_same_key_is_422(world: World) -> None:
    await world.ask(a=1)
    for other in (
        await world.ask(a=2),
        await world.ask(a=1, path="/v1/completions"),
    ):
        assert (other.status, other.error["type"]) == (422, "idempotency_key_reused")
    assert world.engine.asked == 1
    assert replayed(await world.ask(a=1))


async def test_while_it_runs_it_is_409_and_comes_again(world: World) -> None:
    world.engine.go_on.clear()
    first = asyncio.create_task(world.ask(a=1))
    await until(lambda: world.engine.running == 1)
    same, other = await world.ask(a=1), await world.ask(a=2)
    assert (same.status, same.error["code"]) == (409, "idempotency_key_in_use")
    assert same.headers["retry-after"] == "1"
    assert other.status == 422
    world.engine.go_on.set()
    assert number(await first) == 1
    assert replayed(await world.ask(a=1))


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_what_failed_or_was_refused_runs_again(world: World, status: int) -> None:
    world.engine.status = status
    assert [(await world.ask(a=1)).status for _ in range(2)] == [status] * 2
    world.engine.status = 200
    assert number(await world.ask(a=2)) == 3  # as corrected
    assert replayed(await world.ask(a=2))


async def test_what_raised_runs_again() -> None:
    async def raising(*_: object) -> None:
        raise RuntimeError("a fault in the engine's own code")

    broken = idempotency(raising, context(idempotency=IdempotencyConfig()))
    for _ in range(2):
        exchange = Exchange(b"{}", headers={"idempotency-key": "k"})
        with pytest.raises(RuntimeError):
            await exchange.through(broken)


async def test_where_the_client_left_it_runs_again(world: World) -> None:
    world.engine.go_on.clear()
    leaves = world.prepared()
    asking = asyncio.create_task(world.send(leaves))
    await until(lambda: world.engine.running == 1)
    leaves.gone.set()
    await asking
    world.engine.go_on.set()
    answer = await world.ask()
    assert (number(answer), replayed(answer)) == (2, False)


async def test_a_stream_takes_no_part_in_it(world: World) -> None:
    answers = [await world.ask(stream=True) for _ in range(2)]
    assert [number(answer) for answer in answers] == [1, 2]
    assert not any(map(replayed, answers))
    chats = [await world.ask(path="/api/chat", headers={"accept": "text/event-stream"})
             for _ in range(2)]  # fmt: skip
    assert [number(answer) for answer in chats] == [3, 4]


async def test_what_costs_the_engine_nothing_takes_no_part_in_it(world: World) -> None:
    for path in ("/tokenize", "/admin/v1/keys"):
        assert not any([replayed(await world.ask(path=path)) for _ in range(2)])


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_that_is_none_is_refused(world: World, key: str) -> None:
    answer = await world.ask(key)
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
    assert world.engine.asked == 0
    assert (await world.ask("x" * 255)).status == 200


async def test_two_keys_are_refused(world: World) -> None:
    exchange = world.prepared()
    exchange.scope["headers"].append((b"idempotency-key", b"another"))
    assert (await world.send(exchange)).status == 400


async def test_of_predict_it_has_the_routes_own_shape(world: World) -> None:
    await world.ask(path="/predict", prompt="a")
    answer = await world.ask(path="/predict", prompt="b")
    assert answer.status == 422
    assert json.loads(body_of(answer))["error"] == "idempotency_key_reused"


async def test_a_form_that_is_sent_again_is_the_same(world: World) -> None:
    async def engine(scope: object, receive: object, send: object) -> None:
        world.engine.asked += 1
        answer = {"type": "http.response.start", "status": 200, "headers": []}
        await send(answer)  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"{}"})  # type: ignore[operator]

    layer = idempotency(engine, context(idempotency=IdempotencyConfig()))

    async def sent(boundary: str, word: str) -> Exchange:
        body = f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n{word}\r\n'
        exchange = Exchange(
            f"{body}--{boundary}--\r\n".encode(),
            path="/v1/audio/transcriptions",
            headers={
                "idempotency-key": "k",
                "content-type": f'multipart/form-data; boundary="{boundary}"',
            },
        )
        return await exchange.through(layer)

    assert not replayed(await sent("one", "w"))
    assert replayed(await sent("two", "w"))
    assert (await sent("two", "v")).status == 422


async def test_an_answer_is_kept_for_its_time_and_within_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(shelf, "monotonic", lambda: now)
    config = IdempotencyConfig(max_entry_bytes=1500, max_bytes=3000)
    world = World(idempotency=config)
    await world.ask()
    now = 86_399.0
    assert replayed(await world.ask())
    now = 86_400.0
    assert not replayed(await world.ask())
    # One that is too large is not kept, and runs again; of the others the newest.
    for key in ("large", "1", "2", "3"):
        await world.ask(key, pad=1600 if key == "large" else 1000)
    assert [replayed(await world.ask(key, pad=1000)) for key in ("3", "2", "1")] == [
        True,
        *[False] * 2,
    ]
    assert not replayed(await world.ask("large", pad=1600))


async def test_where_it_is_not_configured_there_is_no_layer() -> None:
    engine = Engine()
    assert idempotency(engine, context()) is engine
    world = World(idempotency=None)
    assert [number(await world.ask()) for _ in range(2)] == [1, 2]
