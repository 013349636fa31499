"""Each field that an operation's body has, with values that no field means."""

from collections.abc import Iterator
from typing import Any

_NONSENSE: tuple[object, ...] = (
    *(None, True, False, -1, 0, 1.5, 2**63 - 1, 2**64 - 1, -(2**63), 1e308, -1e-308),
    *("", "x", "\x00", "\U0010ffff", "(" * 200, "[" * 100 + "]" * 100, "9" * 4000, "x" * 50_000),
    *([], [[]], [None], [-1], [2**40], [{}], ["x"] * 2000, ["\x00"]),
    *(
        {},
        {"": {}},
        {"type": "x"},
        {"type": "json_schema"},
        {"-1": 1},
        {"99999999": 100},
        {"x": "y"},
    ),
)


def nonsense(document: dict[str, Any], path: str, *, each: int) -> Iterator[dict[str, object]]:
    """So many values for each field of what is posted there, others for each next field."""
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    names = _names(document, schema)
    for number, name in enumerate(names):
        for step in range(min(each, len(_NONSENSE))):
            yield {name: _NONSENSE[(number * each + step) % len(_NONSENSE)]}


def _names(document: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    if "$ref" in schema:
        return _names(document, document["components"]["schemas"][schema["$ref"].split("/")[-1]])
    found = list(schema.get("properties", ()))
    for one in (*schema.get("anyOf", ()), *schema.get("allOf", ()), *schema.get("oneOf", ())):
        found += _names(document, one)
    return list(dict.fromkeys(found))
