"""OpenAI's client for Python is refused, and comes again by itself.

    python3 - BASE_URL MODEL STREAMS

Holds that many streams open, and ends them when its next request is refused. Prints one JSON
object: the status of each answer to that request, the seconds until the last one, and its text.
retried.mjs prints the same.
"""

import asyncio
import json
import sys
import time
from typing import Any

from openai import AsyncOpenAI, DefaultAsyncHttpxClient

url, model, streams = sys.argv[1], sys.argv[2], int(sys.argv[3])
asked: Any = {"model": model, "messages": [{"role": "user", "content": "Count to a thousand."}]}


async def main() -> None:
    statuses: list[int] = []
    holder = AsyncOpenAI(base_url=url, api_key="none")
    held = [
        holder.chat.completions.create(
            **asked, stream=True, max_tokens=900, extra_body={"ignore_eos": True}
        )
        for _ in range(streams)
    ]
    open_streams = await asyncio.gather(*held)

    async def note(response: Any) -> None:
        statuses.append(response.status_code)
        if response.status_code != 200:
            await asyncio.gather(*(stream.close() for stream in open_streams))

    http = DefaultAsyncHttpxClient(event_hooks={"response": [note]})
    began = time.monotonic()
    async with AsyncOpenAI(base_url=url, api_key="none", http_client=http) as client:
        answer = await client.chat.completions.create(**asked, max_tokens=1)
    seconds = time.monotonic() - began
    print(
        json.dumps(
            {"statuses": statuses, "seconds": seconds, "text": answer.choices[0].message.content}
        )
    )


asyncio.run(main())
