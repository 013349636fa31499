"""docs/conditions.md: every condition and reason that status has, made of the operator's own."""

from llmservice_operator.api.conditions import ConditionType, Reason

_HEAD = """\
<!-- Written by `make generate` from operator/llmservice_operator/api/conditions.py. -->
# Conditions and their reasons

What `status.conditions` of an LLMService says. Types and reasons are for programs and stay as \
they are; messages are for people and may change. \
[troubleshooting.md](troubleshooting.md) shows whole ones.

```sh
kubectl wait llm/NAME --for=condition=Ready --timeout=30m
kubectl get llm -A -o custom-columns='NAMESPACE:.metadata.namespace,NAME:.metadata.name,\
DEGRADED:.status.conditions[?(@.type=="Degraded")].message'
```
"""


def conditions() -> str:
    """The whole page."""
    fine = [(f"`{reason}`", reason.sentence) for reason in Reason if not reason.way_out]
    wrong = [(f"`{r}`", r.sentence, r.way_out) for r in Reason if r.way_out]
    return (
        "\n".join(
            (
                _HEAD,
                *_table(
                    ("type", "what it says while True"),
                    [(f"`{t}`", t.sentence) for t in ConditionType],
                ),
                "## Reasons while nothing is wrong\n",
                *_table(("reason", "what it means"), fine),
                "## Reasons while something is wrong\n",
                *_table(("reason", "what it means", "the way out"), wrong),
            )
        ).rstrip()
        + "\n"
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return [lines[0], f"|{'---|' * len(head)}", *lines[1:], ""]
