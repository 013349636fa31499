"""Deletion takes with it all that the operator made, and nothing else."""

from tests.e2e.service import CHILDREN, Service, wait_for
from tests.e2e.standing import standing


def test_deleting_the_resource_removes_its_children_and_keeps_the_users_claim(
    applied: Service,
) -> None:
    """Its pod may be starting again, after the test before."""
    assert applied.items(CHILDREN), "there is something to remove"

    def left() -> str:
        names = [f"{item['kind']} {item['metadata']['name']}" for item in applied.items(CHILDREN)]
        return f"{names}\n{standing(applied)}"

    applied.kubectl("delete", "llm", applied.name)

    wait_for("the children to go", lambda: not applied.items(CHILDREN), left)
    assert applied.kubectl("get", "persistentvolumeclaim", "models", "-o", "name")
