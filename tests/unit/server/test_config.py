"""The configuration file: what it promises to whoever writes one, the operator first."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmservice_server.config import (
    RESERVED_ARGS,
    ConfigError,
    DrainConfig,
    EngineConfig,
    ModelConfig,
    ServerConfig,
)

_MODEL = "model: {uri: 'pvc://models/m', source: /models/m, servedName: chat}\n"

_PROXY = (
    "engine: {type: proxy, upstreams: [{url: 'http://a/v1', weight: 1, models: [{name: m}]}]}\n"
)

_json = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text().filter(lambda text: not text.startswith("-")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
_flags = st.from_regex(r"x[a-z0-9-]{0,20}", fullmatch=True)


@given(
    args=st.dictionaries(_flags, _json, max_size=4),
    served_name=st.text(min_size=1),
    revision=st.none() | st.text(),
    seconds=st.integers(min_value=0, max_value=10**6),
)
def test_every_configuration_survives_its_own_yaml(
    args: dict[str, object], served_name: str, revision: str | None, seconds: int
) -> None:
    config = ServerConfig(
        model=ModelConfig(uri="hf://a/b", source="a/b", served_name=served_name, revision=revision),
        engine=EngineConfig.model_validate({"args": args}),
        drain=DrainConfig(grace_seconds=seconds),
    )
    assert ServerConfig.from_yaml(config.to_yaml()) == config


def test_the_defaults_are_those_of_a_cluster() -> None:
    config = ServerConfig.from_yaml(_MODEL)
    assert (config.port, config.log_level) == (8000, "info")
    assert (config.drain.grace_seconds, config.drain.timeout_seconds) == (10, 300)
    assert (config.limits.running, config.limits.waiting) == (None, 1024)
    assert (config.http.trusted_hosts, config.http.cors.origins) == ([], [])
    assert (config.engine.tensor_parallel, config.engine.pipeline_parallel) == (1, 1)


def test_the_same_configuration_is_the_same_text_however_it_was_written() -> None:
    kebab = ServerConfig.from_yaml(_MODEL + "engine: {args: {max-model-len: 8, seed: 1}}")
    snake = ServerConfig.from_yaml("engine: {args: {seed: 1, max_model_len: 8}}\n" + _MODEL)
    assert kebab.to_yaml() == snake.to_yaml()


@pytest.mark.parametrize("flag", RESERVED_ARGS)
def test_a_flag_that_the_server_sets_is_refused_with_what_to_write(flag: str) -> None:
    for spelled in (flag, flag.replace("-", "_"), f"{flag}.field"):
        with pytest.raises(ConfigError) as refused:
            ServerConfig.from_yaml(f"{_MODEL}engine: {{args: {{{spelled}: 1}}}}")
        line = str(refused.value)
        assert line.startswith(f"engine.args.{spelled}: the server sets {flag} itself; ")
        assert line.endswith(RESERVED_ARGS[flag])


def test_the_beginning_of_a_reserved_flag_is_refused_as_argparse_would_take_it() -> None:
    with pytest.raises(ConfigError, match=r"engine\.args\.hos: short for host, which the server"):
        ServerConfig.from_yaml(_MODEL + "engine: {args: {hos: 1.2.3.4}}")


def test_the_negation_of_a_reserved_flag_is_refused_too() -> None:
    with pytest.raises(ConfigError, match="sets disable-uvicorn-access-log itself"):
        ServerConfig.from_yaml(_MODEL + "engine: {args: {no-disable-uvicorn-access-log: true}}")


def test_a_dash_that_vllm_reads_inside_of_one_value_is_kept() -> None:
    args = {"compilation-config.custom_ops": ["-rms_norm"], "hf-overrides": {"a": ["-b"]}}
    assert EngineConfig.model_validate({"args": args}).args == args


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["not a mapping"]),
        ("model: [", ["not YAML", "line 1"]),
        ("port: 8000", ["model: is missing"]),
        (_MODEL + "port: 70000", ["port: ", "65535", "70000"]),
        (_MODEL + "port: '80'", ["port: ", "integer", "'80'"]),
        (_MODEL + "logLevel: LOUD", ["logLevel: ", "'debug'", "'LOUD'"]),
        (_MODEL + "drain: {graceSeconds: -1}", ["drain.graceSeconds: ", "0", "-1"]),
        (_MODEL + "engine: {type: tgi}", ["engine.type: ", "'vllm'", "'tgi'"]),
        (_MODEL + "engine: {tensorParallel: 0}", ["engine.tensorParallel: "]),
        (_MODEL + "engine: {args: {--seed: 1}}", ["engine.args.--seed: ", "without leading dash"]),
        (_MODEL + "engine: {args: {seed: }}", ["engine.args.seed: ", "no value"]),
        (_MODEL + "engine: {args: {a-b: 1, a_b: 2}}", ["engine.args.a_b: ", "twice"]),
        (_MODEL + "engine: {args: {seed: 2020-01-01}}", ["engine.args.seed: "]),
        (_MODEL + "engine: {args: {seed: .nan}}", ["engine.args.seed: ", "finite"]),
        (_MODEL + "engine: {args: {seed: {a: [.inf]}}}", ["engine.args.seed: ", "finite"]),
        (_MODEL + "engine: {args: {x: ['--api-key=x']}}", ["engine.args.x: ", "pass for a flag"]),
        (_MODEL + "port: 80\nport: 80", ["'port' is given twice", "line 3"]),
        (_MODEL + "engine: {args: {seed: 1, seed: 2}}", ["'seed' is given twice", "line 2"]),
        (_MODEL + "seed: 2020-13-45", ["'2020-13-45' is no timestamp", "line 2"]),
        ("a: 2020-99-99", ["'2020-99-99' is no timestamp"]),
        ("!!bool maybe", ["'maybe' is no bool"]),
        ("!!int x", ["'x' is no int"]),
        ("!!int ''", ["'' is no int"]),
        ("!!timestamp x", ["'x' is no timestamp"]),
        ("[" * 900, ["nested too deeply"]),
        ("[" * 5000, ["nested too deeply"]),
        (_MODEL + "prot: 80", ["prot: unknown field"]),
        (_MODEL + "limits: {running: 0}", ["limits.running: ", "1", "0"]),
        (_MODEL + "limits: {waiting: -1}", ["limits.waiting: "]),
        (_MODEL + "http: {maxBodyBytes: 0}", ["http.maxBodyBytes: "]),
        (_MODEL + "http: {headerSeconds: 0}", ["http.headerSeconds: "]),
        (
            _MODEL + "http: {trustedHosts: [a.com, 'a.com:80']}",
            ["http.trustedHosts.1: not the name"],
        ),
        (_MODEL + "http: {trustedHosts: ['*']}", ["http.trustedHosts.0: not the name"]),
        (_MODEL + "http: {cors: {origins: [a.com]}}", ["http.cors.origins.0: not an origin"]),
        (_MODEL + "port: x\nlogLevel: 1", ["port: ", "logLevel: "]),
        ("model: {uri: '', source: /m, servedName: x}", ["model.uri: "]),
        ("engine: {type: proxy}", ["engine.upstreams: is missing; write upstreams: [{url: "]),
        (_MODEL + "engine: {upstreams: [{url: 'http://a/v1'}]}", ["engine.upstreams: are for the"]),
        (_MODEL + _PROXY, ["model: a proxy loads none"]),
        (_PROXY.replace("{type", "{args: {seed: 1}, type"), ["engine.args: are vLLM's flags"]),
        (_PROXY.replace("http:", "ftp:"), ["engine.upstreams.0.url: write an http:// or https://"]),
        (_PROXY.replace("//a", "//a:x"), ["engine.upstreams.0.url: not an address"]),
        (_PROXY.replace("/v1", "/v1?key=x"), ["engine.upstreams.0.url: ", "without ? and #"]),
        (_PROXY.replace("m}]", "m}, {name: m}]"), ["engine.upstreams.0.models: m is there twice"]),
        (_PROXY.replace("weight: 1", "weight: 0"), ["engine.upstreams.0.weight: "]),
        (_PROXY.replace("]}]", "]}], timeouts: {idleSeconds: 0}"), ["engine.timeouts.idleSeconds"]),
    ],
)
def test_a_fault_is_one_line_that_names_the_field_and_the_value(
    text: str, names: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        ServerConfig.from_yaml(text)
    line = str(refused.value)
    assert "\n" not in line
    for name in names:
        assert name in line


@pytest.mark.parametrize(
    "place",
    [
        "url: 'https://u:THE-SECRET@a/v1'",
        "apiKey: THE-SECRET",
        "apiKey: {variable: THE-SECRET}",
        "apiKey: {value: THE-SECRET}",
        "apiKey: {variable: A, file: /THE-SECRET}",
    ],
)
def test_a_key_where_none_may_be_is_refused_and_not_repeated(place: str) -> None:
    url = "" if place.startswith("url") else "url: 'http://a/v1', "
    with pytest.raises(ConfigError) as refused:
        ServerConfig.from_yaml(f"engine: {{type: proxy, upstreams: [{{{url}{place}}}]}}")
    assert "engine.upstreams.0" in str(refused.value)
    assert "SECRET" not in str(refused.value)


def test_the_model_that_is_meant_without_a_name_is_the_first_of_a_proxy() -> None:
    assert ServerConfig.from_yaml(_MODEL).served_name == "chat"
    assert ServerConfig.from_yaml(_PROXY).served_name == "m"


def test_importing_it_is_light() -> None:
    code = (
        "import sys, llmservice_server.config; print(*{name.split('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert {"vllm", "fastapi", "starlette", "uvicorn", "torch"}.isdisjoint(loaded)
    assert "pydantic" in loaded


@pytest.mark.parametrize("part", ["cache", "idempotency"])
def test_what_keeps_answers_is_on_where_it_is_written_and_else_not_there(part: str) -> None:
    off = ServerConfig.from_yaml(_MODEL)
    assert getattr(off, part) is None
    assert part not in off.to_yaml()  # which older servers refuse
    on = ServerConfig.from_yaml(f"{_MODEL}{part}: {{}}")
    assert getattr(on, part).max_entry_bytes == 2**20
    with pytest.raises(ConfigError, match=f"{part}.maxBytes"):
        ServerConfig.from_yaml(f"{_MODEL}{part}: {{maxBytes: 0}}")


_AUTH = _MODEL + "auth: "


def test_without_any_source_of_keys_the_server_is_open_and_nothing_is_written() -> None:
    for text in (_MODEL, _AUTH + "{}", _AUTH + "{trustedProxies: [10.0.0.0/8]}"):
        assert not ServerConfig.from_yaml(text).auth.on
    assert "auth" not in ServerConfig.from_yaml(_MODEL).to_yaml()  # which older servers refuse
    for part in (
        "{anonymous: true}",
        "{keys: {file: /k}}",
        "{stored: true, pepper: {file: /p}}",
        "{oidc: {issuer: 'https://a', audience: b}}",
    ):
        config = ServerConfig.from_yaml(_AUTH + part)
        assert config.auth.on
        assert ServerConfig.from_yaml(config.to_yaml()) == config


def test_history_is_kept_where_it_is_written() -> None:
    assert ServerConfig.from_yaml(_MODEL).history is None
    assert "history" not in ServerConfig.from_yaml(_MODEL).to_yaml()  # which older servers refuse
    for text, days in (("{}", 30), ("{retentionDays: 7}", 7)):
        config = ServerConfig.from_yaml(f"{_MODEL}history: {text}")
        assert config.history
        assert config.history.retention_days == days
        assert ServerConfig.from_yaml(config.to_yaml()) == config
    with pytest.raises(ConfigError, match=r"history\.retentionDays: input should be greater"):
        ServerConfig.from_yaml(_MODEL + "history: {retentionDays: 0}")


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("{keys: THE-SECRET}", "auth.keys: write {variable: NAME} or {file: PATH}"),
        ("{keys: {variable: THE-SECRET}}", "auth.keys.variable: write the name"),
        ("{keys: {}}", "auth.keys: write one of variable and file"),
        ("{stored: true}", "auth.pepper: is missing"),
        ("{signed: true}", "auth.pepper: is missing"),
        ("{defaultPlan: paid}", "auth.defaultPlan: paid is none of the plans"),
        ("{plans: [{name: a}, {name: a}]}", "auth.plans: a is there twice"),
        ("{plans: [{name: 'a b'}]}", "auth.plans.0.name: "),
        ("{trustedProxies: [10.0.0.0/8, ingress]}", "auth.trustedProxies.1: not a network"),
        ("{oidc: {issuer: 'https://a'}}", "auth.oidc.audience: is missing"),
        ("{oidc: {issuer: 'ftp://a', audience: b}}", "auth.oidc.issuer: "),
        ("{oidc: {issuer: 'https://u:THE-SECRET@a', audience: b}}", "auth.oidc.issuer: "),
        ("{oidc: {issuer: 'https://a', audience: b, jwksUri: 'file:///k'}}", "auth.oidc.jwksUri: "),
    ],
)
def test_who_may_ask_is_written_in_a_way_that_can_be_served(part: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ServerConfig.from_yaml(_AUTH + part)
    assert says in str(refused.value)
    assert "SECRET" not in str(refused.value)
