"""Who runs a cluster's real node: this package itself, or kind."""

import os
import shutil
import sys
from dataclasses import dataclass

from devcluster.state import Provider, Shape
from devcluster.waiting import ClusterError

VARIABLE = "CLUSTER"


@dataclass(frozen=True)
class Machine:
    """What the choice depends on. `requested` is the value of the variable CLUSTER, or empty."""

    linux: bool
    root: bool
    kind: bool
    requested: str

    @classmethod
    def here(cls) -> "Machine":
        return cls(
            linux=sys.platform == "linux",
            root=os.geteuid() == 0,
            kind=all(shutil.which(program) for program in ("kind", "docker")),
            requested=os.environ.get(VARIABLE, ""),
        )


def choose(shape: Shape, machine: Machine) -> Provider:
    """The provider for this shape; ClusterError says what to do where there is none.

    Without a real node nothing but Linux is needed, so CLUSTER is about real nodes only.
    """
    if machine.requested not in ("", "embedded", "kind"):
        raise ClusterError(f"{VARIABLE}={machine.requested}: write embedded or kind, or unset it")
    if shape == "kwok":
        if not machine.linux:
            raise ClusterError("a cluster of shape kwok needs Linux: run it in a virtual machine")
        return "embedded"
    embedded = machine.linux and machine.root
    if machine.requested == "kind" or (not machine.requested and not embedded):
        if machine.kind:
            return "kind"
        if machine.requested:
            raise ClusterError(f"{VARIABLE}=kind: install kind and docker, or unset {VARIABLE}")
    if not embedded:
        raise ClusterError("a real node needs root on Linux (try sudo), or kind and docker")
    return "embedded"
