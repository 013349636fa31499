"""Placement agrees with the real scheduler, on whether a replica fits and on how many do, and what
waits for a place is told of it in time.

The scheduler's features that are compared: node selector, node affinity, taints, cordoned nodes,
requests with extended resources, the limit of pods, and what other pods take, be they starting,
running, ending or ended.
"""

import asyncio
import dataclasses
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

import pytest
from devcluster import Cluster
from llmservice_operator import placement
from llmservice_operator.client import ApiError, Client, Selection
from llmservice_operator.connection import from_kubeconfig
from llmservice_operator.kinds import NODE, POD, Kind
from llmservice_operator.placement import NodeFacts, PlacementReport, Taken, lacks, report
from llmservice_operator.watch import FOREIGN, SCHEDULED

from tests.cluster import services, writes
from tests.cluster.kube import Kube
from tests.cluster.operator_process import Operator
from tests.cluster.placements import GPU, Case, Fleet, Manifest, cases, fleets
from tests.length import lasting

T = TypeVar("T")
_CASES = cases(seed=1, count=lasting(150, 300))
_FLEETS = fleets(seed=1, count=40)
_NODES = [*_CASES, *(node for fleet in _FLEETS for node in fleet.nodes)]
_BEYOND = 2  # replicas of a fleet that there are more than fit
_AT_ONCE = 16
_MINE = "placement-case"  # label of the nodes that are made here
_NAMESPACE = Kind("Namespace", "v1", "namespaces")


@dataclasses.dataclass
class Seen:
    """What the operator's watches bring of the cluster, and what the scheduler said."""

    nodes: dict[str, NodeFacts]
    taken: Taken
    placed: dict[str, bool]
    said: dict[str, str]

    def ours(self, *cases: Case) -> PlacementReport:
        """Of the nodes of these; what is asked for is the same."""
        asked, gpu = cases[0].asked, cases[0].service.spec.gpu
        return report(asked, gpu, [self.nodes[case.name] for case in cases], self.taken)

    def room(self, fleet: Fleet) -> int:
        return self.ours(*fleet.nodes).room or 0

    def placed_of(self, fleet: Fleet) -> int:
        """How many replicas of it the scheduler placed."""
        return sum(self.placed.get(f"{fleet.name}-{n}", False) for n in range(len(self.placed)))

    def differ(self) -> list[str]:
        """The cases in which we and the scheduler are of two minds."""
        return [c.name for c in _CASES if bool(self.ours(c).room) != self.placed[c.name]]

    def miscounted(self) -> list[str]:
        """The fleets of which the scheduler places another number."""
        return [fleet.name for fleet in _FLEETS if self.room(fleet) != self.placed_of(fleet)]


@pytest.fixture(scope="module")
def seen(cluster: Cluster) -> Iterator[Seen]:
    """All cases at once: their nodes, what runs there, and a replica pinned to each."""
    namespace = f"placement-{uuid.uuid4().hex[:8]}"
    try:
        yield asyncio.run(_play(cluster, namespace))
    finally:
        _clean_up(cluster, namespace)


async def _play(cluster: Cluster, namespace: str) -> Seen:
    client = Client(from_kubeconfig(cluster.kubeconfig), lambda: None)
    try:
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": _named(namespace)}
        await client.create(_NAMESPACE, space)
        await _each(lambda case: client.create(NODE, _node(case)), _NODES)
        await _each(lambda pod: _foreign(client, pod), _foreign_pods(namespace))
        names = {case.name for case in _NODES}
        nodes = await _until("all nodes", lambda: _nodes(client, names))
        listed, _ = await client.list(Selection(POD, "", FOREIGN, SCHEDULED), placement.scheduled)
        taken = Taken()
        for pod in listed:
            taken.move(None, pod.place)
        seen = Seen({node.name: node for node in nodes}, taken, {}, {})
        pods = [case.pod(namespace) for case in _CASES]
        for fleet in _FLEETS:
            pods += fleet.pods(namespace, seen.room(fleet) + _BEYOND)
        await _each(lambda pod: client.create(POD, pod), pods)
        verdicts = await _until("verdicts", lambda: _verdicts(client, namespace, len(pods)))
        seen.placed = {name: placed for name, (placed, _) in verdicts.items()}
        seen.said = {name: words for name, (_, words) in verdicts.items()}
        return seen
    finally:
        await client.close()


