"""What processes tell about themselves: Prometheus text, and the kernel's files in /proc. Pure."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
WRITES = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE"})
CHILDREN = frozenset(
    {
        "deployments",
        "services",
        "configmaps",
        "serviceaccounts",
        "poddisruptionbudgets",
        "horizontalpodautoscalers",
        "networkpolicies",
    }
)


class Written(NamedTuple):
    """Writes that only the operator does, by the API server's count."""

    children: int = 0
    statuses: int = 0

    def since(self, before: "Written") -> "Written":
        return Written(self.children - before.children, self.statuses - before.statuses)


class Asked(NamedTuple):
    """The operator's own count of its requests. writes: neither Events nor the lease. reads: no
    watches, each of which is opened anew every five minutes or so, whatever happens.
    """

    writes: int = 0
    events: int = 0
    leases: int = 0
    reads: int = 0

    @property
    def all_but_leases(self) -> int:
        return self.writes + self.events + self.reads

    def since(self, before: "Asked") -> "Asked":
        return Asked(*(now - then for now, then in zip(self, before, strict=True)))


def samples(text: str, name: str) -> Iterator[tuple[dict[str, str], float]]:
    """Labels and value of each sample of that name."""
    for found in _SAMPLE.finditer(text):
        if found[1] == name:
            yield dict(_LABEL.findall(found[2] or "")), float(found[3])


def written(api_server: str) -> Written:
    """From the API server's metrics. Children's status and scale are written by Kubernetes."""
    children = statuses = 0
    for labels, value in samples(api_server, "apiserver_request_total"):
        if labels["verb"] not in WRITES:
            continue
        if labels["resource"] in CHILDREN and not labels["subresource"]:
            children += int(value)
        elif (labels["resource"], labels["subresource"]) == ("llmservices", "status"):
            statuses += int(value)
    return Written(children, statuses)


def asked(operator: str) -> Asked:
    """From the operator's metrics."""
    counted: Counter[str] = Counter()
    for labels, value in samples(operator, "rest_client_requests_total"):
        if labels["verb"] != "watch":
            special = {"Event": "events", "Lease": "leases"}.get(labels["kind"])
            counted[special or ("writes" if labels["method"] in WRITES else "reads")] += int(value)
    return Asked(**counted)
