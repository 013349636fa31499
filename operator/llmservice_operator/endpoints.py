"""/healthz, /readyz and /metrics for the kubelet and for Prometheus."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


async def serve(
    port: int, ready: Callable[[], bool], faults: Callable[[], list[str]]
) -> web.AppRunner:
    """Serve on all addresses until the runner's cleanup(). ready: are all first lists in? faults:
    what hangs, in sentences; that the event loop turns shows in the answer itself.
    """

    async def healthz(_: web.Request) -> web.Response:
        if found := faults():
            return web.Response(status=503, text="".join(f"{fault}\n" for fault in found))
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if ready():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the first lists are not complete\n")

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", scrape)]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, None, port, reuse_address=True).start()
    return runner
