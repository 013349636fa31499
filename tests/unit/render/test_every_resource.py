"""What holds for the children of every resource that the types accept, by generated resources."""

import re
import string
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from llmservice_operator.api import LLMService, Manifest
from llmservice_operator.render import RenderDefaults, render

_DEFAULTS = RenderDefaults(server_image="llmservice/server:1")

_word = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
_names = st.from_regex(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?", fullmatch=True)
_quantities = st.from_regex(r"[1-9][0-9]{0,2}(m|Ki|Mi|Gi|)", fullmatch=True)
_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_values = st.recursive(
    _scalars, lambda c: st.lists(c) | st.dictionaries(st.text(), c), max_leaves=4
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
    st.builds(lambda n, v: {"name": n, "value": v}, st.sampled_from(["HOME", "A", "B"]), st.text()),
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
    topologySpread=st.lists(st.builds(lambda k: {"topologyKey": k}, _word), max_size=2),
    labels=st.dictionaries(_word, _word, max_size=3),
    annotations=st.dictionaries(_word, st.text(), max_size=3),
    imagePullSecrets=st.lists(st.builds(lambda n: {"name": n}, _word), max_size=2),
)
_replicas = st.one_of(
    st.just({}),
    st.builds(lambda n: {"replicas": n}, st.integers(1, 1000)),
    st.builds(
        lambda a: {"autoscaling": a},
        _some(min=st.integers(1, 2), max=st.integers(2, 9), memory=st.integers(1, 100)),
    ),
)
_disruptions = st.one_of(
    st.builds(lambda n: {"maxUnavailable": n}, st.integers(0, 9)),
    st.builds(lambda n: {"minAvailable": f"{n}%"}, st.integers(0, 100)),
)
_specs = st.builds(
    lambda required, optional, replicas: {**required, **optional, **replicas},
    st.fixed_dictionaries({"model": _models}),
    _some(
        engine=_some(args=_flags, env=_env),
        gpu=_gpus,
        pod=_pods,
        rollout=_some(drainSeconds=st.integers(0, 86400)),
        disruption=_disruptions,
    ),
    _replicas,
)
_resources = st.builds(
    lambda name, spec: {"metadata": {"name": name, "namespace": "ml", "uid": "u"}, "spec": spec},
    _names,
    _specs,
)


def _rendered(obj: Manifest) -> list[Manifest]:
    return render(LLMService.parse(obj), _DEFAULTS)


@settings(max_examples=60, deadline=None)
@given(_resources)
def test_children_are_the_same_bytes_each_time_and_each_of_its_own_name(obj: Manifest) -> None:
    children = _rendered(obj)
    # Not sorted: the order of the keys is part of the bytes.
    assert yaml.safe_dump_all(children, sort_keys=False) == yaml.safe_dump_all(
        _rendered(obj), sort_keys=False
    )
    identities = {(child["kind"], child["metadata"]["name"]) for child in children}
    assert len(identities) == len(children)
    for _, name in identities:
        assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name)


@settings(max_examples=60, deadline=None)
@given(_resources)
def test_pods_are_restricted_and_have_no_token(obj: Manifest) -> None:
    (deployment,) = [child for child in _rendered(obj) if child["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 1000)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert all(
        {"configMap", "emptyDir", "persistentVolumeClaim"} & volume.keys()
        for volume in pod["volumes"]
    )
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        names = [variable["name"] for variable in container["env"]]
        assert len(names) == len(set(names))
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert len(paths) == len(set(paths))


@settings(max_examples=30, deadline=None)
@given(_resources, _specs)
def test_selectors_outlive_every_change_of_the_spec(obj: Manifest, other: Manifest) -> None:
    def selectors(resource: Manifest) -> list[Any]:
        return [
            c["spec"]["selector"] for c in _rendered(resource) if "selector" in c.get("spec", {})
        ]

    assert selectors(obj) == selectors(obj | {"spec": other})
