"""What clients see, in a pod: OpenAI's own of both engines, and streams of a server that ends or
hangs.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from devcluster import images

from dev import client
from dev.images import clients
from tests.e2e.service import Manifest, Service, wait_for
from tests.readme_api import lines

_POD = "clients"
_PROGRAMS = Path(__file__).with_name("clients")
_ASK = Path("dev/ask.py")
_SIGNAL, _TURNS_RED = (Path(__file__).with_name(f"{x}.py") for x in ("signal_engine", "turns_red"))
_LIMITING_PORT = 8080
_STREAMS = 32
_GRACE_SECONDS = 10
_HANG_SECONDS = 5
_KEY = "sk-of-a-test-and-of-nobody-else"
_A_MINUTE = 20  # requests
_BORN = """if True:
    import os, time
    fields = open("/proc/1/stat").read().rpartition(") ")[2].split()
    user, system, began = (int(fields[n]) / os.sysconf("SC_CLK_TCK") for n in (11, 12, 19))
    print(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + began, user + system)
"""

_REFUSED = {  # status and the classes that the clients for Python and for JavaScript have for it
    "no such model": (404, {"NotFoundError"}),
    "no such model, streamed": (404, {"NotFoundError"}),
    "a wrong field": (400, {"BadRequestError"}),
    "no messages": (400, {"BadRequestError"}),
    "too long for the model": (400, {"BadRequestError"}),
    "too large": (413, {"APIStatusError", "APIError"}),
    "embeddings": (404, {"NotFoundError"}),
    "no such route": (404, {"NotFoundError"}),
}


@pytest.fixture(scope="module")
def pod(applied: Service) -> Iterator[str]:
    """The pod with the clients, in which a server runs that limits them; its address."""
    cluster, namespace = applied.cluster, applied.namespace
    image = clients()
    images.load(cluster, image)
    client.start(cluster, namespace, image, _POD)
    arguments = (_PROGRAMS / "limiting.py", str(_LIMITING_PORT))
    limiting = client.popen(cluster, namespace, *arguments, pod=_POD, stdout=PIPE)
    try:
        assert limiting.stdout
        assert limiting.stdout.readline() == "serving\n"
        address = applied.kubectl("get", "pod", _POD, "-o", "jsonpath={.status.podIP}")
        yield f"{address}:{_LIMITING_PORT}"
    finally:
        limiting.kill()
        limiting.wait()
        applied.kubectl("delete", "pod", _POD)


@pytest.fixture(scope="module")
def narrow(applied: Service) -> Iterator[Service]:
    """Another LLMService with vLLM, where no request waits, none is finished in the end, and a hang
    is soon told.

    It starts while those tests run that do not wait for it.
    """
    own = Service(applied.cluster, applied.namespace, "narrow")
    like = applied.get()["spec"]
    limits = {"running": _STREAMS, "waiting": 0}
    spec = {part: like[part] for part in ("model", "engine", "pod")}
    soon = {"name": "LLMSERVICE_LIVENESS_HANG_SECONDS", "value": str(_HANG_SECONDS)}
    spec["engine"]["env"].append(soon)
    with own.made({**spec, "gateway": {"limits": limits}, "rollout": {"drainSeconds": 0}}):
        yield own


@pytest.fixture(scope="module")
def proxy(applied: Service, narrow: Service, pod: str) -> Iterator[Service]:
    """A proxy before the demo's LLMService, another one, and the server that limits its clients."""
    own = Service(applied.cluster, applied.namespace, "proxy")
    upstreams = [
        {"url": applied.url},
        {"url": _url(narrow), "models": [{"name": narrow.name}]},
        {"url": f"http://{pod}/v1"},
    ]
    with own.made({"engine": {"type": "proxy", "upstreams": upstreams}}):
        own.wait_settled()
        yield own


@pytest.fixture(scope="module")
def limited(applied: Service) -> Iterator[Service]:
    """Two replicas of a proxy that ask for a key and count together, in a Redis of their own."""
    own = Service(applied.cluster, applied.namespace, "limited")
    own.kubectl("create", "secret", "generic", "callers", f"--from-literal=API_KEY={_KEY}")
    plan = {"name": "default", "perKey": {"requestsPerMinute": _A_MINUTE}}
    gateway = {
        "auth": {"keysSecret": {"name": "callers"}, "plans": [plan]},
        "limits": {"whenRedisIsDown": "closed"},
        "redis": {"managed": True},
    }
    engine = {"type": "proxy", "upstreams": [{"url": applied.url}]}
    try:
        with own.made({"engine": engine, "replicas": 2, "gateway": gateway}):
            own.wait_settled()
            own.wait("LimitsShared", "CountedTogether")
            yield own
    finally:
        own.kubectl("delete", "secret", "callers")


@dataclass(frozen=True)
class Ended:
    """What was seen of a pod that was deleted under load: see ending.py and load.py."""

    pod: Manifest  # as it was in the end
    seen: dict[str, Any]
    missed: list[str]


