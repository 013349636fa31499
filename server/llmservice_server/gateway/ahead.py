"""Whether a client leaves, while its request waits before the application.

Promises that the application gets all that was heard meanwhile, in its order.
"""

from collections import deque

from llmservice_server.gateway.asgi import Message, Receive


class Ahead:
    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._heard: deque[Message] = deque()

    async def until_gone(self) -> None:
        while not self._heard or self._heard[-1]["type"] != "http.disconnect":
            self._heard.append(await self._receive())

    async def receive(self) -> Message:
        return self._heard.popleft() if self._heard else await self._receive()
