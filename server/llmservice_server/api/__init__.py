"""The routes beside OpenAI's: each is translated to the engine's own and answered in process.

So every engine has them. They pass the gateway's layers once, from outside. Needs FastAPI, which
vLLM and the proxy bring; knows no engine.
"""

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from llmservice_server.api import api_v1, chat, errors, inference, info, predict
from llmservice_server.gateway.context import Context

__all__ = ["attach"]


def attach(app: FastAPI, context: Context) -> None:
    """Give the application the routes of each group that is on, and a shape to what has none."""
    on = context.config.api
    groups = (
        (on.inference, inference),
        (on.api_v1, api_v1),
        (on.chat, chat),
        (on.predict, predict),
    )
    routers = [info.probes(context), *(g.router(context) for wanted, g in groups if wanted)]
    if on.info:
        routers.append(info.router(context, routers))
    if context.store and context.config.auth.on:
        # what they need is not there where no database is
        from llmservice_server.admin.issue import Issue  # noqa: PLC0415
        from llmservice_server.admin.routes import router as admin  # noqa: PLC0415

        routers.append(admin(context.store, Issue.of(context.store.keys, context.config.auth)))
    for router in routers:
        app.include_router(router)
    # Starlette's own, which a router raises: an engine answers FastAPI's itself, where it wants to.
    app.add_exception_handler(HTTPException, errors.no_route)
    for kind in errors.MISREAD:
        app.add_exception_handler(kind, errors.misread)
    if Exception not in app.exception_handlers:  # vLLM has its own
        app.add_exception_handler(Exception, errors.failed)
