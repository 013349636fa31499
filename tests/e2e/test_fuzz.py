"""The real engine behind the gateway, asked through the Service with what its document allows and
does not, and with bytes that no client sends: never a 500, never a hang, nothing left running.
"""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from dev import client
from tests.e2e.service import Service
from tests.fuzz.attacks import ATTACKS, ODDITIES
from tests.fuzz.documented import Asked, asked, with_model
from tests.fuzz.fields import nonsense
from tests.fuzz.promise import at_rest, faults
from tests.fuzz.wire import Hang
from tests.length import lasting

_WIRE = Path("tests/fuzz/wire.py")
_HANG = 60  # seconds; vLLM computes on the cores of the machine that tests it
_BYTES_HANG = 15  # what waits here is the deadline for a head, 10 s, or keeps its connection
_LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_length")
_MANY = range(2, 1_000_000)
_ROUTES = ("/v1/chat/completions", "/v1/completions", "/inference", "/predict", "/api/chat")

_JSON = (("content-type", "application/json"),)
_SAID = [{"role": "user", "content": "Hi"}]
_HONEST: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": _SAID, "max_tokens": 1},
    "/v1/chat/completions/batch": {"messages": [_SAID], "max_tokens": 1},
    "/v1/completions": {"prompt": "Hi", "max_tokens": 1},
    "/v1/responses": {"input": "Hi", "max_output_tokens": 1, "store": False},
    "/v1/messages": {"messages": _SAID, "max_tokens": 1},
    "/tokenize": {"prompt": "Hi"},
    "/detokenize": {"tokens": [1]},
    "/generative_scoring": {"query": "Hi", "items": ["a"], "label_token_ids": [1, 2]},
}

_CHAT, _COMPLETE = "/v1/chat/completions", "/v1/completions"
_CUNNING: tuple[tuple[str, dict[str, object]], ...] = (
    *(
        (
            _CHAT,
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": x}}},
        )
        for x in (
            {"type": "x"},
            {"$ref": "#/x"},
            {"pattern": "("},
            {"type": "string", "pattern": "\ud83d"},
            True,
        )
    ),
    *(
        (_COMPLETE, {"structured_outputs": x})
        for x in (
            *(
                {"regex": "("},
                {"regex": "(a|a)*" * 50 + "b"},
                {"regex": "a{1,99999}"},
                {"regex": ""},
            ),
            *(
                {"grammar": "x"},
                {"json": "{"},
                {"json": {"enum": []}},
            ),
            *(
                {"choice": []},
                {"choice": [""]},
                {"structural_tag": "{"},
                {"regex": "a", "json": {}},
            ),
        )
    ),
    *(
        (_CHAT, {"chat_template_kwargs": x})
        for x in ({"chat_template": "{{ 1/0 }}"}, {"tokenize": 1}, {"messages": 1}, {"tools": 1})
    ),
    *(
        (_CHAT, {"messages": x})
        for x in (
            [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "file:///"}}],
                }
            ],
            [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}],
            [{"role": "user", "content": [{"type": "x"}]}],
            [{"role": "tool", "content": None}],
            [{"role": "assistant", "tool_calls": [{"function": {"name": 1, "arguments": "{"}}]}],
            [{"role": "x", "content": ""}],
            [{"role": "user"}],
            [{}] * 9,
        )
    ),
    (_CHAT, {"tools": [{"type": "function", "function": {"name": "\x00", "parameters": 1}}]}),
    (_CHAT, {"tool_choice": {"type": "function", "function": {"name": "absent"}}}),
    (_CHAT, {"tool_choice": "required", "tools": []}),
    *(
        (_COMPLETE, x)
        for x in (
            *(
                {"n": 10**9},
                {"n": 16384},
                {"n": 10**9, "use_beam_search": True},
                {"best_of": 10**9},
            ),
            *(
                {"logprobs": 10**9},
                {"prompt_logprobs": 10**9},
                {"prompt_logprobs": -1, "stream": True},
            ),
            *(
                {"logit_bias": {"99999999": 100}},
                {"logit_bias": {"-1": 1}},
                {"logit_bias": {"x": 1}},
            ),
            *({"allowed_token_ids": [2**40]}, {"stop_token_ids": [-1]}, {"bad_words": [""]}),
            *(
                {"prompt": [2**40]},
                {"prompt": [-1]},
                {"prompt": [[]]},
                {"prompt": []},
                {"prompt": ""},
            ),
            *({"prompt": "x" * 100_000}, {"prompt": ["x"] * 3000}, {"prompt_embeds": "AAAA"}),
            *(
                {"seed": -1},
                {"min_tokens": 10**9},
                {"truncate_prompt_tokens": -5},
                {"stop": [""] * 99},
            ),
            *({"temperature": 1e308}, {"top_k": 2**63 - 1}, {"repetition_penalty": 5e-324}),
        )
    ),
)
"""What is right in its types and wrong deeper: what has felled one engine or another."""

