"""Debian's promtool, which reads metrics as Prometheus does and says what is wrong with them."""

import subprocess

import pytest
from devcluster import debian
from devcluster.waiting import ClusterError


def ensure() -> None:
    """It is there, and Prometheus with it; else the test is skipped."""
    try:
        debian.ensure_program("promtool", "prometheus")
    except ClusterError as fault:
        pytest.skip(str(fault))


def complaints(scraped: bytes) -> list[str]:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=scraped, capture_output=True, check=False
    )
    return (done.stdout + done.stderr).decode().splitlines()
