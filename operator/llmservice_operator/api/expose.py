"""spec.expose and spec.observability: how clients and people see the server."""

from typing import Annotated, Literal

from pydantic import Field

from llmservice_operator.api.fields import Annotations, Collector
from llmservice_operator.api.part import Part


class ServiceExposure(Part):
    """The Service in front of the replicas."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """From where it is reached: the cluster, the nodes' addresses, or a load balancer."""

    port: Annotated[int, Field(ge=1, le=65535)] = 80
    """The port that clients in the cluster use."""

    annotations: Annotations | None = None
    """Annotations of the Service, as load balancers want them."""


class Expose(Part):
    """How clients reach the model."""

    service: ServiceExposure = ServiceExposure()
    """The Service in front of the replicas; it has the name of this resource."""


class Observability(Part):
    """What the server tells about itself."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that the server logs."""

    otlp_endpoint: Collector | None = None
    """Where a collector of OpenTelemetry takes spans by OTLP over HTTP, as
    http://collector.observability:4318. Default: none, and there are no spans."""
