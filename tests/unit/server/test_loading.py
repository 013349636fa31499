"""A server that loads: what is answered on its port meanwhile, and to the moment when it serves.

vLLM's place is taken by stand_in/vllm, which has the names that the server uses of it, and nothing
else; that the real one has them too, the log of tests/e2e shows.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import uvicorn
from llmservice_server.loading import Listener, Notes, Phase, Progress, Startup

from dev.process import free_port
from tests.unit.server.small_engine import SmallEngine

_STAND_IN = Path(__file__).with_name("stand_in")
_LIMIT = 60  # seconds for what takes a moment; a machine may be busy
_BEGAN = 1_780_000_000.0


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    notes = Notes(tmp_path)
    notes.write(Progress(Phase.WEIGHTS, _BEGAN, 40))
    made = Listener("127.0.0.1", 0, Startup(notes))
    with closing(made):
        yield made


def _port(of: socket.socket) -> int:
    return of.getsockname()[1]


@pytest.fixture
async def client(listener: Listener) -> AsyncIterator[httpx2.AsyncClient]:
    url = f"http://127.0.0.1:{_port(listener.socket)}"
    async with httpx2.AsyncClient(base_url=url, timeout=_LIMIT) as made:
        yield made


async def test_a_loading_server_is_alive_not_ready_and_says_how_far_it_is(
    client: httpx2.AsyncClient,
) -> None:
    alive = await client.get("/livez")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    for path, status in (("/readyz", 503), ("/health?verbose", 503), ("/status", 200)):
        answer = await client.get(path)
        told = answer.json()
        assert answer.status_code == status
        assert told.pop("seconds") > 0
        assert (
            told.items()
            >= {
                "status": "loading",
                "phase": "weights",
                "since": "2026-05-28T20:26:40Z",
                "progress": 40,
            }.items()
        )
    health = (await client.get("/health")).json()
    statuses = [health[f"{of}_status"] for of in ("api", "model", "gpu")]
    assert statuses == ["loading", "loading", "unknown"]
    assert {"timestamp", "uptime_seconds"} <= health.keys()
    assert (await client.head("/livez")).status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/metrics", "/livez", "/"])
async def test_a_request_is_told_to_come_again_in_openais_shape(
    client: httpx2.AsyncClient, path: str
) -> None:
    """However long it is: a connection closed too early would take the answer away."""
    answer = await client.post(path, content=b"x" * 20_000_000)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
async def test_a_prediction_is_told_so_in_the_shape_of_predictions(
    client: httpx2.AsyncClient, path: str
) -> None:
    answer = await client.post(path, json={"prompt": "x"})
    told = answer.json()
    assert (answer.status_code, told["error"]) == (503, "service_unavailable")
    assert told.keys() == {"error", "message", "details", "timestamp", "request_id"}


async def test_garbage_does_no_harm(listener: Listener, client: httpx2.AsyncClient) -> None:
    for garbage in (b"\0\r\n\r\n", b"GET\r\n\r\n", b"x" * 1_000_000, b""):
        reader, writer = await asyncio.open_connection("127.0.0.1", _port(listener.socket))
        with suppress(OSError):
            writer.write(garbage)
            writer.write_eof()
            await reader.read()
        writer.close()
    assert (await client.get("/livez")).status_code == 200


_STANDS_STILL = """
import ctypes, sys
from pathlib import Path
from urllib.request import urlopen
from llmservice_server.loading import Listener, Notes, Startup, listener
listener._STILL = 1.0
made = Listener("127.0.0.1", 0, Startup(Notes(Path(sys.argv[1]))))
urlopen(f"http://127.0.0.1:{made.socket.getsockname()[1]}/livez").read()

def stands_still():
    ctypes.PyDLL(None).sleep(5)  # unlike CDLL it lets no other thread run

stands_still()
"""


def test_a_start_that_stands_still_says_where(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _STANDS_STILL, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=True)
    assert "in stands_still" in said.stderr


def test_one_that_only_takes_long_says_nothing(tmp_path: Path) -> None:
    moves = _STANDS_STILL.replace("PyDLL", "CDLL").replace("1.0", "6.0")
    command = [sys.executable, "-c", moves, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=True)
    assert not said.stderr


class _Server(uvicorn.Server):
    """The one that takes over."""

    def __init__(self) -> None:
        super().__init__(uvicorn.Config(SmallEngine(), lifespan="on", log_config=None))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _ask(port: int, answers: list[bytes]) -> None:
    """One connection, one request, the status of its answer, or what became of it instead."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /up HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
        answers.append(answer[9:12] if answer.endswith(b"}") else b"cut")
        writer.close()
    except OSError as error:
        answers.append(type(error).__name__.encode())


async def _hammer(port: int, answers: list[bytes]) -> None:
    while True:
        await _ask(port, answers)


