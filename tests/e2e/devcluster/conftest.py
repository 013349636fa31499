"""The embedded node's own tests; kind is somebody else's to test."""

import os

collect_ignore = ["test_node.py"] if os.environ.get("CLUSTER") == "kind" else []
