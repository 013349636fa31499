"""What a form says, as the engine will read it: by the same parser."""

from importlib.util import find_spec

from llmservice_server.gateway.asgi import Message, Scope


async def fields_of(scope: Scope, body: bytes) -> list[tuple[str, object]]:
    """Each field's name and value, nothing where no engine could read one.

    Raises:
        ValueError: it cannot be read.
    """
    from starlette.requests import Request  # noqa: PLC0415  which both engines bring

    if find_spec("python_multipart") is None:  # which only vLLM brings: the proxy serves no forms
        return []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        async with Request(scope, receive).form() as form:
            return [*form.multi_items()]
    except Exception as error:  # whatever it makes of what is no form
        raise ValueError(str(error)) from error
