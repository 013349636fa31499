"""A build that is killed leaves nothing that runs, and its files and groups no longer than that."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from devcluster import images, imagestore
from devcluster.layout import Layout
from devcluster.waiting import wait_until

from tests.e2e.devcluster import traces

_BUILD = """if True:
    import pathlib, sys
    from devcluster import images
    folder = pathlib.Path(sys.argv[1])
    with images.builder() as builder:
        args = {"BASE_IMAGE": builder.base()}
        build = images.Build(folder, folder / "Dockerfile", args=args)
        builder.files(build, "selftest-killed", folder / "made")
"""


@pytest.mark.timeout(600)
def test_nothing_outlives_a_build_that_is_killed(tmp_path: Path) -> None:
    # the step names the test's folder, the daemon and its client that of all images
    stuck = f"RUN echo {tmp_path}/ && sleep 600"
    (tmp_path / "Dockerfile").write_text(f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\n{stuck}\n")
    step, store = Layout(tmp_path), Layout(imagestore.folder())
    before = traces.Host.now(store)
    process = subprocess.Popen([sys.executable, "-c", _BUILD, str(tmp_path)])
    try:
        wait_until("the build's step", lambda: bool(traces.processes(step)), 300)
        private = {entry for entry in imagestore.scratch().iterdir() if entry.is_dir()}
        assert private
        assert traces.processes(store)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def ended() -> bool:
        return not traces.processes(step) | traces.processes(store)

    wait_until("their end", ended, 10)
    assert traces.Host.now(store) == before

    with images.builder():
        assert not private & set(imagestore.scratch().iterdir())
    assert traces.outside_folder(store) == []
