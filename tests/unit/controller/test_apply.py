"""What is sent, and what is not, when the API server refuses."""

import asyncio
from typing import cast

import pytest
from llmservice_operator import apply, contest, records
from llmservice_operator.api import LLMService, Manifest
from llmservice_operator.apply import Writer
from llmservice_operator.client import NAMESPACE_TERMINATING, ApiError, Client
from llmservice_operator.contest import AT_ONCE
from llmservice_operator.kinds import Kind
from llmservice_operator.observed import Observed
from llmservice_operator.ownership import stamped
from llmservice_operator.render import RenderDefaults, render
from llmservice_operator.rollout import step
from llmservice_operator.store import Store

from tests.unit.controller.model_server import ModelServer
from tests.unit.controller.objects import child, resource

_AUTOSCALER = records.Ref("HorizontalPodAutoscaler", "ns", "x")


class _Refusing(ModelServer):
    """Refuses one kind, with a code and a sentence."""

    def __init__(self, kind: str, code: int, words: str = "no") -> None:
        super().__init__()
        self.refusal: tuple[str, int, str] | None = (kind, code, words)
        self.undeletable: ApiError | None = None
        self.slow, self.hangs = 0.0, False  # hangs: for all others
        self.sent: list[str] = []
        self.deleted: list[str] = []

    async def apply(self, kind: Kind, obj: Manifest) -> Manifest:
        self.sent.append(kind.name)
        if self.refusal and kind.name == self.refusal[0]:
            await asyncio.sleep(self.slow)
            raise ApiError(self.refusal[1], "Invalid", self.refusal[2])
        if self.hangs:
            await asyncio.Event().wait()
        return await super().apply(kind, obj)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        self.deleted.append(kind.name)
        if self.undeletable:
            raise self.undeletable
        await super().delete(kind, namespace, name, uid)


class _Operator:
    def __init__(self, server: ModelServer) -> None:
        self.server, self.store = server, Store()
        self.writer = Writer(cast("Client", server), self.store)

    def reconcile(self, **spec: object) -> list[str]:
        """One round; returns what was in the way."""
        spec = {"model": {"uri": "hf://org/model-7B"}, **spec}
        seen = resource(spec=spec)
        service = LLMService.parse(seen.manifest)
        desired = [stamped(m) for m in render(service, RenderDefaults(server_image="server:1"))]
        unseen, children = self.store.unseen("ns"), self.store.owned_by(seen.uid)
        plan = step(desired, Observed(seen, tuple(children), (), frozenset(unseen)))
        return [p.message for p in asyncio.run(self.writer.carry_out(plan, seen))]


