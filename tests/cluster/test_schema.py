"""What the API server refuses, and the sentence it refuses it with; what it adds by itself."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from devcluster import Cluster
from llmservice_server.config import RESERVED_ARGS

Manifest = dict[str, Any]
_MODEL: Manifest = {"uri": "hf://Qwen/Qwen2.5-7B-Instruct"}
_POLICY = {"type": "Pods", "value": 2**31, "periodSeconds": 60}
_ANY_TYPE = ["text", 7, 0.5, True, False, ["a"], {"a": 1}]


def _resource(spec: Manifest, name: str = "x") -> Manifest:
    return {
        "apiVersion": "llmservice.io/v1alpha1",
        "kind": "LLMService",
        "metadata": {"name": name},
        "spec": spec,
    }


def _apply(cluster: Cluster, obj: Manifest, *options: str) -> Manifest:
    command = ("apply", "-f", "-", "-o", "json", *options)
    return json.loads(cluster.kubectl(*command, input=json.dumps(obj)))


def _refusal(cluster: Cluster, obj: Manifest, *options: str) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        _apply(cluster, obj, "--dry-run=server", *options)
    return refused.value.stderr


def _with(**fields: Any) -> Manifest:
    return {"model": _MODEL, **fields}


def _proxy(*upstreams: Manifest, **engine: Any) -> Manifest:
    return {"engine": {"type": "proxy", "upstreams": list(upstreams), **engine}}


def _upstream(**fields: Any) -> Manifest:
    return {"url": "https://api.openai.com/v1", "models": [{"name": "a"}], **fields}


_SECRET = {"name": "callers"}
_KEYS = {"keysSecret": _SECRET}
_SQLITE = {"database": {"sqlite": {"claimName": "data"}}}
_REPLACE = {"strategy": "Replace"}


def _auth(**fields: Any) -> Manifest:
    return _with(gateway={"auth": {**_KEYS, **fields}})


def _price(**fields: Any) -> Manifest:
    return _with(gateway={"prices": [{"model": "a", **fields}]})


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({}, "model is missing: write model: {uri: hf://"),
        ({"model": {}}, "uri is missing: write hf://"),
        (_with(gpu={"minMemory": "1e40"}), "that any node has: write less than 8Ei"),
        (
            _with(pod={"resources": {"requests": {"memory": "1e1000000"}}}),
            "that any node has: write less than 8Ei",
        ),
        ({"model": {"uri": "s3://bucket/model"}}, "unknown scheme: write hf://ORGANISATION/NAME"),
        ({"model": {"uri": "Qwen/Qwen2.5"}}, "unknown scheme: write hf://ORGANISATION/NAME"),
        ({"model": {"uri": "hf://gpt2"}}, "write hf://ORGANISATION/NAME, as"),
        ({"model": {"uri": "file://models/qwen"}}, "write file:///PATH with three slashes"),
        ({"model": {"uri": "file:///a/../etc"}}, "without .. or a slash at the end"),
        ({"model": {"uri": "pvc://claim/../x"}}, "without .. or a slash at the end"),
        ({"model": {"uri": "pvc:///path"}}, "write pvc://CLAIM/PATH"),
        (
            {"model": {"uri": "pvc://models/a", "revision": "main"}},
            "revision is for hf:// only: remove it",
        ),
        (
            {"model": {"uri": "file:///a", "credentialsSecret": "s"}},
            "credentialsSecret is for hf:// only: remove it",
        ),
        (
            {"model": {**_MODEL, "credentialsSecret": "Not_A_Name"}},
            "not the name of an object: write lower-case letters",
        ),
        ({"model": {**_MODEL, "servedName": "a b"}}, "write letters, digits and any of - . _ : /"),
        (_proxy(), "a proxy needs servers to stand before: write upstreams: [{url: https://"),
        ({"engine": {"type": "proxy"}}, "a proxy needs servers to stand before"),
        ({"model": _MODEL, **_proxy(_upstream())}, "a proxy loads no model: remove it"),
        ({"gpu": {"count": 1}, **_proxy(_upstream())}, "a proxy needs no GPU: remove gpu"),
        (
            _proxy(_upstream(), args={"seed": 1}),
            "args are vLLM's flags: remove them, or write type",
        ),
        (
            _with(engine={"upstreams": [_upstream()]}),
            "upstreams are for a proxy: write type: proxy",
        ),
        ({"engine": {"upstreams": [_upstream()]}}, "model is missing: write model: {uri: hf://"),
        (_proxy(_upstream(url="https://u:p@a/v1")), "without credentials, ? and #"),
        (_proxy(_upstream(url="api.openai.com/v1")), "as https://api.openai.com/v1 or http://"),
        (_proxy(_upstream(url="https://a/v1?key=x")), "without credentials, ? and #"),
        (_proxy(_upstream(weight=0)), "write a number from 1 to 1000"),
        (_proxy(_upstream(models=[{"name": "a"}, {"name": "a"}])), "Duplicate value"),
        (_proxy(_upstream(apiKeySecret={"name": "Not_A_Name"})), "not the name of an object"),
        (_proxy(_upstream(), timeouts={"idleSeconds": 0}), "write a number from 1 to 86400"),
        (_with(replicas=0), "spec.replicas: Invalid value: 0: write a number from 1 to 1000"),
        (_with(replicas=-1), "spec.replicas: Invalid value: -1: write a number from 1 to 1000"),
        (_with(gpu={"count": 0}), "spec.gpu.count: Invalid value: 0: write a number from 1 to 64"),
        (_with(gpu={"tensorParallel": -2}), "write a number from 1 to 64"),
        (_with(gpu={"count": 4, "pipelineParallel": 0}), "write a number from 1 to 64"),
        (_with(autoscaling={"min": 0}), "spec.autoscaling.min: Invalid value: 0: write a number"),
        (_with(rollout={"drainSeconds": -1}), "write a number from 0 to 86400"),
        (_with(gateway={"maxBodyBytes": 0}), "write a number from 1 to 1099511627776"),
        (_with(gateway={"limits": {"running": 0}}), "write a number from 1 to 1000000"),
        (_with(gateway={"limits": {"waitSeconds": -1}}), "write a number from 0 to 3600"),
        (_with(gateway={"api": {"maxContextMessages": 0}}), "write a number from 1 to 10000"),
        (_with(gateway={"trustedHosts": ["a.com:80"]}), "write api.example.com or *.example.com"),
        (_with(gateway={"trustedHosts": ["*"]}), "not the name of a host"),
        (_with(gateway={"cors": {"origins": ["a.com"]}}), "write https://HOST, https://HOST:PORT"),
        (_with(gateway={"cors": {"origins": ["https://a/b"]}}), "not an origin"),
        (_with(gateway={"auth": {}}), "the endpoint would be open to everybody"),
        (_with(gateway={"auth": {"plans": [{"name": "a"}]}}), "write one, or remove auth"),
        (_with(gateway={"auth": {"stored": True}}), "need a pepper: write pepperSecret"),
        (_auth(signed=True), "signed requests need a pepper: write pepperSecret: {name: SECRET}"),
        (_auth(stored=True, pepperSecret=_SECRET), "need a database: write database: {urlSecret"),
        (_auth(plans=[{"name": "a", "monthlyTokens": 1}]), "quotas and history need a database"),
        (_with(gateway={"history": {}}), "quotas and history need a database"),
        (_with(gateway={"auth": _KEYS, "quotas": {}}), "or {sqlite: {claimName: CLAIM}} for one"),
        (
            _with(gateway={"quotas": {}, "database": {"urlSecret": _SECRET}}),
            "quotas are those of users: write auth",
        ),
        (_price(inputPerMillion=-1), "write a number from 0 to 10000, with at most three digits"),
        (_price(outputPerMillion=10_001), "write a number from 0 to 10000, with at most three"),
        (_price(inputPerMillion=0.0005), "at most three digits after the point, as 0.15"),
        (_with(gateway={"prices": [{"model": "a"}, {"model": "a"}]}), "Duplicate value"),
        (_auth(defaultPlan="paid"), "defaultPlan is none of the plans: add it to plans"),
        (_auth(plans=[{"name": "a b"}]), "not a plan's name: write at most 63 letters"),
        (_auth(plans=[{"name": "a"}, {"name": "a"}]), "Duplicate value"),
        (_auth(plans=[{"name": "a", "perKey": {"requestsPerMinute": 0}}]), "write a number from 1"),
        (_auth(trustedProxies=["10.0.0.0/33"]), "not a network: write one as 10.0.0.0/8"),
        (_auth(oidc={"issuer": "https://u:p@a", "audience": "b"}), "without credentials"),
        (_auth(keysSecret={"name": "Not_A_Name"}), "not the name of an object"),
        (_with(gateway={"redis": {}}), "write managed: true for a small Redis of its own, or urlS"),
        (_with(gateway={"redis": {"managed": False}}), "write managed: true for a small Redis"),
        (
            _with(gateway={"redis": {"managed": True, "urlSecret": _SECRET}}),
            "or urlSecret: {name: SECRET}, which holds the address of another one",
        ),
        (_with(gateway={"database": {}}), "write urlSecret, which holds the address of a Postgr"),
        (
            _with(gateway={"database": {"urlSecret": _SECRET, "sqlite": {"claimName": "a"}}}),
            "write urlSecret, which holds the address of a PostgreSQL, or sqlite",
        ),
        (_with(gateway=_SQLITE), "a SQLite is one replica's: write rollout.strategy: Replace"),
        (_with(gateway=_SQLITE, rollout={"strategy": "Surge"}), "write rollout.strategy: Replace"),
        (_with(gateway=_SQLITE, rollout=_REPLACE, replicas=2), "and replicas: 1 without"),
        (_with(gateway=_SQLITE, rollout=_REPLACE, autoscaling={"min": 1}), "without autoscaling"),
        (_with(replicas=2, autoscaling={}), "write replicas or autoscaling, not both"),
        (_with(autoscaling={"min": 5, "max": 4}), "write a smaller min or a larger max"),
        (_with(autoscaling={"max": 1}), "autoscaling.min (2 where it is not written) is above"),
        (
            _with(gpu={"count": 3, "tensorParallel": 2, "pipelineParallel": 2}),
            "write their product, or leave gpu.count out",
        ),
        (
            _with(gpu={"count": 4, "tensorParallel": 2}),
            "write their product, or leave gpu.count out",
        ),
        (_with(gpu={"count": 3, "pipelineParallel": 2}), "not a multiple of pipelineParallel"),
        (_with(gpu={"minMemory": "20GB"}), "with a unit and 1Gi at least, as 20Gi"),
        (_with(gpu={"minMemory": 20}), "with a unit and 1Gi at least, as 20Gi"),
        (_with(gpu={"minMemory": "-20Gi"}), "with a unit and 1Gi at least, as 20Gi"),
        (_with(gpu={"resource": "gpu"}), "as nvidia.com/gpu or amd.com/gpu"),
        (
            _with(gpu={"resource": "amd.com/gpu", "minMemory": "20Gi"}),
            "write products for amd.com/gpu, or pod.nodeSelector",
        ),
        (
            _with(gpu={"claimTemplate": "gpus", "minMemory": "20Gi"}),
            "write what products and minMemory say as selectors there",
        ),
        (
            _with(gpu={"resource": "intel.com/gpu", "products": ["A"]}),
            "for another resource write pod.nodeSelector instead",
        ),
        (_with(gpu={"products": ["A 100"]}), "not the value of a label"),
        (
            _with(disruption={"maxUnavailable": 1, "minAvailable": "50%"}),
            "write maxUnavailable or minAvailable, not both",
        ),
        (_with(disruption={"maxUnavailable": "half"}), "or a share of them, as 25%"),
        (_with(disruption={"maxUnavailable": 2**31}), "or a share of them, as 25%"),
        (_with(disruption={"minAvailable": -1}), "or a share of them, as 25%"),
        (
            _with(autoscaling={"behavior": {"scaleUp": {"policies": [_POLICY]}}}),
            "write a number from 1 to 2147483647",
        ),
        (_with(pod={"resources": {"requests": {"cpu": "two"}}}), "not a quantity: write a number"),
        (_with(pod={"resources": {"requests": {"cpu": -2}}}), "not a quantity: write a number"),
        (
            _with(pod={"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}}),
            "lower the request or raise the limit",
        ),
        (
            _with(pod={"resources": {"limits": {"nvidia.com/gpu": 1}}}),
            "GPUs are asked for in gpu: write gpu.count",
        ),
        (
            _with(
                gpu={"resource": "nvidia.com/mig-1g.10gb"},
                pod={"resources": {"requests": {"nvidia.com/mig-1g.10gb": 1}}},
            ),
            "remove it from pod.resources",
        ),
        (
            _with(pod={"labels": {"app.kubernetes.io/name": "mine"}}),
            "the operator's own: choose other keys",
        ),
        (_with(pod={"labels": {"a key": "x"}}), "a key is not one: write it as team or"),
        (_with(pod={"labels": {"team": "a b"}}), "write at most 63 letters, digits"),
        (_with(pod={"nodeSelector": {"a/b/c": "x"}}), "a key is not one: write it as team or"),
        (_with(pod={"annotations": {"-": "x"}}), "a key is not one: write it as team or"),
        (_with(pod={"topologySpread": [{"topologyKey": "z"}] * 2}), "Duplicate value"),
        (_with(pod={"tolerations": [{"value": "x"}]}), "operator Equal needs a key"),
        (_with(engine={"type": "tgi"}), 'supported values: "vllm"'),
        (_with(engine={"image": "not an image"}), "write REGISTRY/REPOSITORY:TAG"),
        (
            _with(engine={"env": [{"name": "HF_TOKEN", "value": "hf_x"}]}),
            "name the Secret in model.credentialsSecret",
        ),
        (
            _with(engine={"env": [{"name": "vllm_api_key", "value": "x"}]}),
            "put it into a Secret and write valueFrom.secretKeyRef",
        ),
        (
            _with(engine={"env": [{"name": "A", "valueFrom": {}}]}),
            "write one of secretKeyRef, configMapKeyRef and fieldRef",
        ),
        (_with(engine={"env": [{"name": "1A", "value": ""}]}), "not the name of a variable"),
        (_with(rollout={"strategy": "Yolo"}), 'supported values: "Surge", "Replace"'),
        (_with(observability={"logLevel": "loud"}), 'supported values: "debug", "info"'),
        (_with(observability={"otlpEndpoint": "collector:4317"}), "takes OTLP over HTTP: write"),
        (_with(expose={"service": {"port": 70000}}), "write a number from 1 to 65535"),
    ],
)
def test_refuses_with_what_to_write_instead(
    cluster: Cluster, spec: Manifest, sentence: str
) -> None:
    assert sentence in _refusal(cluster, _resource(spec))


@pytest.mark.parametrize(
    "spec",
    [
        _auth(),
        _auth(anonymous=True, defaultPlan="anonymous"),
        _with(gateway={"auth": {"anonymous": True}}),
        _with(gateway={"auth": _KEYS, "quotas": {}, "database": {"urlSecret": _SECRET}}),
        _with(gateway={"auth": _KEYS, "quotas": {}, **_SQLITE}, rollout=_REPLACE),
        _with(gateway=_SQLITE, rollout=_REPLACE, replicas=1),
        *(_price(inputPerMillion=price) for price in (0, 1, 0.001, 0.07, 9999.999, 10_000)),
    ],
)
def test_takes_what_has_all_that_it_needs(cluster: Cluster, spec: Manifest) -> None:
    _apply(cluster, _resource(spec), "--dry-run=server")


@pytest.mark.parametrize("spelling", ["kebab-case", "snake_case"])
@pytest.mark.parametrize("value", _ANY_TYPE, ids=lambda value: type(value).__name__)
def test_refuses_each_flag_that_the_operator_sets_whatever_its_value(
    cluster: Cluster, spelling: str, value: object
) -> None:
    flags = {
        flag.replace("-", "_") if spelling == "snake_case" else flag: sentence
        for flag, sentence in RESERVED_ARGS.items()
    }
    args = dict.fromkeys(flags, value)
    refusal = _refusal(cluster, _resource(_with(engine={"args": args})))
    lines = {line.partition(": ")[0]: line for line in refusal.splitlines()}
    for flag, sentence in flags.items():
        assert sentence in lines[f"* spec.engine.args.{flag}"]


def test_asks_for_a_spec_with_a_sentence(cluster: Cluster) -> None:
    empty = {key: value for key, value in _resource({}).items() if key != "spec"}
    assert "spec is missing: write spec: {model: {uri: hf://" in _refusal(cluster, empty)


def test_a_resource_that_nobody_has_looked_at_is_not_current_for_kstatus(
    cluster: Cluster,
) -> None:
    created = _apply(cluster, _resource(_with(), "unseen"), "--dry-run=server")
    assert created["status"] == {"observedGeneration": -1}


def test_keeps_every_other_flag_of_every_type(cluster: Cluster) -> None:
    args = {f"flag-{number}": value for number, value in enumerate(_ANY_TYPE)}
    kept = _apply(cluster, _resource(_with(engine={"args": args})), "--dry-run=server")
    assert kept["spec"]["engine"]["args"] == args


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a" * 53, "write at most 52 characters"),
        ("1st", "starting with a letter"),
        ("a.b", "write lower-case letters, digits and '-'"),
    ],
)
def test_refuses_names_that_children_cannot_have(
    cluster: Cluster, name: str, sentence: str
) -> None:
    assert sentence in _refusal(cluster, _resource(_with(), name))
    _apply(cluster, _resource(_with(), "a" * 52), "--dry-run=server")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (_with(modle={}), 'unknown field "spec.modle"'),
        (_with(gpu={"memory": "20Gi"}), 'unknown field "spec.gpu.memory"'),
        (_with(engine={"arguments": {}}), 'unknown field "spec.engine.arguments"'),
    ],
)
def test_refuses_unknown_fields_as_kubectl_asks_by_default(
    cluster: Cluster, spec: Manifest, field: str
) -> None:
    assert field in _refusal(cluster, _resource(spec))


@pytest.mark.parametrize(
    ("before", "after"),
    [("qwen", "other"), ("qwen", None), (None, "qwen")],
    ids=["changed", "removed", "written later"],
)
def test_served_name_cannot_change(
    cluster: Cluster, namespace: str, before: str | None, after: str | None
) -> None:
    def named(name: str | None) -> Manifest:
        return _resource({"model": {**_MODEL, **({"servedName": name} if name else {})}})

    _apply(cluster, named(before), "-n", namespace)
    refusal = _refusal(cluster, named(after), "-n", namespace)
    assert f"keep {before or 'x'}, or make another LLMService" in refusal
    moved = named(before)
    moved["spec"]["model"]["uri"] = "hf://Qwen/Qwen3-8B"
    _apply(cluster, moved, "-n", namespace)


def test_served_name_may_be_written_out_as_it_is(cluster: Cluster, namespace: str) -> None:
    _apply(cluster, _resource(_with()), "-n", namespace)
    _apply(cluster, _resource({"model": {**_MODEL, "servedName": "x"}}), "-n", namespace)


def test_writes_defaults_out_but_none_that_another_field_excludes(cluster: Cluster) -> None:
    spec = _apply(cluster, _resource(_with(gpu={})), "--dry-run=server")["spec"]
    groups = ("info", "inference", "apiV1", "chat", "predict", "docs")
    assert spec == {
        "model": _MODEL,
        "engine": {"type": "vllm"},
        "gpu": {"resource": "nvidia.com/gpu", "pipelineParallel": 1},
        "rollout": {"strategy": "Surge", "drainSeconds": 300},
        "gateway": {
            "limits": {"waiting": 1024, "waitSeconds": 30},
            "maxBodyBytes": 33554432,
            "api": {**dict.fromkeys(groups, True), "maxContextMessages": 20},
        },
        "expose": {"service": {"type": "ClusterIP", "port": 80}},
        "observability": {"logLevel": "info"},
    }
    scaled = _apply(cluster, _resource(_with(autoscaling={})), "--dry-run=server")["spec"]
    assert scaled["autoscaling"] == {"min": 2, "max": 10}
    assert "replicas" not in scaled


def test_kubectl_scale_works_where_replicas_are_written(cluster: Cluster, namespace: str) -> None:
    _apply(cluster, _resource(_with(replicas=1)), "-n", namespace)
    cluster.kubectl("scale", "llm/x", "--replicas=3", "-n", namespace)
    count = cluster.kubectl("get", "llm/x", "-n", namespace, "-o", "jsonpath={.spec.replicas}")
    assert count == "3"


def test_scale_has_no_number_until_one_is_written(cluster: Cluster, namespace: str) -> None:
    _apply(cluster, _resource(_with()), "-n", namespace)
    path = f"/apis/llmservice.io/v1alpha1/namespaces/{namespace}/llmservices/x/scale"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.kubectl("get", "--raw", path)
    assert 'the spec replicas field ".spec.replicas" does not exist' in refused.value.stderr
    cluster.kubectl("scale", "llm/x", "--replicas=3", "-n", namespace)
    assert json.loads(cluster.kubectl("get", "--raw", path))["spec"] == {"replicas": 3}


def test_kubectl_scale_is_refused_where_autoscaling_owns_the_number(
    cluster: Cluster, namespace: str
) -> None:
    _apply(cluster, _resource(_with(autoscaling={})), "-n", namespace)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.kubectl("scale", "llm/x", "--replicas=3", "-n", namespace)
    assert "write replicas or autoscaling, not both" in refused.value.stderr


def test_kubectl_scale_is_refused_where_one_replica_alone_may_be(
    cluster: Cluster, namespace: str
) -> None:
    one = _with(gateway=_SQLITE, rollout=_REPLACE, replicas=1)
    _apply(cluster, _resource(one), "-n", namespace)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.kubectl("scale", "llm/x", "--replicas=2", "-n", namespace)
    assert "a SQLite is one replica's" in refused.value.stderr


def test_status_is_a_subresource_with_columns(cluster: Cluster, namespace: str) -> None:
    _apply(cluster, _resource(_with()), "-n", namespace)
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Serving",
        "message": "1 of 1 replicas answers",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    }
    status = {
        "observedGeneration": 1,
        "conditions": [condition],
        "replicas": 1,
        "readyReplicas": 1,
        "updatedReplicas": 1,
        "selector": "app.kubernetes.io/instance=x",
        "url": f"http://x.{namespace}.svc/v1",
        "model": "x",
        "placement": {
            "message": "1 of 1 node could hold a replica",
            "fittingNodes": 1,
            "roomFor": 0,
        },
    }
    patch = ("patch", "llm/x", "-n", namespace, "--subresource=status", "--type=merge", "-p")
    written = json.loads(cluster.kubectl(*patch, json.dumps({"status": status}), "-o", "json"))
    assert written["status"] == status
    lines = cluster.kubectl("get", "llm", "-n", namespace, "-o", "wide").splitlines()
    assert lines[0].split() == [
        *("NAME", "READY", "UP", "REPLICAS", "MODEL", "URL", "AGE", "REASON", "MESSAGE")
    ]
    assert lines[1].split()[:6] == ["x", "True", "1", "1", "x", f"http://x.{namespace}.svc/v1"]
    assert "1 of 1 replicas answers" in lines[1]


@pytest.mark.parametrize(
    "field", ["llmservice.spec", "llmservice.spec.gpu", "llmservice.spec.gateway"]
)
def test_explain_reads_as_checked_in(cluster: Cluster, field: str) -> None:
    told = [line.rstrip() for line in cluster.kubectl("explain", field).splitlines()]
    checked_in = Path(__file__).parent / "explain" / f"{field}.txt"
    stale = f"if it reads well: kubectl explain {field} | sed 's/ *$//' > {checked_in}"
    assert told == checked_in.read_text().splitlines(), stale
