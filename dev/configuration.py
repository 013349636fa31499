"""docs/configuration.md: every field of the server's file with its variables, made of the types."""

import json

from llmservice_server.config import ServerConfig
from llmservice_server.config.environment import UNREAD, USUAL, fields
from pydantic_core import PydanticUndefined

_HEAD = """\
<!-- Written by `make generate` from server/llmservice_server/config. -->
# The server's configuration

In a cluster the operator writes it. Elsewhere the server runs from one command:

```sh
llmservice-server --model DIR              # or the id of a model on Hugging Face
llmservice-server --upstream URL           # before one server; its key, if any, in OPENAI_API_KEY
llmservice-server --config FILE
llmservice-server check --config FILE      # print what holds, with every default, without secrets
```

Each field is an environment variable too, and some have a second one, with the name that is usual \
elsewhere. What holds is what the variable says, else the file, else the default; a field's own \
variable wins over the usual one, and an empty one is none. A text, a number or a flag is written \
as it is, anything else as YAML or JSON. A wrong value ends the command with 2 and one line that \
names the field, or the variable where it came from one.

Where neither says what is served, `OLLAMA_URL` stands before Ollama there, and `OPENAI_API_KEY` \
with `MODEL_NAME` before that model at `https://api.openai.com/v1`; Ollama is never sent the key. \
With `--upstream`, `MODEL_NAME` is the one model that is served of it. Beside a file with a proxy \
it chooses nothing. `API_KEY` holds the one key that opens the server, and only its name enters \
the configuration: [who may ask](identity.md). `LOG_LEVEL` is written in any case, `WARN` is \
warning, `CRITICAL` and `FATAL` are error.

| field | variable | usual name | default |
|---|---|---|---|
"""

_UNREAD = """
Other servers read these, and this version does not; it says so at its start and in `check`.

| variable | |
|---|---|
"""


def configuration() -> str:
    """The whole page."""
    usual = {of.path: name for name, of in USUAL.items()}
    rows: list[str] = []
    for path, variable, field in fields(ServerConfig):
        default = field.get_default(call_default_factory=True)
        known = default is not None and default is not PydanticUndefined
        shown = f"`{json.dumps(default)}`" if known else ""
        other = f"`{usual[path]}`" if path in usual else ""
        rows.append(f"| `{'.'.join(path)}` | `{variable}` | {other} | {shown} |")
    unread = [f"| `{name}` | {sentence} |" for name, sentence in UNREAD.items()]
    return "\n".join([_HEAD + rows[0], *rows[1:], _UNREAD + unread[0], *unread[1:], ""])
