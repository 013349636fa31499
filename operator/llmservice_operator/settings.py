"""How one operator process is told what to do: its flags. Nothing else is read from outside but
where the API server is (connection.py) and the pod's own name.
"""

import argparse
import os
import socket
from dataclasses import dataclass
from pathlib import Path

_IN_CLUSTER_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Settings:
    """The images are for resources that name none. namespaces: empty means all of them."""

    server_image: str
    proxy_image: str
    redis_image: str
    namespaces: tuple[str, ...]
    lease_namespace: str
    lease_name: str
    workers: int
    requests_per_second: float
    http_port: int
    log_level: str
    identity: str


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server-image", required=True, metavar="IMAGE", help="of servers whose spec names none"
    )
    parser.add_argument(
        "--proxy-image", default="", metavar="IMAGE", help="of proxies; default: the server's"
    )
    parser.add_argument(
        "--redis-image",
        default="",
        metavar="IMAGE",
        help="of gateway.redis.managed; default: none, and there is no such Redis",
    )
    parser.add_argument(
        "--namespaces", default="", metavar="A,B", help="only these namespaces; default: all"
    )
    parser.add_argument(
        "--lease-namespace", metavar="NAMESPACE", help="of the Lease; default: the pod's own"
    )
    parser.add_argument(
        "--lease-name",
        default="llmservice-operator",
        metavar="NAME",
        help="operators with one name take turns; default: llmservice-operator",
    )
    parser.add_argument(
        "--workers", type=_positive, default=32, help="resources reconciled at once; default: 32"
    )
    parser.add_argument(
        "--requests-per-second",
        type=_not_negative,
        default=500,
        metavar="N",
        help="to the API server at most, but for watches and the Lease; 0: no limit; default: 500",
    )
    parser.add_argument(
        "--http-port", type=int, default=8080, help="of /healthz, /readyz, /metrics; default: 8080"
    )
    parser.add_argument(
        "--log-level", default="info", choices=("debug", "info", "warning", "error")
    )


def from_flags(flags: argparse.Namespace) -> Settings:
    return Settings(
        server_image=flags.server_image,
        proxy_image=flags.proxy_image,
        redis_image=flags.redis_image,
        namespaces=tuple(n.strip() for n in flags.namespaces.split(",") if n.strip()),
        lease_namespace=flags.lease_namespace or _own_namespace(),
        lease_name=flags.lease_name,
        workers=flags.workers,
        requests_per_second=flags.requests_per_second,
        http_port=flags.http_port,
        log_level=flags.log_level,
        identity=_identity(),
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"write a number of 1 or more, not {text}")
    return number


def _not_negative(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"write a number of 0 or more, not {text}")
    return number


def _own_namespace() -> str:
    if _IN_CLUSTER_NAMESPACE.is_file():
        return _IN_CLUSTER_NAMESPACE.read_text().strip()
    return "default"


def _identity() -> str:
    # A pod's name outlives its container, so a restarted container takes its own Lease back at
    # once; outside a pod two processes of one machine must not take each other for themselves.
    return os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}"
