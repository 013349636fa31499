"""The command: read the file, ask for dry runs, print.

Promises: nothing is written (the client sends dry runs only); one resource that fails keeps no
other from being shown. The exit status is that of `kubectl diff`.
"""

import asyncio
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from llmservice_operator import records, rollout
from llmservice_operator.api import InvalidSpec, LLMService, Manifest
from llmservice_operator.client import ApiError, Client, Selection
from llmservice_operator.connection import ConnectError, connect
from llmservice_operator.diff.applied import applier, merge_patch
from llmservice_operator.diff.text import difference
from llmservice_operator.files import resources_in
from llmservice_operator.kinds import CHILDREN, LLM_SERVICE, NEEDED, NEEDING, SECRET, Kind
from llmservice_operator.observed import Observed
from llmservice_operator.ownership import stamped
from llmservice_operator.records import Ref
from llmservice_operator.render import RenderDefaults, render
from llmservice_operator.render.redis import redis_name

SAME, DIFFERENT, FAILED = 0, 1, 2
_FORBIDDEN = (
    "; a dry run writes nothing, but needs the right to get, list, create and patch what it is of"
)


@dataclass(frozen=True)
class Asked:
    """server_image, field_manager: empty for what the cluster has. new: where it has none."""

    file: Path
    new: RenderDefaults
    server_image: str = ""
    field_manager: str = ""


def print_differences(asked: Asked, out: TextIO) -> int:
    """Print what applying the file would change in the children of each LLMService in it."""
    try:
        return asyncio.run(_compare_all(asked, out))
    except Exception:  # noqa: BLE001 - Python's own status for it, 1, would mean a difference
        return _failed(traceback.format_exc())


async def _compare_all(asked: Asked, out: TextIO) -> int:
    try:
        resources = resources_in(asked.file)
        connection = connect(plugins=True)
    except (InvalidSpec, ConnectError) as error:
        return _failed(f"{asked.file}: {error}")
    client, status = Client(connection, lambda: None, dry_run=True), SAME
    try:
        for resource in resources:
            meta = {"namespace": connection.namespace, **resource["metadata"]}
            found = await _told(_Comparison(client, asked, out), {**resource, "metadata": meta})
            status = max(status, found)
    finally:
        await client.close()
    return status


def _failed(sentence: str) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201
    return FAILED


async def _told(comparison: "_Comparison", written: Manifest) -> int:
    try:
        return await comparison.run(written)
    except ApiError as error:
        sentence = f"{error.message}{_FORBIDDEN if error.code == 403 else ''}"
    except ValueError as error:  # InvalidSpec too
        sentence = str(error)
    return _failed(f"{comparison.asked.file}: {written['metadata'].get('name', '')}: {sentence}")


@dataclass
class _Comparison:
    client: Client
    asked: Asked
    out: TextIO

    async def run(self, written: Manifest) -> int:
        LLMService.parse(written, unknown="forbid")  # before the API server drops what is unknown
        written = {"apiVersion": LLM_SERVICE.api_version, "kind": LLM_SERVICE.name, **written}
        meta = written["metadata"]
        before = await self._get(LLM_SERVICE, meta["namespace"], meta["name"])
        after = await self._resource(before, written)
        service = LLMService.parse(after)
        owned = await self._owned(service)
        installed = self._installed(before, owned)
        desired = [stamped(manifest) for manifest in render(service, installed)]
        status = await self._compare(after, owned, desired)
        return max(status, await self._password(service))

    def _installed(self, before: Manifest | None, owned: dict[Ref, Manifest]) -> RenderDefaults:
        """The images that the operator was installed with, as far as what runs tells."""
        new, live = self.asked.new, _images(owned)
        server, proxy = new.server_image, new.proxy_image
        engine: Manifest = (before or {}).get("spec", {}).get("engine", {})
        if "server" in live and not engine.get("image"):
            of_proxies = engine.get("type") == "proxy"
            server, proxy = (server, live["server"]) if of_proxies else (live["server"], proxy)
        if asked := self.asked.server_image:
            server = proxy = asked
        return RenderDefaults(server, proxy, live.get("redis", new.redis_image))

    async def _compare(
        self, after: Manifest, owned: dict[Ref, Manifest], desired: list[Manifest]
    ) -> int:
        children = tuple(records.child(obj) for obj in owned.values())
        plan = rollout.step(desired, Observed(records.resource(after), children, ()))
        status = SAME
        lacking = False
        # A ConfigMap stays for as long as a pod needs it; that it goes then is shown at once.
        for ref in sorted(owned.keys() - {rollout.ref_of(manifest) for manifest in desired}):
            status = max(status, self._print(owned[ref], None))
        for manifest in plan.apply:
            kind, ref = CHILDREN[manifest["kind"]], rollout.ref_of(manifest)
            if lacking and kind.name in NEEDING:
                status = _failed(f"{ref} is not written while what its pods need is not ours")
                continue
            live = owned.get(ref) or await self._get(kind, ref.namespace, ref.name)
            if live and records.child(live).owner != after["metadata"]["uid"]:
                status = _failed(f"{ref} is not owned by this LLMService and is left alone")
                lacking = lacking or kind.name in NEEDED
            else:
                status = max(status, self._print(live, await self.client.apply(kind, manifest)))
        return status

    async def _password(self, service: LLMService) -> int:
        """That of a Redis of its own is no child that is rendered, and is nobody's to see."""
        name, namespace = redis_name(service), service.metadata.namespace
        if not service.spec.gateway.runs_redis or await self._get(SECRET, namespace, name):
            return SAME
        self.out.write(
            f"# Secret {name} would be made in namespace {namespace}, with a password drawn at "
            "random, where the operator may (redis.createSecrets in its chart)\n"
        )
        return DIFFERENT

    def _print(self, before: Manifest | None, after: Manifest | None) -> int:
        text = difference(before, after)
        self.out.write(text)
        return DIFFERENT if text else SAME

    async def _resource(self, live: Manifest | None, written: Manifest) -> Manifest:
        """The resource as it would be with the file applied as it was applied last."""
        if live is None:
            made = await self.client.create(LLM_SERVICE, written)
            return {**made, "metadata": {"resourceVersion": "0", **made["metadata"]}}
        if manager := self.asked.field_manager or applier(live):
            return await self.client.apply(LLM_SERVICE, written, manager)
        meta, patch = written["metadata"], merge_patch(live, written)
        return await self.client.merge(LLM_SERVICE, meta["namespace"], meta["name"], patch)

    async def _owned(self, service: LLMService) -> dict[Ref, Manifest]:
        meta = service.metadata
        owned: dict[Ref, Manifest] = {}
        for kind in CHILDREN.values():
            labels = f"app.kubernetes.io/instance={meta.name}"
            found, _ = await self.client.list(Selection(kind, meta.namespace, labels), _as_it_is)
            for obj in found:
                child = records.child(obj)
                if child.owner == meta.uid and not child.deleting:
                    owned[child.ref] = {"apiVersion": kind.api_version, **obj}
        return owned

    async def _get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        try:
            return await self.client.get(kind, namespace, name)
        except ApiError as error:
            if error.code != 404:
                raise
            return None


def _as_it_is(obj: Manifest) -> Manifest:
    return obj


def _images(owned: dict[Ref, Manifest]) -> dict[str, str]:
    """What the operator was installed with, by the container that runs it."""
    pods = (o["spec"]["template"]["spec"] for ref, o in owned.items() if ref.kind == "Deployment")
    return {c["name"]: c["image"] for pod in pods for c in pod["containers"]}
