"""The README's API table against the real server, through the Service, and what else it has."""

import httpx2
from llmservice_server.gateway.identity.access import access

from tests.e2e.service import Service
from tests.readme_api import lines


def test_each_line_of_the_readmes_table_is_answered_as_it_says(service: Service) -> None:
    with service.forwarded() as url:
        for line in lines():
            answer = line.run(url)
            assert [word for word in line.words if word not in answer] == [], answer


def test_each_route_of_vllm_is_in_the_table_of_who_may_ask(service: Service) -> None:
    with service.forwarded() as url:
        documented = httpx2.get(f"{url}/openapi.json", timeout=30).json()["paths"]
        found = [(method.upper(), path) for path in documented for method in documented[path]]
        assert ("POST", "/v1/completions") in found
        unknown = [one for one in found if access(one[0], one[1].replace("{", "")).name is None]
        assert unknown == []
        assert access("GET", "/brand/new").name is None
