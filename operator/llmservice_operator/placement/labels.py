"""The node labels that name the GPUs behind a resource.

NVIDIA's are GPU feature discovery's (docs of NVIDIA/k8s-device-plugin, "Catalog of Labels"; 0.15
or newer, which knows sharing-strategy). With the MIG strategy mixed each slice size has labels of
its own under its resource's name; with the strategy single, product and memory of nvidia.com/gpu
are the slice's. GPUs shared by time-slicing or MPS keep the whole card's memory, and either their
product ends in -SHARED or the resource is renamed to one that ends in .shared, while the labels
keep the resource's old name.

AMD's are the node labeller's (ROCm/k8s-device-plugin), and name what the whole node has. Its
memory is text as 192G, which no affinity can compare.
"""

NVIDIA, AMD = "nvidia.com/", "amd.com/"
SHARED_STRATEGIES = ("mps", "time-slicing")
SHARED_SUFFIX = "-SHARED"
SHARED_RESOURCE = ".shared"


def product(resource: str) -> str:
    """The label that names the card or slice behind a resource."""
    return f"{AMD}gpu.product-name" if resource.startswith(AMD) else f"{_prefix(resource)}.product"


def memory(resource: str) -> str:
    """The label that gives its memory in MiB."""
    return f"{_prefix(resource)}.memory"


def sharing(resource: str) -> str:
    """The label that says how it is shared; "none" where it is not."""
    return f"{_prefix(resource)}.sharing-strategy"


def _prefix(resource: str) -> str:
    return resource.removesuffix(SHARED_RESOURCE)
