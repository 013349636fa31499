"""A model server that has had enough of every other request: 429, to come again in a second.

    python3 - PORT

Prints "serving" once it does. Knows one model, "limited".
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_COMPLETION = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "limited",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Paris"},
        }
    ],
}
_ENOUGH = {"error": {"message": "enough for now", "type": "tokens", "code": "rate_limit_exceeded"}}


class Handler(BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self) -> None:
        self._answer(200, {"object": "list", "data": [{"id": "limited", "object": "model"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        Handler.asked += 1
        if Handler.asked % 2:
            self._answer(429, _ENOUGH)
        else:
            self._answer(200, _COMPLETION)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(content)


server = ThreadingHTTPServer(("", int(sys.argv[1])), Handler)
print("serving", flush=True)
server.serve_forever()
