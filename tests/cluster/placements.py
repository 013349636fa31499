"""Cases for the comparison of our placement with the scheduler's: a node, what runs on it, and a
replica that wants to go there. Each case has a node of its own, so that none is in another's way.
"""

import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from llmservice_operator.api import LLMService
from llmservice_operator.placement import Demand, demand
from llmservice_operator.render import RenderDefaults, render

Manifest = dict[str, Any]

GPU, MIG, AMD = "nvidia.com/gpu", "nvidia.com/mig-3g.40gb", "amd.com/gpu"
HOSTNAME = "kubernetes.io/hostname"
_NAME = "replica"
# On a slow machine hundreds of fake nodes are late with their heartbeats.
_PATIENT: list[Manifest] = [
    {"key": f"node.kubernetes.io/{state}", "operator": "Exists"}
    for state in ("not-ready", "unreachable")
]


@dataclass
class Case:
    """spec: of the LLMService. expressions: node affinity beside what it renders to."""

    name: str
    node: Manifest
    spec: Manifest = field(default_factory=dict[str, Any])
    expressions: list[Manifest] = field(default_factory=list[Manifest])
    foreign: list[Manifest] = field(default_factory=list[Manifest])

    def __str__(self) -> str:
        return self.name

    @property
    def service(self) -> LLMService:
        spec = {"model": {"uri": "hf://org/model"}, **self.spec}
        return LLMService.parse({"metadata": {"name": _NAME, "namespace": "x"}, "spec": spec})

    @property
    def asked(self) -> Demand:
        """What a replica asks of a node, by our reckoning."""
        asked = demand(self.service)
        affinity = _with(asked.node_affinity, self.expressions) or None
        tolerations = (*asked.tolerations, *_PATIENT)
        return replace(asked, node_affinity=affinity, tolerations=tolerations)

    def pod(self, namespace: str) -> Manifest:
        """A replica as the Deployment's template makes it, which may go to its own node only."""
        pod = self.replica(namespace, self.name)
        required = pod["spec"]["affinity"]["nodeAffinity"].setdefault(
            "requiredDuringSchedulingIgnoredDuringExecution", {}
        )
        pinned = {"key": "metadata.name", "operator": "In", "values": [self.name]}
        for term in required.setdefault("nodeSelectorTerms", [{}]):
            term["matchFields"] = [pinned]
        return pod

    def replica(self, namespace: str, name: str) -> Manifest:
        """One that may go to any node that it fits on."""
        children = render(self.service, RenderDefaults(server_image="llmservice/server:test"))
        template = next(child for child in children if child["kind"] == "Deployment")["spec"]
        pod: Manifest = deepcopy(template["template"])
        affinity = _with(pod["spec"]["affinity"].get("nodeAffinity"), self.expressions)
        pod["spec"]["affinity"]["nodeAffinity"] = affinity
        pod["spec"]["tolerations"] = [*pod["spec"].get("tolerations", ()), *_PATIENT]
        pod["spec"]["serviceAccountName"] = "default"
        pod["metadata"] |= {"name": name, "namespace": namespace}
        return {"apiVersion": "v1", "kind": "Pod", **pod}


@dataclass
class Fleet:
    """Nodes that the replicas of one service choose from; spec and expressions are one for all."""

    name: str
    nodes: list[Case]

    def __str__(self) -> str:
        return self.name

    def pods(self, namespace: str, count: int) -> list[Manifest]:
        names = (f"{self.name}-{number}" for number in range(count))
        return [self.nodes[0].replica(namespace, name) for name in names]


def _with(affinity: Manifest | None, expressions: list[Manifest]) -> Manifest:
    affinity = deepcopy(affinity) if affinity else {}
    if expressions:
        required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
        for term in required.setdefault("nodeSelectorTerms", [{}]):
            term["matchExpressions"] = [*term.get("matchExpressions", ()), *expressions]
    return affinity


# Nodes.


