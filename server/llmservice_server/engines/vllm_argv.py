"""The configuration as vLLM's command line; pure.

Each value is joined to its flag with ``=``, so that none can pass for a flag of its own.
"""

import json

from pydantic import JsonValue

from llmservice_server.config import ServerConfig


def vllm_argv(config: ServerConfig, *, host: str, middleware: str, compiles: bool) -> list[str]:
    """vLLM's arguments: the user's first and the server's own last, where they win.

    ``compiles`` is False where vLLM finds no compiler for the code that it generates.
    """
    argv = [text for flag, value in config.engine.args.items() for text in _flag(flag, value)]
    if "use-tqdm-on-load" not in config.engine.args:
        argv.append("--no-use-tqdm-on-load")  # a progress bar is no log line
    if not compiles and "enforce-eager" not in config.engine.args:
        argv.append("--enforce-eager")
    if not config.api.docs:
        argv.append("--disable-fastapi-docs")
    argv += [
        f"--model={config.loaded.source}",
        f"--served-model-name={config.loaded.served_name}",
        f"--host={host}",
        f"--port={config.port}",
        f"--tensor-parallel-size={config.engine.tensor_parallel}",
        f"--pipeline-parallel-size={config.engine.pipeline_parallel}",
        f"--middleware={middleware}",
        "--allowed-origins=[]",  # the gateway answers browsers; some releases allow any origin
        f"--uvicorn-log-level={config.log_level}",
        "--disable-uvicorn-access-log",
    ]
    if config.tracing.endpoint and "otlp-traces-endpoint" not in config.engine.args:
        argv.append(f"--otlp-traces-endpoint={config.tracing.endpoint}")
    if config.loaded.revision:
        argv.append(f"--revision={config.loaded.revision}")
    return argv


def _flag(flag: str, value: JsonValue) -> list[str]:
    if isinstance(value, bool) and "." not in flag:
        return [f"--{flag}" if value else f"--no-{flag}"]
    if isinstance(value, list) and "." not in flag:
        return [f"--{flag}", *(_text(item) for item in value)]
    return [f"--{flag}={_text(value)}"]


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)
