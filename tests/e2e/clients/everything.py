"""OpenAI's client for Python makes everything of a model that an application would.

    python3 - BASE_URL MODEL

Prints one JSON object: what the client made of each answer. everything.mjs prints the same.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from openai import APIStatusError, OpenAI

url, model = sys.argv[1:]
client = OpenAI(base_url=url, api_key="none")
messages: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
asked: Any = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 32}
schema = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Berlin"]}},
    "required": ["city"],
    "additionalProperties": False,
}
function = {"name": "look_up", "parameters": schema, "strict": True}
only = {"type": "function", "function": {"name": "look_up"}}
with_tool: Any = {"tools": [{"type": "function", "function": function}], "max_tokens": 64}
too_large = "x" * (33 << 20)


def chat() -> object:
    answer = client.chat.completions.create(**asked)
    choice = answer.choices[0]
    return [choice.message.content, choice.finish_reason, answer.usage.total_tokens]


def streamed() -> object:
    text, ended, tokens = "", None, 0
    usage = {"include_usage": True}
    for chunk in client.chat.completions.create(**asked, stream=True, stream_options=usage):
        tokens = chunk.usage.total_tokens if chunk.usage else tokens
        for choice in chunk.choices:
            text += choice.delta.content or ""
            ended = choice.finish_reason or ended
    return [text, ended, tokens]


def tools() -> object:
    """A call, and an answer that has seen its result."""
    answer = client.chat.completions.create(**{**asked, **with_tool}, tool_choice=only)
    message = answer.choices[0].message
    call = message.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": "It is large."}
    later = [*messages, message.model_dump(exclude_none=True), result]
    last = client.chat.completions.create(**{**asked, **with_tool, "messages": later})
    said = last.choices[0].message.content
    return [call.function.name, json.loads(call.function.arguments), bool(said)]


def tools_streamed() -> object:
    name, arguments = "", ""
    fields = {**asked, **with_tool}
    for chunk in client.chat.completions.create(**fields, tool_choice=only, stream=True):
        for call in chunk.choices[0].delta.tool_calls or ():
            name += call.function.name or ""
            arguments += call.function.arguments or ""
    return [name, json.loads(arguments)]


def structured() -> object:
    wanted = {"name": "city", "schema": schema, "strict": True}
    answer = client.chat.completions.create(
        **asked, response_format={"type": "json_schema", "json_schema": wanted}
    )
    return json.loads(answer.choices[0].message.content)


def models() -> object:
    return [model.id for model in client.models.list()]


def error(ask: Callable[[], object]) -> object:
    """What the client tells of it: its own class of error, and what the server said."""
    try:
        return ask()
    except APIStatusError as told:
        in_shape = bool(told.type and told.code and told.message)
        return [type(told).__name__, told.status_code, in_shape]


def changed(**fields: Any) -> object:
    return error(lambda: client.chat.completions.create(**{**asked, **fields}))


done = {
    "chat": chat(),
    "streamed": streamed(),
    "tools": tools(),
    "tools_streamed": tools_streamed(),
    "structured": structured(),
    "models": models(),
    "embeddings": error(lambda: client.embeddings.create(model=model, input="x")),
    "no such model": changed(model="other"),
    "no such model, streamed": changed(model="other", stream=True),
    "a wrong field": changed(temperature=-1),
    "no messages": changed(messages="none"),
    "too long for the model": changed(max_tokens=100_000),
    "too large": changed(messages=[{"role": "user", "content": too_large}]),
    "no such route": error(lambda: client.get("/nothing", cast_to=object)),
}
print(json.dumps(done))
