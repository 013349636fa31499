"""The environment that vLLM and the processes it starts read; pure.

What the user set wins, but for how vLLM logs and for the plugin that the gateway needs.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from llmservice_server.config import ServerConfig

PLUGIN = "llmservice"  # the entry point's name in server/pyproject.toml
# uvicorn closes a connection that was idle for 5 s, at the very moment when a client's pool may use
# it again. nginx's keepalive_timeout: longer than the pools of clients and proxies keep theirs.
_KEEP_ALIVE_SECONDS = 75
# One request takes one turn, whatever its `n`; OpenAI's own bound, where vLLM's is 16384.
_MOST_SEQUENCES = 128


def vllm_environment(
    config: ServerConfig,
    *,
    given: Mapping[str, str],
    logging_file: Path,
    plugins: Iterable[str],
    compiles: bool,
) -> dict[str, str]:
    """What to set beside `given`; `plugins` are those that vLLM loads when none is named.

    compiles: whether there is what torch compiles with.
    """
    defaults = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(_KEEP_ALIVE_SECONDS),
        "VLLM_MAX_N_SEQUENCES": str(_MOST_SEQUENCES),
        # uvicorn would believe what is said on the loopback; whom to believe is auth.trustedProxies
        "FORWARDED_ALLOW_IPS": "",
    }
    if not compiles:
        # Of vLLM's sampler some is compiled whatever its flags say: the first request that wants
        # log-probabilities would end the engine.
        defaults["TORCH_COMPILE_DISABLE"] = "1"
    if config.tracing.endpoint:  # vLLM's own spans go where the gateway's go, by the same protocol
        defaults["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"
        defaults["OTEL_SERVICE_NAME"] = "llmservice-server"
    if Path(config.loaded.source).is_absolute():
        defaults["HF_HUB_OFFLINE"] = "1"
    # Naming one plugin switches all others off, so those that vLLM loads by itself are named too.
    wanted = given.get("VLLM_PLUGINS", ",".join(plugins))
    return {name: value for name, value in defaults.items() if name not in given} | {
        "VLLM_LOGGING_CONFIG_PATH": str(logging_file),
        "VLLM_LOGGING_LEVEL": config.log_level.upper(),
        "VLLM_PLUGINS": ",".join(filter(None, [wanted, PLUGIN])),
    }
