"""Whether a log holds what it must not; pure but for reading it."""

import base64
import re
from collections.abc import Iterable
from pathlib import Path

_KEY = re.compile(r"sk-[A-Za-z0-9]{8}[A-Za-z0-9_-]{43}")
"""What keys of ours look like, whoever made them."""
_SHORTEST = 8


def leaks(logs: Iterable[Path], secrets: Iterable[str]) -> list[str]:
    """Which line of which log holds a key, or one of these, as it is or in base64; none is
    repeated.
    """
    told = {text for secret in secrets for text in _told(secret)}
    return [
        f"{log.name}:{number}"
        for log in logs
        for number, line in enumerate(log.read_text(errors="replace").splitlines(), 1)
        if _KEY.search(line) or any(text in line for text in told)
    ]


def _told(secret: str) -> list[str]:
    assert len(secret) >= _SHORTEST, "every log would hold it"
    # Of what stands in the middle of something else, base64 has one of three forms.
    shifted = [base64.b64encode(b"x" * n + secret.encode()).decode()[2 * n : -4] for n in range(3)]
    return [secret, *shifted]
