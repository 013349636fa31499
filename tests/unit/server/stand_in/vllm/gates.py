"""What a test decides of the stand-in: when it goes on, and which names it lacks."""

import os
import time
from pathlib import Path


def wait(gate: str) -> None:
    """Until the test has made a file of that name."""
    file = Path(os.environ["STAND_IN_GATES"]) / gate
    while not file.exists():
        time.sleep(0.01)


def lacks(name: str) -> bool:
    return name in os.environ.get("STAND_IN_LACKS", "").split(",")