async def _asked_through_a_hand_over(listener: Listener, *, anew: bool) -> set[bytes]:
    """All kinds of answers; anew: by another socket in place of the same one."""
    port, answers, server = _port(listener.socket), list[bytes](), _Server()
    clients = [asyncio.create_task(_hammer(port, answers)) for _ in range(8)]
    async with asyncio.timeout(_LIMIT):
        while len(answers) < 100:
            await asyncio.sleep(0.01)
        if anew:
            listener.close()
            await asyncio.sleep(0.05)
            taken = socket.create_server(("127.0.0.1", port))
        else:
            listener.hand_over()
            await asyncio.sleep(0.05)  # whoever comes now waits
            taken = listener.socket
        running = asyncio.create_task(server.serve(sockets=[taken]))
        while b"200" not in answers:
            await asyncio.sleep(0.01)
    for client in clients:
        client.cancel()
    server.should_exit = True
    await running
    return set(answers)


async def test_no_request_is_lost_while_the_port_changes_hands(listener: Listener) -> None:
    assert await _asked_through_a_hand_over(listener, anew=False) == {b"503", b"200"}


async def test_without_the_same_socket_requests_are_lost(listener: Listener) -> None:
    """The control: these clients see what goes wrong."""
    assert await _asked_through_a_hand_over(listener, anew=True) > {b"503", b"200"}


async def test_a_client_that_has_not_spoken_yet_holds_nothing_up_and_is_answered(
    listener: Listener, client: httpx2.AsyncClient
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", _port(listener.socket))
    await client.get("/livez")  # by now the other connection is accepted, too
    began = time.monotonic()
    listener.hand_over()
    assert time.monotonic() - began < 2
    writer.write(b"GET /readyz HTTP/1.1\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
    writer.close()


def test_the_port_is_free_again_after_a_start_that_failed(listener: Listener) -> None:
    port = _port(listener.socket)
    listener.close()
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_server_is_as_far_as_the_slowest_of_its_processes(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    assert notes.slowest() is None
    notes.write(Progress(Phase.WARMING_UP, _BEGAN))
    assert notes.slowest() == Progress(Phase.WARMING_UP, _BEGAN)
    for process, percent in ((1, 75), (2, 50)):
        note = json.dumps(["weights", _BEGAN, percent, []])
        (tmp_path / f"loading-{process}").write_text(note)
    assert notes.slowest() == Progress(Phase.WEIGHTS, _BEGAN, 50)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "[",
        "[1, 2]",
        '["dancing", 1, 2, []]',
        '["weights", "x", 2, []]',
        '["weights", 1, 2, [3]]',
    ],
)
def test_a_note_that_says_nothing_is_passed_over(tmp_path: Path, note: str) -> None:
    (tmp_path / "loading-1").write_text(note)
    assert Notes(tmp_path).slowest() is None


def test_a_note_that_cannot_be_written_fails_nobody(tmp_path: Path) -> None:
    Notes(tmp_path / "gone").write(Progress(Phase.WEIGHTS, _BEGAN))


def test_a_start_is_told_as_its_phases_with_the_seconds_of_each(tmp_path: Path) -> None:
    now = _BEGAN
    notes = Notes(tmp_path)
    startup = Startup(notes, lambda: now)
    now += 5
    assert startup.told()["phases"] == [{"phase": "starting", "seconds": 5.0}]
    loads = Progress(Phase.WEIGHTS, now)
    notes.write(loads.at(30))
    now += 7
    told = startup.told()
    assert (told["phase"], told["seconds"], told["progress"]) == ("weights", 7.0, 30)
    notes.write(loads.then(Phase.COMPILING, now))
    now += 11
    startup.begins(Phase.COMPLETION)
    now += 2
    startup.begins(Phase.READY)
    now += 100
    assert startup.told() == {
        "phase": "ready",
        "since": "2026-05-28T20:27:05Z",
        "seconds": 100.0,
        "phases": [
            {"phase": "starting", "seconds": 5.0},
            {"phase": "weights", "seconds": 7.0},
            {"phase": "compiling", "seconds": 11.0},
            {"phase": "completion", "seconds": 2.0},
            {"phase": "ready", "seconds": 100.0},
        ],
    }


async def test_the_status_of_a_loading_server_has_its_phases(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/status")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["status"], told["phase"], told["progress"]) == ("loading", "weights", 40)
    assert [phase["phase"] for phase in told["phases"]] == ["starting", "weights"]


@dataclass(frozen=True)
class _Start:
    """A server process that starts, as far as its test opens its gates."""

    gates: Path
    client: httpx2.AsyncClient
    process: asyncio.subprocess.Process
    seen: list[tuple[object, ...]]

    def open(self, gate: str) -> None:
        (self.gates / gate).touch()

    async def until(self, *told: object) -> None:
        """/health says this status, phase and progress; what it said before is in `seen`."""
        async with asyncio.timeout(_LIMIT):
            while not self.seen or self.seen[-1] != told:
                if self.process.returncode is not None:
                    raise AssertionError(f"it ended; before that: {self.seen}")
                with suppress(httpx2.TransportError):
                    await self._look()
                await asyncio.sleep(0.01)

    async def passed(self) -> list[str]:
        """The phases that there were, as /status says it."""
        told = (await self.client.get("/status")).json()
        assert told["phase"] == "ready"
        assert all(phase["seconds"] >= 0 for phase in told["phases"])
        return [phase["phase"] for phase in told["phases"]]

    async def _look(self) -> None:
        health, ready = [await self.client.get(path) for path in ("/health", "/readyz")]
        answer = health.json()
        told = tuple(answer.get(name) for name in ("status", "phase", "progress"))
        if not self.seen or told != self.seen[-1]:
            self.seen.append(told)
        assert ready.status_code == 503 or ready.json() == {"status": "ready"}


@asynccontextmanager
async def _starting(folder: Path, *, source: str = "", lacks: str = "") -> AsyncIterator[_Start]:
    """`llmservice-server serve` with the stand-in, which lacks these names."""
    (folder / "gates").mkdir()
    (folder / "m").mkdir()
    (folder / "m/config.json").write_text("{}")
    (folder / "m/model.safetensors").write_bytes(b"x" * 4000)
    port, config = free_port(), folder / "config.yaml"
    model = f"model: {{uri: 'file:///m', source: '{source or folder / 'm'}', servedName: chat}}\n"
    config.write_text(f"{model}port: {port}\ndrain: {{graceSeconds: 0}}\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llmservice_server", "serve", "--config", str(config)),
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(_STAND_IN), str(Path.cwd())]),
            "STAND_IN_GATES": str(folder / "gates"),
            "STAND_IN_LACKS": lacks,
            "LLMSERVICE_TERMINATION_LOG": str(folder / "termination-log"),
        },
    )
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        try:
            yield _Start(folder / "gates", client, process, [])
            process.terminate()
            assert await asyncio.wait_for(process.wait(), _LIMIT) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_a_start_is_told_phase_by_phase_until_a_completion_went_through(
    tmp_path: Path,
) -> None:
    async with _starting(tmp_path) as start:
        await start.until("loading", "starting", None)
        start.open("load")
        await start.until("loading", "weights", 50)
        assert (await start.client.post("/v1/completions", json={})).status_code == 503
        start.open("half")
        await start.until("loading", "compiling", None)
        start.open("compiled")
        await start.until("loading", "warming-up", None)
        start.open("warm")
        await start.until("ready", None, None)
        assert (await start.client.post("/v1/completions", json={"max_tokens": 1})).is_success
        passed = await start.passed()
    phases = [phase for status, phase, _ in start.seen if status == "loading"]
    order = ["starting", "weights", "compiling", "warming-up", "completion", "ready"]
    assert sorted(phases, key=order.index) == phases
    assert passed == order


