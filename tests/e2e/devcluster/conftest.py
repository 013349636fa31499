"""The embedded node's own tests; kind is somebody else's to test."""

from devcluster import ClusterError, provider


def _by_kind() -> bool:
    try:
        return provider.choose("node", provider.Machine.here()) == "kind"
    except ClusterError:  # with no provider the tests fail, and say so
        return False


collect_ignore = ["test_node.py", "test_killed_build.py"] if _by_kind() else []
