"""What the server relies on of vLLM is there, in the vLLM of the image that is served."""

import json
from pathlib import Path

from dev import client
from tests.e2e.service import Service
from tests.vllm_names import rows

_LACKS = Path(__file__).with_name("vllm_lacks.py")


def test_the_real_vllm_has_every_name_that_is_used(service: Service) -> None:
    """Three that it has not are the control."""
    (pod,) = service.items("pods")
    absent = [
        ("vllm.envs", "", "VLLM_NO_SUCH_VARIABLE"),
        ("vllm.engine.arg_utils", "NoSuchClass", "model"),
        ("vllm.no_such_module", "", "main"),
    ]
    asked = json.dumps([*rows(), *absent])
    where = (service.cluster, service.namespace, _LACKS, asked)
    lacks = client.run(*where, timeout=60, pod=pod["metadata"]["name"])

    assert [tuple(row) for row in json.loads(lacks)] == absent