@pytest.fixture(scope="module")
def ended(applied: Service) -> Ended:
    """The demo's only pod, deleted while it streams, and told to end again in each phase."""
    applied.wait_settled()
    (pod,) = applied.items("pods")
    name = pod["metadata"]["name"]

    def delete() -> None:
        applied.kubectl("delete", "pod", name, "--wait=false")

    def terminate() -> None:
        applied.kubectl("exec", name, "--", "python3", "-c", "import os; os.kill(1, 15)")

    with _held(applied, name), applied.load("fresh", "models") as load:
        phases = {"streaming": delete, "draining": terminate, "refusing": terminate}
        seen = applied.seen_ending(pod, _STREAMS, phases, 2 * _GRACE_SECONDS)
        missed = load.stop()["failures"]
        over = wait_for("its exit code", lambda: _over(applied, name))
    return Ended(over, seen, missed)


@contextmanager
def _held(service: Service, pod: str) -> Iterator[None]:
    """The pod's object stays when it is over, so that its exit code can be read."""

    def hold(finalizers: list[str] | None) -> None:
        patch = json.dumps({"metadata": {"finalizers": finalizers}})
        service.kubectl("patch", "pod", pod, "--type=merge", "-p", patch)

    hold(["llmservice.io/looked-at"])
    try:
        yield
    finally:
        hold(None)


def _over(service: Service, pod: str) -> Manifest | None:
    got = json.loads(service.kubectl("get", "pod", pod, "-o", "json"))
    return got if "terminated" in got["status"]["containerStatuses"][0]["state"] else None


@pytest.fixture
def engine(request: pytest.FixtureRequest, service: Service, proxy: Service) -> Service:
    return {"vllm": service, "proxy": proxy}[request.param]


def _url(service: Service) -> str:
    return wait_for("its address", lambda: service.get().get("status", {}).get("url"))


def _run(service: Service, program: str, *arguments: str) -> Any:
    """What the program prints, in the clients' pod."""
    file = _PROGRAMS / program
    told = client.run(
        service.cluster, service.namespace, file, _url(service), *arguments, timeout=180, pod=_POD
    )
    return json.loads(told)


def test_a_proxy_needs_no_gpu_and_is_ready_soon_after_its_process_began(proxy: Service) -> None:
    (container,) = proxy.items("pods")[0]["spec"]["containers"]
    target = f"deploy/{proxy.name}"
    told = proxy.kubectl("exec", target, "--", "python3", "-c", _BORN)
    began, computed = map(float, told.split())
    lines = map(json.loads, proxy.kubectl("logs", target).splitlines())
    (ready,) = (line["time"] for line in lines if line["message"].startswith("ready: "))
    seconds = datetime.fromisoformat(ready).timestamp() - began

    assert "gpu" not in json.dumps(container["resources"])
    assert seconds < 10  # below 2 where nothing else keeps the machine busy
    assert computed < 2  # which is so on a busy one too


@pytest.mark.parametrize("program", ["everything.py", "everything.mjs"])
@pytest.mark.parametrize("engine", ["vllm", "proxy"], indirect=True)
def test_a_client_makes_everything_of_a_model(
    engine: Service, applied: Service, program: str
) -> None:
    done = _run(engine, program, applied.name)

    text, ended, tokens = done["chat"]
    assert ("Paris" in text, ended) == (True, "stop")
    assert done["streamed"] == [text, ended, tokens]
    name, arguments, said = done["tools"]
    assert (name, set(arguments), said) == ("look_up", {"city"}, True)
    assert done["tools_streamed"] == [name, arguments]
    assert set(done["structured"]) == {"city"}
    assert applied.name in done["models"]
    for case, (status, classes) in _REFUSED.items():
        kind, told, in_shape = done[case]
        assert (told, kind in classes, in_shape) == (status, True, True), (case, done[case])


@pytest.mark.parametrize("program", ["retried.py", "retried.mjs"])
def test_a_client_that_an_upstream_limits_comes_again_by_itself(
    proxy: Service, program: str
) -> None:
    done = _run(proxy, program, "limited", "0")

    assert (done["statuses"], done["text"]) == ([429, 200], "Paris")
    assert done["seconds"] > 1


@pytest.mark.parametrize("program", ["retried.py", "retried.mjs"])
@pytest.mark.parametrize("engine", ["vllm", "proxy"])
def test_a_client_that_is_refused_for_now_comes_again_by_itself(
    narrow: Service, proxy: Service, engine: str, program: str
) -> None:
    asked = {"vllm": narrow, "proxy": proxy}[engine]
    narrow.wait_settled()
    done = _run(asked, program, narrow.name, str(_STREAMS))

    assert done["statuses"] == [503, 200]
    assert done["seconds"] > 2  # as Retry-After says


