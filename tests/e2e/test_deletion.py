"""Deletion takes with it all that the operator made, and nothing else."""

from tests.e2e.service import CHILDREN, Service, wait_for


def test_deleting_the_resource_removes_its_children_and_keeps_the_users_claim(
    applied: Service,
) -> None:
    """Its pod may be starting again, after the test before."""
    assert applied.items(CHILDREN), "there is something to remove"

    applied.kubectl("delete", "llm", applied.name)

    wait_for(
        "the children to go", lambda: not applied.items(CHILDREN), lambda: applied.items(CHILDREN)
    )
    assert applied.kubectl("get", "persistentvolumeclaim", "models", "-o", "name")
