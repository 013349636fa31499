"""What is written to standard error past every logger, as native code does."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

_SAID = """
import contextlib, ctypes, os, subprocess, sys
from llmservice_server import stray
with stray.told() if sys.argv[1] == "told" else contextlib.nullcontext():
    os.write(2, b'"native" \\xff words\\n\\n')
    print("python's", file=sys.stderr)
    os.write(2, b"  0% of it\\r 50% of it\\r100% of it\\n")
    subprocess.run([sys.executable, "-c", "import sys; sys.exit('a child')"])
    os.write(2, b"the last")
    if sys.argv[2] == "crashes":
        os.abort()
sys.stderr.write("afterwards\\n")
"""
_WORDS = ['"native" \ufffd words', "python's", "100% of it", "a child", "the last"]


def _said(how: str, ends: str) -> "subprocess.CompletedProcess[bytes]":
    program = [sys.executable, "-c", _SAID, how, ends]
    return subprocess.run(program, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize(("ends", "rest"), [("well", "afterwards\n"), ("crashes", "")])
def test_each_line_of_it_becomes_one_of_the_log(ends: str, rest: str) -> None:
    done = _said("told", ends)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["message"] for line in lines] == _WORDS
    assert {(line["level"], line["logger"]) for line in lines} == {("warning", "stderr")}
    when = datetime.fromisoformat(lines[0]["time"])
    assert abs((datetime.now(UTC) - when).total_seconds()) < 60
    assert done.stderr.decode() == rest


def test_without_that_it_is_no_json() -> None:
    """The control."""
    done = _said("untold", "well")
    assert done.stdout == b""
    assert b'"native" \xff words\n' in done.stderr
