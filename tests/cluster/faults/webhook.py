"""An admission webhook on the loopback address, which denies whatever it is asked about."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from devcluster.certificates import Authority

WORDS = "closed on Sundays"


class _Denial(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        review["response"] = {"uid": review.pop("request")["uid"], "allowed": False}
        review["response"]["status"] = {"message": WORDS}
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def denying(folder: Path) -> Iterator[dict[str, str]]:
    """The clientConfig that leads to it. folder: for its keys."""
    authority = Authority(folder, "webhook")
    authority.create()
    pair = authority.issue("server", "webhook", addresses=["127.0.0.1"])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate, pair.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Denial) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        bundle = base64.b64encode(authority.pair.certificate.read_bytes()).decode()
        yield {"url": f"https://127.0.0.1:{server.server_port}/", "caBundle": bundle}
        server.shutdown()
        thread.join()
