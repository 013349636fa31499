"""What the operator was installed with, as far as children depend on it."""

from dataclasses import dataclass

from llmservice_operator.api.engine import EngineType


@dataclass(frozen=True)
class RenderDefaults:
    """The images of servers whose resources name none; without one for proxies, they run that of
    the others. Without one for Redis no resource has its own.
    """

    server_image: str
    proxy_image: str = ""
    redis_image: str = ""

    def image(self, engine: EngineType) -> str:
        """What runs this engine."""
        return (self.proxy_image if engine == "proxy" else "") or self.server_image
