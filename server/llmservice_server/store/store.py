"""All that is kept, by its facades, in one database."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from llmservice_server.config import AuthConfig
from llmservice_server.config.price import Price
from llmservice_server.store.address import Address
from llmservice_server.store.audit import Audit
from llmservice_server.store.books import Books
from llmservice_server.store.callers import CallerKeys
from llmservice_server.store.conversations import Conversations
from llmservice_server.store.database import Database
from llmservice_server.store.history import History
from llmservice_server.store.keys import Keys
from llmservice_server.store.people import People
from llmservice_server.store.usage import Usage


@dataclass(frozen=True)
class Store:
    """Nothing is opened before the first use, which brings the tables up to date."""

    database: Database
    people: People
    keys: Keys
    callers: CallerKeys
    usage: Usage
    books: Books
    audit: Audit
    history: History
    conversations: Conversations

    @classmethod
    def at(cls, address: Address, auth: AuthConfig, prices: Iterable[Price] = ()) -> Self:
        database = Database(address)
        keys, usage = Keys(database), Usage(database)
        return cls(
            database=database,
            people=People(database, auth.named.values()),
            keys=keys,
            callers=CallerKeys(keys, auth),
            usage=usage,
            books=Books(usage, prices),
            audit=Audit(database),
            history=History(database),
            conversations=Conversations(database),
        )

    def start(self) -> None:
        """Do from now on what nobody asks for."""
        self.books.start()

    async def stop(self) -> None:
        """Keep what is not kept yet, and close the database."""
        await self.books.stop()
        await self.database.close()