def test_a_client_needs_a_key_is_limited_and_comes_again_by_itself(
    limited: Service, applied: Service, pod: str
) -> None:
    done = _run(limited, "limited.py", applied.name, _KEY)

    wrong, refused, again = done["wrong"], done["refused"], done["again"]
    assert (wrong["status"], wrong["code"]) == (401, "invalid_api_key")
    assert wrong["class"] == "AuthenticationError"
    # Were they counted by each replica, twice as many would come through.
    assert _A_MINUTE <= done["passed"] <= _A_MINUTE * (1 + done["seconds"] / 60) + 1, done
    assert (refused["status"], refused["class"]) == (429, "RateLimitError")
    assert refused["code"] == "rate_limit_exceeded"
    assert refused["headers"]["limit-requests"] == str(_A_MINUTE)
    assert refused["headers"]["remaining-requests"] == "0"
    assert refused["headers"]["reset-requests"]
    assert again["statuses"] == [429, 200]
    assert 0 < int(refused["retry_after"]) <= 60 / _A_MINUTE
    for replica in limited.items("pods"):
        told = limited.kubectl("logs", replica["metadata"]["name"])
        assert "/v1/chat/completions" in told, "it answered nothing: this shows nothing"
        assert _KEY not in told
    assert limited.wait("Guarded", "KeysWanted")


def test_each_line_of_the_readmes_table_is_answered_by_a_proxy_too(
    proxy: Service, narrow: Service
) -> None:
    """It wants a model at OpenAI's routes; how much a model holds, it does not know."""
    narrow.wait_settled()
    with proxy.forwarded() as url:
        for line in lines():
            answer = line.naming(narrow.name).run(url)
            absent = {word for word in line.words if word not in answer}
            assert absent <= {"max_model_len"}, answer


def test_all_streams_of_a_pod_that_is_ended_come_whole_to_their_sentinels(ended: Ended) -> None:
    assert ended.seen["streams"] == ["whole"] * _STREAMS


def test_a_pod_that_is_ended_serves_through_its_grace_and_refuses_then(ended: Ended) -> None:
    served = [told for told in ended.seen["answers"] if told[1] == 200]
    refused = ended.seen["answers"][len(served) :]

    assert ended.seen["unready"] - ended.seen["streaming"] < 5
    assert served
    assert {tuple(told[1:]) for told in served} == {(200, "close", None)}
    assert refused
    assert {tuple(told[1:]) for told in refused} == {(503, "close", "1")}
    assert refused[0][0] - ended.seen["unready"] > _GRACE_SECONDS - 1


def test_a_pod_that_is_ended_exits_with_0_when_its_streams_are_over(ended: Ended) -> None:
    (status,) = ended.pod["status"]["containerStatuses"]
    terminated = status["state"]["terminated"]
    finished = datetime.fromisoformat(terminated["finishedAt"]).timestamp()

    assert (terminated["exitCode"], terminated["reason"]) == (0, "Completed")
    assert finished - ended.seen["unready"] < _GRACE_SECONDS + 300  # that is rollout.drainSeconds


def test_an_engine_that_stands_still_turns_livez_red_and_goes_on_where_it_was(
    narrow: Service,
) -> None:
    narrow.wait_settled()
    (pod,) = narrow.items("pods")
    where, url = (narrow.cluster, narrow.namespace), f"http://{pod['status']['podIP']}:8000"
    asked = (_ASK, f"{url}/v1", "What is the capital of France?")

    def send(signal: str) -> float:
        there = {"pod": pod["metadata"]["name"], "timeout": 60}
        return float(client.run(*where, _SIGNAL, signal, **there))

    with client.popen(*where, _TURNS_RED, url, stdout=PIPE) as look:
        assert look.stdout
        assert look.stdout.readline() == "green\n"
        stopped = send("STOP")
        with client.popen(*where, *asked, stdout=PIPE) as asking:
            red = json.loads(look.stdout.readline())
            send("CONT")
            answer, _ = asking.communicate(timeout=60)

    assert -1 <= red["when"] - stopped - _HANG_SECONDS < 10
    assert "the engine is hung: 1 requests and not one token" in red["reason"]
    assert "Paris" in answer


def test_control_where_no_time_is_given_the_streams_are_cut(narrow: Service) -> None:
    narrow.wait_settled()
    (pod,) = narrow.items("pods")
    delete = lambda: narrow.kubectl("delete", "llm", narrow.name)  # noqa: E731
    seen = narrow.seen_ending(pod, _STREAMS, {"streaming": delete})

    assert len(seen["streams"]) == _STREAMS
    assert "whole" not in seen["streams"]


def test_a_deleted_pod_is_replaced_and_missed_meanwhile(ended: Ended, service: Service) -> None:
    """That it is missed is the control of test_rollout.py and of test_scaling.py."""
    assert {"fresh", "models"} <= {failure.split()[0] for failure in ended.missed}
    (new,) = service.items("pods")
    assert new["metadata"]["uid"] != ended.pod["metadata"]["uid"]
