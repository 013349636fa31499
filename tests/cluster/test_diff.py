"""`diff`: what it shows is what applying then does, and it writes nothing itself."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from devcluster import Cluster

from tests.cluster import services, writes
from tests.cluster.kube import CHILDREN, Kube, Manifest, eventually
from tests.cluster.operator_process import Operator

Account = Callable[..., Path]


@dataclass
class Diff:
    """removed, added: the lines of each object, by "Kind name"; the whole of an object under both
    keys where it appears or goes.
    """

    status: int
    out: str
    err: str

    def lines(self, sign: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for part in self.out.split("\n--- ") if self.out else ():
            before, after, *body = part.removeprefix("--- ").splitlines()
            named = before if before != "/dev/null" else after.removeprefix("+++ ")
            name = " ".join(named.split("/")[-2:])
            found[name] = [line[1:].strip() for line in body if line.startswith(sign)]
        return {name: lines for name, lines in found.items() if lines}


@dataclass
class Command:
    """The command line of whoever the kubeconfig belongs to."""

    kubeconfig: Path

    def __call__(self, *resources: Manifest, flags: tuple[str, ...] = ()) -> Diff:
        done = subprocess.run(
            [sys.executable, "-m", "llmservice_operator", "diff", "-", *flags],
            input=yaml.safe_dump_all(resources),
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Diff(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def diff(cluster: Cluster) -> Command:
    return Command(cluster.kubeconfig)


@pytest.fixture
def account(cluster: Cluster, namespace: str, tmp_path: Path) -> Account:
    """Makes the kubeconfig of a person with these Roles in the test's namespace."""

    def made(*roles: str) -> Path:
        cluster.kubectl("-n", namespace, "create", "serviceaccount", "person")
        for role in roles:
            subject = f"--serviceaccount={namespace}:person"
            cluster.kubectl("-n", namespace, "create", "rolebinding", role, f"--{role}", subject)
        token = cluster.kubectl("-n", namespace, "create", "token", "person")
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        for user in config["users"]:
            user["user"] = {"token": token}
        path = tmp_path / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path

    return made


def _apply(cluster: Cluster, obj: Manifest, *flags: str) -> None:
    cluster.kubectl("apply", *flags, "-f", "-", input=json.dumps(obj))


def _in(kube: Kube, obj: Manifest) -> Manifest:
    return {**obj, "metadata": {**obj["metadata"], "namespace": kube.namespace}}


def _written(kube: Kube) -> Manifest:
    """All of the objects but what controllers keep on writing: their status, and its traces."""
    found: Manifest = {}
    for kind in ("LLMService", *CHILDREN):
        for obj in kube.list(kind):
            obj.pop("status", None)
            for moves in ("resourceVersion", "managedFields"):
                obj["metadata"].pop(moves, None)
            found[f"{kind} {obj['metadata']['name']}"] = obj
    return found


def test_of_a_new_resource_every_child_is_shown_and_none_is_made(diff: Command, kube: Kube) -> None:
    before = _written(kube)
    every = services.autoscaled("new", gateway={"redis": {"managed": True}})
    found = diff(_in(kube, every), flags=("--server-image=mine:1",))

    assert found.status == 1
    added = found.lines("+")
    assert {name.split()[0] for name in added} == set(CHILDREN)
    secret = f"# Secret new-redis would be made in namespace {kube.namespace}, with a password"
    assert found.out.count(secret) == 1
    assert "image: mine:1" in added["Deployment new"]
    assert not found.lines("-")
    assert not found.err
    assert _written(kube) == before


def test_nothing_is_shown_where_applying_changes_nothing(
    operator: Operator, diff: Command, kube: Kube, cluster: Cluster
) -> None:
    resource = _in(kube, services.autoscaled("same"))
    _apply(cluster, resource)
    services.wait_ready(kube, "same")
    # Fields of others: a policy's label, an autoscaler's number, an injected sidecar.
    kube.merge("Deployment", "same", {"metadata": {"labels": {"policy": "checked"}}})
    kube.merge("Deployment", "same", {"spec": {"replicas": 4}})
    rights = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    sidecar = {"name": "sidecar", "image": "sidecar:1", "securityContext": rights}
    kube.strategic(
        "Deployment", "same", {"spec": {"template": {"spec": {"containers": [sidecar]}}}}
    )
    services.wait_ready(kube, "same")
    writes.until_quiet(operator)
    before = _written(kube)

    assert diff(resource) == Diff(0, "", "")
    assert _written(kube) == before