_ENDLESS = 'root ::= root "x"'
_OWN_500: tuple[tuple[str, dict[str, object]], ...] = (
    # vLLM compiles a grammar after it has taken the request, and says no more than that it failed;
    # only the same compiler could tell before. The engine serves on.
    (_COMPLETE, {"structured_outputs": {"grammar": _ENDLESS}}),
)

_OWN: dict[str, tuple[int, str]] = {
    "/v1/systemone": (
        501,
        "vLLM has the route for models that decide; it says that this one cannot",
    ),
}
"""What vLLM answers in another way than the gateway promises, by route, and why that stays."""
_HANDSHAKES = "a websocket"
"""Attacks that uvicorn's websockets answer before the gateway can, with a status but no shape."""
_PATIENT = frozenset({"half a body", "half a chunk", "a chunk of 2^63", "an endless trailer"})
"""Attacks that end with the deadline for a body, a minute; the unit tests have it at a second."""


def _document(url: str) -> dict[str, Any]:
    return httpx2.get(f"{url}/openapi.json", timeout=30).json()


def _sent(service: Service, streams: list[bytes], seconds: int) -> list[bytes | Hang]:
    """What comes back on each, through the Service, from a pod of the cluster."""
    url = urlsplit(service.url)
    words = (str(url.hostname), str(url.port or 80), str(seconds))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    program = client.popen(service.cluster, service.namespace, _WIRE, *words, **pipes)
    out, err = program.communicate(json.dumps([each.hex() for each in streams]), timeout=300)
    assert program.returncode == 0, err
    return [Hang("no end") if each is None else bytes.fromhex(each) for each in json.loads(out)]


def _short(request: Asked) -> Asked:
    """The same with at most a token to compute, where it would be served."""
    if request.target.startswith("/stream?"):
        target = re.sub(r"(?<=max_tokens=)[0-9]{1,6}(?=&|$)", "1", request.target)
        return replace(
            request, target=target if "max_tokens" in target else f"{target}&max_tokens=1"
        )

    def shorter(fields: dict[str, object]) -> dict[str, object]:
        one = {name: 1 for name in _LENGTHS if _computes_long(fields.get(name))}
        return {**fields, **one}

    return request.with_fields(shorter)


def _computes_long(length: object) -> bool:
    return length is None or (isinstance(length, int | float) and int(length) in _MANY)


async def _ask(service: Service, url: str, requests: list[Asked]) -> list[str]:
    """What is wrong with the answers, and then with what is left of them."""
    came = _sent(service, [bytes(request) for request in requests], _HANG)
    found = [
        f"{fault}\n  of {bytes(request)[:1000]!r}"
        for request, received in zip(requests, came, strict=True)
        for fault in faults(
            request.path, received, method=request.method, may=_OWN.get(request.path, ())[:1]
        )
    ]
    await at_rest(url)
    return found


async def test_each_documented_route_with_what_it_allows_and_what_it_does_not(
    service: Service,
) -> None:
    with service.forwarded() as url:
        cases = asked(_document(url), covering=lasting(25, 200), drawn=lasting(0, 5))
        requests = [
            _short(with_model(one, service.name) if number % 4 else one)
            for number, one in enumerate(cases)
        ]
        assert await _ask(service, url, requests) == []


async def test_each_field_with_what_it_never_means(service: Service) -> None:
    with service.forwarded() as url:
        document, named = _document(url), {"model": service.name}
        wrong = [
            (path, field)
            for path in _HONEST
            for field in nonsense(document, path, each=lasting(3, 100))
        ]

        def request(path: str, fields: dict[str, object]) -> Asked:
            body = {**_HONEST[path], **named, **fields}
            return Asked("POST", path, _JSON, json.dumps(body).encode())

        requests = [request(path, fields) for path, fields in (*wrong, *_CUNNING)]
        assert await _ask(service, url, requests) == []
        for path, fields in _OWN_500:
            own = request(path, fields)
            (received,) = _sent(service, [bytes(own)], _HANG)
            assert faults(path, received, may={500}) == []
        await at_rest(url)


async def test_bytes_that_no_client_sends(service: Service) -> None:
    attacks = [
        (path, attack.at(path))
        for number, attack in enumerate((*ATTACKS, *ODDITIES))
        for path in lasting((_ROUTES[number % len(_ROUTES)],), _ROUTES)
        if attack.name not in _PATIENT
    ]
    with service.forwarded() as url:
        came = _sent(service, [attack.bytes_ for _, attack in attacks], _BYTES_HANG)
        found = [
            f"{attack.name} at {path}: {fault}"
            for (path, attack), received in zip(attacks, came, strict=True)
            for fault in faults(attack.path, received, method=attack.method)
            if not attack.name.startswith(_HANDSHAKES)
        ]
        assert found == []
        await at_rest(url)
