"""Does the cluster still have what we applied? Pure.

Each child carries the hash of the manifest that we applied last, and the API server keeps for
each object the set of fields that we own (metadata.managedFields). Whoever changes or removes a
field of ours takes it out of that set. So a child is as we want it exactly if the hash is that of
what we want now, and the set still holds all of it: no request, no guess at how the server
rewrites defaults and quantities, and it holds across restarts, with what a LIST brings. One thing
is never in the set, and so never rendered: an empty list of what has names, as of containers.
"""

import hashlib
import json
from functools import lru_cache
from typing import Any, cast

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.records import APPLIED_HASH

# Fields that say which object is meant; managedFields never lists them.
_IDENTITY = {"apiVersion", "kind"}
_IDENTITY_METADATA = {"name", "namespace", "uid", "resourceVersion"}


def stamped(manifest: Manifest) -> Manifest:
    """The manifest with its own hash among its annotations."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    meta = manifest["metadata"]
    annotations: Manifest = {**(meta.get("annotations") or {}), APPLIED_HASH: digest}
    return {**manifest, "metadata": {**meta, "annotations": annotations}}


def digest_of(manifest: Manifest) -> str:
    """The hash of a stamped manifest."""
    return manifest["metadata"]["annotations"][APPLIED_HASH]


def covers(owned: bytes, manifest: Manifest) -> bool:
    """Is every field of the manifest in owned, a fieldsV1 set in JSON?"""
    tree: Manifest = json.loads(owned)
    return bool(tree) and _covers(tree, _content(manifest))


def lost(owned: bytes, manifest: Manifest) -> str:
    """A field of the manifest that is not in owned, as spec.ports; "" where all are."""
    tree: Manifest = json.loads(owned)
    value: Any = _content(manifest)
    path: list[str] = []
    while isinstance(value, dict) and (tree or not path):
        fields = cast("Manifest", value)
        for name, inner in fields.items():
            node = tree.get(f"f:{name}")
            if node is None or not _covers(node, inner):
                path.append(name)
                tree, value = node or {}, inner
                break
        else:
            break
    return ".".join(path)


def _content(manifest: Manifest) -> Manifest:
    """Without what says which object is meant."""
    metadata = {k: v for k, v in manifest["metadata"].items() if k not in _IDENTITY_METADATA}
    content = {k: v for k, v in manifest.items() if k not in _IDENTITY}
    return {**content, "metadata": metadata}


def owns_replicas(owned: bytes) -> bool:
    tree: Manifest = json.loads(owned)
    return "f:replicas" in tree.get("f:spec", {})


def _covers(tree: Manifest, value: Any) -> bool:
    # An empty node is a leaf: a scalar, or a map or list that has one owner as a whole.
    if not tree:
        return True
    if isinstance(value, dict):
        for name, inner in cast("Manifest", value).items():
            node = tree.get(f"f:{name}")
            if node is None or not _covers(node, inner):
                return False
        return True
    if isinstance(value, list):
        keyed = [(_keys(name[2:]), node) for name, node in tree.items() if name[:2] == "k:"]
        return all(_covers_item(tree, keyed, item) for item in cast("list[Any]", value))
    return True


@lru_cache(maxsize=1024)
def _keys(text: str) -> Manifest:
    """Of a thousand resources most lists have the same items."""
    return json.loads(text)


def _covers_item(tree: Manifest, keyed: list[tuple[Manifest, Manifest]], item: Any) -> bool:
    if not isinstance(item, dict):  # a member of a set
        return f"v:{json.dumps(item, separators=(',', ':'))}" in tree
    fields = cast("Manifest", item)
    for keys, node in keyed:
        # A key that the manifest leaves out was filled in by the server (a port's protocol).
        if all(fields.get(key, at) == at for key, at in keys.items()):
            return _covers(node, fields)
    return False
