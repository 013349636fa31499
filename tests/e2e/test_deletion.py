"""Deletion takes with it all that the operator made, and nothing else."""

from tests.e2e.service import Service, wait_for

_KINDS = (
    "deployments,replicasets,pods,services,endpointslices,configmaps,serviceaccounts,"
    "poddisruptionbudgets,horizontalpodautoscalers"
)


def test_deleting_the_resource_removes_its_children_and_keeps_the_users_claim(
    service: Service,
) -> None:
    assert service.items(_KINDS), "there is something to remove"

    service.kubectl("delete", "llm", service.name)

    wait_for("the children to go", lambda: not service.items(_KINDS), lambda: service.items(_KINDS))
    assert service.kubectl("get", "persistentvolumeclaim", "models", "-o", "name")
