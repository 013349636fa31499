"""Enough inotify instances (inotify(7)) for a cluster.

The components watch their certificates and configuration; all clusters of a user share one limit,
often 128, which five real nodes use up. A shortage shows as components that fail obscurely.
"""

import ctypes
import os
from pathlib import Path

from devcluster.waiting import ClusterError

_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
_ENOUGH = 1024


def ensure(instances: int) -> None:
    """See that so many more can be had: root raises the limit, others get a ClusterError."""
    if _available(instances):
        return
    if os.geteuid() != 0:
        raise ClusterError(
            f"all {_LIMIT.read_text().strip()} inotify instances of this user are taken: "
            f"take a cluster down, or as root: sysctl -w fs.inotify.max_user_instances={_ENOUGH}"
        )
    print(f"· raising fs.inotify.max_user_instances to {_ENOUGH}", flush=True)
    _LIMIT.write_text(str(_ENOUGH))


def _available(instances: int) -> bool:
    libc = ctypes.CDLL(None)
    handles = [libc.inotify_init1(os.O_CLOEXEC) for _ in range(instances)]
    for handle in handles:
        if handle >= 0:
            os.close(handle)
    return all(handle >= 0 for handle in handles)
