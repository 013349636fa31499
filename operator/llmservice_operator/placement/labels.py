"""The node labels that NVIDIA's GPU feature discovery writes, by resource.

Source: docs of NVIDIA/k8s-device-plugin, "Catalog of Labels". With the MIG strategy mixed each
slice size has labels of its own under its resource's name; with the strategy single, product and
memory of nvidia.com/gpu are the slice's. Time-sliced GPUs get the suffix -SHARED on their product,
or the resource name nvidia.com/gpu.shared, and keep the whole card's memory.
"""

GPU = "nvidia.com/gpu"
SHARED_GPU = "nvidia.com/gpu.shared"
SHARING = "nvidia.com/gpu.sharing-strategy"
SHARED_STRATEGIES = ("mps", "time-slicing")
SHARED_SUFFIX = "-SHARED"


def product(resource: str) -> str:
    """The label that names the card or slice behind a resource."""
    return f"{_prefix(resource)}.product"


def memory(resource: str) -> str:
    """The label that gives its memory in MiB."""
    return f"{_prefix(resource)}.memory"


def _prefix(resource: str) -> str:
    return GPU if resource == SHARED_GPU else resource
