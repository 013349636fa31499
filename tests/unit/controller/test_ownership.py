"""Is the child still what we applied? By the hash on it and by the fields that are still ours."""

import json

import pytest
from llmservice_operator.api import Manifest
from llmservice_operator.ownership import covers, digest_of, stamped

_MANIFEST: Manifest = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "x", "namespace": "ns", "labels": {"a": "b"}},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "server",
                        "args": ["one", "two"],
                        "ports": [{"containerPort": 8000, "name": "http"}],
                        "securityContext": {"capabilities": {"add": [], "drop": ["ALL"]}},
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            }
        },
    },
}
# As Kubernetes 1.37 answers for it: keyed lists, a key that it filled in, atomic maps and lists.
_OWNED: Manifest = {
    "f:metadata": {"f:labels": {"f:a": {}}},
    "f:spec": {
        "f:selector": {},
        "f:template": {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"server"}': {
                        ".": {},
                        "f:name": {},
                        "f:args": {},
                        "f:securityContext": {"f:capabilities": {"f:add": {}, "f:drop": {}}},
                        "f:ports": {
                            'k:{"containerPort":8000,"protocol":"TCP"}': {
                                ".": {},
                                "f:containerPort": {},
                                "f:name": {},
                            }
                        },
                    }
                },
                "f:volumes": {'k:{"name":"tmp"}': {".": {}, "f:name": {}, "f:emptyDir": {}}},
            }
        },
    },
}


def _without(*path: str) -> bytes:
    """_OWNED after that field was lost; a node that loses its last member goes with it."""
    tree: Manifest = json.loads(json.dumps(_OWNED))
    nodes = [tree]
    for name in path[:-1]:
        nodes.append(nodes[-1][name])
    for node, name in zip(reversed(nodes), reversed(path), strict=True):
        del node[name]
        if node:
            break
    return json.dumps(tree).encode()


def test_what_we_applied_is_covered_by_what_we_own() -> None:
    assert covers(json.dumps(_OWNED).encode(), _MANIFEST)


_POD = ("f:spec", "f:template", "f:spec")
_CONTAINER = (*_POD, "f:containers", 'k:{"name":"server"}')


@pytest.mark.parametrize(
    "lost",
    [
        ("f:metadata", "f:labels", "f:a"),
        ("f:metadata",),
        ("f:spec", "f:selector"),
        (*_CONTAINER, "f:args"),
        (*_CONTAINER, "f:securityContext", "f:capabilities", "f:add"),
        (*_CONTAINER, "f:ports", 'k:{"containerPort":8000,"protocol":"TCP"}', "f:name"),
        (*_CONTAINER, "f:ports", 'k:{"containerPort":8000,"protocol":"TCP"}'),
        _CONTAINER,
        (*_POD, "f:volumes", 'k:{"name":"tmp"}'),
    ],
    ids=lambda path: path[-1],
)
def test_a_field_that_was_taken_from_us_is_missed(lost: tuple[str, ...]) -> None:
    assert not covers(_without(*lost), _MANIFEST)


def test_we_own_nothing_of_an_object_that_we_never_applied() -> None:
    assert not covers(b"{}", _MANIFEST)


def test_the_hash_is_that_of_the_content_whatever_its_order() -> None:
    turned = dict(reversed(_MANIFEST.items()))
    assert digest_of(stamped(_MANIFEST)) == digest_of(stamped(turned))
    other = {**_MANIFEST, "spec": {}}
    assert digest_of(stamped(_MANIFEST)) != digest_of(stamped(other))
    assert "annotations" not in _MANIFEST["metadata"]  # the argument stays as it was
