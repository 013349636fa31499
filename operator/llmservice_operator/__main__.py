"""The command line: run the operator, render a resource's children offline, show what applying it
would change in the cluster, print the CRD.

Each command imports what it needs when it is called, so that `render` and `crd` load no client.
"""

import argparse
import gc
import sys
from pathlib import Path

from llmservice_operator import settings

_SERVER_IMAGE = "llmservice/server:dev"
_PROXY_IMAGE = "llmservice/proxy:dev"
_REDIS_IMAGE = "llmservice/redis:dev"


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="llmservice-operator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    commands.add_parser("crd", help="print the CustomResourceDefinition")

    render = commands.add_parser("render", help="print the children of a resource, without cluster")
    render.add_argument("file", type=Path, metavar="FILE", help="YAML with LLMServices; - is stdin")
    render.add_argument("--server-image", default=_SERVER_IMAGE, help="default: %(default)s")
    render.add_argument("--proxy-image", default=_PROXY_IMAGE, help="default: %(default)s")
    render.add_argument("--redis-image", default=_REDIS_IMAGE, help="default: %(default)s")

    diff = commands.add_parser(
        "diff",
        help="show what applying a file would change in the cluster, without changing it",
        description="Shows what applying FILE would change in the children of its LLMServices, by "
        "dry runs. Exit status: 0 no difference, 1 some, 2 an error.",
    )
    diff.add_argument("file", type=Path, metavar="FILE", help="YAML with LLMServices; - is stdin")
    diff.add_argument(
        "--server-image",
        default="",
        metavar="IMAGE",
        help=f"default: what the live pods run, or {_SERVER_IMAGE} or {_PROXY_IMAGE} "
        "where none run that engine",
    )
    diff.add_argument(
        "--field-manager",
        default="",
        metavar="NAME",
        help="who applies the file server-side; default: who did so last",
    )

    run = commands.add_parser("run", help="run the operator until SIGTERM")
    settings.add_flags(run)

    options = parser.parse_args(argv)
    match options.command:
        case "run":
            gc.disable()  # nothing of what is imported is garbage: to look for it takes long
            import uvloop  # noqa: PLC0415

            from llmservice_operator.run import run as run_operator  # noqa: PLC0415

            gc.freeze()
            gc.enable()
            return uvloop.run(run_operator(settings.from_flags(options)))
        case "crd":
            from llmservice_operator.offline import print_crd  # noqa: PLC0415

            return print_crd(sys.stdout)
        case "diff":
            from llmservice_operator.diff.command import Asked, print_differences  # noqa: PLC0415
            from llmservice_operator.render.defaults import RenderDefaults  # noqa: PLC0415

            new = RenderDefaults(_SERVER_IMAGE, _PROXY_IMAGE, _REDIS_IMAGE)
            asked = Asked(options.file, new, options.server_image, options.field_manager)
            return print_differences(asked, sys.stdout)
        case _:
            from llmservice_operator.offline import print_children  # noqa: PLC0415
            from llmservice_operator.render.defaults import RenderDefaults  # noqa: PLC0415

            defaults = RenderDefaults(
                options.server_image, options.proxy_image, options.redis_image
            )
            return print_children(options.file, defaults, sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