def _clean_up(cluster: Cluster, namespace: str) -> None:
    delete = ("delete", "--raw")
    cluster.kubectl(*delete, f"/api/v1/nodes?labelSelector={_MINE}")
    pods = f"/api/v1/namespaces/{namespace}/pods?gracePeriodSeconds=0"
    cluster.kubectl(*delete, pods)
    cluster.kubectl(*delete, f"/api/v1/namespaces/{namespace}")


def _named(name: str, namespace: str = "", **more: Any) -> Manifest:
    return {"name": name, "namespace": namespace, **more}


def _node(case: Case) -> Manifest:
    labels = {"kubernetes.io/hostname": case.name, **case.node["labels"], _MINE: ""}
    fake = {"kwok.x-k8s.io/node": "fake"}
    room = case.node["allocatable"]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": _named(case.name, labels=labels, annotations=fake),
        "spec": case.node["spec"],
        "status": {"allocatable": room, "capacity": room},
    }


def _foreign_pods(namespace: str) -> list[tuple[str, Manifest]]:
    """Each with its fate."""
    # Such a pod neither becomes ready nor goes by itself.
    slow = {
        "pod-ready.stage.kwok.x-k8s.io/delay": "1h",
        "pod-delete.stage.kwok.x-k8s.io/delay": "1h",
    }
    found: list[tuple[str, Manifest]] = []
    for case in _NODES:
        for number, made in enumerate(case.foreign):
            name, fate = f"{case.name}-{number}", made["fate"]
            metadata = _named(name, namespace, annotations=slow if fate else {})
            spec = {**made["spec"], "nodeName": case.name}
            found.append(
                (fate, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
            )
    return found


async def _foreign(client: Client, made: tuple[str, Manifest]) -> None:
    fate, pod = made
    metadata = (await _until("a service account", lambda: _created(client, pod)))["metadata"]
    if fate == "ended":
        phase = {"status": {"phase": "Succeeded"}}
        await client.merge_status(POD, metadata["namespace"], metadata["name"], phase)
    if fate == "ending":
        await client.delete(POD, metadata["namespace"], metadata["name"], metadata["uid"])


async def _created(client: Client, pod: Manifest) -> Manifest | None:
    try:
        return await client.create(POD, pod)
    except ApiError as error:
        if "serviceaccount" not in error.message:  # its controller needs a moment
            raise
        return None


async def _nodes(client: Client, names: set[str]) -> list[NodeFacts] | None:
    """All of these, once each that is cordoned has the taint that says so too."""
    nodes, _ = await client.list(Selection(NODE, labels=_MINE), placement.node)
    cordoned = "node.kubernetes.io/unschedulable"
    settled = {
        node.name
        for node in nodes
        if node.unschedulable == any(taint["key"] == cordoned for taint in node.taints)
    }
    return nodes if settled == names else None


async def _verdicts(
    client: Client, namespace: str, count: int
) -> dict[str, tuple[bool, str]] | None:
    """Was each placed, and what the scheduler said; None until it has looked at so many."""
    listed, _ = await client.list(Selection(POD, namespace), lambda obj: obj)
    found: dict[str, tuple[bool, str]] = {}
    for obj in listed:
        conditions = {c["type"]: c for c in obj.get("status", {}).get("conditions", ())}
        scheduled = conditions.get("PodScheduled", {})
        if "app.kubernetes.io/managed-by" not in obj["metadata"].get("labels", {}):
            continue
        if scheduled:
            placed = scheduled["status"] == "True"
            found[obj["metadata"]["name"]] = placed, scheduled.get("message", "")
    return found if len(found) == count else None


async def _each(do: Callable[[T], Awaitable[Any]], items: Iterable[T]) -> None:
    """For all items, some at once."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(item: T) -> None:
        async with slots:
            await do(item)

    async with asyncio.TaskGroup() as tasks:
        for item in items:
            tasks.create_task(one(item))


async def _until(what: str, look: Callable[[], Awaitable[T | None]], seconds: float = 240) -> T:
    deadline = time.monotonic() + seconds
    while (found := await look()) is None:
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(1)  # to look is to read hundreds of objects
    return found


@pytest.mark.parametrize("case", _CASES, ids=str)
def test_we_and_the_scheduler_are_of_one_mind(seen: Seen, case: Case) -> None:
    ours, placed = seen.ours(case), seen.placed[case.name]
    assert bool(ours.room) == placed, (
        f"{case.name}: the scheduler {'placed' if placed else 'refused'} the replica "
        f"({seen.said[case.name]!r}), and we say {ours.message!r} of {seen.nodes[case.name]}, "
        f"of which {dict(seen.taken.of(case.name))} is taken, and which is asked for {case.asked}"
    )


@pytest.mark.parametrize("fleet", _FLEETS, ids=str)
def test_as_many_fit_now_as_the_scheduler_places(seen: Seen, fleet: Fleet) -> None:
    room, placed = seen.room(fleet), seen.placed_of(fleet)
    assert room == placed, (
        f"{fleet.name}: the scheduler placed {placed}, and we say "
        f"{seen.ours(*fleet.nodes).message!r} of {[seen.nodes[n.name] for n in fleet.nodes]}"
    )


def test_the_cases_are_worth_something(seen: Seen) -> None:
    assert len(_CASES) > lasting(250, 400)
    placed = sum(seen.placed[case.name] for case in _CASES)
    assert 0.2 < placed / len(_CASES) < 0.8
    several = [f for f in _FLEETS if sum(bool(seen.ours(node).room) for node in f.nodes) > 1]
    assert len(several) > len(_FLEETS) / 3, "of these, what fits is a sum over nodes"
    assert len({seen.room(fleet) for fleet in _FLEETS}) > 5


def _blind_to_taints(patch: pytest.MonkeyPatch, _: Seen) -> None:
    patch.setattr(lacks, "tolerated", lambda *_: True)


def _blind_to_labels(patch: pytest.MonkeyPatch, _: Seen) -> None:
    patch.setattr(lacks, "matches", lambda *_: True)


def _blind_to_other_pods(patch: pytest.MonkeyPatch, seen: Seen) -> None:
    patch.setattr(seen, "taken", Taken())


def _blind_to_cordons(patch: pytest.MonkeyPatch, seen: Seen) -> None:
    open_ = {
        name: dataclasses.replace(node, unschedulable=False, taints=_but_cordon(node))
        for name, node in seen.nodes.items()
    }
    patch.setattr(seen, "nodes", open_)


def _but_cordon(node: NodeFacts) -> list[Manifest]:
    return [taint for taint in node.taints if taint["key"] != "node.kubernetes.io/unschedulable"]


def _blind_to_the_limit_of_pods(patch: pytest.MonkeyPatch, seen: Seen) -> None:
    roomy = {
        name: dataclasses.replace(node, allocatable={**node.allocatable, "pods": 110})
        for name, node in seen.nodes.items()
    }
    patch.setattr(seen, "nodes", roomy)


@pytest.mark.parametrize(
    "blinded",
    [
        _blind_to_taints,
        _blind_to_labels,
        _blind_to_other_pods,
        _blind_to_cordons,
        _blind_to_the_limit_of_pods,
    ],
)
def test_a_filter_that_is_wrong_would_be_found(
    seen: Seen, monkeypatch: pytest.MonkeyPatch, blinded: Callable[[pytest.MonkeyPatch, Seen], None]
) -> None:
    blinded(monkeypatch, seen)
    assert len(seen.differ()) >= 2
    if blinded is not _blind_to_labels:  # a fleet asks for GPUs that most of its nodes have
        assert seen.miscounted()


@pytest.fixture
def pool(cluster: Cluster, kube: Kube) -> Iterator[str]:
    """A node of the test's own with eight GPUs, and its name, which is that of its pool too."""
    name = f"pool-{kube.namespace}"
    cluster.apply_fake_node(name, {"pool": name}, {GPU: "8"})
    yield name
    kube.delete("Node", name)


def _tenant(name: str, node: str, requests: Manifest) -> Manifest:
    """A pod of somebody else, which is on that node already."""
    security: Manifest = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "c",
        "image": "foreign",
        "resources": {"requests": requests, "limits": requests},
        "securityContext": security,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"nodeName": node, "containers": [container]},
    }


