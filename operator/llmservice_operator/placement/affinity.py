"""The node affinity that a replica's pod gets: which cards will do, and how large they must be."""

from llmservice_operator.api.gpu import Gpu
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.placement import labels


def node_affinity(gpu: Gpu | None) -> Manifest | None:
    """A pod's .spec.affinity.nodeAffinity, or None where any node with such a GPU will do.

    Memory is compared with Gt, the only order that affinity knows, and Gt is strict: at least n
    MiB is more than n - 1. A card that is shared has the whole card's memory in its label and
    promises none of it, so it is left out where memory is asked for, unless it is asked for by
    name.
    """
    if gpu is None:
        return None
    wanted: list[Manifest] = []
    if gpu.products:
        product = labels.product(gpu.resource)
        wanted.append({"key": product, "operator": "In", "values": list(gpu.products)})
    if gpu.min_mebibytes is not None:
        least = str(gpu.min_mebibytes - 1)
        wanted.append({"key": labels.memory(gpu.resource), "operator": "Gt", "values": [least]})
        if not asks_for_shared(gpu):
            shared = list(labels.SHARED_STRATEGIES)
            sharing = labels.sharing(gpu.resource)
            wanted.append({"key": sharing, "operator": "NotIn", "values": shared})
    if not wanted:
        return None
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": wanted}]
        }
    }


def asks_for_shared(gpu: Gpu) -> bool:
    """Whether the GPUs are named as shared ones, which are then taken as they are."""
    return gpu.resource.endswith(labels.SHARED_RESOURCE) or any(
        product.endswith(labels.SHARED_SUFFIX) for product in gpu.products or ()
    )
