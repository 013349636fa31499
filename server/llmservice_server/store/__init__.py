"""What is kept: users, plans and keys, what they used, and who changed what.

In PostgreSQL, or for one replica in a SQLite. Each concept has a facade in a module of its own that
takes and gives plain records; none of SQLAlchemy is seen outside, and it is imported only where a
database is configured. Whatever cannot be done now is a `StoreError`, after which all is as before.
"""

from typing import TYPE_CHECKING

from llmservice_server.config import ServerConfig

if TYPE_CHECKING:
    from llmservice_server.store.store import Store

__all__ = ["store_of"]


def store_of(config: ServerConfig) -> "Store | None":
    """The configuration's; None where nothing is to be kept.

    Raises:
        ConfigError: the database's address is not where it says.
    """
    if config.database is None and not config.auth.stored and config.history is None:
        return None
    from llmservice_server.store.address import address_of  # noqa: PLC0415
    from llmservice_server.store.store import Store  # noqa: PLC0415

    return Store.at(address_of(config.database), config.auth, config.prices, config.history)
