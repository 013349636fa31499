"""The embedded node's own tests; kind is somebody else's to test."""

from tests.e2e.provided import by_kind

collect_ignore = ["test_node.py", "test_killed_build.py"] if by_kind() else []
