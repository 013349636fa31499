"""Every name of vLLM that the server relies on: what a release may move, and when to look.

By module and class, "" where it is the module's own; flags are fields of what vLLM makes them from.
"""

_LOADERS = "vllm.model_executor.model_loader"
_LAUNCHERS = "vllm.entrypoints.launchers"

NAMES: dict[tuple[str, str], tuple[str, ...]] = {
    # What is run, and with which flags and variables.
    (f"{_LAUNCHERS}.api_server.entry", ""): ("main", "signal"),
    (f"{_LAUNCHERS}.cli_args", "FrontendArgs"): (
        *("host", "port", "middleware", "allowed_origins", "disable_fastapi_docs"),
        *("uvicorn_log_level", "disable_uvicorn_access_log"),
    ),
    ("vllm.engine.arg_utils", "EngineArgs"): (
        *("model", "served_model_name", "revision", "use_tqdm_on_load", "enforce_eager"),
        *("tensor_parallel_size", "pipeline_parallel_size", "otlp_traces_endpoint"),
    ),
    ("vllm.envs", ""): (
        *("VLLM_API_KEY", "VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "VLLM_MAX_N_SEQUENCES"),
        *("VLLM_NO_USAGE_STATS", "VLLM_PLUGINS"),
        *("VLLM_LOGGING_CONFIG_PATH", "VLLM_LOGGING_LEVEL"),
    ),
    # The plugins, and what they are given.
    ("vllm.plugins", ""): ("vllm.endpoint_plugins", "vllm.general_plugins"),
    ("vllm.plugins.endpoint_plugins.interface", "EndpointPlugin"): (
        *("name", "required_tasks", "attach_router", "init_state"),
    ),
    ("vllm.v1.engine.async_llm", "AsyncLLM"): (
        *("errored", "get_num_unfinished_requests", "get_supported_tasks", "vllm_config"),
    ),
    ("vllm.config.vllm", "VllmConfig"): (
        *("scheduler_config", "device_config", "compilation_config"),
    ),
    ("vllm.config.scheduler", "SchedulerConfig"): ("max_num_seqs",),
    ("vllm.config.device", "DeviceConfig"): ("device_type",),
    ("vllm.config.compilation", "CompilationConfig"): ("mode",),
    (f"{_LAUNCHERS}.api_server.app_state", ""): ("openai_serving_models",),
    ("vllm.entrypoints.openai.models.serving", "OpenAIServingModels"): ("lora_requests",),
    # What tells how it is, and what a request took.
    ("vllm.v1.metrics.loggers", ""): (
        *("vllm:prompt_tokens", "vllm:generation_tokens", "vllm:kv_cache_usage_perc"),
    ),
    ("vllm.v1.engine.exceptions", ""): ("EngineDeadError",),
    ("vllm.entrypoints.openai.chat_completion.serving", ""): ("request_metadata",),
    ("vllm.entrypoints.openai.completion.serving", ""): ("request_metadata",),
    ("vllm.entrypoints.generate.base.protocol", "RequestResponseMetadata"): ("final_usage_info",),
    ("vllm.entrypoints.serve.engine.protocol", "UsageInfo"): ("prompt_tokens", "completion_tokens"),
    # What is replaced to say how far a start is; each is private to vLLM.
    (f"{_LAUNCHERS}.launcher", ""): ("create_server_socket",),
    (f"{_LOADERS}.base_loader", "BaseModelLoader"): ("load_model",),
    (f"{_LOADERS}.default_loader", "DefaultModelLoader"): ("_prepare_weights", "get_all_weights"),
    ("vllm.v1.worker.worker_base", "WorkerWrapperBase"): ("initialize_from_config",),
}


def rows() -> list[tuple[str, str, str]]:
    """Module, class and name of each."""
    return [(*place, name) for place, names in NAMES.items() for name in names]
