"""What becomes of a configuration on vLLM's side, as far as it can be told without vLLM."""

import json
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from llmservice_server.config import ApiConfig, EngineConfig, ModelConfig, ServerConfig
from llmservice_server.engines.failures import ModelMissingError
from llmservice_server.engines.model_files import require_model
from llmservice_server.engines.vllm import COMPUTES, Plugin, VllmEngine
from llmservice_server.engines.vllm_argv import vllm_argv
from llmservice_server.engines.vllm_environment import vllm_environment


def _config(source: str = "/models/m", **args: Any) -> ServerConfig:
    flags = {name.replace("_", "-"): value for name, value in args.items()}
    return ServerConfig(
        model=ModelConfig(uri="pvc://claim/m", source=source, served_name="chat"),
        engine=EngineConfig(args=flags, tensor_parallel=2),
    )


def _argv(config: ServerConfig, *, compiles: bool = True) -> list[str]:
    return vllm_argv(config, host="::", middleware="a.B", compiles=compiles)


@pytest.mark.parametrize(
    ("args", "flags"),
    [
        ({"max_model_len": 1024}, ["--max-model-len=1024"]),
        ({"enforce_eager": True}, ["--enforce-eager"]),
        ({"enable_prefix_caching": False}, ["--no-enable-prefix-caching"]),
        ({"chat_template": "-x --host=evil"}, ["--chat-template=-x --host=evil"]),
        ({"ignore_patterns": ["a", "b"]}, ["--ignore-patterns", "a", "b"]),
        ({"speculative_config": {"n": 1}}, ['--speculative-config={"n": 1}']),
        ({"lora_modules": [{"name": "l"}]}, ["--lora-modules", '{"name": "l"}']),
        ({"compilation_config.x": True}, ["--compilation-config.x=true"]),
    ],
)
def test_each_kind_of_value_becomes_what_vllm_reads(args: dict[str, Any], flags: list[str]) -> None:
    assert _argv(_config(**args))[: len(flags)] == flags


def test_the_servers_own_flags_come_last_where_they_win() -> None:
    argv = _argv(_config(seed=1))
    assert argv[0] == "--seed=1"
    for own in (
        "--model=/models/m",
        "--served-model-name=chat",
        "--host=::",
        "--port=8000",
        "--tensor-parallel-size=2",
        "--middleware=a.B",
        "--allowed-origins=[]",
        "--disable-uvicorn-access-log",
    ):
        assert argv.index(own) > 0


def test_without_a_compiler_nothing_is_compiled_unless_the_user_says_so() -> None:
    assert "--enforce-eager" in _argv(_config(), compiles=False)
    assert "--enforce-eager" not in _argv(_config(), compiles=True)
    assert "--enforce-eager" not in _argv(_config(enforce_eager=False), compiles=False)


def test_the_docs_are_off_where_they_are_switched_off() -> None:
    config = _config()
    assert "--disable-fastapi-docs" not in _argv(config)
    off = config.model_copy(update={"api": ApiConfig(docs=False)})
    assert "--disable-fastapi-docs" in _argv(off)


@pytest.mark.parametrize(("device", "told"), [("cuda", True), ("cpu", False), (None, None)])
async def test_whether_there_is_a_gpu_is_what_vllm_says(
    device: str | None,
    told: bool | None,  # noqa: FBT001
) -> None:
    class Client:
        errored = False
        vllm_config = SimpleNamespace(device_config=SimpleNamespace(device_type=device))

        async def get_supported_tasks(self) -> tuple[str, ...]:
            return ("generate",)

    engine = VllmEngine(_config())
    assert engine.gpu() is None
    await engine.attach(Client())
    assert engine.gpu() is told


def _environment(config: ServerConfig, *, compiles: bool = True, **given: str) -> dict[str, str]:
    plugins = ["lora_filesystem_resolver"]
    file = Path("/tmp/logging.json")
    return given | vllm_environment(
        config, given=given, logging_file=file, plugins=plugins, compiles=compiles
    )


def test_one_request_is_no_thousand_unless_the_user_says_so() -> None:
    name = "VLLM_MAX_N_SEQUENCES"
    assert _environment(_config())[name] == "128"
    assert _environment(_config(), **{name: "16384"})[name] == "16384"


def test_without_a_compiler_torch_compiles_nothing_either_unless_the_user_says_so() -> None:
    name = "TORCH_COMPILE_DISABLE"
    assert name not in _environment(_config())
    assert _environment(_config(), compiles=False)[name] == "1"
    assert _environment(_config(), compiles=False, **{name: "0"})[name] == "0"


