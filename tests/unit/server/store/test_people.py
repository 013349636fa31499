"""Users, plans and keys as they are kept, and the trail of what was changed."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from llmservice_server.config import AuthConfig, Plan, Rates
from llmservice_server.gateway.caller import Scopes
from llmservice_server.store.audit import Audit
from llmservice_server.store.callers import CallerKeys
from llmservice_server.store.conversations import Conversations
from llmservice_server.store.database import Database
from llmservice_server.store.failures import AbsentError, RefusedError, TakenError
from llmservice_server.store.keys import Key, Keys
from llmservice_server.store.people import People
from sqlalchemy import text

_NOW = datetime(2026, 11, 22, 12, 30, 15, 250_000, tzinfo=UTC)
_SMALL = Plan(
    name="small", per_key=Rates(requests_per_minute=6), monthly_tokens=2**53, models=("a", "b")
)


def _key(prefix: str = "AAAAbbbb", user: str = "alice", **parts: object) -> Key:
    whole = {
        "prefix": prefix,
        "name": "laptop",
        "user": user,
        "admin": False,
        "routes": ["/v1/chat/completions"],
        "models": None,
        "created": _NOW,
        "expires": None,
        "revoked": None,
        "last_used": None,
    }
    return Key.model_validate(whole | parts)


async def test_a_user_is_added_given_a_plan_and_removed_with_its_keys(database: Database) -> None:
    people, keys = People(database), Keys(database)
    await people.put_plan(_SMALL, "me")
    alice = await people.add_user("alice", None, "me")
    assert await people.user("alice") == alice
    assert (await people.give_plan("alice", "small", "me")).plan == "small"
    assert [user.plan for user in await people.users(10)] == ["small"]
    await keys.add(_key(), b"d" * 32, "me")
    conversations = Conversations(database)
    for owner in ("user:alice", "user:alice2"):
        await conversations.begin(owner, [])
    await people.remove_user("alice", "me")
    assert await people.users(10) == ()
    assert await conversations.conversations("user:alice", 10) == ()
    assert len(await conversations.conversations("user:alice2", 10)) == 1
    assert await keys.find("AAAAbbbb") is None


async def test_users_and_keys_are_listed_in_pages(database: Database) -> None:
    people, keys = People(database), Keys(database)
    for name in ("bob", "alice", "carol"):
        await people.add_user(name, None, "me")
        await keys.add(_key(prefix=f"{name:x<8}", user=name), b"d" * 32, "me")
    first = await people.users(2)
    assert [user.name for user in first] == ["alice", "bob"]
    assert [user.name for user in await people.users(2, after="bob")] == ["carol"]
    assert [key.user for key in await keys.keys(2)] == ["alice", "bob"]
    assert [key.user for key in await keys.keys(2, after="bobxxxxx")] == ["carol"]
    assert [key.prefix for key in await keys.keys(9, user="bob")] == ["bobxxxxx"]


async def test_a_plan_is_the_configurations_or_the_stores_and_never_both(
    database: Database,
) -> None:
    people = People(database, [Plan(name="own")])
    await people.put_plan(_SMALL, "me")
    assert [(known.plan.name, known.configured) for known in await people.plans()] == [
        ("own", True),
        ("small", False),
    ]
    assert (await people.plan("small")).plan == _SMALL
    with pytest.raises(TakenError, match="plan own: is the configuration's; change it there"):
        await people.put_plan(Plan(name="own", weight=3), "me")
    with pytest.raises(TakenError, match="plan own"):
        await people.remove_plan("own", "me")
    await people.add_user("alice", "own", "me")
    await people.add_user("bob", "small", "me")
    with pytest.raises(TakenError, match="plan small: 1 users have it; give them another first"):
        await people.remove_plan("small", "me")
    await people.put_plan(Plan(name="small", weight=3), "me")
    assert (await people.plan("small")).plan.weight == 3
    await people.give_plan("bob", None, "me")
    await people.remove_plan("small", "me")
    with pytest.raises(AbsentError, match="plan small: there is none"):
        await people.plan("small")


async def test_what_is_not_there_or_there_already_is_refused_and_changes_nothing(
    database: Database,
) -> None:
    people, keys = People(database), Keys(database)
    await people.add_user("alice", None, "me")
    await keys.add(_key(), b"d" * 32, "me")
    before = await Audit(database).entries(100)
    for refused in (
        people.user("bob"),
        people.add_user("alice", None, "me"),
        people.add_user("bob", "gold", "me"),
        people.give_plan("alice", "gold", "me"),
        people.give_plan("bob", None, "me"),
        people.remove_user("bob", "me"),
        people.remove_plan("gold", "me"),
        keys.add(_key(prefix="CCCCdddd", user="bob"), b"d" * 32, "me"),
        keys.add(_key(), b"e" * 32, "me"),
        keys.key("CCCCdddd"),
        keys.revoke("CCCCdddd", "me"),
    ):
        with pytest.raises(RefusedError):
            await refused
    assert await Audit(database).entries(100) == before
    assert [user.name for user in await people.users(10)] == ["alice"]


async def test_a_plan_that_a_newer_server_wrote_is_read_without_what_is_new(
    database: Database,
) -> None:
    people = People(database)
    await people.put_plan(_SMALL, "me")
    async with database.writing() as connection:
        newer = '{"name": "small", "weight": 2, "mood": "good", "perKey": {"jokes": 1}}'
        await connection.execute(text("UPDATE plans SET document = :new"), {"new": newer})
    assert (await people.plan("small")).plan == Plan(name="small", weight=2)


async def test_a_key_is_found_with_its_users_plan_and_as_it_was_added(database: Database) -> None:
    people, keys = People(database), Keys(database)
    await people.put_plan(_SMALL, "me")
    await people.add_user("alice", "small", "me")
    key = _key(expires=_NOW + timedelta(days=1), admin=True, models=["a"])
    await keys.add(key, bytes(range(32)), "me")
    found = await keys.find(key.prefix)
    assert found
    assert (found.key, found.digest, found.stored_plan) == (key, bytes(range(32)), _SMALL)
    assert "digest" not in repr(found)
    assert await keys.find("aaaabbbb") is None  # another one

    revoked = await keys.revoke(key.prefix, "me")
    assert revoked.revoked
    assert await keys.revoke(key.prefix, "me") == revoked == await keys.key(key.prefix)
    found = await keys.find(key.prefix)
    assert found
    assert found.key.revoked == revoked.revoked


async def test_when_a_key_was_used_last_only_goes_on(database: Database) -> None:
    people, keys = People(database), Keys(database)
    await people.add_user("alice", None, "me")
    await keys.add(_key(), b"d" * 32, "me")
    version = await keys.version()
    for seconds in (5, 9, 7):
        await keys.used({"AAAAbbbb": _NOW + timedelta(seconds=seconds), "gone": _NOW})
    await keys.used({})
    assert (await keys.key("AAAAbbbb")).last_used == _NOW + timedelta(seconds=9)
    assert await keys.version() == version  # no replica has to look again


async def test_times_are_kept_whatever_zone_they_are_told_in(database: Database) -> None:
    people, keys = People(database), Keys(database)
    await people.add_user("alice", None, "me")
    elsewhere = datetime.fromisoformat("2026-12-31T23:59:59.999999+13:45")
    await keys.add(_key(expires=elsewhere), b"d" * 32, "me")
    assert (await keys.key("AAAAbbbb")).expires == elsewhere


async def test_the_first_administrators_key_is_made_once_by_however_many(
    replica: Callable[[], Database],
) -> None:
    replicas = [replica() for _ in range(4)]
    made = await asyncio.gather(
        *(
            Keys(database).add_first(_key(prefix=f"first{n:03}", admin=True), b"d" * 32, "me")
            for n, database in enumerate(replicas)
        ),
        return_exceptions=True,
    )
    assert [type(result) for result in made if result] == [TakenError] * 3
    keys = Keys(replicas[0])
    (only,) = await keys.keys(10)
    with pytest.raises(TakenError, match=f"key {only.prefix}: is an administrator's already"):
        await keys.add_first(_key(admin=True), b"d" * 32, "me")
    await keys.revoke(only.prefix, "me")
    await keys.add_first(_key(admin=True), b"d" * 32, "me")


async def test_every_change_is_in_the_trail_with_who_did_it_and_raises_the_version(
    database: Database,
) -> None:
    people, keys = People(database), Keys(database)
    versions = [await keys.version()]
    for change in (
        people.put_plan(_SMALL, "one"),
        people.add_user("alice", "small", "two"),
        people.give_plan("alice", None, "x" * 500),
        keys.add(_key(), b"secret-digest-of-32-bytes-length", "three"),
        keys.revoke("AAAAbbbb", "four"),
        people.remove_user("alice", "five"),
        people.remove_plan("small", "six"),
    ):
        await change
        versions.append(await keys.version())
    assert versions == sorted(set(versions))
    trail = await Audit(database).entries(100)
    assert [(entry.actor[:9], entry.action, entry.subject) for entry in reversed(trail)] == [
        ("one", "plan.put", "small"),
        ("two", "user.add", "alice"),
        ("xxxxxxxxx", "user.plan", "alice"),
        ("three", "key.add", "AAAAbbbb"),
        ("four", "key.revoke", "AAAAbbbb"),
        ("five", "user.remove", "alice"),
        ("six", "plan.remove", "small"),
    ]
    given = trail[4]
    assert given.before
    assert given.after
    assert (given.before["plan"], given.after["plan"]) == ("small", None)
    assert "secret" not in repr(trail)
    assert "digest" not in repr(trail)
    page = await Audit(database).entries(2, before=trail[2].number)
    assert page == trail[3:5]


async def test_who_sees_a_version_sees_every_change_until_it(
    replica: Callable[[], Database],
) -> None:
    """A number that is drawn before the commit would let a revocation slip by: the later one of
    two changes ends first, its number is seen, and the earlier one's end raises nothing.
    """
    people = People(replica())
    await people.add_user("alice", None, "me")
    writers = [Keys(replica()) for _ in range(4)]
    watcher, seen = Keys(replica()), dict[int, int]()
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            number = await watcher.version()
            seen.setdefault(number, len(await watcher.keys(1000)))

    async def write(keys: Keys, writer: int) -> None:
        for number in range(10):
            await keys.add(_key(prefix=f"{writer:04}{number:04}"), b"d" * 32, "me")

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(write(keys, number) for number, keys in enumerate(writers)))
    done.set()
    await watching
    base = await watcher.version() - 40
    assert all(keys >= number - base for number, keys in seen.items())


async def test_what_looks_like_sql_is_a_name(database: Database) -> None:
    people, keys = People(database), Keys(database)
    hostile = "'; DROP TABLE users; --\"%s$1:x\\"
    await people.add_user(hostile, None, hostile)
    assert (await people.user(hostile)).name == hostile
    await keys.add(_key(user=hostile, name=hostile), b"d" * 32, hostile)
    assert [key.user for key in await keys.keys(10, user=hostile)] == [hostile]
    assert (await Audit(database).entries(1))[0].actor == hostile


async def test_identity_finds_a_key_with_the_plan_that_holds_for_it(database: Database) -> None:
    auth = AuthConfig(plans=(Plan(name="own", weight=7),), default_plan="own")
    callers = CallerKeys(Keys(database), auth)
    people, keys = People(database, auth.named.values()), Keys(database)
    await people.put_plan(_SMALL, "me")
    plans = {"a": None, "b": "small", "c": "own"}
    for user, plan in plans.items():
        await people.add_user(user, plan, "me")
        expires = _NOW if user == "a" else None
        await keys.add(_key(prefix=user * 8, user=user, expires=expires), user.encode() * 32, "me")
    found = {user: await callers.find(user * 8) for user in plans}
    assert {user: key.plan.name for user, key in found.items() if key} == {
        "a": "own",
        "b": "small",
        "c": "own",
    }
    a = found["a"]
    assert a
    assert (a.id, a.user, a.digest, a.expires) == ("aaaaaaaa", "a", b"a" * 32, _NOW.timestamp())
    assert a.scopes == Scopes(frozenset({"/v1/chat/completions"}), None)
    assert not a.revoked
    await keys.revoke("aaaaaaaa", "me")
    a = await callers.find("aaaaaaaa")
    assert a
    assert a.revoked
    assert await callers.find("zzzzzzzz") is None
    # of a server whose configuration lost a plan that users have
    without = CallerKeys(keys, AuthConfig())
    c = await without.find("cccccccc")
    assert c
    assert c.plan.name == "default"
    await callers.used({"aaaaaaaa": _NOW.timestamp()})
    assert (await keys.key("aaaaaaaa")).last_used == _NOW