def _waiting(pool: str, count: int = 8) -> Manifest:
    return services.minimal("waits", gpu={"count": count}, pod={"nodeSelector": {"pool": pool}})


def test_a_full_node_is_told_with_numbers_until_somebody_leaves(
    operator: Operator, kube: Kube, pool: str
) -> None:
    kube.create(_tenant("tenant", pool, {GPU: "3"}))
    kube.create(_waiting(pool))

    found = services.wait_condition(kube, "waits", "Degraded", "True", "Unschedulable")
    told = kube.there("LLMService", "waits")["status"]["placement"]
    assert (told["fittingNodes"], told["roomFor"]) == (1, 0)
    assert (
        "none has room now: 1 node has less than 8 nvidia.com/gpu free, it has 5"
        in (told["message"])
    )
    assert found["message"] == f"the pod cannot be scheduled: {told['message']}"

    kube.delete("Pod", "tenant")
    services.wait_ready(kube, "waits")
    assert "placement" not in kube.there("LLMService", "waits")["status"]


def test_a_busy_cluster_wakes_nobody_and_writes_nothing(
    operator: Operator, kube: Kube, pool: str
) -> None:
    kube.create(services.minimal("serves"))
    services.wait_ready(kube, "serves")
    kube.create(_tenant("tenant", pool, {GPU: "3"}))
    kube.create(_waiting(pool))
    services.wait_condition(kube, "waits", "Degraded", "True", "Unschedulable")
    writes.until_quiet(operator)
    before = _versions(kube)
    reconciles = 'controller_runtime_reconcile_total{controller="llmservice",result="success"}'
    counted = operator.metric(reconciles)
    assert counted

    for number in range(20):
        kube.create(_tenant(f"guest-{number}", pool, {"cpu": "1"}))
        time.sleep(0.1)

    assert _versions(kube) == before
    # The scheduler tries again and says so in the pod, which is ours to look at.
    assert operator.metric(reconciles) - counted <= 5


