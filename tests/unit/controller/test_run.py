"""One process as it is put together: its probes ask what watches and what works in it."""

import asyncio
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import yaml
from aiohttp import web
from llmservice_operator.api import Manifest

from dev.process import free_port
from tests.unit.controller.loopback import serving

_IMPATIENT = """
from llmservice_operator import __main__, health
health.DEAD = health.STUCK = 1.0
raise SystemExit(__main__.main())
"""
_SERVICE: Manifest = {
    "metadata": {"name": "x", "namespace": "ns", "uid": "1", "resourceVersion": "1"},
    "spec": {"model": {"uri": "hf://org/model-7B"}},
}


class _Api:
    """Has one LLMService and the Lease. Answers no other write, nor at first a list of pods."""

    def __init__(self) -> None:
        self.pods_known = asyncio.Event()
        self.written = asyncio.Event()  # or tried to

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "/leases" in request.path:
            return await _lease(request)
        if request.method != "GET":
            self.written.set()
            await asyncio.Event().wait()
        if "watch" in request.query:
            silent = web.StreamResponse()
            await silent.prepare(request)
            await asyncio.Event().wait()
        if request.path.endswith("/pods"):
            await self.pods_known.wait()
        ours = request.path.endswith("/llmservices") and "fieldSelector" not in request.query
        listed = {"metadata": {"resourceVersion": "1"}, "items": [_SERVICE] if ours else []}
        return web.json_response(listed)


async def _lease(request: web.Request) -> web.Response:
    if request.method == "GET":
        return web.json_response({}, status=404)
    lease: Manifest = await request.json()
    return web.json_response({**lease, "metadata": {**lease["metadata"], "resourceVersion": "1"}})


@asynccontextmanager
async def _running(api: _Api, folder: Path) -> AsyncIterator[str]:
    """Where a process answers that takes a second for an eternity."""
    port, kubeconfig = free_port(), folder / "kubeconfig"
    async with serving(api.answer) as url:
        config = {
            "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": url}}],
            "users": [{"name": "x", "user": {"token": "t"}}],
        }
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(yaml.safe_dump(config))
        flags = ("run", "--server-image=s:1", f"--http-port={port}", "--lease-namespace=ns")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _IMPATIENT, *flags),
            env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()


async def _said(url: str) -> tuple[int, str]:
    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()
        except OSError:
            return 0, ""

    return await asyncio.to_thread(get)


async def _until(url: str, code: int, words: str = "") -> None:
    while True:
        said = await _said(url)
        if said[0] == code and words in said[1]:
            return
        await asyncio.sleep(0.1)


async def test_what_it_tells_prometheus_is_documented(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/operator-metrics.md").read_text()
    async with _running(_Api(), tmp_path) as url, asyncio.timeout(60):
        await _until(f"{url}/metrics", 200)
        _, text = await _said(f"{url}/metrics")
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    ours = {name for name in told if not name.startswith(("python_", "process_"))}
    assert len(ours) > 15
    assert not [name for name in ours if f"| `{name.removesuffix('_created')}" not in page]


async def test_the_probes_tell_of_what_watches_and_of_what_works(tmp_path: Path) -> None:
    api = _Api()
    async with _running(api, tmp_path) as url, asyncio.timeout(60):
        await _until(f"{url}/healthz", 503, "the watch of services in all namespaces gave no sign")
        assert await _said(f"{url}/readyz") == (503, "the first lists are not complete\n")
        assert not api.written.is_set()

        api.pods_known.set()
        await _until(f"{url}/readyz", 200)
        await _until(f"{url}/healthz", 503, "the reconcile of ns/x has not ended")
        assert api.written.is_set()
