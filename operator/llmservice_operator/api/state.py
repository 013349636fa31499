"""spec.gateway.redis and spec.gateway.database: what replicas share, and what outlives them."""

from pydantic import ConfigDict

from llmservice_operator.api.fields import ObjectName
from llmservice_operator.api.part import Part, rule, rules
from llmservice_operator.api.secret_key import DatabaseSecret, RedisSecret


class Redis(Part):
    """The Redis in which all replicas count together; write one of the two."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.urlSecret) != (has(self.managed) && self.managed)",
                "write managed: true for a small Redis of its own, or urlSecret: {name: SECRET}, "
                "which holds the address of another one",
            )
        )
    )

    # No default of the schema: it would be written beside urlSecret, too.
    managed: bool | None = None
    """A small Redis of its own, in memory alone, which nobody else may reach. A restart of it
    begins the counts of the minute anew; months go on with what the database says."""

    url_secret: RedisSecret | None = None
    """Where the address of another Redis is, as redis://:PASSWORD@HOST:6379/0, or rediss:// for
    TLS. Names there begin with the resource's namespace and name, so that others may use it,
    too."""


class Sqlite(Part):
    """A SQLite, for one replica alone."""

    claim_name: ObjectName
    """Name of a PersistentVolumeClaim that nothing else writes to, best with the access mode
    ReadWriteOncePod."""


class Database(Part):
    """Where users, keys, usage and history are kept."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.urlSecret) != has(self.sqlite)",
                "write urlSecret, which holds the address of a PostgreSQL, or sqlite: {claimName: "
                "CLAIM}, not both",
            )
        )
    )

    url_secret: DatabaseSecret | None = None
    """Where the address of a PostgreSQL is, as postgresql://USER:PASSWORD@HOST:5432/NAME."""

    sqlite: Sqlite | None = None
    """A SQLite on a volume of its own: for one replica, with rollout.strategy Replace."""
