"""What holds for the children of every resource that the types accept, by generated resources."""

import re
from typing import Any

import yaml
from hypothesis import given, settings
from llmservice_operator.api import LLMService, Manifest
from llmservice_operator.render import RenderDefaults, render

from tests.unit.render.resources import RESOURCES, SPECS

_DEFAULTS = RenderDefaults("llmservice/server:1", redis_image="llmservice/redis:1")


def _rendered(obj: Manifest) -> list[Manifest]:
    return render(LLMService.parse(obj), _DEFAULTS)


@settings(max_examples=60)
@given(RESOURCES)
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


@settings(max_examples=60)
@given(RESOURCES)
def test_pods_are_restricted_and_have_no_token(obj: Manifest) -> None:
    for deployment in (child for child in _rendered(obj) if child["kind"] == "Deployment"):
        _is_restricted(deployment["spec"]["template"]["spec"])


def _is_restricted(pod: Manifest) -> None:
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 1000)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not any(pod[name] for name in ("hostNetwork", "hostPID", "hostIPC"))
    assert all(
        {"configMap", "emptyDir", "persistentVolumeClaim"} & volume.keys()
        for volume in pod.get("volumes", ())
    )
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"add": [], "drop": ["ALL"]},
        }
        names = [variable["name"] for variable in container["env"]]
        assert len(names) == len(set(names))
        paths = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
        assert len(paths) == len(set(paths))


@settings(max_examples=30)
@given(RESOURCES, SPECS)
def test_selectors_outlive_every_change_of_the_spec(obj: Manifest, other: Manifest) -> None:
    def selectors(resource: Manifest) -> dict[tuple[str, str], Any]:
        return {
            (c["kind"], c["metadata"]["name"]): c["spec"]["selector"]
            for c in _rendered(resource)
            if "selector" in c.get("spec", {})
        }

    before, after = selectors(obj), selectors(obj | {"spec": other})
    assert ("Deployment", obj["metadata"]["name"]) in before.keys() & after.keys()
    for child in before.keys() & after.keys():
        assert before[child] == after[child]
