"""The project's two images: the operator's, and the server's with vLLM's CPU build.

python -m dev.images      builds both and prints their tags
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


def build() -> Images:
    """Build what changed of both, side by side; seconds where only our own code did."""
    with images.builder() as builder, ThreadPoolExecutor() as threads:
        base = builder.base()
        model_server = threads.submit(server, builder, base)
        operator = threads.submit(_image, builder, "operator", "", base)
        return Images(operator=operator.result(), server=model_server.result())


def server(builder: Builder, base: str) -> str:
    """Build the server's image for CPUs alone; its tag."""
    return _image(builder, "server", "cpu", base)


def load(cluster: Cluster, built: Images) -> None:
    """Give the cluster's node both images, moving only the layers that it lacks."""
    images.load(cluster, built.operator)
    images.load(cluster, built.server)


def _image(builder: Builder, name: str, target: str, base: str) -> str:
    build = Build(_ROOT, _ROOT / f"Dockerfile.{name}", target, {"BASE_IMAGE": base})
    with step(f"image of the {name}", "packages the first time, then our code"):
        return builder.image(build, f"llmservice/{name}")


if __name__ == "__main__":
    with failures.told("images"):
        tags = build()
    print(f"{tags.operator}\n{tags.server}")
