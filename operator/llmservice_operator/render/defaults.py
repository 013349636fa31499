"""What the operator was installed with, as far as children depend on it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RenderDefaults:
    """server_image: the image of every server whose resource names none."""

    server_image: str
