"""The PostgreSQL of the tests ends with the process that started it, also where that is killed."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from dev.postgres import Postgres

_STARTS = """
import sys
from dev.postgres import Postgres
server = Postgres()
server.start()
print(server.port, server.folder, flush=True)
sys.stdin.read()
"""


async def test_it_ends_with_a_process_that_is_killed(postgres: Postgres) -> None:
    del postgres  # that it is there means that another one can be
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _STARTS, stdin=PIPE, stdout=PIPE, cwd=Path(__file__).parents[4]
    )
    assert process.stdout
    port, folder = (await process.stdout.readline()).decode().split()
    _, writer = await asyncio.open_connection("127.0.0.1", int(port))  # the control
    writer.close()
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    async with asyncio.timeout(20):
        while await asyncio.to_thread(Path(folder).exists):
            await asyncio.sleep(0.05)
    try:
        await asyncio.open_connection("127.0.0.1", int(port))
    except ConnectionRefusedError:
        return
    raise AssertionError("it still answers")
