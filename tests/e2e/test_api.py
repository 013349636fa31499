"""The README's API table against the real server, through the Service, and what else it has."""

import httpx2
from llmservice_server.gateway.identity.access import access

from tests import promtool
from tests.e2e.service import Service
from tests.readme_api import lines


def test_each_line_of_the_readmes_table_is_answered_as_it_says(service: Service) -> None:
    with service.forwarded() as url:
        for line in lines():
            answer = line.run(url)
            assert [word for word in line.words if word not in answer] == [], answer


def test_responses_are_served_as_vllm_has_them(service: Service) -> None:
    asked = {"model": service.name, "input": "Hi", "max_output_tokens": 4, "store": False}
    with service.forwarded() as url:
        answer = httpx2.post(f"{url}/v1/responses", json=asked, timeout=60)
    told = answer.json()

    assert (answer.status_code, told["object"]) == (200, "response")
    assert told["usage"]["output_tokens"] == 4


def test_of_all_metrics_promtool_complains_of_vllms_own_names_alone(service: Service) -> None:
    promtool.ensure()
    with service.forwarded() as url:
        scraped = httpx2.get(f"{url}/metrics", follow_redirects=True, timeout=30).content
    complaints = promtool.complaints(scraped)

    assert b"llmservice_requests_total" in scraped
    assert any(said.startswith("vllm:num_requests_running ") for said in complaints)
    assert [said for said in complaints if not said.startswith("vllm:")] == []


def test_each_route_of_vllm_is_in_the_table_of_who_may_ask(service: Service) -> None:
    with service.forwarded() as url:
        documented = httpx2.get(f"{url}/openapi.json", timeout=30).json()["paths"]
        found = [(method.upper(), path) for path in documented for method in documented[path]]
        assert ("POST", "/v1/completions") in found
        unknown = [one for one in found if access(one[0], one[1].replace("{", "")).name is None]
        assert unknown == []
        assert access("GET", "/brand/new").name is None