@pytest.mark.parametrize("kind", ["ServiceAccount", "ConfigMap"])
def test_no_deployment_without_what_its_pods_need(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = _Refusing(kind, 422)
    operator = _Operator(server)
    operator.reconcile(autoscaling={"min": 2})
    assert not {"Deployment", "HorizontalPodAutoscaler"} & set(server.sent)
    assert {"Service", "PodDisruptionBudget"} <= set(server.sent)
    server.refusal = (kind, 403, "no")
    operator.reconcile(autoscaling={"min": 3})
    assert "Deployment" not in server.sent
    server.refusal = None
    monkeypatch.setattr(apply.time, "monotonic", lambda: float("inf"))
    assert operator.reconcile(autoscaling={"min": 3}) == []
    assert {"Deployment", "HorizontalPodAutoscaler"} <= set(server.sent)


@pytest.mark.parametrize(("code", "times"), [(422, 1), (413, 1), (403, 3)])
def test_what_is_refused_for_its_content_is_not_sent_again_as_it_is(code: int, times: int) -> None:
    server = _Refusing("Service", code)
    operator = _Operator(server)
    said = [operator.reconcile() for _ in range(3)]
    assert said == [["Service x was refused: no"]] * 3
    assert server.sent.count("Service") == times


@pytest.mark.parametrize(
    "words",
    [
        'admission webhook "a.example.com" denied the request: no',
        "services is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request",
    ],
)
def test_what_a_policy_refuses_is_sent_again_since_policies_change(words: str) -> None:
    server = _Refusing("Service", 422, words)
    operator = _Operator(server)
    for _ in range(3):
        operator.reconcile()
    assert server.sent.count("Service") == 3


@pytest.mark.parametrize("code", [0, 500, 503])
def test_what_fails_is_told_sent_again_and_keeps_nothing_waiting_but_what_needs_it(
    code: int,
) -> None:
    server = _Refusing("Service", code, "failed calling webhook")
    operator = _Operator(server)
    said = [operator.reconcile(autoscaling={"min": 2}) for _ in range(3)]
    assert said == [["Service x cannot be written: failed calling webhook"]] * 3
    assert server.sent.count("Service") == 3
    assert {"Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"} <= set(server.sent)
    server.refusal = ("ConfigMap", code, "no")
    before = server.sent.count("Deployment")
    operator.reconcile(engine={"image": "server:2", "args": {"max-model-len": 1}})
    assert server.sent.count("Deployment") == before


@pytest.mark.parametrize("code", [0, 504])
def test_a_server_that_answers_nobody_keeps_a_reconcile_waiting_for_long_but_once(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "SOON", 0.01)
    server = _Refusing("ServiceAccount", code, "no answer within 40 s")
    server.slow, server.hangs = 0.02, True
    said = _Operator(server).reconcile()
    assert said[0] == "ServiceAccount x cannot be written: no answer within 40 s"
    assert server.sent == ["ServiceAccount", "ConfigMap", "Service", "PodDisruptionBudget"]
    assert {words.partition(" cannot be written: ")[2] for words in said[1:]} == {
        "no answer within 0.01 s"
    }


@pytest.mark.parametrize("code", [404, 409])
def test_what_is_there_is_not_taken_to_be_deleted_for_an_answer_in_the_servers_place(
    code: int,
) -> None:
    operator = _Operator(server := _Refusing("", 0))
    operator.reconcile(autoscaling={"min": 2})
    server.undeletable = ApiError(code, "Made Up", "by a proxy")
    with pytest.raises(ApiError):
        operator.reconcile()
    assert operator.store.child(_AUTOSCALER)

    server.remove(("HorizontalPodAutoscaler", "x"))  # and nobody says so
    assert operator.reconcile() == []
    assert operator.store.child(_AUTOSCALER) is None


@pytest.mark.parametrize("code", [500, 503])
def test_no_deployment_takes_its_replicas_back_from_an_autoscaler_that_stays(code: int) -> None:
    server = _Refusing("", 0)
    operator = _Operator(server)
    operator.reconcile(autoscaling={"min": 2})
    sent = server.sent.count("Deployment")
    server.undeletable = ApiError(code, "InternalError", "failed calling webhook")
    said = operator.reconcile(replicas=3)
    assert said == ["HorizontalPodAutoscaler x cannot be written: failed calling webhook"]
    assert server.sent.count("Deployment") == sent
    server.undeletable = None
    assert operator.reconcile(replicas=3) == []
    assert server.sent.count("Deployment") == sent + 1


@pytest.mark.parametrize("code", [400, 403, 422])
def test_a_deletion_that_is_refused_is_told_and_keeps_nothing_else_waiting(code: int) -> None:
    operator = _Operator(server := _Refusing("", 0))
    operator.reconcile(autoscaling={"min": 2})
    server.undeletable = ApiError(code, "Forbidden", "protected")
    server.sent.clear()
    said = operator.reconcile(replicas=3, expose={"service": {"port": 8080}})
    assert said == ["the deletion of HorizontalPodAutoscaler x was refused: protected"]
    assert operator.store.child(_AUTOSCALER)
    assert server.sent == ["Service"]  # the Deployment's replicas are still the autoscaler's
    server.undeletable = None
    assert operator.reconcile(replicas=3, expose={"service": {"port": 8080}}) == []
    assert "Deployment" in server.sent


def test_a_namespace_that_is_going_refuses_nothing_for_good() -> None:
    operator = _Operator(server := _Refusing("", 0))
    operator.reconcile(autoscaling={"min": 2})
    server.undeletable = ApiError(403, NAMESPACE_TERMINATING, "it is being terminated")
    with pytest.raises(ApiError):
        operator.reconcile()


def test_it_is_sent_again_when_it_changes_or_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    server = _Refusing("Service", 422)
    operator = _Operator(server)
    operator.reconcile()
    operator.reconcile(expose={"service": {"port": 8080}})
    assert server.sent.count("Service") == 2
    monkeypatch.setattr(apply, "PATIENCE", 0.0)
    operator.reconcile(expose={"service": {"port": 8081}})
    server.refusal = None
    assert operator.reconcile(expose={"service": {"port": 8081}}) == []
    assert isinstance(operator.store.child(records.Ref("Service", "ns", "x")), records.Child)


def test_a_webhooks_long_words_are_cut() -> None:
    (said,) = _Operator(_Refusing("Service", 403, "x\n" * 5000)).reconcile()
    assert len(said) < 600
    assert "\n" not in said


def test_what_may_not_be_seen_is_left_alone_with_what_needs_it_and_the_right_is_named() -> None:
    operator = _Operator(server := _Refusing("", 0))
    operator.store.put(resource())
    operator.store.refuse("HorizontalPodAutoscaler", "", "cannot list")
    said = operator.reconcile(autoscaling={"min": 2})
    assert said == ["what there is of HorizontalPodAutoscaler is not known: cannot list"]
    assert "HorizontalPodAutoscaler" not in server.sent
    assert "Deployment" in server.sent

    operator.store.refuse("HorizontalPodAutoscaler", "", "")
    operator.store.refuse("ConfigMap", "ns", "cannot list")
    server.sent.clear()
    operator.reconcile(engine={"image": "server:2"})
    assert not {"ConfigMap", "Deployment"} & set(server.sent)


def test_what_may_not_be_seen_is_not_deleted_and_what_it_scales_is_left_to_it() -> None:
    operator = _Operator(server := _Refusing("", 0))
    operator.reconcile(autoscaling={"min": 2})
    operator.store.refuse("HorizontalPodAutoscaler", "", "cannot list")
    server.sent.clear()
    spec = {"replicas": 3, "expose": {"service": {"port": 8080}}}
    said = operator.reconcile(**spec)
    assert said == ["what there is of HorizontalPodAutoscaler is not known: cannot list"]
    assert (server.sent, server.deleted) == (["Service"], [])

    operator.store.refuse("HorizontalPodAutoscaler", "", "")
    assert operator.reconcile(**spec) == []
    assert (server.sent, server.deleted) == (
        ["Service", "Deployment"],
        ["HorizontalPodAutoscaler"],
    )


def test_a_child_that_is_deleted_again_and_again_is_brought_back_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contest.time, "monotonic", lambda: 1000.0)
    operator = _Operator(server := _Refusing("", 0))
    for _ in range(20):
        operator.reconcile()
        operator.store.remove(child("Service", version=server.clock))
        server.remove(("Service", "x"))
    assert server.sent.count("Service") == AT_ONCE + 1
    (said,) = operator.reconcile()
    assert said.startswith("Service x is deleted again and again; ")
    assert server.sent.count("Deployment") == 1

    operator.reconcile(expose={"service": {"port": 8080}})  # what is new waits for nobody
    assert server.sent.count("Service") == AT_ONCE + 2
