"""Who runs the node: what only the embedded one has is not tested by kind."""

from devcluster import ClusterError, provider


def by_kind() -> bool:
    try:
        return provider.choose("node", provider.Machine.here()) == "kind"
    except ClusterError:  # with no provider the tests fail, and say so
        return False
