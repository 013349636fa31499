"""docs/troubleshooting.md shows what `kubectl describe` tells of each kind of trouble.

REWRITE=1 writes the page instead of comparing it.
"""

import os
import re
import textwrap
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from devcluster import Cluster

from tests.cluster import services, writes
from tests.cluster.kube import Kube, eventually
from tests.cluster.operator_process import Operator
from tests.cluster.troubles import NAME, TROUBLES, Trouble

_PAGE = Path(__file__).parents[2] / "docs/troubleshooting.md"
_LONGEST = (
    240  # seconds: what an autoscaler complains of is told when it has lasted for two minutes
)
_HEAD = """\
<!-- Written by `REWRITE=1 .venv/bin/pytest tests/cluster/test_troubleshooting.py`. -->
# When something is wrong

`kubectl describe llm NAME` says what, with numbers, and most often what to do. Below are the \
conditions and Events of its answer, without dates, for {number} kinds of trouble that a test \
makes on a cluster. Every reason, with its way out: [conditions.md](conditions.md).
"""
_SECTION = """
## {title}

{cause}

```
{described}```

**The way out:** {way_out}
"""


@pytest.fixture
def kubes(cluster: Cluster) -> Iterator[list[Kube]]:
    """A namespace for each kind of trouble."""
    made = [Kube(cluster.kubeconfig, f"t-{uuid.uuid4().hex[:8]}") for _ in TROUBLES]
    for kube in made:
        kube.make_namespace()
    yield made
    for kube in made:
        kube.end_namespace()


def _described(cluster: Cluster, kube: Kube) -> str:
    """The conditions and the Events, without their dates, generations and senders."""
    text = cluster.kubectl("describe", "llm", NAME, "-n", kube.namespace)
    conditions = re.search(r"^  Conditions:\n(?:    .*\n)+", text, re.MULTILINE)
    events = re.search(r"^Events:\n(.*\n.*\n)((?:  .*\n)*)", text, re.MULTILINE)
    assert conditions, text
    assert events, text
    lasting = re.sub(r" +(Last Transition Time|Observed Generation): .*\n", "", conditions[0])
    columns = [re.split(r"  +", row.strip(), maxsplit=4) for row in events[2].splitlines()]
    rows = sorted(f"  {kind}  {reason}  {words}" for kind, reason, _, _, words in columns)
    told = "".join((textwrap.dedent(lasting), "Events:\n", *(f"{row}\n" for row in rows)))
    return told.replace(kube.namespace, "models")


def _section(trouble: Trouble, described: str) -> str:
    way_out = trouble.reason.way_out
    return _SECTION.format(
        title=trouble.title, cause=trouble.cause, described=described, way_out=way_out
    )


def test_the_page_shows_what_describe_tells(
    operator: Operator, cluster: Cluster, kubes: list[Kube]
) -> None:
    for trouble, kube in zip(TROUBLES, kubes, strict=True):
        trouble.make(kube)
    for trouble, kube in zip(TROUBLES, kubes, strict=True):
        services.wait_condition(kube, NAME, "Degraded", "True", trouble.reason, seconds=_LONGEST)
    writes.until_quiet(operator)  # Events come after the conditions

    def page() -> str:
        return _HEAD.format(number=len(TROUBLES)) + "".join(
            _section(trouble, _described(cluster, kube))
            for trouble, kube in zip(TROUBLES, kubes, strict=True)
        )

    if os.environ.get("REWRITE") == "1":
        _PAGE.write_text(page())
    wanted = _PAGE.read_text()
    with suppress(AssertionError):  # Kubernetes' own controllers may be behind
        eventually("the page is shown", lambda: page() == wanted)
    assert page() == wanted, f"if it is meant: REWRITE=1 .venv/bin/pytest {__file__}"
