"""The commands that need no cluster: a resource's children and the CRD, as YAML.

The children are as the operator applies them, but for what a cluster decides: the owner's uid, the
annotation with the hash of the whole, uid included, and the replicas where an autoscaler has them.
Refused is what the types refuse, unknown fields too; most rules between fields are held by the API
server alone (kubectl apply --dry-run=server).
"""

import sys
from pathlib import Path
from typing import TextIO

from llmservice_operator.api import InvalidSpec, LLMService
from llmservice_operator.api.crd import crd
from llmservice_operator.files import dump, resources_in
from llmservice_operator.render import RenderDefaults, render


def print_crd(out: TextIO) -> int:
    """Print the CustomResourceDefinition."""
    dump([crd()], out)
    return 0


def print_children(file: Path, defaults: RenderDefaults, out: TextIO) -> int:
    """Print the children of each LLMService in a file; other objects in it are passed over.

    Returns 1, with a line on stderr, when the file has none or one of them cannot be rendered.
    """
    try:
        services = [LLMService.parse(obj, unknown="forbid") for obj in resources_in(file)]
        children = [m for s in services for m in render(s, defaults)]
    except InvalidSpec as error:
        print(f"{file}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    for child in children:
        for owner in child["metadata"]["ownerReferences"]:
            del owner["uid"]
    dump(children, out)
    return 0
