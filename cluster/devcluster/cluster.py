"""A named Kubernetes cluster for development and tests: the package's front door."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from devcluster import containerd, embedded, kind, kubectl, kwok, layout, provider, state, tools
from devcluster.layout import Layout
from devcluster.state import Provider, Shape, State
from devcluster.waiting import ClusterError


class Cluster:
    """A cluster with its own ports, address ranges and folder; several live side by side.

    Making the object starts nothing. Shape "kwok" has a control plane and fake nodes only and needs
    no root; shape "node" adds one real node that runs containers.
    """

    def __init__(self, name: str) -> None:
        """ValueError where `name` is not 1 to 20 of a-z, 0-9 and -."""
        self.name = name
        self.layout = Layout.of(name)

    def up(self, shape: Shape = "node") -> None:
        """Bring it up, or heal it; returns once it is ready. ClusterError says what is wrong."""
        with state.exclusive(self.name):
            found = state.read(self.layout)
            if found and found.shape != shape:
                raise self._refusal(f"shape {found.shape}")
            chosen = provider.choose(shape, provider.Machine.here())
            if found and found.provider != chosen:
                raise self._refusal(f"provider {found.provider}, not {chosen}")
            found = found or state.claim(self.layout, State(shape, chosen))
            if found.provider == "kind":
                kind.up(self.layout)
            else:
                embedded.up(self.layout, found)

    def down(self) -> None:
        """Remove the cluster and everything of it, in whatever state it is."""
        with state.exclusive(self.name):
            found = state.read(self.layout)
            if found.provider == "kind" if found else kind.exists(self.layout):
                kind.down(self.layout)
            elif provider.Machine.here().linux:
                embedded.down(self.layout)
            self._remove_folder()

    def _refusal(self, what: str) -> ClusterError:
        return ClusterError(
            f"cluster {self.name} has {what}: take it down first "
            f"(.venv/bin/python -m devcluster down {self.name}) or give another name"
        )

    def _remove_folder(self) -> None:
        # renamed first: killed half-way, it leaves nothing that `up` would build on
        folder = self.layout.folder
        going = folder.with_name(f".{folder.name}.going")
        shutil.rmtree(going, ignore_errors=True)
        if folder.exists() and not going.exists():
            folder.rename(going)
            shutil.rmtree(going, ignore_errors=True)
        if going.exists():
            raise ClusterError(f"remove {going} by hand: it has another owner")

    @property
    def provider(self) -> Provider:
        """Who runs it."""
        return self.require().provider

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig file."""
        return self.layout.kubeconfig

    @property
    def containerds(self) -> list[Path]:
        """The sockets of its real nodes' container runtimes; none where kind runs them."""
        found = self.require()
        real = found.provider == "embedded" and found.shape == "node"
        return [containerd.socket(self.layout)] if real else []

    @property
    def shared_dir(self) -> Path:
        """A folder of this machine for data of this cluster; `down` removes it."""
        self.layout.shared.mkdir(parents=True, exist_ok=True)
        return self.layout.shared

    def node_path(self, path: Path) -> PurePath:
        """How a node sees `path`, for a local PersistentVolume.

        ValueError where it lies outside devcluster's cache, which is all that every node sees.
        """
        below = path.resolve().relative_to(layout.home().resolve())
        return kind.node_path(below) if self.provider == "kind" else layout.home() / below

    def env(self) -> dict[str, str]:
        """KUBECONFIG, and PATH with kubectl and helm of the right versions in front."""
        folders = dict.fromkeys(str(tools.path(name).parent) for name in ("kubectl", "helm"))
        path = os.pathsep.join([*folders, os.environ.get("PATH", "")])
        return {"KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def kubectl(self, *args: str, input: str | None = None, timeout: float = 60) -> str:  # noqa: A002
        """What kubectl prints; `input` is its standard input. CalledProcessError on failure."""
        tool = tools.ensure("kubectl")["kubectl"]
        return kubectl.run(tool, self.kubeconfig, args, input, timeout)

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Server-side apply; safe to repeat. CalledProcessError on failure."""
        kubectl.apply(tools.ensure("kubectl")["kubectl"], self.kubeconfig, manifests)

    def helm(self, *args: str, timeout: float = 300) -> str:
        """What helm prints; it is built on first use. CalledProcessError on failure."""
        tool = tools.ensure("helm")["helm"]
        return kubectl.run(tool, self.kubeconfig, args, None, timeout)

    def apply_fake_node(
        self,
        name: str,
        labels: Mapping[str, str] | None = None,
        allocatable: Mapping[str, str] | None = None,
        *,
        tainted: bool | None = None,
    ) -> None:
        """Add or change a fake node, by default one with 8 GPUs; returns once it is Ready.

        `tainted` keeps away pods that do not tolerate kwok.x-k8s.io/node=fake; by default it is,
        where the cluster has a real node too.
        """
        found = self.require()
        if found.provider == "kind":
            kind.start_fake_nodes(self.layout, found)
        resources = {"nvidia.com/gpu": "8"} if allocatable is None else allocatable
        taint = found.shape == "node" if tainted is None else tainted
        self.apply(kwok.fake_node(name, labels or {}, resources, tainted=taint))
        self.kubectl("wait", "--for=condition=Ready", f"node/{name}", "--timeout=30s")

    def require(self) -> State:
        """Its record; ClusterError where it was not brought up."""
        found = state.read(self.layout)
        if found is None:
            raise ClusterError(
                f"cluster {self.name} is not up: .venv/bin/python -m devcluster up {self.name}"
            )
        return found
