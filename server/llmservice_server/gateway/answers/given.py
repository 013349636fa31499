"""How a request was answered where the engine was not asked for it.

Noted by who answers; read by who tells of the request. Such an answer takes no tokens.
"""

from enum import StrEnum
from typing import cast

from llmservice_server.gateway.asgi import Scope
from llmservice_server.gateway.usage import Usage, count

_PLACE = "answered_by"  # in the scope's state


class By(StrEnum):
    CACHE = "cache"
    FLIGHT = "flight"
    """The answer to another request, which asked the same at the same time."""
    IDEMPOTENCY = "idempotency"


def note_given(scope: Scope, by: By) -> None:
    count(scope, Usage(0, 0))
    scope["state"][_PLACE] = by


def answered_by(scope: Scope) -> By | None:
    """None of what the engine answered, or nobody."""
    return cast("By | None", scope.get("state", {}).get(_PLACE))
