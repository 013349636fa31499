"""A real Kubernetes on one machine, for development and tests.

`Cluster(name).up(shape)` is all there is to know; it knows nothing of what is run on it.
"""

from devcluster.cluster import Cluster
from devcluster.waiting import ClusterError

__all__ = ["Cluster", "ClusterError"]
