"""A Kubernetes object as JSON has it."""

from typing import Any

Manifest = dict[str, Any]
