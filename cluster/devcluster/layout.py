"""Where everything of a cluster lies on disk.

Promises: all files of a cluster are below its folder, so that removing the folder removes them.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")


def home() -> Path:
    """Per-user cache: built tools, images and the folders of all clusters."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "devcluster"


def clusters() -> Path:
    return home() / "clusters"


@dataclass(frozen=True)
class Layout:
    """The files of one cluster."""

    folder: Path

    @classmethod
    def of(cls, name: str) -> "Layout":
        """The layout of the cluster with this name; ValueError where it is no name."""
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is no cluster name: write 1 to 20 of a-z, 0-9 and -, no - at either end"
            )
        return cls(clusters() / name)

    @property
    def id(self) -> str:
        """Eight hex digits that no other cluster on this machine has, of another user neither.

        Names what lies outside the folder: the network interface and the control groups.
        """
        return hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]

    @property
    def state(self) -> Path:
        """What was asked for: shape, provider, index."""
        return self.folder / "cluster.json"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def etcd(self) -> Path:
        return self.folder / "etcd"

    @property
    def config(self) -> Path:
        """Configuration files of the components."""
        return self.folder / "config"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "kubeconfig"

    @property
    def shared(self) -> Path:
        """For data that pods reach through local PersistentVolumes."""
        return self.folder / "shared"

    @property
    def node(self) -> Path:
        """Everything of the real node: images, container state, logs, sockets."""
        return self.folder / "node"

    def kubeconfig_of(self, component: str) -> Path:
        return self.config / f"{component}.kubeconfig"
