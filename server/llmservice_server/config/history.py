"""What is kept of requests and conversations, and for how long; nothing where it is not written."""

from typing import Annotated

from pydantic import Field

from llmservice_server.config.part import Part


class HistoryConfig(Part):
    """In the database. Prompts and answers of requests only by plans with ``keepBodies``; those of
    a conversation where the client asks for one. ``retentionDays``: then they are deleted, a
    conversation so long after its last message.
    """

    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
