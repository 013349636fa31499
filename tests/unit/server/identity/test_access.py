"""The table of who may ask which route."""

import pytest
from llmservice_server.gateway.identity.access import NAMES, Access, access


@pytest.mark.parametrize(
    ("method", "path", "expected", "name"),
    [
        ("GET", "/livez", Access.PUBLIC, "/livez"),
        ("HEAD", "/readyz", Access.PUBLIC, "/readyz"),
        ("GET", "/metrics/", Access.PUBLIC, "/metrics/"),
        ("POST", "/v1/chat/completions", Access.KEY, "/v1/chat/completions"),
        ("POST", "/v1/chat/completions/", Access.KEY, "/v1/chat/completions"),
        ("GET", "/", Access.KEY, "/"),
        ("GET", "/v1/models", Access.KEY, "/v1/models"),
        ("HEAD", "/v1/models", Access.KEY, "/v1/models"),
        ("GET", "/v1/models/org/model", Access.KEY, "/v1/models/{id}"),
        ("GET", "/v1/responses/resp_1", Access.KEY, "/v1/responses/{id}"),
        ("POST", "/v1/responses/resp_1/cancel", Access.KEY, "/v1/responses/{id}/cancel"),
        ("WEBSOCKET", "/v1/realtime", Access.KEY, "/v1/realtime"),
        ("POST", "/v1/load_lora_adapter", Access.ADMIN, "/v1/load_lora_adapter"),
        ("GET", "/admin/v1/users", Access.ADMIN, "/admin/v1/"),
        ("DELETE", "/adapters/a", Access.ADMIN, "/adapters/"),
    ],
)
def test_a_known_route_is_for_whom_it_is(
    method: str, path: str, expected: Access, name: str
) -> None:
    assert access(method, path) == (expected, name)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/brand/new"),
        ("POST", "/livez"),
        ("DELETE", "/v1/models/m"),
        ("GET", "/v1/completions"),
        ("POST", "//v1/completions"),
        ("POST", "/V1/completions"),
        ("POST", "/v1/completions/../../sleep"),
        ("POST", "/v1/responses//cancel"),
        ("POST", "/v1/responses/a/b/cancel"),
        ("POST", "/v1/responses/a"),
        ("GET", "/v1/responses/a/b"),
        ("GET", "/v1/responses/"),
        ("GET", "/metrics/x"),
        ("GET", "/docs/x"),
        ("GET", "/adminv1/users"),
        ("OPTIONS", "/v1/models"),
        ("GET", ""),
        ("GET", "//"),
        ("WEBSOCKET", "/livez"),
    ],
)
def test_what_the_table_does_not_name_is_closed(method: str, path: str) -> None:
    assert access(method, path) == (Access.ADMIN, None)


def test_scopes_name_what_keys_open_and_nothing_else() -> None:
    assert {"/v1/chat/completions", "/v1/models/{id}", "/v1/realtime"} <= NAMES
    assert NAMES.isdisjoint({"/livez", "/sleep", "/admin/v1/"})
