"""spec: what the user asks for. All but the model has a default that is right in production."""

from typing import Self

from pydantic import ConfigDict, model_validator

from llmservice_operator.api.engine import Engine
from llmservice_operator.api.expose import Expose, Observability
from llmservice_operator.api.gateway import Gateway
from llmservice_operator.api.gpu import Gpu
from llmservice_operator.api.model import Model
from llmservice_operator.api.part import Part, rule, rules
from llmservice_operator.api.pod import Pod
from llmservice_operator.api.rollout import Disruption, Rollout
from llmservice_operator.api.scaling import Autoscaling, Replicas

_MISSING = "model is missing: write model: {uri: hf://ORGANISATION/NAME}, or pvc:// or file://"
_NO_MODEL = "a proxy loads no model: remove it, and name models in engine.upstreams"
_NO_GPU = "a proxy needs no GPU: remove gpu"
_ONE_ONLY = (
    "a SQLite is one replica's: write rollout.strategy: Replace, and replicas: 1 without "
    "autoscaling; or gateway.database.urlSecret, for a PostgreSQL"
)
_PROXY = "has(self.engine) && has(self.engine.type) && self.engine.type == 'proxy'"


class LLMServiceSpec(Part):
    """What is to be served, and how. Only `model` must be written; for a proxy its upstreams."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(f"has(self.model) || ({_PROXY})", _MISSING),
            rule(f"!has(self.model) || !({_PROXY})", _NO_MODEL, path=".model"),
            rule(f"!has(self.gpu) || !({_PROXY})", _NO_GPU, path=".gpu"),
            rule(
                "!(has(self.replicas) && has(self.autoscaling))",
                "write replicas or autoscaling, not both: autoscaling owns the number of replicas "
                "where it is given",
                path=".replicas",
            ),
            rule(
                "!has(self.gpu) || !has(self.pod) || !has(self.pod.resources) || "
                "[has(self.pod.resources.requests) ? self.pod.resources.requests : {}, "
                "has(self.pod.resources.limits) ? self.pod.resources.limits : {}]"
                ".all(m, !(self.gpu.resource in m))",
                "gpu.resource is asked for in gpu.count: remove it from pod.resources",
                path=".pod.resources",
            ),
            rule(
                "!has(self.gateway) || !has(self.gateway.database) || "
                "!has(self.gateway.database.sqlite) || (has(self.rollout) && "
                "has(self.rollout.strategy) && self.rollout.strategy == 'Replace' && "
                "!has(self.autoscaling) && (!has(self.replicas) || self.replicas == 1))",
                _ONE_ONLY,
                path=".gateway.database.sqlite",
            ),
        )
    )

    model: Model | None = None
    """Which model is served, and under which name. Required, but for a proxy, which has none."""

    engine: Engine = Engine()
    """What runs the model, and how it is tuned."""

    gpu: Gpu | None = None
    """The GPUs of each replica. Without it the model runs on CPU."""

    pod: Pod = Pod()
    """What the replicas' pods ask of their nodes, and what others see on them."""

    replicas: Replicas | None = None
    """How many replicas serve the model. Default: 1, or what autoscaling decides. `kubectl scale`
    changes it; what reads the scale subresource, as KEDA does, finds a number only where it is
    written."""

    autoscaling: Autoscaling | None = None
    """A number of replicas that follows the load, instead of a fixed one."""

    rollout: Rollout = Rollout()
    """How a change reaches the replicas without a failed request."""

    disruption: Disruption = Disruption()
    """How many replicas may be missing while nodes are drained. Default: one."""

    gateway: Gateway = Gateway()
    """What stands between the clients and the engine."""

    expose: Expose = Expose()
    """How clients reach the model."""

    observability: Observability = Observability()
    """What the server tells about itself."""

    @model_validator(mode="after")
    def _of_one_engine(self) -> Self:
        if self.engine.type == "vllm" and self.model is None:
            raise ValueError(_MISSING)
        if self.engine.type == "proxy" and self.model is not None:
            raise ValueError(_NO_MODEL)
        if self.engine.type == "proxy" and self.gpu is not None:
            raise ValueError(_NO_GPU)
        return self
