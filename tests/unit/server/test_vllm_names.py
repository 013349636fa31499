"""The list of vLLM's names that are relied on is whole, and has no others.

That the real vLLM has them is seen in tests/e2e/test_vllm_names.py.
"""

import ast
import re
from importlib.metadata import entry_points
from pathlib import Path

import llmservice_server
from llmservice_server.config import ApiConfig, EngineConfig, ServerConfig, TracingConfig
from llmservice_server.engines.vllm import ADAPTERS, COMPUTES, DEVICE, SIGNS, EngineClient, Plugin
from llmservice_server.engines.vllm_argv import vllm_argv
from llmservice_server.engines.vllm_entry import SOCKET
from llmservice_server.engines.vllm_environment import PLUGIN, vllm_environment
from llmservice_server.engines.vllm_hooks import HOOKS

from tests.unit.server.small_engine import MODEL
from tests.vllm_names import NAMES, rows

_LIKE_VLLMS = re.compile(r"(vllm[.:]|VLLM_)[\w.:]*")
# Written out where they are used, and of no pattern.
_OTHERS = {
    *("main", "signal"),
    *("compilation_config", "mode"),
    *("request_metadata", "final_usage_info", "prompt_tokens", "completion_tokens"),
    "EngineDeadError",
}


def _public(of: type) -> set[str]:
    return {name for name in {*vars(of), *of.__annotations__} if not name.startswith("_")}


def _flags() -> set[str]:
    """All that there can be."""
    config = ServerConfig(
        model=MODEL.model_copy(update={"revision": "main"}),
        engine=EngineConfig(),
        api=ApiConfig(docs=False),
        tracing=TracingConfig(otlp_endpoint="http://c"),
    )
    argv = vllm_argv(config, host="::", middleware="a.B", compiles=False)
    flags = (argument.partition("=")[0].removeprefix("--") for argument in argv)
    return {flag.removeprefix("no-").replace("-", "_") for flag in flags}


def _variables() -> set[str]:
    given = vllm_environment(
        ServerConfig(model=MODEL), given={}, logging_file=Path("x"), plugins=[], compiles=True
    )
    return {name for name in given if name.startswith("VLLM_")}


def _written() -> set[str]:
    """What stands in the server's sources and looks like a name of vLLM's."""
    sources = Path(llmservice_server.__file__).parent.rglob("*.py")
    nodes = (node for file in sources for node in ast.walk(ast.parse(file.read_text())))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant)}
    return {text for text in texts if isinstance(text, str) and _LIKE_VLLMS.fullmatch(text)}


def test_every_name_of_vllm_that_is_used_is_listed_and_no_other() -> None:
    used = {
        *_OTHERS,
        *_flags(),
        *_variables(),
        *(plugin.group for plugin in entry_points(name=PLUGIN)),
        *_public(EngineClient),
        *_public(Plugin),
        *(*COMPUTES, *DEVICE, *ADAPTERS),
        *(sign.removesuffix("_total") for sign in SIGNS),
        *(hook[-1] for hook in (SOCKET, *HOOKS)),
    }
    modules = {module for module, _ in NAMES}
    written = {text.removesuffix("_total") for text in _written()}
    used |= {text for text in written if not any(m.startswith(text) for m in modules)}
    assert {name for _, _, name in rows()} == used


def test_what_is_replaced_is_listed_with_its_place() -> None:
    (module, maker) = SOCKET
    assert {(module, "", maker), *HOOKS} <= {*rows()}


def test_control_what_looks_like_a_name_of_vllms_is_found() -> None:
    assert {"VLLM_API_KEY", "vllm.endpoint_plugins", "vllm:kv_cache_usage_perc"} <= _written()
