"""Spans of requests, for a collector of OpenTelemetry."""

from typing import Annotated

from pydantic import Field

from llmservice_server.config.part import Part

_DEFAULT = "http://localhost:4318"  # OpenTelemetry's own, for OTLP over HTTP


class TracingConfig(Part):
    """Off where no endpoint is named, unless ``enabled`` says something else."""

    enabled: bool | None = None
    otlp_endpoint: Annotated[str, Field(pattern="^https?://")] | None = None
    # The whole address, as it is; not written where there is none, for older servers' sake.
    traces_endpoint: Annotated[str, Field(pattern="^https?://")] | None = Field(
        default=None, exclude_if=lambda endpoint: endpoint is None
    )

    @property
    def endpoint(self) -> str | None:
        """Where spans are sent, by OTLP over HTTP; None where none are."""
        named = self.traces_endpoint or self.otlp_endpoint
        if not (named is not None if self.enabled is None else self.enabled):
            return None
        return self.traces_endpoint or (named or _DEFAULT).rstrip("/") + "/v1/traces"