def test_idle_connections_outlive_the_pools_of_clients_unless_the_user_says_so() -> None:
    name = "VLLM_HTTP_TIMEOUT_KEEP_ALIVE"
    assert int(_environment(_config())[name]) > 60  # the idle time-out of most load balancers
    assert _environment(_config(), **{name: "5"})[name] == "5"


def test_uvicorn_believes_nobody_about_addresses_unless_the_user_says_so() -> None:
    name = "FORWARDED_ALLOW_IPS"
    assert not _environment(_config())[name]
    assert _environment(_config(), **{name: "10.0.0.1"})[name] == "10.0.0.1"


def test_the_hub_is_not_asked_for_a_model_that_lies_in_a_folder() -> None:
    assert _environment(_config("/models/m"))["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in _environment(_config("org/model"))


def test_the_gateways_plugin_joins_those_that_vllm_would_load_or_the_user_named() -> None:
    assert _environment(_config())["VLLM_PLUGINS"] == "lora_filesystem_resolver,llmservice"
    assert _environment(_config(), VLLM_PLUGINS="mine")["VLLM_PLUGINS"] == "mine,llmservice"
    assert _environment(_config(), VLLM_PLUGINS="")["VLLM_PLUGINS"] == "llmservice"


def test_the_plugin_is_registered_under_the_name_that_it_bears() -> None:
    (plugin,) = entry_points(group="vllm.endpoint_plugins", name=Plugin.name)
    assert plugin.load() is Plugin


class _Client:
    errored = False

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)

    async def get_supported_tasks(self) -> tuple[str, ...]:
        return ("generate",)


async def test_how_many_requests_vllm_computes_at_once_is_read_where_it_says_it() -> None:
    """A name of vLLM's own, and so worth a look at each new release; without it a default holds."""
    assert COMPUTES == ("vllm_config", "scheduler_config", "max_num_seqs")
    engine = VllmEngine(_config())
    scheduler = SimpleNamespace(max_num_seqs=128)
    await engine.attach(_Client(vllm_config=SimpleNamespace(scheduler_config=scheduler)))
    assert engine.computes() == 128
    await engine.attach(_Client(vllm_config=SimpleNamespace(renamed=scheduler)))
    assert engine.computes() is None


async def test_a_request_goes_to_the_model_or_to_an_adapter_that_is_loaded_now() -> None:
    engine = VllmEngine(_config())
    assert [engine.routed(name) for name in ("", "chat", "sql")] == ["chat", "chat", None]
    adapters = {"sql": object()}
    models = SimpleNamespace(lora_requests=adapters)
    await engine.attach(_Client(), SimpleNamespace(openai_serving_models=models))
    assert [engine.routed(name) for name in ("sql", "poems")] == ["sql", None]
    adapters["poems"] = object()
    assert engine.routed("poems") == "poems"
    await engine.attach(_Client(), SimpleNamespace(renamed=models))
    assert [engine.routed(name) for name in ("chat", "sql")] == ["chat", None]


def _model(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize(
    "names", [("config.json", "model.safetensors"), ("params.json", "consolidated.pt")]
)
def test_a_folder_with_configuration_and_weights_is_a_model(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    require_model(_config(str(_model(tmp_path, *names))))


def test_a_hub_id_is_not_looked_for_on_disk() -> None:
    require_model(_config("org/name"))


def test_random_weights_need_no_files(tmp_path: Path) -> None:
    require_model(_config(str(_model(tmp_path, "config.json")), load_format="dummy"))


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "is empty"),
        (("README.md",), "has no config.json; {} holds README.md"),
        (("config.json", "tokenizer.json"), "has no weights; {} holds config.json, tokenizer.json"),
    ],
)
def test_a_path_without_a_model_is_refused_with_what_is_there(
    tmp_path: Path, names: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ModelMissingError) as refused:
        require_model(_config(str(_model(tmp_path, *names))))
    line = str(refused.value)
    assert line.startswith(f"no model at {tmp_path} (model.uri pvc://claim/m): ")
    assert sentence.format(tmp_path) in line
    assert "expected a folder with config.json and weights" in line


def test_a_path_that_does_not_exist_names_what_its_nearest_folder_holds(tmp_path: Path) -> None:
    _model(tmp_path, "qwen", "llama")
    with pytest.raises(ModelMissingError, match=f"does not exist; {tmp_path} holds llama, qwen"):
        require_model(_config(str(tmp_path / "missing" / "deeper")))


def test_a_half_copied_model_is_refused_with_the_missing_file(tmp_path: Path) -> None:
    _model(tmp_path, "config.json", "model-1.safetensors")
    shards = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(shards))
    with pytest.raises(ModelMissingError, match="lacks 1 of its 2 weight files, model-2"):
        require_model(_config(str(tmp_path)))
