"""Each field of the file is an environment variable too: which one wins, and what a fault names."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
import yaml
from llmservice_server.config import ConfigError, ModelRates, Plan, Rates, ServerConfig
from llmservice_server.config.environment import USUAL, fields
from pydantic.alias_generators import to_snake
from pydantic_core import to_jsonable_python

_FILE = """
model: {uri: 'pvc://models/m', source: /models/m, servedName: chat}
drain: {graceSeconds: 3}
logLevel: warning
"""
_RATES = ("requestsPerMinute", "tokensPerMinute", "concurrentRequests", "concurrentStreams")
_PLANS = json.dumps([Plan(name="free").model_dump(by_alias=True)])
# A text that differs from the default and from the file, for each field but numbers and flags.
_OTHER = {
    "model.uri": "hf://a/b",
    "model.source": "a/b",
    "model.servedName": "other",
    "model.revision": "main",
    "engine.type": "vllm",
    "engine.args": '{"max-model-len": 8}',
    "http.trustedHosts": "[api.example.com]",
    "http.cors.origins": '["https://example.com"]',
    "limits.running": "7",
    "api.maxContextMessages": "7",
    "logLevel": "debug",
    "tracing.enabled": "true",
    "tracing.otlpEndpoint": "http://collector:4318",
    "tracing.tracesEndpoint": "http://collector:4318/spans",
    "environment": "staging",
    "auth.anonymous": "true",
    "auth.keys.variable": "API_KEY",
    "auth.keys.file": "/etc/keys",
    "auth.stored": "true",
    "auth.oidc.issuer": "https://id.example.com",
    "auth.oidc.audience": "llm",
    "auth.oidc.jwksUri": "https://id.example.com/keys",
    "auth.oidc.userClaim": "email",
    "auth.oidc.planClaim": "groups",
    "auth.oidc.adminClaim": "admin",
    "auth.pepper.variable": "PEPPER",
    "auth.pepper.file": "/etc/pepper",
    "auth.signed": "true",
    "auth.plans": _PLANS,
    "auth.defaultPlan": "free",
    "auth.trustedProxies": "[10.0.0.0/8]",
    **{f"limits.{of}.{what}": "7" for of in ("anonymous", "perAddress") for what in _RATES},
    "limits.models": json.dumps([ModelRates(name="m", rates=Rates()).model_dump(by_alias=True)]),
    "limits.enabled": "true",
    "limits.whenRedisIsDown": "closed",
    "redis.url.variable": "REDIS_URL",
    "redis.url.file": "/etc/redis",
    "redis.prefix": "other",
    "database.url.variable": "DATABASE_URL",
    "database.url.file": "/etc/database",
    "database.sqlite": "/data/store.db",
    "history.retentionDays": "7",
    "prices": '[{"model": "m", "inputPerMillion": 0.5, "outputPerMillion": 1.5}]',
}
# What a field is nothing without.
_PEPPER = {"LLMSERVICE_AUTH_PEPPER_FILE": "/etc/pepper"}
_OIDC = {"LLMSERVICE_AUTH_OIDC_ISSUER": "https://a", "LLMSERVICE_AUTH_OIDC_AUDIENCE": "a"}
_KEPT = ("ttlSeconds", "maxEntries", "maxBytes", "maxEntryBytes")
_BESIDE = {
    "auth.stored": _PEPPER,
    "auth.signed": _PEPPER,
    "auth.defaultPlan": {"LLMSERVICE_AUTH_PLANS": "[{name: free}]"},
    **{path: _OIDC for path in _OTHER if path.startswith("auth.oidc.")},
    **{
        f"{of}.{name}": {f"LLMSERVICE_{of.upper()}_TTL_SECONDS": "5"}
        for of in ("cache", "idempotency")
        for name in _KEPT
    },
}


def _other(path: str, default: object) -> str:
    if path in _OTHER:
        return _OTHER[path]
    return str(not default if isinstance(default, bool) else cast("int", default) + 1).lower()


_NAMES = {".".join(path): variable for path, variable, _ in fields(ServerConfig)}


def _at(config: ServerConfig, path: str) -> object:
    """None also where what it is part of is not there."""
    value: object = config
    for name in path.split("."):
        value = value and getattr(value, to_snake(name))
    return to_jsonable_python(value, by_alias=True)


_UPSTREAMS = "engine.upstreams"


@pytest.mark.parametrize(
    ("path", "variable"), sorted(_NAMES.items() - {(_UPSTREAMS, _NAMES[_UPSTREAMS])})
)
def test_every_field_is_a_variable_that_wins_over_the_file(path: str, variable: str) -> None:
    without = ServerConfig.from_yaml(_FILE, _BESIDE.get(path, {}))
    text = _other(path, _at(without, path))
    config = ServerConfig.from_yaml(_FILE, {**_BESIDE.get(path, {}), variable: text})
    assert _at(config, path) == (
        text if isinstance(_at(config, path), str) else yaml.safe_load(text)
    )
    changed = {other for other in _NAMES if _at(config, other) != _at(without, other)}
    assert changed <= {path}


def test_a_list_of_upstreams_is_written_as_yaml_or_json() -> None:
    file = "engine: {type: proxy, upstreams: [{url: 'https://one.example/v1'}]}"
    for text in ("[{url: https://two.example/v1}]", '[{"url": "https://two.example/v1"}]'):
        (found,) = ServerConfig.from_yaml(file, {_NAMES[_UPSTREAMS]: text}).engine.upstreams
        assert found.url == "https://two.example/v1"


@pytest.mark.parametrize("name", USUAL)
def test_a_usual_name_is_of_a_field_and_yields_to_the_fields_own(name: str) -> None:
    path = ".".join(USUAL[name].path)
    own = _NAMES[path]
    usual = ServerConfig.from_yaml(_FILE, {name: _OTHER[path]})
    assert usual == ServerConfig.from_yaml(_FILE, {own: _OTHER[path]})
    assert usual == ServerConfig.from_yaml(_FILE, {own: _OTHER[path], name: "x"})


def test_environment_then_file_then_default() -> None:
    environment = {"LOG_LEVEL": "DEBUG", "LLMSERVICE_DRAIN_TIMEOUT_SECONDS": "7"}
    config = ServerConfig.from_yaml(_FILE, environment)
    assert config.log_level == "debug"
    assert (config.drain.grace_seconds, config.drain.timeout_seconds) == (3, 7)
    assert config.port == 8000


@pytest.mark.parametrize(
    ("text", "level"),
    [("WARN", "warning"), ("warn", "warning"), ("CRITICAL", "error"), ("Fatal", "error")],
)
def test_a_level_is_written_as_other_servers_write_it(text: str, level: str) -> None:
    assert ServerConfig.from_yaml(_FILE, {"LOG_LEVEL": text}).log_level == level
    with pytest.raises(ConfigError, match=r"^logLevel: "):
        ServerConfig.from_yaml(_FILE.replace("warning", text))


def test_the_endpoint_of_traces_is_taken_as_it_is_and_wins() -> None:
    both = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/spans",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://d:4318",
    }
    assert ServerConfig.from_yaml(_FILE, both).tracing.endpoint == "http://c:4318/spans"
    alone = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}
    assert ServerConfig.from_yaml(_FILE, alone).tracing.endpoint == "http://c:4318/v1/traces"
    assert ServerConfig.from_yaml(_FILE, {**alone, "OTEL_ENABLED": "0"}).tracing.endpoint is None
    assert "tracesEndpoint" not in ServerConfig.from_yaml(_FILE).to_yaml()


def test_a_models_name_alone_makes_no_model() -> None:
    file = "engine: {type: proxy, upstreams: [{url: 'https://one.example/v1'}]}"
    proxy = ServerConfig.from_yaml(file)
    assert ServerConfig.from_yaml(file, {"MODEL_NAME": "m"}) == proxy
    assert ServerConfig.from_yaml(proxy.to_yaml(), {"MODEL_NAME": "m"}) == proxy
    with pytest.raises(ConfigError, match=r"^model: is missing"):
        ServerConfig.effective({}, {"MODEL_NAME": "m"})


def test_an_empty_variable_is_none() -> None:
    empty = dict.fromkeys(_NAMES.values(), "")
    assert ServerConfig.from_yaml(_FILE, empty) == ServerConfig.from_yaml(_FILE)


@pytest.mark.parametrize("text", ["1", "true", "True", "on", "yes"])
def test_a_flag_is_written_as_people_write_it(text: str) -> None:
    assert ServerConfig.from_yaml(_FILE, {"OTEL_ENABLED": text}).tracing.enabled is True


@pytest.mark.parametrize(
    ("variable", "text", "fault"),
    [
        ("LLMSERVICE_PORT", "x", "LLMSERVICE_PORT: input should be a valid integer, not 'x'"),
        ("LLMSERVICE_PORT", "70000", "LLMSERVICE_PORT: input should be less than or equal to"),
        ("LLMSERVICE_PORT", "{a", "LLMSERVICE_PORT: "),
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL: input should be 'debug', 'info', 'warning' or 'error'"),
        ("OTEL_ENABLED", "perhaps", "OTEL_ENABLED: "),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT: "),
        ("LLMSERVICE_ENGINE_ARGS", "--seed=1", "LLMSERVICE_ENGINE_ARGS: "),
        ("LLMSERVICE_ENGINE_ARGS", '{"host": "x"}', "LLMSERVICE_ENGINE_ARGS.host: the server sets"),
    ],
)
def test_a_wrong_value_names_the_variable(variable: str, text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ServerConfig.from_yaml(_FILE, {variable: text})
    assert str(refused.value).startswith(fault)


def test_a_fault_of_the_file_names_the_field_as_ever() -> None:
    with pytest.raises(ConfigError, match=r"^drain\.graceSeconds: "):
        ServerConfig.from_yaml(_FILE.replace("3", "-3"), {"LOG_LEVEL": "info"})


def test_what_the_environment_adds_to_does_not_change_the_document() -> None:
    document = {"model": {"uri": "hf://a/b", "source": "a/b", "servedName": "b"}}
    before = yaml.safe_dump(document)
    ServerConfig.effective(document, {"MODEL_NAME": "c"})
    assert yaml.safe_dump(document) == before


def _command(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "llmservice_server", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], **env},
    )


def test_it_runs_without_a_file_from_a_folder_alone(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    done = _command("check", "--model", str(folder), LOG_LEVEL="INFO", LLMSERVICE_PORT="81")
    assert (done.returncode, done.stderr) == (0, "")
    config = ServerConfig.from_yaml(done.stdout)
    assert (config.model.source, config.model.served_name) == (str(folder), "tiny")
    assert config.port == 81
    served = _command("--model", str(folder))
    assert served.returncode == 3
    assert f"no model at {folder}" in served.stderr


def test_it_runs_from_the_environment_alone() -> None:
    done = _command(
        "check",
        LLMSERVICE_MODEL_URI="hf://a/b",
        LLMSERVICE_MODEL_SOURCE="a/b",
        MODEL_NAME="b",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ServerConfig.from_yaml(done.stdout).model.served_name == "b"


def test_without_any_model_it_says_what_to_write() -> None:
    done = _command()
    assert done.returncode == 2
    assert "model: is missing" in done.stderr


def test_what_is_printed_has_no_secrets() -> None:
    secret = "s3cr3t-value-of-a-key"
    done = _command(
        "check",
        "--model=a/b",
        HF_TOKEN=secret,
        LLMSERVICE_ENGINE_ARGS=f'{{"x": "{secret}", "y": "sk-abcdefgh1234"}}',
        OTEL_EXPORTER_OTLP_ENDPOINT="http://user:password@collector:4318",
    )
    assert done.returncode == 0
    for hidden in (secret, "sk-abcdefgh1234", "user:password"):
        assert hidden not in done.stdout
    assert "***@collector" in done.stdout


def test_check_needs_neither_the_gateways_packages_nor_an_engines() -> None:
    program = (
        "import runpy, sys\n"
        "for name in ('prometheus_client', 'fastapi', 'aiohttp', 'uvicorn'):\n"
        "    sys.modules[name] = None\n"
        "sys.argv[1:] = ['check', '--model=a/b']\n"
        "runpy.run_module('llmservice_server', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_proxy_without_a_file_takes_the_usual_names() -> None:
    def upstream(*arguments: str, **env: str) -> object:
        done = _command("check", *arguments, **env)
        assert (done.returncode, done.stderr) == (0, "")
        (found,) = ServerConfig.from_yaml(done.stdout).engine.upstreams
        return found.url, [model.name for model in found.models], found.api_key is not None

    url = "https://example.com/v1"
    assert upstream("--upstream", url) == (url, [], False)
    key = "sk-abcdefgh1234"
    told = upstream("--upstream", url, OPENAI_API_KEY=key, MODEL_NAME="m")
    assert told == (url, ["m"], True)
    ollama = upstream(OLLAMA_URL="http://localhost:11434/")
    assert ollama == ("http://localhost:11434/v1", [], False)
    done = _command("check", "--upstream", url, LLMSERVICE_PORT="81", OPENAI_API_KEY=key)
    assert ServerConfig.from_yaml(done.stdout).port == 81
    assert key not in done.stdout
    told = upstream(OLLAMA_URL="http://localhost:11434/v1/", OPENAI_API_KEY=key, MODEL_NAME="m")
    assert told == ("http://localhost:11434/v1", ["m"], False)
    told = upstream(OPENAI_API_KEY=key, MODEL_NAME="gpt")
    assert told == ("https://api.openai.com/v1", ["gpt"], True)
    given = {"LLMSERVICE_MODEL_URI": "hf://a/b", "LLMSERVICE_MODEL_SOURCE": "a/b"}
    done = _command("check", OPENAI_API_KEY=key, MODEL_NAME="b", **given)
    assert ServerConfig.from_yaml(done.stdout).engine.type == "vllm"
    done = _command("check", OLLAMA_URL="localhost:11434")
    assert (done.returncode, done.stderr.partition(":")[0]) == (2, "OLLAMA_URL")


def test_a_key_is_checked_and_printed_nowhere(tmp_path: Path) -> None:
    done = _command("check", "--model=/no/such/model", API_KEY="verysecretvalue")
    assert (done.returncode, done.stderr) == (0, "")
    keys = ServerConfig.from_yaml(done.stdout).auth.keys
    assert keys is not None
    assert keys.variable == "API_KEY"
    assert "verysecret" not in done.stdout
    done = _command("check", "--model=a/b", LLMSERVICE_AUTH_KEYS_FILE=str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("auth.keys: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_key_that_is_none_ends_the_start_before_a_model_is_looked_for(command: str) -> None:
    done = _command(command, "--model=/no/such/model", API_KEY="short")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "auth.keys: the key in line 1 is shorter than 8\n"


@pytest.mark.parametrize(("command", "code"), [("check", 0), ("serve", 3)])
def test_what_is_asked_for_and_not_done_is_told(command: str, code: int) -> None:
    done = _command(command, "--model=/no/such/model", MLFLOW_TRACKING_URI="x")
    assert done.returncode == code
    assert "MLFLOW_TRACKING_URI is ignored: " in done.stderr
    done = _command(command, "--model=/no/such/model", MLFLOW_TRACKING_URI="", API_KEY="")
    assert "ignored" not in done.stderr


def test_an_address_of_redis_that_is_none_ends_the_start_and_is_printed_nowhere() -> None:
    done = _command("serve", "--model=/no/such/model", REDIS_URL="http://:verysecret@h")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("redis.url: ")
    assert "verysecret" not in done.stderr
    done = _command("check", "--model=a/b", REDIS_URL="redis://:verysecret@h")
    assert done.returncode == 0
    assert "verysecret" not in done.stdout + done.stderr
