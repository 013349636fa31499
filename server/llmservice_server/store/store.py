"""All that is kept, by its facades, in one database."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from llmservice_server.config import AuthConfig, HistoryConfig
from llmservice_server.config.price import Price
from llmservice_server.store.address import Address
from llmservice_server.store.audit import Audit, changing
from llmservice_server.store.books import Books
from llmservice_server.store.callers import CallerKeys
from llmservice_server.store.conversations import Conversations
from llmservice_server.store.database import Database
from llmservice_server.store.history import History
from llmservice_server.store.journal import Journal
from llmservice_server.store.keys import Keys
from llmservice_server.store.people import People
from llmservice_server.store.retention import Retention
from llmservice_server.store.usage import Usage


@dataclass(frozen=True)
class Store:
    """Nothing is opened before the first use, which brings the tables up to date.

    ``journal`` and ``retention``: where history is kept.
    """

    database: Database
    people: People
    keys: Keys
    callers: CallerKeys
    usage: Usage
    books: Books
    audit: Audit
    history: History
    conversations: Conversations
    journal: Journal | None = None
    retention: Retention | None = None

    @classmethod
    def at(
        cls,
        address: Address,
        auth: AuthConfig,
        prices: Iterable[Price] = (),
        kept: HistoryConfig | None = None,
    ) -> Self:
        database = Database(address)
        keys, usage = Keys(database), Usage(database)
        history, conversations = History(database), Conversations(database)
        return cls(
            database=database,
            people=People(database, auth.named.values()),
            keys=keys,
            callers=CallerKeys(keys, auth),
            usage=usage,
            books=Books(usage, prices),
            audit=Audit(database),
            history=history,
            conversations=conversations,
            journal=Journal(history) if kept else None,
            retention=Retention(database, history, conversations, kept.retention_days)
            if kept
            else None,
        )

    async def forget(self, user: str, by: str) -> None:
        """What is kept of a user's requests and conversations goes; what was used stays.

        Also of one who is not stored here, as a provider's.
        """
        async with changing(self.database, by) as change:
            await change.note("user.forget", user, None, None)
        for forget in (self.history.forget_user, self.conversations.forget_user):
            while await forget(user):
                pass

    def start(self) -> None:
        """Do from now on what nobody asks for."""
        for one in (self.books, self.journal, self.retention):
            if one:
                one.start()

    async def stop(self) -> None:
        """Keep what is not kept yet, and close the database."""
        for one in (self.retention, self.journal, self.books):
            if one:
                await one.stop()
        await self.database.close()
