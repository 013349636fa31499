"""One JSON object a line, whoever logs, and the cause of an end noted across processes."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from llmservice_server.logs import FAULTS, FaultNotes, JsonFormatter, first_fault

_PROGRAM = """
import logging, sys, warnings
from pathlib import Path
from llmservice_server import logs
file = logs.configure("info", Path(sys.argv[1]))
logging.getLogger("llmservice.x").info("said %s", "this", extra={"fields": {"request_id": "r"}})
logging.getLogger("vllm.engine").warning("two\\nlines")
logging.getLogger("uvicorn.error").debug("below the level")
warnings.warn("old")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("vllm.engine").exception("did not start")
try:
    raise RuntimeError("something failed above")
except RuntimeError:
    logging.getLogger("vllm").exception("gave up")
print(file)
"""


def _lines(folder: Path) -> tuple[list[dict[str, Any]], str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    *lines, file = done.stdout.splitlines()
    return [json.loads(line) for line in lines], file


def test_every_line_is_json_of_one_form(tmp_path: Path) -> None:
    lines, _ = _lines(tmp_path)
    said, two, warned, failed, _ = lines
    assert said["time"].endswith("Z")
    assert (said["level"], said["logger"]) == ("info", "llmservice.x")
    assert (said["message"], said["request_id"]) == ("said this", "r")
    assert two["message"] == "two\nlines"
    assert warned["logger"] == "py.warnings"
    assert failed["exception"].splitlines()[-1] == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("odd", ["half a character: \ud83d", b"\xff", {1: {2}}, float("inf")])
def test_whatever_is_in_a_line_it_is_written(odd: object) -> None:
    record = logging.makeLogRecord({"msg": "odd", "fields": {"what": odd}})
    line = JsonFormatter().format(record)
    line.encode()
    assert json.loads(line)["message"] == "odd"


def test_the_first_error_of_any_process_is_the_cause(tmp_path: Path) -> None:
    began = time.time()
    _lines(tmp_path)
    notes = tmp_path / FAULTS
    assert first_fault(notes, since=began) == "ZeroDivisionError: division by zero"
    assert first_fault(notes, since=began, but="Zero") == "RuntimeError: something failed above"
    assert first_fault(notes, since=time.time() + 1) is None
    assert first_fault(tmp_path / "none", since=0) is None


def test_what_an_engines_process_met_is_the_cause_before_any_wrong_request(tmp_path: Path) -> None:
    notes = FaultNotes(str(tmp_path / FAULTS))
    for process, error in (
        ("MainProcess", ValueError("a client's")),
        ("VllmWorker-0", RuntimeError("no compiler")),
        ("EngineCore", RuntimeError("a worker failed")),
    ):
        told = {"exc_info": (type(error), error, None), "processName": process}
        notes.emit(logging.makeLogRecord(told))
    assert first_fault(tmp_path / FAULTS, since=0) == "RuntimeError: no compiler"


def test_the_file_for_other_processes_configures_them_alike(tmp_path: Path) -> None:
    _, file = _lines(tmp_path)
    program = (
        "import json, logging, logging.config, sys; "
        "logging.config.dictConfig(json.load(open(sys.argv[1]))); "
        "logging.getLogger('vllm.worker').info('here')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, file],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ,
    )
    assert json.loads(done.stdout)["message"] == "here"


_LIBRARY = """
import logging, sys
from pathlib import Path
from llmservice_server import logs
logs.configure("info", Path(sys.argv[1]))
for name, stream in (("torch", sys.stderr), ("other", sys.stdout)):
    logger = logging.getLogger(name)
    logger.addHandler(logging.StreamHandler(stream))
    logger.propagate = False
logging.getLogger("file").addHandler(logging.FileHandler(Path(sys.argv[1]) / "own.log"))
if sys.argv[2] == "adopt":
    logs.adopt()
for name in ("torch", "other", "torch.sub", "file"):
    logging.getLogger(name).warning("said by %s", name)
"""


def _said(folder: Path, what: str) -> tuple[list[str], str]:
    done = subprocess.run(
        [sys.executable, "-c", _LIBRARY, str(folder), what],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines(), done.stderr


def test_libraries_with_handlers_of_their_own_log_in_the_same_form(tmp_path: Path) -> None:
    lines, rest = _said(tmp_path, "adopt")
    assert rest == ""
    assert [json.loads(line)["logger"] for line in lines] == ["torch", "other", "torch.sub", "file"]
    assert (tmp_path / "own.log").read_text() == "said by file\n"


def test_without_that_their_lines_are_no_json(tmp_path: Path) -> None:
    """The control."""
    lines, rest = _said(tmp_path, "leave")
    assert "said by torch" in rest
    assert "said by other" in lines
