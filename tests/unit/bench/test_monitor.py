"""What counts as a call of Redis, and as one that nobody waits for."""

import pytest

from bench.server import monitor

_SCRIPT = '"EVALSHA" "0a1b" "2" "{llmservice}:settle" "x"'


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('+1700000000.1 [0 127.0.0.1:40000] "GET" "a"', "get"),
        (f'+1700000000.1 [0 127.0.0.1:40000] {_SCRIPT} "take" "900"', "evalsha"),
        (f'+1700000000.1 [0 127.0.0.1:40000] {_SCRIPT} "settle" "7"', "settle"),
        (f'+1700000000.1 [0 127.0.0.1:40000] {_SCRIPT} "renew" "900"', "renew"),
        ('+1700000000.1 [0 lua] "INCRBY" "a" "1"', None),
        ('+1700000000.1 [0 127.0.0.1:40000] "SET" "a" "] \\"settle\\" "', "set"),
    ],
)
def test_commands_are_counted_by_who_waits_for_them(line: str, name: str | None) -> None:
    assert monitor.command(line) == name
