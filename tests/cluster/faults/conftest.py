"""The operator behind a proxy that fails on demand, and what has to be true after each fault."""

from collections.abc import Callable, Iterator

import pytest

from tests.cluster.faults.converged import Converged
from tests.cluster.faults.proxy import Proxy
from tests.cluster.kube import Kube
from tests.cluster.operator_process import Operator


@pytest.fixture(scope="module")
def proxy(shared_operator: Operator) -> Iterator[Proxy]:
    with Proxy(shared_operator.kubeconfig).running() as running:
        yield running


@pytest.fixture(scope="module")
def _behind(
    shared_operator: Operator, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    folder = tmp_path_factory.mktemp("behind")
    mine = Operator(proxy.kubeconfig(folder), shared_operator.lease_namespace, folder / "log")
    if shared_operator.runs():
        shared_operator.stop()
    yield mine
    proxy.heal()
    if mine.runs():
        mine.stop()


@pytest.fixture
def behind(_behind: Operator, proxy: Proxy, nodes: None) -> Iterator[Operator]:
    """The operator behind the proxy, leading, in place of the other one."""
    if not _behind.runs():
        _behind.start()
    yield _behind
    proxy.heal()


@pytest.fixture
def converged(kube: Kube, proxy: Proxy) -> Callable[..., None]:
    """Called with the names of all LLMServices of the namespace, once the fault is over."""
    return Converged(kube, proxy)
