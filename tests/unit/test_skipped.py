"""In CI what is missing fails the run: a skipped test is no proof."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_NEEDS = """
import pytest

@pytest.fixture(scope="session")
def postgres():
    pytest.skip("PostgreSQL is not installed here")

@pytest.fixture(params=["sqlite", "postgresql"])
def address(request):
    return request.param == "postgresql" and request.getfixturevalue("postgres")

def test_it(address):
    pass
"""
_MISSING = """
import pytest

pytest.importorskip("a_library_that_nobody_has")
"""
_REASONS = ("PostgreSQL is not installed here", "could not import 'a_library_that_nobody_has'")


@pytest.mark.parametrize("ci", ["true", ""])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_cannot_be_tested_in_ci_is_a_failure(ci: str, workers: str, tmp_path: Path) -> None:
    (tmp_path / "test_component.py").write_text(_NEEDS)
    (tmp_path / "test_library.py").write_text(_MISSING)
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "tests.conftest")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", f"--rootdir={tmp_path}", *options, "-rs"),
            *(f"--numprocesses={workers}", "--continue-on-collection-errors", str(tmp_path)),
        ],
        cwd=_ROOT,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert all(reason in done.stdout for reason in _REASONS), done.stdout
    refused = [f"CI runs every test, but this one was skipped: Skipped: {r}" for r in _REASONS]
    assert [one in done.stdout for one in refused] == [bool(ci)] * 2, done.stdout
    assert ("2 errors" in done.stdout) == (done.returncode != 0) == bool(ci), done.stdout
