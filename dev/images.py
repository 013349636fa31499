"""The project's images: the operator's, the server's with vLLM's CPU build, the proxy's, and one of
Debian's Redis.

python -m dev.images      builds all and prints their tags
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from devcluster import Cluster, failures, images
from devcluster.images import Build, Builder

from dev.progress import step

_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Images:
    """Tags that name their content."""

    operator: str
    server: str
    proxy: str
    redis: str


def build() -> Images:
    """Build what changed of them, side by side; seconds where only our own code did."""
    with images.builder() as builder, ThreadPoolExecutor() as threads:
        base = builder.base()
        model_server = threads.submit(server, builder, base)
        proxy = threads.submit(_image, builder, "proxy", "server", "proxy", base)
        operator = threads.submit(_image, builder, "operator", "operator", "", base)
        redis = threads.submit(_image, builder, "redis", "redis", "", base)
        return Images(operator.result(), model_server.result(), proxy.result(), redis.result())


def server(builder: Builder, base: str) -> str:
    """Build the server's image for CPUs alone; its tag."""
    return _image(builder, "server", "server", "cpu", base)


def clients() -> str:
    """Build the image with OpenAI's own clients, which the e2e tests alone need; its tag."""
    place = _ROOT / "tests/e2e/clients"
    with images.builder() as builder, step("image of the clients", "packages the first time"):
        build = Build(place, place / "Dockerfile", args={"BASE_IMAGE": builder.base()})
        return builder.image(build, "llmservice/clients")


def load(cluster: Cluster, built: Images) -> None:
    """Give the cluster's node all images, moving only the layers that it lacks."""
    for image in (built.operator, built.server, built.proxy, built.redis):
        images.load(cluster, image)


def _image(builder: Builder, name: str, file: str, target: str, base: str) -> str:
    build = Build(_ROOT, _ROOT / f"Dockerfile.{file}", target, {"BASE_IMAGE": base})
    with step(f"image of the {name}", "packages the first time, then our code"):
        return builder.image(build, f"llmservice/{name}")


if __name__ == "__main__":
    with failures.told("images"):
        tags = build()
    print(f"{tags.operator}\n{tags.server}\n{tags.proxy}\n{tags.redis}")
