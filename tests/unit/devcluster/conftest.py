from pathlib import Path

import pytest
from devcluster.addresses import Addresses
from devcluster.layout import Layout
from devcluster.site import Site
from devcluster.tools import TOOLS


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test, so that none sees the machine's clusters."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "devcluster"


@pytest.fixture
def site() -> Site:
    programs = {name: Path("/programs") / name for name in TOOLS}
    return Site(Layout.of("demo"), Addresses(3), programs)
