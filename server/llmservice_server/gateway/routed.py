"""Which model a request goes to, as those who watch it may tell: by a name that is served.

A name that nobody serves is a client's own words, and is not noted.
"""

from llmservice_server.gateway.asgi import Scope
from llmservice_server.gateway.context import Engine


def note_model(scope: Scope, engine: Engine, named: object) -> None:
    """Note where a request goes that names this model, or "" where it names none."""
    if isinstance(named, str) and (model := engine.routed(named)):
        scope.setdefault("state", {})["model"] = model
