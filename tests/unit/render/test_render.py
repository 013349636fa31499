"""A resource's children: what each promises, and what holds for every resource."""

import copy
from typing import Any

import pytest
import yaml
from llmservice_operator.api import InvalidSpec, LLMService, Manifest
from llmservice_operator.render import RenderDefaults, render
from llmservice_server.config import (
    ApiConfig,
    CacheConfig,
    IdempotencyConfig,
    Place,
    Price,
    Rates,
    ServerConfig,
)

_DEFAULTS = RenderDefaults(server_image="llmservice/server:1")


def _render(**spec: Any) -> dict[str, Manifest]:
    fields = {"model": {"uri": "hf://Qwen/Qwen2.5-7B-Instruct"}, **spec}
    meta = {"name": "qwen", "namespace": "ml", "uid": "u-1"}
    children = render(LLMService.parse({"metadata": meta, "spec": fields}), _DEFAULTS)
    return {child["kind"]: child for child in children}


def _pod(**spec: Any) -> Manifest:
    return _render(**spec)["Deployment"]["spec"]["template"]


def _container(**spec: Any) -> Manifest:
    return _pod(**spec)["spec"]["containers"][0]


def _config(**spec: Any) -> ServerConfig:
    return ServerConfig.from_yaml(_render(**spec)["ConfigMap"]["data"]["config.yaml"])


def test_children_of_the_least_resource() -> None:
    kinds = ["ServiceAccount", "ConfigMap", "Service", "Deployment", "PodDisruptionBudget"]
    assert list(_render()) == kinds


def test_every_child_belongs_to_the_resource_and_says_so() -> None:
    for child in _render(autoscaling={}).values():
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("LLMService", "u-1", True)
        assert child["metadata"]["namespace"] == "ml"
        assert child["metadata"]["labels"]["app.kubernetes.io/instance"] == "qwen"


