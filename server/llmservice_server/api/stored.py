"""What the store refuses, in OpenAI's shape."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response

from llmservice_server.api.errors import RefusedError, Route
from llmservice_server.store import failures


def refusal(error: failures.RefusedError | failures.StoreError) -> RefusedError:
    """The error as it is answered."""
    match error:
        case failures.AbsentError():
            status, kind = 404, "not_found"
        case failures.TakenError():
            status, kind = 409, "conflict"
        case failures.RefusedError():
            status, kind = 400, "invalid_request_error"
        case _:
            status, kind = 503, "service_unavailable"
    return RefusedError(status, kind, str(error))


class StoredRoute(Route):
    """A route that asks the store."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_or_refuse(request: Request) -> Response:
            try:
                return await answer(request)
            except (failures.RefusedError, failures.StoreError) as error:
                return refusal(error).response()

        return answer_or_refuse