async def test_a_model_that_is_downloaded_is_told_as_such(tmp_path: Path) -> None:
    async with _starting(tmp_path, source="org/model") as start:
        start.open("load")
        await start.until("loading", "downloading", None)
        for gate in ("downloaded", "half", "compiled", "warm"):
            start.open(gate)
        await start.until("ready", None, None)
        assert "downloading" in await start.passed()


async def test_a_server_that_is_told_to_stop_while_it_loads_stops(tmp_path: Path) -> None:
    async with _starting(tmp_path) as start:
        start.open("load")
        await start.until("loading", "weights", 50)


@pytest.mark.parametrize(
    ("lacks", "still_told", "last"),
    [
        ("create_server_socket", ["starting"], ()),  # until vLLM takes the port
        ("BaseModelLoader", ["starting", "weights", "warming-up"], ("weights", 100)),
        ("nbytes", ["starting", "weights", "compiling", "warming-up"], ("compiling", None)),
        ("WorkerWrapperBase", ["starting", "weights", "compiling"], ("compiling", None)),
    ],
)
async def test_a_hook_that_vllm_lacks_costs_only_what_it_would_have_told(
    tmp_path: Path, lacks: str, still_told: list[str], last: tuple[object, ...]
) -> None:
    async with _starting(tmp_path, lacks=lacks) as start:
        if last:
            await start.until("loading", "starting", None)
        start.open("load")
        start.open("half")
        if last:
            await start.until("loading", *last)
        start.open("compiled")
        start.open("warm")
        await start.until("ready", None, None)
    phases = {phase for status, phase, _ in start.seen if status == "loading"}
    # Who came before the port changed hands may be answered after it.
    assert phases - {"completion", "ready"} <= set(still_told)