@pytest.mark.parametrize("flags", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_what_is_shown_is_what_applying_does(
    operator: Operator, diff: Command, kube: Kube, cluster: Cluster, flags: tuple[str, ...]
) -> None:
    args = {"max-model-len": 8192}
    scaling = {"min": 1, "max": 3}
    edited = services.minimal("edited", engine={"args": args}, autoscaling=scaling)
    resource = _in(kube, edited)
    _apply(cluster, resource, *flags)
    services.wait_ready(kube, "edited")
    writes.until_quiet(operator)
    was, before = kube.children("edited"), _written(kube)
    (old,) = (name for name in was if name.startswith("ConfigMap"))

    del resource["spec"]["autoscaling"], args["max-model-len"]
    args["max-num-seqs"] = 16
    resource["spec"]["replicas"] = 2
    found = diff(resource)

    assert (found.status, found.err) == (1, "")
    removed, added = found.lines("-"), found.lines("+")
    (new,) = (name for name in added if name.startswith("ConfigMap"))
    assert removed.keys() == {"HorizontalPodAutoscaler edited", "Deployment edited", old}
    assert added.keys() == {"Deployment edited", new}
    assert "max-num-seqs: 16" in added[new]
    assert added["Deployment edited"] == ["replicas: 2", f"name: {new.split()[1]}"]
    assert _written(kube) == before

    _apply(cluster, resource, *flags)
    services.wait_condition(kube, "edited", "Progressing", "False", "UpToDate")
    eventually("the old configuration is gone", lambda: old not in kube.children("edited"))
    assert kube.children("edited").keys() == was.keys() - removed.keys() | added.keys()
    assert diff(resource) == Diff(0, "", "")


def test_another_writers_part_of_the_resource_stays(
    operator: Operator, diff: Command, kube: Kube, cluster: Cluster
) -> None:
    resource = _in(kube, services.minimal("shared"))
    _apply(cluster, resource)
    cluster.kubectl("-n", kube.namespace, "scale", "llm/shared", "--replicas=2")
    services.wait_ready(kube, "shared")
    assert diff(resource) == Diff(0, "", "")

    resource["spec"]["engine"] = {"image": "mine:1"}
    added = diff(resource).lines("+")
    assert added == {"Deployment shared": ["image: mine:1"]}


def test_a_person_who_may_edit_the_namespace_may_ask(
    account: Account, kube: Kube, cluster: Cluster
) -> None:
    verbs = "--verb=get,create,patch"
    role = ("create", "role", "llmservices", verbs, "--resource=llmservices.llmservice.io")
    cluster.kubectl("-n", kube.namespace, *role)
    ask = Command(account("clusterrole=edit", "role=llmservices"))
    resource = _in(kube, services.minimal("asked"))
    assert ask(resource).status == 1
    kube.create(services.minimal("asked"))
    found = ask(resource, flags=("--server-image=mine:1",))
    assert (found.status, found.err) == (1, "")


def test_who_may_only_look_is_told_which_right_is_missing(account: Account, kube: Kube) -> None:
    found = Command(account("clusterrole=view"))(_in(kube, services.minimal("mine")))
    assert (found.status, found.out) == (2, "")
    assert 'cannot get resource "llmservices"' in found.err
    assert "a dry run writes nothing, but needs the right to get, list, create" in found.err
    assert found.err.count("\n") == 1


def test_a_foreign_object_and_a_refused_resource_keep_no_other_from_being_shown(
    diff: Command, kube: Kube
) -> None:
    kube.create({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "taken"}})
    resources = (
        services.minimal("both", replicas=1, autoscaling={}),
        services.minimal("taken"),
        services.minimal("good"),
    )
    found = diff(*(_in(kube, resource) for resource in resources))
    assert found.status == 2
    refused, left, without = found.err.splitlines()
    assert "both: " in refused
    assert "write replicas or autoscaling, not both" in refused
    assert "ServiceAccount taken is not owned by this LLMService and is left alone" in left
    assert "Deployment taken is not written while what its pods need is not ours" in without
    added = found.lines("+")
    assert not {"ServiceAccount taken", "Deployment taken"} & added.keys()
    assert {"Service taken", "ServiceAccount good", "Deployment good"} <= added.keys()


def test_of_a_redis_that_has_its_password_none_is_made_and_none_is_shown(
    diff: Command, kube: Kube
) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "has-redis"}}
    kube.create({**secret, "stringData": {"REDIS_PASSWORD": "chosen"}})
    has = services.minimal("has", gateway={"redis": {"managed": True}})
    found = diff(_in(kube, has))
    assert "Deployment has-redis" in found.lines("+")
    assert "would be made" not in found.out
    assert "chosen" not in found.out


def test_the_image_of_a_server_is_not_taken_for_a_proxys_nor_the_other_way_round(
    operator: Operator, diff: Command, kube: Kube, cluster: Cluster
) -> None:
    """That the operator of these tests has none for proxies, nobody can see."""
    server = _in(kube, services.minimal("turns"))
    upstreams = [{"url": "http://up.example.com/v1"}]
    spec = {"engine": {"type": "proxy", "upstreams": upstreams}}
    proxy = {**server, "spec": spec}
    _apply(cluster, server)
    services.wait_ready(kube, "turns")
    assert "image: llmservice/proxy:dev" in diff(proxy).lines("+")["Deployment turns"]
    _apply(cluster, proxy)
    services.wait_ready(kube, "turns")
    assert diff(proxy) == Diff(0, "", "")
    assert "image: llmservice/server:dev" in diff(server).lines("+")["Deployment turns"]
