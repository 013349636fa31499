"""`make demo-down` leaves the machine as it was before the demo."""

import os
import subprocess
import sys

import pytest

from tests.e2e.conftest import NAME
from tests.e2e.devcluster import traces
from tests.e2e.devcluster.traces import Host
from tests.e2e.service import Service


@pytest.mark.skipif(os.environ.get("KEEP") == "1", reason="KEEP=1 keeps the cluster")
def test_nothing_of_a_cluster_that_served_is_left(before: Host, applied: Service) -> None:
    layout = applied.cluster.layout
    inside = traces.Inside.now(layout)
    assert traces.processes(layout, inside), "there is something to leave behind"

    subprocess.run([sys.executable, "-m", "dev.demo", "down", NAME], timeout=120, check=True)

    assert traces.processes(layout, inside) == {}
    assert traces.outside_folder(layout) == []
    assert Host.now(layout) == before
    assert not layout.folder.exists()
