"""An operator with nothing to do: small, idle, and silent towards the API server."""

import os
import time

from llmservice_operator.report import PROGRESS

from bench import proc
from dev import stack
from tests.e2e import writes
from tests.e2e.service import Service
from tests.length import lasting

# Longer than the operator puts anything off. Minutes, and a thousand resources, are measured:
# docs/performance.md
_QUIET_SECONDS = lasting(PROGRESS + 5, 60)


def test_nothing_is_written_and_no_cpu_used_while_nothing_changes(service: Service) -> None:
    before, begun = writes.count(service.cluster), _cpu_seconds(service)
    lease = _lease_version(service)
    time.sleep(_QUIET_SECONDS)

    assert writes.count(service.cluster) == before
    assert _lease_version(service) != lease, "the operator holds its Lease all the while"
    assert (_cpu_seconds(service) - begun) / _QUIET_SECONDS < 0.03


def test_the_operator_stays_below_100_mib(service: Service) -> None:
    status = _in_operator(service, "cat", "/proc/1/status")
    assert 0 < proc.mebibytes(status, "VmRSS") < 100


def test_the_operators_image_adds_less_than_80_mb_to_its_base(service: Service) -> None:
    added = _in_operator(service, "du", "--summarize", "--block-size=MB", "/opt/venv")

    assert 10 < int(added.split("MB")[0]) < 80


def test_the_operator_may_do_what_it_needs_and_no_more(
    service: Service,
) -> None:
    identity = f"system:serviceaccount:{stack.SYSTEM}:{stack.RELEASE}"
    refused = {
        ("list", "secrets"),
        ("create", "pods"),
        ("delete", "nodes"),
        ("delete", "llmservices.llmservice.io"),
        ("patch", "llmservices.llmservice.io"),
        ("create", "clusterroles.rbac.authorization.k8s.io"),
    }
    for verb, resource in refused:
        assert _may(service, identity, verb, resource) == "no", (verb, resource)
    assert _may(service, identity, "patch", "deployments.apps") == "yes"


def _may(service: Service, identity: str, verb: str, resource: str) -> str:
    """kubectl auth can-i exits 1 on "no", so the review itself is asked for."""
    group = resource.partition(".")[2]
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": identity,
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {
                "namespace": service.namespace,
                "verb": verb,
                "group": group,
                "resource": resource.partition(".")[0],
            },
        },
    }
    return "yes" if service.create(review)["status"]["allowed"] else "no"


def _in_operator(service: Service, *command: str) -> str:
    """In the pod that leads."""
    leader = _of_lease(service, "{.spec.holderIdentity}")
    return service.cluster.kubectl("-n", stack.SYSTEM, "exec", leader, "--", *command)


def _cpu_seconds(service: Service) -> float:
    stat = _in_operator(service, "cat", "/proc/1/stat")
    return proc.cpu_seconds(stat, os.sysconf("SC_CLK_TCK"))  # a container's kernel is ours


def _lease_version(service: Service) -> str:
    return _of_lease(service, "{.metadata.resourceVersion}")


def _of_lease(service: Service, path: str) -> str:
    lease = ["get", "lease", stack.RELEASE, "-o", f"jsonpath={path}"]
    return service.cluster.kubectl("-n", stack.SYSTEM, *lease)
