"""What the server's types refuse, told by the field of the resource that it comes from."""

from collections.abc import Generator
from contextlib import contextmanager

from pydantic import ValidationError

from llmservice_operator.api.invalid import InvalidSpec


@contextmanager
def at(path: str) -> Generator[None]:
    """For a block that makes of this part of the spec one of the server's configuration.

    Raises InvalidSpec with the first fault, without the value, which may be a secret.
    """
    try:
        yield
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join((path, *map(str, fault["loc"])))
        raise InvalidSpec(f"{field}{_sentence(fault['msg'])}") from None


def _sentence(message: str) -> str:
    told = message.removeprefix("Value error, ")
    return told if told.startswith((".", ":")) else f": {told}"
