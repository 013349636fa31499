"""Rights for the components that Kubernetes itself has no roles for."""

from typing import Any


def bound_role(name: str, rules: list[dict[str, Any]], user: str) -> list[dict[str, Any]]:
    """The manifests of a ClusterRole and of its binding to one user."""
    group = "rbac.authorization.k8s.io"
    head = {"apiVersion": f"{group}/v1", "metadata": {"name": name}}
    return [
        {**head, "kind": "ClusterRole", "rules": rules},
        {
            **head,
            "kind": "ClusterRoleBinding",
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        },
    ]
