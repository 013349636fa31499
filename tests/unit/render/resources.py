"""Resources of every shape that the API server accepts, as hypothesis generates them."""

import string
from typing import Any

from hypothesis import strategies as st

_word = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
_names = st.from_regex(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?", fullmatch=True)
_quantities = st.from_regex(r"[1-9][0-9]{0,2}(m|Ki|Mi|Gi|)", fullmatch=True)
# kubectl sends patches as YAML, which has no control characters and no unassigned ones.
_text = st.text(st.characters(exclude_categories=("Cc", "Cn", "Cs")), max_size=20)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    _text,
)
_values = st.recursive(
    _scalars,
    lambda c: st.lists(c, max_size=2) | st.dictionaries(_text, c, max_size=2),
    max_leaves=3,
)
_flags = st.dictionaries(
    _word.map("x-{}".format), _values.filter(lambda v: v is not None), max_size=3
)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any part of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


_models = st.one_of(
    st.builds("hf://{}/{}".format, _word, _word),
    st.builds("pvc://{}/{}".format, _word, _word),
    st.builds("file:///{}".format, _word),
).flatmap(
    lambda uri: st.fixed_dictionaries(
        {"uri": st.just(uri)},
        optional={"servedName": _word}
        | ({"revision": _word, "credentialsSecret": _word} if uri.startswith("hf") else {}),
    )
)
_env = st.lists(
    st.builds(lambda n, v: {"name": n, "value": v}, st.sampled_from(["HOME", "A", "B"]), _text),
    unique_by=lambda variable: variable["name"],
)
_gpus = _some(
    tensorParallel=st.integers(1, 8),
    pipelineParallel=st.integers(1, 8),
    products=st.lists(_word, min_size=1, max_size=3, unique=True),
    minMemory=st.integers(1, 500).map("{}Gi".format),
    resource=st.sampled_from(["nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "nvidia.com/gpu.shared"]),
)
_pods = _some(
    resources=_some(requests=st.dictionaries(st.sampled_from(["cpu", "memory"]), _quantities)),
    nodeSelector=st.dictionaries(_word, _word, max_size=3),
    tolerations=st.lists(st.builds(lambda k, v: {"key": k, "value": v}, _word, _word), max_size=3),
    topologySpread=st.lists(
        st.builds(lambda k: {"topologyKey": k}, _word),
        max_size=2,
        unique_by=lambda constraint: constraint["topologyKey"],
    ),
    labels=st.dictionaries(_word, _word, max_size=3),
    annotations=st.dictionaries(_word, _text, max_size=3),
    imagePullSecrets=st.lists(
        st.builds(lambda n: {"name": n}, _word), max_size=2, unique_by=lambda secret: secret["name"]
    ),
)
_int32 = st.integers(1, 2**31 - 1)
_policies = st.builds(
    lambda kind, value, seconds: {"type": kind, "value": value, "periodSeconds": seconds},
    st.sampled_from(["Pods", "Percent"]),
    _int32,
    st.integers(1, 1800),
)
_paces = _some(
    stabilizationWindowSeconds=st.integers(0, 3600),
    selectPolicy=st.sampled_from(["Max", "Min", "Disabled"]),
    policies=st.lists(_policies, min_size=1, max_size=3),
)
_replicas = st.one_of(
    st.just({}),
    st.builds(lambda n: {"replicas": n}, st.integers(1, 1000)),
    st.builds(
        lambda a: {"autoscaling": a},
        _some(
            min=st.integers(1, 2),
            max=st.integers(2, 1000),
            cpu=st.integers(1, 1000),
            memory=st.integers(1, 1000),
            behavior=_some(scaleUp=_paces, scaleDown=_paces),
        ),
    ),
)
_disruptions = st.one_of(
    st.builds(lambda n: {"maxUnavailable": n}, st.just(0) | _int32),
    st.builds(lambda n: {"minAvailable": n}, st.just(0) | _int32),
    st.builds(lambda n: {"minAvailable": f"{n}%"}, st.integers(0, 100)),
)
_services = _some(
    type=st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]),
    port=st.integers(1, 65535),
    annotations=st.dictionaries(_word, _text, max_size=3),
)
_counts = st.integers(1, 2**53)
_rates = _some(
    requestsPerMinute=_counts,
    tokensPerMinute=_counts,
    concurrentRequests=_counts,
    concurrentStreams=_counts,
)
_months: dict[str, st.SearchStrategy[Any]] = {"monthlyRequests": _counts, "monthlyTokens": _counts}
_secrets = st.fixed_dictionaries({"name": _word}, optional={"key": _word})
_plans = st.fixed_dictionaries(
    {"name": _word},
    optional={
        "weight": st.integers(1, 1000),
        "perKey": _rates,
        "total": _rates,
        "maxOutputTokens": _counts,
        "models": st.lists(_word, max_size=2, unique=True),
        **_months,
    },
)
_auths = st.fixed_dictionaries(
    {"keysSecret": _secrets},
    optional={
        "anonymous": st.booleans(),
        "stored": st.booleans(),
        "pepperSecret": _secrets,
        "plans": st.lists(_plans, max_size=2, unique_by=lambda plan: plan["name"]),
        "trustedProxies": st.lists(st.just("10.0.0.0/8"), max_size=1),
    },
).map(lambda auth: auth if "pepperSecret" in auth else {**auth, "stored": False})
_thousandths = st.integers(0, 10_000_000).map(lambda number: number / 1000)
_prices = st.fixed_dictionaries(
    {"model": _word}, optional={"inputPerMillion": _thousandths, "outputPerMillion": _thousandths}
)
# Of a database, since what needs one is drawn with it.
_callers = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"auth": _auths, "database": st.fixed_dictionaries({"urlSecret": _secrets})},
        optional={
            "quotas": _some(**_months),
            "prices": st.lists(_prices, max_size=2, unique_by=lambda price: price["model"]),
            "redis": st.just({"managed": True}) | st.fixed_dictionaries({"urlSecret": _secrets}),
        },
    ),
)
_bounds = _some(
    limits=_some(
        running=st.integers(1, 1_000_000),
        waiting=st.integers(0, 1_000_000),
        waitSeconds=st.integers(0, 3600),
        anonymous=_rates,
        perAddress=_rates,
        whenRedisIsDown=st.sampled_from(["open", "closed"]),
    ),
    maxBodyBytes=st.integers(1, 2**40),
    trustedHosts=st.lists(st.builds("{}{}.example".format, st.sampled_from(["", "*."]), _word)),
    cors=_some(origins=st.lists(st.just("*") | st.builds("https://{}:1".format, _word))),
    api=_some(
        **dict.fromkeys(("info", "inference", "apiV1", "chat", "predict", "docs"), st.booleans()),
        maxContextMessages=st.integers(1, 10_000),
    ),
)
_gateways = st.builds(lambda callers, bounds: {**callers, **bounds}, _callers, _bounds)
SPECS = st.builds(
    lambda required, optional, replicas: {**required, **optional, **replicas},
    st.fixed_dictionaries({"model": _models}),
    _some(
        engine=_some(args=_flags, env=_env),
        gpu=_gpus,
        pod=_pods,
        rollout=_some(
            drainSeconds=st.integers(0, 86400), progressDeadlineSeconds=st.integers(30, 86400)
        ),
        disruption=_disruptions,
        gateway=_gateways,
        expose=_some(service=_services),
        observability=_some(logLevel=st.sampled_from(["debug", "info", "warning", "error"])),
    ),
    _replicas,
)
RESOURCES = st.builds(
    lambda name, spec: {"metadata": {"name": name, "namespace": "ml", "uid": "u"}, "spec": spec},
    _names,
    SPECS,
)