def test_a_change_never_leaves_fewer_replicas_than_asked_for() -> None:
    spec = _render()["Deployment"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["minReadySeconds"] == 10


def test_replicas_are_one_or_as_written_or_left_to_the_autoscaler() -> None:
    assert _render()["Deployment"]["spec"]["replicas"] == 1
    assert _render(replicas=3)["Deployment"]["spec"]["replicas"] == 3
    assert "replicas" not in _render(autoscaling={})["Deployment"]["spec"]


def test_autoscaling_goes_up_fast_and_down_slowly_by_default() -> None:
    scaler = _render(autoscaling={})["HorizontalPodAutoscaler"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 10)
    (metric,) = scaler["metrics"]
    assert metric["resource"]["name"] == "cpu"
    assert metric["resource"]["target"]["averageUtilization"] == 70
    assert scaler["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert scaler["scaleTargetRef"]["name"] == "qwen"


def test_autoscaling_as_written() -> None:
    down = {"policies": [{"type": "Percent", "value": 10, "periodSeconds": 30}]}
    written = {"min": 1, "max": 4, "cpu": 50, "memory": 80, "behavior": {"scaleDown": down}}
    scaler = _render(autoscaling=written)["HorizontalPodAutoscaler"]["spec"]
    targets = {m["resource"]["name"]: m["resource"]["target"] for m in scaler["metrics"]}
    assert {name: t["averageUtilization"] for name, t in targets.items()} == {
        "cpu": 50,
        "memory": 80,
    }
    assert scaler["behavior"]["scaleDown"] == down
    assert scaler["behavior"]["scaleUp"]["selectPolicy"] == "Max"


def test_one_replica_may_be_missing_and_a_broken_one_never_blocks_a_drain() -> None:
    budget = _render()["PodDisruptionBudget"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert (
        _render(disruption={"maxUnavailable": 0})["PodDisruptionBudget"]["spec"]["maxUnavailable"]
        == 0
    )
    written = _render(disruption={"minAvailable": "50%"})["PodDisruptionBudget"]["spec"]
    assert written["minAvailable"] == "50%"
    assert "maxUnavailable" not in written


@pytest.mark.parametrize(
    ("uri", "startup", "deadline"),
    [
        ("pvc://models/smollm2-135m", 600, 1200),
        ("hf://a/b-10B", 600, 1200),
        ("hf://a/b-32B", 1800, 2400),
        ("hf://a/b-70B", 1800, 2400),
        ("hf://a/b-405B", 3600, 4200),
        ("hf://a/b", 1800, 2400),
    ],
)
def test_time_to_start_follows_the_size_of_the_model(uri: str, startup: int, deadline: int) -> None:
    spec = _render(model={"uri": uri})["Deployment"]["spec"]
    probe = spec["template"]["spec"]["containers"][0]["startupProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] == startup
    assert probe["timeoutSeconds"] <= probe["periodSeconds"], "a hung server gets more time"
    assert spec["progressDeadlineSeconds"] == deadline


def test_a_written_deadline_wins() -> None:
    rollout = {"progressDeadlineSeconds": 90}
    assert _render(rollout=rollout)["Deployment"]["spec"]["progressDeadlineSeconds"] == 90


def test_a_pod_may_finish_its_requests_before_it_is_killed() -> None:
    drain = _config(rollout={"drainSeconds": 60}).drain
    grace = _pod(rollout={"drainSeconds": 60})["spec"]["terminationGracePeriodSeconds"]
    assert drain.timeout_seconds == 60
    assert grace == drain.grace_seconds + drain.timeout_seconds + 15


def test_the_configuration_says_what_the_resource_says() -> None:
    config = _config(
        model={"uri": "pvc://models/llama", "servedName": "llama"},
        engine={"args": {"max_model_len": 1024, "dtype": "float32"}},
        gpu={"count": 8, "pipelineParallel": 2},
        observability={"logLevel": "debug"},
    )
    assert config.model.source == "/models/llama"
    assert config.model.served_name == "llama"
    assert (config.engine.tensor_parallel, config.engine.pipeline_parallel) == (4, 2)
    assert config.engine.args == {"max-model-len": 1024, "dtype": "float32"}
    assert config.log_level == "debug"


def test_the_gateways_bounds_reach_the_server_and_the_others_keep_its_defaults() -> None:
    usual = ServerConfig.from_yaml("model: {uri: hf://a/b, source: a/b, servedName: x}")
    assert (_config().http, _config().limits) == (usual.http, usual.limits)
    assert _config().api == usual.api
    config = _config(
        gateway={
            "limits": {"running": 64, "waitSeconds": 5},
            "maxBodyBytes": 1000,
            "trustedHosts": ["*.example.com"],
            "cors": {"origins": ["*"]},
            "api": {"predict": False, "apiV1": False, "maxContextMessages": 5},
        }
    )
    assert config.api == ApiConfig(predict=False, api_v1=False, max_context_messages=5)
    assert (config.limits.running, config.limits.wait_seconds) == (64, 5)
    assert config.limits.waiting == usual.limits.waiting
    assert config.http.max_body_bytes == 1000
    assert config.http.trusted_hosts == ["*.example.com"]
    assert config.http.cors.origins == ["*"]


@pytest.mark.parametrize(
    ("gateway", "sentence"),
    [
        ({"trustedHosts": ["a.com:80"]}, "write api.example.com or"),
        ({"cors": {"origins": ["a.com"]}}, "write https://HOST"),
        ({"limits": {"running": 0}}, "greater than or equal to 1"),
    ],
)
def test_what_the_server_would_refuse_of_the_gateway_is_refused_before(
    gateway: Manifest, sentence: str
) -> None:
    with pytest.raises(InvalidSpec, match=sentence):
        _config(gateway=gateway)


_KEYS = {"keysSecret": {"name": "callers"}}
_POSTGRES = {"urlSecret": {"name": "postgres"}}


def test_where_nothing_is_said_of_callers_the_server_is_told_nothing() -> None:
    usual = ServerConfig.from_yaml("model: {uri: hf://a/b, source: a/b, servedName: x}")
    config = _config()
    assert (config.auth, config.redis, config.database) == (usual.auth, usual.redis, None)
    assert not {"auth", "redis", "database"} & yaml.safe_load(config.to_yaml()).keys()


def test_who_may_ask_and_how_much_reaches_the_server() -> None:
    plan = {"name": "paid", "weight": 4, "perUser": {"requestsPerMinute": 60}, "models": ["a"]}
    oidc = {"issuer": "https://id.example.com", "audience": "llm", "planClaim": "groups"}
    auth = {
        **_KEYS,
        "oidc": oidc,
        "anonymous": True,
        "plans": [plan],
        "defaultPlan": "paid",
        "trustedProxies": ["10.0.0.0/8"],
    }
    limits = {
        "anonymous": {"concurrentRequests": 1},
        "perAddress": {"requestsPerMinute": 100},
        "models": [{"name": "a", "rates": {"tokensPerMinute": 9}}],
        "whenRedisIsDown": "closed",
    }
    config = _config(gateway={"auth": auth, "limits": limits})
    (paid,) = config.auth.plans
    assert (paid.name, paid.weight, paid.models) == ("paid", 4, ("a",))
    assert paid.per_user == Rates(requests_per_minute=60)
    assert config.auth.oidc is not None
    assert (config.auth.oidc.user_claim, config.auth.oidc.plan_claim) == ("sub", "groups")
    assert (config.auth.anonymous, config.auth.default_plan) == (True, "paid")
    assert config.auth.trusted_proxies == ("10.0.0.0/8",)
    assert config.limits.anonymous.requests_per_minute == 10  # the server's own
    assert config.limits.anonymous.concurrent_requests == 1
    assert config.limits.per_address == Rates(requests_per_minute=100)
    assert config.limits.models[0].rates == Rates(tokens_per_minute=9)
    assert config.limits.when_redis_is_down == "closed"


def test_secrets_reach_the_server_in_variables_and_nowhere_else() -> None:
    pepper = {"name": "callers", "key": "PEPPER"}
    auth = {**_KEYS, "stored": True, "pepperSecret": pepper}
    redis = {"urlSecret": {"name": "redis", "key": "URL"}}
    gateway = {"auth": auth, "redis": redis, "database": _POSTGRES}
    config = _config(gateway=gateway)
    read = {v["name"]: v for v in _container(gateway=gateway)["env"]}
    places = {
        "API_KEY": (config.auth.keys, "callers", "API_KEY"),
        "KEY_PEPPER": (config.auth.pepper, "callers", "PEPPER"),
        "REDIS_URL": (config.redis.url, "redis", "URL"),
        "DATABASE_URL": (config.database and config.database.url, "postgres", "DATABASE_URL"),
    }
    for variable, (place, name, key) in places.items():
        assert place == Place(variable=variable)
        assert read[variable]["valueFrom"] == {"secretKeyRef": {"name": name, "key": key}}


def test_a_quota_holds_for_each_plan_that_has_none_of_its_own() -> None:
    plans = [{"name": "paid", "monthlyTokens": 5}, {"name": "free"}]
    auth = {**_KEYS, "plans": plans}
    quotas = {"monthlyTokens": 3, "monthlyRequests": 2}
    named = _config(gateway={"auth": auth, "quotas": quotas, "database": _POSTGRES}).auth.named
    months = {name: (p.monthly_tokens, p.monthly_requests) for name, p in named.items()}
    assert months == {"default": (3, 2), "anonymous": (None, None), "paid": (5, 2), "free": (3, 2)}


def test_prices_are_the_servers_and_one_that_is_not_exact_is_refused() -> None:
    said = [{"model": "llama", "inputPerMillion": 0.15}, {"model": "free"}]
    prices = _config(gateway={"prices": said}).prices
    assert prices == (Price(model="llama", input_per_million=0.15), Price(model="free"))
    with pytest.raises(
        InvalidSpec, match=r"^spec\.gateway\.prices\.inputPerMillion: has more than"
    ):
        _config(gateway={"prices": [{"model": "llama", "inputPerMillion": 0.0005}]})


def test_answers_are_kept_where_that_is_written() -> None:
    config = _config(gateway={"cache": {}, "idempotency": {"ttlSeconds": 60}})
    assert config.cache == CacheConfig()
    assert config.idempotency == IdempotencyConfig(ttl_seconds=60)
    assert (_config().cache, _config().idempotency) == (None, None)


def test_there_is_a_history_where_one_is_written() -> None:
    kept = _config(gateway={"history": {}, "database": _POSTGRES}).history
    assert kept is not None
    assert kept.retention_days == 30
    assert _config(gateway={"database": _POSTGRES}).history is None


def test_resources_that_share_a_redis_have_names_of_their_own_there() -> None:
    redis = {"urlSecret": {"name": "redis"}}
    assert _config(gateway={"redis": redis}).redis.prefix == "ml/qwen"


def test_of_one_with_a_sqlite_the_next_pod_waits_until_the_one_before_is_gone() -> None:
    gateway = {"database": {"sqlite": {"claimName": "callers"}}}
    children = _render(gateway=gateway, rollout={"strategy": "Replace"})
    spec = children["Deployment"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    volume = next(v for v in pod["volumes"] if v["name"] == "data")
    mount = next(m for m in container["volumeMounts"] if m["name"] == "data")
    config = ServerConfig.from_yaml(children["ConfigMap"]["data"]["config.yaml"])

    assert spec["strategy"] == {"type": "Recreate"}
    assert volume["persistentVolumeClaim"] == {"claimName": "callers"}
    assert config.database is not None
    assert config.database.sqlite == f"{mount['mountPath']}/store.db"


def test_to_replace_takes_no_more_room_and_one_replica_at_a_time() -> None:
    spec = _render(rollout={"strategy": "Replace"})["Deployment"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


@pytest.mark.parametrize(
    ("auth", "sentence"),
    [
        ({**_KEYS, "trustedProxies": ["a"]}, "auth.trustedProxies.0: not a network"),
        ({**_KEYS, "defaultPlan": "paid"}, "auth.defaultPlan: paid is none of the plans"),
        ({"stored": True}, "auth.pepper: is missing"),
    ],
)
def test_what_the_server_would_refuse_of_callers_is_refused_before(
    auth: Manifest, sentence: str
) -> None:
    with pytest.raises(InvalidSpec, match=sentence):
        _config(gateway={"auth": auth})


def test_another_configuration_is_another_config_map_and_so_a_rollout() -> None:
    before, after = _render(), _render(engine={"args": {"max-model-len": 1024}})
    assert before["ConfigMap"]["immutable"]
    assert before["ConfigMap"]["metadata"]["name"] != after["ConfigMap"]["metadata"]["name"]
    for children in (before, after):
        volumes = children["Deployment"]["spec"]["template"]["spec"]["volumes"]
        mounted = next(v["configMap"]["name"] for v in volumes if v["name"] == "config")
        assert mounted == children["ConfigMap"]["metadata"]["name"]


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": 3},
        {"disruption": {"maxUnavailable": 2}},
        {"expose": {"service": {"port": 8080}}},
        {"autoscaling": {"min": 3}},
        {"rollout": {"progressDeadlineSeconds": 900}},
    ],
)
def test_what_no_pod_sees_restarts_no_pod(change: dict[str, Any]) -> None:
    assert _pod(**change) == _pod()


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"served-model": "x"}, "write model.servedName"),
        ({"max-model-len": 1, "max_model_len": 2}, "is given twice"),
        ({"--dtype": "x"}, "write it without leading dashes"),
    ],
)
def test_what_the_schema_cannot_see_is_refused_with_a_sentence(
    args: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        _render(engine={"args": args})
    assert sentence in str(refused.value)
    assert str(refused.value).startswith("spec.engine.args.")


def test_a_claim_is_mounted_read_only_and_nothing_is_fetched() -> None:
    model = {"uri": "pvc://models/llama"}
    volume = next(v for v in _pod(model=model)["spec"]["volumes"] if v["name"] == "model")
    assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    container = _container(model=model)
    mount = next(m for m in container["volumeMounts"] if m["name"] == "model")
    assert mount == {"name": "model", "mountPath": "/models", "readOnly": True}
    assert {"name": "HF_HUB_OFFLINE", "value": "1"} in container["env"]


def test_a_token_comes_from_its_secret_only() -> None:
    model = {"uri": "hf://a/b", "credentialsSecret": "hub"}
    token = next(e for e in _container(model=model)["env"] if e["name"] == "HF_TOKEN")
    assert token["valueFrom"] == {"secretKeyRef": {"name": "hub", "key": "HF_TOKEN"}}


def test_a_users_variable_replaces_ours_because_names_are_unique() -> None:
    env = _container(engine={"env": [{"name": "HF_HOME", "value": "/tmp/hf"}]})["env"]
    assert [e for e in env if e["name"] == "HF_HOME"] == [{"name": "HF_HOME", "value": "/tmp/hf"}]


def test_shared_memory_grows_with_the_gpus() -> None:
    def size(**spec: Any) -> str:
        shm = next(v for v in _pod(**spec)["spec"]["volumes"] if v["name"] == "shm")
        assert shm["emptyDir"]["medium"] == "Memory"
        return shm["emptyDir"]["sizeLimit"]

    assert (size(), size(gpu={"tensorParallel": 8})) == ("2Gi", "16Gi")


def test_pods_ask_for_what_was_written() -> None:
    pod = {
        "nodeSelector": {"pool": "llm"},
        "tolerations": [{"key": "dedicated", "value": "llm", "effect": "NoSchedule"}],
        "topologySpread": [{"topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}],
        "priorityClassName": "high",
        "runtimeClassName": "nvidia",
        "imagePullSecrets": [{"name": "registry"}],
        "labels": {"team": "search"},
        "annotations": {"note": "x"},
    }
    template = _pod(pod=pod)
    spec = template["spec"]
    assert spec["nodeSelector"] == {"pool": "llm"}
    assert spec["tolerations"] == [
        {"key": "dedicated", "operator": "Equal", "value": "llm", "effect": "NoSchedule"}
    ]
    (spread,) = spec["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["maxSkew"]) == ("rack", 1)
    assert (spec["priorityClassName"], spec["runtimeClassName"]) == ("high", "nvidia")
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert template["metadata"]["labels"]["team"] == "search"
    assert template["metadata"]["annotations"]["note"] == "x"


def test_the_image_is_the_installed_one_unless_another_is_named() -> None:
    assert _container()["image"] == _DEFAULTS.server_image
    assert _container(engine={"image": "r/i:2"})["image"] == "r/i:2"


def test_the_service_leads_to_the_pods_and_nothing_versioned_selects_them() -> None:
    children = _render(expose={"service": {"type": "LoadBalancer", "port": 8080}})
    service, deployment = children["Service"], children["Deployment"]
    assert service["spec"]["type"] == "LoadBalancer"
    assert [p["port"] for p in service["spec"]["ports"]] == [8080]
    selector = service["spec"]["selector"]
    assert selector == deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    changed = _render(model={"uri": "hf://other/model"}, engine={"image": "r/i:2"})
    assert changed["Service"]["spec"]["selector"] == selector


def test_the_argument_is_left_as_it_was() -> None:
    args = {"limit-mm-per-prompt": {"image": 2}, "enable-prefix-caching": True}
    kept = copy.deepcopy(args)
    _render(engine={"args": args})
    assert args == kept


_UPSTREAMS = [
    {"url": "https://api.openai.com/v1/", "apiKeySecret": {"name": "openai"}, "weight": 2},
    {"url": "http://qwen.ml.svc/v1", "models": [{"name": "a", "upstreamName": "b"}]},
]


def _proxy(**spec: Any) -> dict[str, Manifest]:
    fields = {"engine": {"type": "proxy", "upstreams": _UPSTREAMS}, **spec}
    meta = {"name": "models", "namespace": "ml", "uid": "u-1"}
    defaults = RenderDefaults("llmservice/server:1", "llmservice/proxy:1")
    children = render(LLMService.parse({"metadata": meta, "spec": fields}), defaults)
    return {child["kind"]: child for child in children}


def test_a_proxy_knows_its_upstreams_and_reads_keys_from_their_secrets_only() -> None:
    children = _proxy()
    text = children["ConfigMap"]["data"]["config.yaml"]
    config = ServerConfig.from_yaml(text)
    first, second = config.engine.upstreams
    assert (config.engine.type, config.model) == ("proxy", None)
    assert (first.url, first.weight, first.models) == ("https://api.openai.com/v1", 2, ())
    assert (second.models[0].name, second.models[0].upstream_name) == ("a", "b")
    assert second.api_key is None
    (container,) = children["Deployment"]["spec"]["template"]["spec"]["containers"]
    env = {variable["name"]: variable for variable in container["env"]}
    assert first.api_key is not None
    key = env[first.api_key.variable]
    assert key["valueFrom"] == {"secretKeyRef": {"name": "openai", "key": "API_KEY"}}
    assert set(env) == {"HOME", first.api_key.variable}


def test_a_proxy_is_small_and_starts_at_once() -> None:
    spec = _proxy()["Deployment"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "llmservice/proxy:1"
    assert container["resources"] == {
        "requests": {"cpu": "250m", "memory": "192Mi"},
        "limits": {"memory": "1Gi"},
    }
    assert {volume["name"] for volume in pod["volumes"]} == {"config", "tmp", "home"}
    assert {mount["name"] for mount in container["volumeMounts"]} == {"config", "tmp", "home"}
    assert container["startupProbe"]["failureThreshold"] == 60
    assert spec["progressDeadlineSeconds"] == 660


def test_what_a_proxy_is_written_to_ask_for_wins() -> None:
    for resources in ({"requests": {"memory": "2Gi"}}, {"limits": {"memory": "2Gi"}}):
        pod = _proxy(pod={"resources": resources})["Deployment"]["spec"]["template"]["spec"]
        asked = pod["containers"][0]["resources"]
        assert asked["requests"]["memory"] == "2Gi"
        assert asked.get("limits", {}).get("memory", "2Gi") == "2Gi"


def test_a_proxys_replicas_follow_its_memory_too() -> None:
    scaler = _proxy(autoscaling={})["HorizontalPodAutoscaler"]["spec"]
    targets = {m["resource"]["name"]: m["resource"]["target"] for m in scaler["metrics"]}
    assert {name: t["averageUtilization"] for name, t in targets.items()} == {
        "cpu": 70,
        "memory": 80,
    }


def test_where_no_image_for_proxies_is_known_they_run_the_servers() -> None:
    assert RenderDefaults("s:1").image("proxy") == "s:1"
    assert RenderDefaults("s:1", "p:1").image("vllm") == "s:1"


_MANAGED = {"redis": {"managed": True}}


def _with_redis(**spec: Any) -> dict[tuple[str, str], Manifest]:
    fields = {"model": {"uri": "hf://a/b"}, "gateway": _MANAGED, **spec}
    meta = {"name": "qwen", "namespace": "ml", "uid": "u-1"}
    defaults = RenderDefaults("llmservice/server:1", redis_image="redis:7")
    children = render(LLMService.parse({"metadata": meta, "spec": fields}), defaults)
    return {(child["kind"], child["metadata"]["name"]): child for child in children}


def test_a_redis_of_its_own_is_small_restricted_and_writes_nothing() -> None:
    spec = _with_redis()["Deployment", "qwen-redis"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    script = container["command"][-1]

    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    assert "volumes" not in pod
    assert container["image"] == "redis:7"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"add": [], "drop": ["ALL"]}
    assert container["resources"]["limits"] == {"memory": "320Mi"}
    assert "--maxmemory 160mb --maxmemory-policy volatile-lru" in script
    assert "--save '' --appendonly no" in script


def test_the_password_is_in_no_manifest_and_both_sides_read_one_secret() -> None:
    children = _with_redis()
    reference = {"secretKeyRef": {"name": "qwen-redis", "key": "REDIS_PASSWORD"}}
    server, redis = (
        children["Deployment", name]["spec"]["template"]["spec"]["containers"][0]
        for name in ("qwen", "qwen-redis")
    )
    assert not any(kind == "Secret" for kind, _ in children)
    assert redis["env"] == [{"name": "REDISCLI_AUTH", "valueFrom": reference}]
    told = {variable["name"]: variable for variable in server["env"]}
    names = [variable["name"] for variable in server["env"]]
    assert told["REDIS_PASSWORD"]["valueFrom"] == reference
    assert told["REDIS_URL"]["value"] == "redis://:$(REDIS_PASSWORD)@qwen-redis:6379/0"
    assert names.index("REDIS_PASSWORD") < names.index("REDIS_URL")  # or it is not put in


def test_only_the_serving_pods_reach_it_and_it_reaches_nobody() -> None:
    children = _with_redis()
    policy = children["NetworkPolicy", "qwen-redis"]["spec"]
    serving, redis = (
        children["Deployment", name]["spec"]["template"]["metadata"]["labels"]
        for name in ("qwen", "qwen-redis")
    )
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    assert policy["podSelector"]["matchLabels"] == redis
    assert peer["podSelector"]["matchLabels"].items() <= serving.items()
    assert not peer["podSelector"]["matchLabels"].items() <= redis.items()
    assert rule["ports"] == [{"port": 6379, "protocol": "TCP"}]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy
    assert children["Service", "qwen-redis"]["spec"]["selector"] == redis


def test_its_pods_are_not_taken_for_serving_ones() -> None:
    children = _with_redis()
    labels = children["Deployment", "qwen-redis"]["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/instance"] != "qwen"
    assert "app.kubernetes.io/managed-by" not in labels
    for kind in ("Deployment", "Service"):
        selector = children[kind, "qwen"]["spec"]["selector"]
        assert not selector.get("matchLabels", selector).items() <= labels.items()


def test_without_an_image_of_redis_it_is_said_where_to_write_one() -> None:
    with pytest.raises(InvalidSpec, match=r"set redis\.image in its chart, or write urlSecret"):
        _render(gateway=_MANAGED)
    assert _render(gateway={"redis": {"managed": False}})
