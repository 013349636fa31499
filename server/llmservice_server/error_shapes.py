"""The two shapes of an error: OpenAI's, and that of /predict and /predict/batch."""

PREDICTIONS = frozenset({"/predict", "/predict/batch"})
"""The routes of the second one."""


def openai_error(kind: str, message: str, param: str | None = None) -> dict[str, object]:
    return {"error": {"message": message, "type": kind, "param": param, "code": kind}}


def prediction_error(
    kind: str, message: str, timestamp: str, *, field: object = None, request_id: str | None = None
) -> dict[str, object]:
    """field: the one that is wrong, if it is one."""
    return {
        "error": kind,
        "message": message,
        "details": {"field": field} if field else None,
        "timestamp": timestamp,
        "request_id": request_id,
    }
