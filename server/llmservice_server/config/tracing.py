"""Spans of requests, for a collector of OpenTelemetry."""

from typing import Annotated

from pydantic import Field

from llmservice_server.config.part import Part

_DEFAULT = "http://localhost:4318"  # OpenTelemetry's own, for OTLP over HTTP


class TracingConfig(Part):
    """Off where no endpoint is named, unless ``enabled`` says something else."""

    enabled: bool | None = None
    otlp_endpoint: Annotated[str, Field(pattern="^https?://")] | None = None

    @property
    def endpoint(self) -> str | None:
        """Where spans are sent, by OTLP over HTTP; None where none are."""
        on = self.otlp_endpoint is not None if self.enabled is None else self.enabled
        base = (self.otlp_endpoint or _DEFAULT).rstrip("/")
        return f"{base}/v1/traces" if on else None