def _versions(kube: Kube) -> dict[str, str]:
    listed = kube.list("LLMService")
    return {obj["metadata"]["name"]: obj["metadata"]["resourceVersion"] for obj in listed}


def test_devices_of_a_claim_are_given_by_the_scheduler(
    operator: Operator, kube: Kube, cluster: Cluster, pool: str
) -> None:
    driver = f"{pool}.example.com"
    chosen = {"cel": {"expression": f"device.driver == '{driver}'"}}
    group = {"apiVersion": "resource.k8s.io/v1"}
    device_class = {
        "kind": "DeviceClass",
        "metadata": {"name": driver},
        "spec": {"selectors": [chosen]},
    }
    asked = {"name": "gpus", "exactly": {"deviceClassName": driver, "count": 2}}
    template = {
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": "two", "namespace": kube.namespace},
        "spec": {"spec": {"devices": {"requests": [asked]}}},
    }
    offered = {
        "kind": "ResourceSlice",
        "metadata": {"name": driver},
        "spec": {
            "driver": driver,
            "nodeName": pool,
            "pool": {"name": pool, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "gpu-0"}, {"name": "gpu-1"}],
        },
    }
    items = [group | made for made in (device_class, template, offered)]
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    cluster.kubectl("apply", "-f", "-", input=bundle)
    try:
        kube.create(services.minimal("claims", gpu={"claimTemplate": "two", "count": 2}))
        services.wait_ready(kube, "claims")
        (pod,) = kube.list("Pod", "app.kubernetes.io/instance=claims")
        assert pod["spec"]["nodeName"] == pool

        kube.create(services.minimal("late", gpu={"claimTemplate": "two", "count": 2}))
        found = services.wait_condition(kube, "late", "Degraded", "True", "Unschedulable")
        assert "cannot allocate all claims" in found["message"]
        told = kube.there("LLMService", "late")["status"]["placement"]["message"]
        assert "could hold a replica, the devices of its claim aside" in told
    finally:
        cluster.kubectl("delete", "resourceslice,deviceclass", driver, "--wait=false")
