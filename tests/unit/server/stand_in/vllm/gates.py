"""What a test decides of the stand-in: when it goes on, and which names it lacks."""

import multiprocessing
import os
import sys
import time
from pathlib import Path


def wait(gate: str) -> None:
    """Until the test has made a file of that name, or the server is gone."""
    file, server = Path(os.environ["STAND_IN_GATES"]) / gate, multiprocessing.parent_process()
    while not file.exists():
        if server and not server.is_alive():
            sys.exit(1)
        time.sleep(0.01)


def lacks(name: str) -> bool:
    return name in os.environ.get("STAND_IN_LACKS", "").split(",")
