"""The tables. Their history is in migrations/, which a test holds to be the same."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
)

USER, PLAN, PREFIX, MODEL, MONTH, REPLICA = 255, 63, 8, 255, 7, 32
"""How long names are: of users, plans, a key's prefix, models, months as 2026-01, and replicas."""
CLAIM, HOST = 32, 255
"""The same of work that is claimed, and of the machines that replicas call themselves by."""
CONVERSATION, OWNER = 64, USER + 8
"""The same of conversations' ids, and of their owners: a word, and a user."""
NUMBER = BigInteger().with_variant(Integer(), "sqlite")  # whose own numbering asks for INTEGER

metadata = MetaData()


class Moment(TypeDecorator[datetime]):
    """A point in time in UTC, which SQLite would forget."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


plans = Table(
    "plans",
    metadata,
    Column("name", String(PLAN), primary_key=True),
    Column("document", JSON, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", String(USER), primary_key=True),
    # None: the configuration's default. A plan may be the configuration's own, so no foreign key.
    Column("plan", String(PLAN)),
    Column("created", Moment, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("prefix", String(PREFIX), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("name", String(USER), nullable=False),
    Column(
        "user_name",
        String(USER),
        ForeignKey("users.name", name="keys_user", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("admin", Boolean, nullable=False),
    Column("routes", JSON(none_as_null=True)),
    Column("models", JSON(none_as_null=True)),
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
    Column("revoked", Moment),
    Column("last_used", Moment),
)

# One row, the first that each change writes: it makes changes follow one another, so that whoever
# sees a new number sees all that was changed until then.
changes = Table(
    "changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", NUMBER, Identity(), primary_key=True),
    Column("at", Moment, nullable=False, index=True),
    Column("actor", String(USER), nullable=False),
    Column("action", String(32), nullable=False),
    Column("subject", String(USER), nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
)


def _sums(*names: str) -> tuple[Column[int], ...]:
    return tuple(Column(name, BigInteger, nullable=False) for name in names)


# Of who shows no key, the key and the user are empty texts.
usage = Table(
    "usage",
    metadata,
    Column("day", Date, primary_key=True),
    Column("user_name", String(USER), primary_key=True),
    Column("key", String(USER), primary_key=True),
    Column("model", String(MODEL), primary_key=True),
    *_sums("requests", "input_tokens", "output_tokens", "cost"),
)

usage_month = Table(
    "usage_month",
    metadata,
    Column("user_name", String(USER), primary_key=True),
    Column("month", String(MONTH), primary_key=True),
    *_sums("requests", "tokens"),
)

# What a replica has reserved and not used yet, as of its last batch.
reservations = Table(
    "reservations",
    metadata,
    Column("replica", String(REPLICA), primary_key=True),
    Column("user_name", String(USER), primary_key=True),
    Column("month", String(MONTH), primary_key=True),
    *_sums("requests", "tokens"),
)

# ``beat``: seconds by the database's clock. ``batch``: the number of its last one, which is
# therefore never counted twice. ``charged``: it was taken for dead.
replicas = Table(
    "replicas",
    metadata,
    Column("name", String(REPLICA), primary_key=True),
    Column("beat", BigInteger, nullable=False),
    Column("batch", BigInteger, nullable=False),
    Column("charged", Boolean, nullable=False),
)

# One request each; ``number`` because a client may give two of them one id.
requests = Table(
    "requests",
    metadata,
    Column("number", NUMBER, Identity(), primary_key=True),
    Column("at", Moment, nullable=False, index=True),
    Column("request_id", String(USER), nullable=False, index=True),
    Column("user_name", String(USER), nullable=False),
    Column("key", String(USER), nullable=False),
    Column("model", String(MODEL), nullable=False),
    Column("route", String(USER), nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", String(32)),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("first_token_seconds", Double),
    Column("seconds", Double, nullable=False),
    Column("asked", Text),
    Column("answered", Text),
    Column("streaming", Boolean, nullable=False, server_default=false()),
    Column("answered_by", String(16)),
    Column("replica", String(HOST), nullable=False, server_default=""),
    Index("ix_requests_user_name_number", "user_name", "number"),
    Index("ix_requests_key_number", "key", "number"),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", String(CONVERSATION), primary_key=True),
    Column("owner", String(OWNER), nullable=False),
    Column("created", Moment, nullable=False),
    Column("changed", Moment, nullable=False, index=True),
    Column("messages", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Index("ix_conversations_owner_changed", "owner", "changed"),
)

messages = Table(
    "messages",
    metadata,
    Column(
        "conversation",
        String(CONVERSATION),
        ForeignKey("conversations.id", name="messages_conversation", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("document", JSON, nullable=False),
    Column("at", Moment, nullable=False),
    Column("system", Boolean, nullable=False, server_default=false()),
)

# Work that one replica does for all; ``until``: seconds by the database's clock.
claims = Table(
    "claims",
    metadata,
    Column("name", String(CLAIM), primary_key=True),
    Column("holder", String(REPLICA), nullable=False),
    Column("until", BigInteger, nullable=False),
)
