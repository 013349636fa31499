"""The operator as a process outside of the cluster, for those that watch it from there."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_PORTS = range(12_000, 24_000)


def free_port() -> int:
    """One of those that the kernel gives to no connection: it stays free until a server has it, and
    between that server's end and its next start.
    """
    while True:
        port = secrets.choice(_PORTS)  # what is random by a seed is the same in several processes
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass(frozen=True)
class Launch:
    """name: who holds the Lease, as a pod's name would be. port: of /metrics, on loopback.
    environment: more than this process has.
    """

    kubeconfig: Path
    lease_namespace: str
    log: Path
    image: str
    name: str
    flags: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def start(self, *python: str) -> "subprocess.Popen[bytes]":
        """python: the interpreter's own arguments. What it logs is added to the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, *python, "-m", "llmservice_operator", "run"),
                    f"--server-image={self.image}",
                    f"--http-port={self.port}",
                    f"--lease-namespace={self.lease_namespace}",
                    *self.flags,
                ],
                env={
                    **os.environ,
                    **self.environment,
                    "KUBECONFIG": str(self.kubeconfig),
                    "POD_NAME": self.name,
                },
                stderr=log,
            )