def _node(labels: Manifest, extended: Manifest | None = None, **spec: Any) -> Manifest:
    room = {"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "1Ti"}
    return {"labels": labels, "allocatable": {**room, **(extended or {})}, "spec": spec}


def _cards(product: str, mebibytes: str, count: int, **labels: str) -> Manifest:
    mine = {"product": product, "memory": mebibytes, **labels}
    return _node({f"{GPU}.{k}": v for k, v in mine.items() if v}, {GPU: str(count)})


_H100 = _cards("NVIDIA-H100-80GB-HBM3", "81559", 8, **{"sharing-strategy": "none"})
_SHARED = {"sharing-strategy": "time-slicing", "replicas": "4"}
_NODES: dict[str, Manifest] = {
    "cpu": _node({"zone": "a", "pool": "cpu"}),
    "h100": _H100,
    "a10": _cards("NVIDIA-A10", "23028", 4),
    "sliced": _cards("NVIDIA-A10-SHARED", "23028", 16, **_SHARED),
    "renamed": _node(
        {
            f"{GPU}.{k}": v
            for k, v in {"product": "NVIDIA-A10", "memory": "23028", **_SHARED}.items()
        },
        {f"{GPU}.shared": "16", GPU: "0"},
    ),
    "mixed": _node(
        {
            f"{GPU}.memory": "81559",
            f"{MIG}.product": "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb",
            f"{MIG}.memory": "40192",
            f"{MIG}.sharing-strategy": "none",
        },
        {MIG: "2", GPU: "6"},
    ),
    "single": _cards("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "4864", 7),
    "amd": _node({f"{AMD}.product-name": "AMD_Instinct_MI300X_OAM"}, {AMD: "8"}),
    "unlabelled": _node({"zone": "b"}, {GPU: "2"}),
    "text": _cards("NVIDIA-L4", "24GB", 1),
}
_TAINTS: list[list[Manifest]] = [
    *([[]] * 10),
    [{"key": GPU, "value": "present", "effect": "NoSchedule"}],
    [{"key": "dedicated", "value": "llm", "effect": "NoSchedule"}],
    [{"key": "dedicated", "value": "other", "effect": "NoExecute"}],
    [{"key": "dedicated", "effect": "PreferNoSchedule"}],
    [{"key": "level", "value": "5", "effect": "NoSchedule"}, {"key": AMD, "effect": "NoSchedule"}],
]
_TOLERATIONS: list[list[Manifest]] = [
    [],
    [{"key": "dedicated", "value": "llm"}],
    [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
    [{"key": "dedicated", "operator": "Exists"}, {"key": "level", "value": "5"}],
    [{"operator": "Exists"}],
    [{"key": "level", "value": "6"}],
]
_GPUS: list[Manifest] = [
    {"count": 1},
    {"count": 2},
    {"count": 8},
    {"minMemory": "20Gi"},
    {"minMemory": "23028Mi"},
    {"minMemory": "23029Mi"},
    {"minMemory": "40Gi", "count": 4},
    {"products": ["NVIDIA-A10", "NVIDIA-H100-80GB-HBM3"]},
    {"products": ["NVIDIA-A10-SHARED"], "minMemory": "20Gi", "count": 4},
    {"resource": f"{GPU}.shared", "minMemory": "20Gi", "count": 2},
    {"resource": MIG, "minMemory": "39Gi"},
    {"resource": MIG, "minMemory": "40Gi"},
    {"products": ["NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"], "count": 3},
    {"resource": AMD, "products": ["AMD_Instinct_MI300X_OAM"], "count": 8},
    {"resource": AMD},
]
_REQUESTS: list[Manifest | None] = [
    *([None] * 10),
    {"cpu": "32", "memory": "1Gi"},
    {"cpu": "32001m", "memory": "1Gi"},
    {"cpu": "100m", "memory": "256Gi"},
    {"cpu": "100m", "memory": "257Gi"},
    {"cpu": "0", "memory": "0", "ephemeral-storage": "600Gi"},
    {"cpu": "16500m", "memory": "100Gi"},
]
_EXPRESSIONS: list[list[Manifest]] = [
    *([[]] * 20),
    [{"key": "zone", "operator": "In", "values": ["a", "c"]}],
    [{"key": "zone", "operator": "NotIn", "values": ["a", "c"]}],
    [{"key": "zone", "operator": "Exists"}],
    [{"key": "zone", "operator": "DoesNotExist"}],
    [{"key": f"{GPU}.memory", "operator": "Gt", "values": ["23027"]}],
    [{"key": f"{GPU}.memory", "operator": "Lt", "values": ["23029"]}],
    [
        {"key": f"{GPU}.memory", "operator": "Gt", "values": ["0"]},
        {"key": "zone", "operator": "Exists"},
    ],
]


# What runs there already.


def _container(name: str, requests: Manifest, **more: Any) -> Manifest:
    limits = {resource: amount for resource, amount in requests.items() if "/" in resource}
    resources = {"requests": requests, "limits": limits}
    return {"name": name, "image": "foreign", "resources": resources, **more}


def _foreign(requests: Manifest, fate: str = "", **spec: Any) -> Manifest:
    """fate: ended or ending, which the test makes of it."""
    return {
        "fate": fate,
        "spec": {
            "containers": [_container("c", requests)],
            "tolerations": [{"operator": "Exists"}],
            **spec,
        },
    }


def _gpus_of(node: Manifest) -> tuple[str, int]:
    found = [(name, int(count)) for name, count in node["allocatable"].items() if "/" in name]
    return max(found, key=lambda item: item[1], default=(GPU, 0))


def _some_foreign(random_: random.Random, node: Manifest) -> Iterator[Manifest]:
    resource, count = _gpus_of(node)
    if count and random_.random() < 0.4:
        yield _foreign(
            {resource: str(random_.randint(1, count))}, random_.choice(["", "", "", "ended"])
        )
    match random_.randrange(14):
        case 0:
            yield _foreign({"cpu": "15500m", "memory": "1Gi"})
        case 1:  # the init container asks for more than the container
            init = _container("i", {"cpu": "20", "memory": "200Gi"})
            yield _foreign({"cpu": "1"}, initContainers=[init])
        case 2:  # a sidecar, and an init container beside it
            sidecar = _container("s", {"cpu": "10"}, restartPolicy="Always")
            yield _foreign({"cpu": "1"}, initContainers=[sidecar, _container("i", {"cpu": "22"})])
        case 3:
            yield _foreign({"cpu": "100m"}, resources={"requests": {"cpu": "31", "memory": "30Gi"}})
        case 4:
            yield _foreign({"cpu": "31", "memory": "255Gi"}, "ended")
        case 5:
            yield _foreign({"cpu": "31", "memory": "255Gi"}, "ending")
        case 6:
            yield _foreign({})
        case _:
            pass


def _random_case(number: int, random_: random.Random) -> Case:
    node = deepcopy(random_.choice(list(_NODES.values())))
    node["spec"]["taints"] = random_.choice(_TAINTS)
    if random_.random() < 0.1:
        node["spec"]["unschedulable"] = True
    if random_.random() < 0.1:
        node["allocatable"]["pods"] = str(random_.randint(0, 2))
    resource, count = _gpus_of(node)
    easy = {"resource": resource, "count": 1} if count else None
    gpu = random_.choice([*_offered(node), *[easy] * 8])
    pod: Manifest = {"tolerations": random_.choice(_TOLERATIONS)}
    if requests := random_.choice(_REQUESTS):
        pod["resources"] = {"requests": requests}
    if random_.random() < 0.1:
        pod["nodeSelector"] = random_.choice([{"zone": "a"}, {"zone": "a", "pool": "cpu"}])
    return Case(
        f"random-{number}",
        node,
        {"pod": pod, **({"gpu": gpu} if gpu else {})},
        random_.choice(_EXPRESSIONS),
        list(_some_foreign(random_, node)),
    )


def _offered(node: Manifest) -> list[Manifest]:
    """The ways to ask for the GPUs that such a node offers."""
    return [gpu for gpu in _GPUS if gpu.get("resource", GPU) in node["allocatable"]]


def _pairs() -> Iterator[Case]:
    """Each kind of node with each way to ask for its GPUs, for one that it lacks, and for none."""
    for kind, node in _NODES.items():
        for number, gpu in enumerate([*_offered(node), {"resource": "example.com/gpu"}, None]):
            yield Case(f"{kind}-{number}", deepcopy(node), {"gpu": gpu} if gpu else {})


def _edges() -> Iterator[Case]:
    """One step on either side of each limit."""
    for free in (3, 4):
        foreign = [_foreign({GPU: str(8 - free)})]
        yield Case(f"free-gpus-{free}", deepcopy(_H100), {"gpu": {"count": 4}}, foreign=foreign)
    for taken in ("31", "31001m"):
        pod = {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}
        foreign = [_foreign({"cpu": taken})]
        yield Case(f"cpu-beside-{taken}", _node({}), {"pod": pod}, foreign=foreign)
    for pods in (0, 1, 2):
        node = _node({}, {"pods": str(pods)})
        yield Case(f"pods-{pods}", node, foreign=[_foreign({})])
    for fate in ("", "ended", "ending"):
        foreign = [_foreign({GPU: "8"}, fate)]
        yield Case(f"full-{fate or 'running'}", deepcopy(_H100), {"gpu": {}}, foreign=foreign)
    for pod in ({}, {"tolerations": [{"operator": "Exists"}]}):
        yield Case(f"cordoned-{len(pod)}", _node({}, unschedulable=True), {"pod": pod})


def cases(seed: int, count: int) -> list[Case]:
    """The same for the same seed; count of them are random."""
    random_ = random.Random(seed)
    return [*_edges(), *_pairs(), *(_random_case(number, random_) for number in range(count))]


_FLEET = "placement-fleet"  # label of the nodes of one
_LARGE: list[Manifest] = [
    {"cpu": "7500m", "memory": "30Gi"},
    {"cpu": "11", "memory": "60Gi"},
    {"cpu": "1", "memory": "90Gi"},
]


def fleets(seed: int, count: int) -> list[Fleet]:
    """The same for the same seed. Each replica takes much, so that few fit on each node."""
    random_ = random.Random(seed)
    return [_fleet(f"fleet-{number}", random_) for number in range(count)]


def _fleet(name: str, random_: random.Random) -> Fleet:
    resource, most = _gpus_of(random_.choice(list(_NODES.values())))
    some = {"resource": resource, "count": random_.randint(1, max(1, most // 2))}
    offered = [gpu for gpu in _GPUS if gpu.get("resource", GPU) == resource]
    gpu = random_.choice([some, some, random_.choice(offered)]) if most else None
    spec = {"gpu": gpu} if gpu else {"pod": {"resources": {"requests": random_.choice(_LARGE)}}}
    mine = [{"key": _FLEET, "operator": "In", "values": [name]}]
    fitting = [node for node in _NODES.values() if not gpu or resource in node["allocatable"]]
    made: list[Case] = []
    for number in range(random_.randint(2, 5)):
        node = deepcopy(random_.choice(fitting if random_.random() < 0.9 else [*_NODES.values()]))
        node["labels"][_FLEET] = name
        node["spec"]["taints"] = random_.choice([[], random_.choice(_TAINTS)])
        if random_.random() < 0.1:
            node["spec"]["unschedulable"] = True
        if random_.random() < 0.2:
            node["allocatable"]["pods"] = str(random_.randint(0, 3))
        foreign = list(_some_foreign(random_, node))
        made.append(Case(f"{name}-node-{number}", node, spec, mine, foreign))
    return Fleet(name, made)
