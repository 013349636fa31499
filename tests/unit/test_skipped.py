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
_MISSING = 'import pytest\npytest.importorskip("a_library_that_nobody_has")\n'


@pytest.mark.parametrize("text", [_NEEDS, _MISSING], ids=["a component", "a library"])
@pytest.mark.parametrize("ci", ["true", ""])
@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_cannot_be_tested_in_ci_is_a_failure(
    text: str, ci: str, workers: str, tmp_path: Path
) -> None:
    file = tmp_path / "test_something.py"
    file.write_text(text + ("def test_other(): pass\n" if text is _MISSING else ""))
    options = ("-q", "-p", "no:cacheprovider", "-p", "tests.conftest", f"--numprocesses={workers}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"--rootdir={tmp_path}", *options, str(file)],
        cwd=_ROOT,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if ci:
        assert done.returncode != 0, done.stdout
        assert "CI runs every test, but this one was skipped: " in done.stdout
    else:
        assert done.returncode in {0, 5}, done.stdout  # 5: there was no other test
