"""Events as the API server keeps them, sent with the operator's own rights."""

import re

from devcluster import Cluster
from llmservice_operator import records
from llmservice_operator.client import Client
from llmservice_operator.connection import from_kubeconfig
from llmservice_operator.events import EACH, Recorder

from tests.cluster import services
from tests.cluster.kube import Kube
from tests.cluster.operator_process import Operator


async def test_an_event_that_comes_again_is_counted_up(
    operator: Operator, cluster: Cluster, kube: Kube
) -> None:
    known = kube.create(services.minimal("x"))
    now = 1000.0
    client = Client(from_kubeconfig(operator.kubeconfig), lambda: None)
    recorder = Recorder(client, "test", lambda: now)
    crashed = {"type": "Degraded", "status": "True", "reason": "CrashLooping", "message": "again"}
    for _ in range(3):
        recorder.announce(records.resource(known), [crashed])
        await recorder.send()
        now += EACH
    await client.close()

    (event,) = (e for e in kube.list("Event") if e["reason"] == "CrashLooping")
    assert event["series"]["count"] == 3
    assert event["note"] == "again"
    described = cluster.kubectl("describe", "llmservice", "x", "-n", kube.namespace)
    assert re.search(r"Warning +CrashLooping .*\(x3 over", described)
