"""spec.gpu: the accelerators of one replica, and how the model is split over them."""

import math
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from llmservice_operator.api import quantity
from llmservice_operator.api.fields import TOO_LARGE, LabelValue, ObjectName, QualifiedName
from llmservice_operator.api.part import Part, rule, rules

_MEBIBYTE = 2**20
_LEAST_MEMORY = quantity.parse("1Gi")
_MEMORY_SENTENCE = "write the memory that one GPU must have, with a unit and 1Gi at least, as 20Gi"


def _gpu_memory(value: object) -> str:
    try:
        enough = quantity.parse(value) >= _LEAST_MEMORY
    except ValueError:
        enough = False
    if not enough:
        raise ValueError(_MEMORY_SENTENCE)
    return str(value)


_MEMORY_SCHEMA = {
    "x-kubernetes-int-or-string": True,
    "maxLength": 32,
    **rules(
        rule(
            "isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('1Gi'))",
            _MEMORY_SENTENCE,
        ),
        TOO_LARGE,
    ),
}
Parallel = Annotated[int, Field(ge=1, le=64)]


class Gpu(Part):
    """The GPUs of each replica."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.count) || !has(self.tensorParallel) || "
                "self.count == self.tensorParallel * self.pipelineParallel",
                "gpu.count is not tensorParallel times pipelineParallel (1 where it is not "
                "written): write their product, or leave gpu.count out",
                path=".count",
            ),
            rule(
                "!has(self.count) || has(self.tensorParallel) || self.pipelineParallel < 1 || "
                "self.count % self.pipelineParallel == 0",
                "gpu.count is not a multiple of pipelineParallel: write one, or leave gpu.count "
                "out",
                path=".count",
            ),
            rule(
                "self.resource.contains('/')",
                "not an extended resource: write the name that nodes offer GPUs as, as "
                "nvidia.com/gpu or amd.com/gpu",
                path=".resource",
            ),
            rule(
                "!has(self.claimTemplate) || !(has(self.products) || has(self.minMemory))",
                "devices of a claim are chosen by its ResourceClaimTemplate: write what products "
                "and minMemory say as selectors there",
                path=".claimTemplate",
            ),
            rule(
                "self.resource.startsWith('nvidia.com/') || !has(self.minMemory)",
                "minMemory is read from the labels that NVIDIA's GPU feature discovery gives to "
                "nodes: write products for amd.com/gpu, or pod.nodeSelector",
                path=".resource",
            ),
            rule(
                "self.resource.startsWith('nvidia.com/') || "
                "self.resource.startsWith('amd.com/') || !has(self.products)",
                "products are read from the labels that NVIDIA's GPU feature discovery and AMD's "
                "node labeller give to nodes: for another resource write pod.nodeSelector instead",
                path=".resource",
            ),
        )
    )

    count: Parallel | None = None
    """How many GPUs one replica takes. Default: tensorParallel times pipelineParallel, else 1."""

    resource: QualifiedName = "nvidia.com/gpu"
    """The resource that nodes offer GPUs as; nvidia.com/mig-3g.40gb takes slices of that size."""

    products: (
        Annotated[
            tuple[LabelValue, ...],
            Field(min_length=1, max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"}),
        ]
        | None
    ) = None
    """Which GPUs will do, as nodes have them in the label nvidia.com/gpu.product, for example
    NVIDIA-H100-80GB-HBM3, or in amd.com/gpu.product-name, for example AMD_Instinct_MI300X_OAM.
    GPUs that are shared by time-slicing have names of their own, which end in -SHARED. Default:
    any."""

    min_memory: (
        Annotated[str, BeforeValidator(_gpu_memory), WithJsonSchema(_MEMORY_SCHEMA)] | None
    ) = None
    """Memory that each GPU must have, as its node's label nvidia.com/gpu.memory says: usable
    memory, so that cards sold as 24 GB have less than 24Gi; write 22Gi for those. GPUs that are
    shared by time-slicing or MPS do not count, since they promise no memory."""

    claim_template: ObjectName | None = None
    """Name of a ResourceClaimTemplate (dynamic resource allocation: Kubernetes 1.34, or 1.32 with
    it switched on) that makes the devices of each replica, in place of resource, of which only
    the taint is tolerated still; count says how many devices that are."""

    tensor_parallel: Parallel | None = None
    """Over how many GPUs each layer is split. Default: count divided by pipelineParallel."""

    pipeline_parallel: Parallel = 1
    """Over how many stages the layers are spread."""

    @property
    def devices(self) -> int:
        """GPUs of one replica."""
        return self.count or (self.tensor_parallel or 1) * self.pipeline_parallel

    @property
    def tensor_split(self) -> int:
        """Tensor parallelism in force."""
        return self.tensor_parallel or max(1, self.devices // self.pipeline_parallel)

    @property
    def min_mebibytes(self) -> int | None:
        """min_memory in MiB, the label's unit, rounded up."""
        if self.min_memory is None:
            return None
        return math.ceil(quantity.parse(self.min_memory) / _MEBIBYTE)
