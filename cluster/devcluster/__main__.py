"""The command line: .venv/bin/python -m devcluster up|down|list|env|kubeconfig."""

import argparse
import shlex
import sys
from typing import get_args

from devcluster import failures, state
from devcluster.cluster import Cluster
from devcluster.state import Shape


def main() -> int:
    """Exit status 0, or 1 after a sentence on standard error."""
    arguments = _parser().parse_args()
    try:
        _run(arguments)
    except (*failures.EXPECTED, ValueError) as error:
        print(f"devcluster: {failures.text(error)}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=".venv/bin/python -m devcluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    helps = {
        "up": "bring a cluster up, or heal it",
        "down": "remove a cluster and everything of it",
        "env": 'print exports for eval "$(…)"',
        "kubeconfig": "print the path of its kubeconfig",
    }
    for command, text in helps.items():
        sub = commands.add_parser(command, help=text)
        sub.add_argument("name")
        if command == "up":
            sub.add_argument("--shape", choices=get_args(Shape), default="node")
    commands.add_parser("list", help="list the clusters")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    if arguments.command == "list":
        for name, found in state.known():
            print(f"{name}\t{found.shape}\t{found.provider}")
        return
    cluster = Cluster(arguments.name)
    match arguments.command:
        case "up":
            cluster.up(arguments.shape)
            print(f"cluster {cluster.name} is up: export KUBECONFIG={cluster.kubeconfig}")
        case "down":
            cluster.down()
            print(f"cluster {cluster.name} is gone")
        case "env":
            cluster.require()
            for variable, value in cluster.env().items():
                print(f"export {variable}={shlex.quote(value)}")
        case "kubeconfig":
            cluster.require()
            print(cluster.kubeconfig)
        case _:
            raise ValueError(arguments.command)


if __name__ == "__main__":
    sys.exit(main())
