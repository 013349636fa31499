"""Records for people, as a table, or for programs, as JSON. Pure."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import cast

from pydantic import BaseModel

from llmservice_server.store.record import Record


def as_json(shown: Record | Sequence[Record]) -> str:
    """As /admin/v1 answers, indented."""
    if isinstance(shown, Record):
        document: object = shown.model_dump(by_alias=True, mode="json")
    else:
        document = [record.model_dump(by_alias=True, mode="json") for record in shown]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_table(kind: type[Record], records: Sequence[Record]) -> str:
    """A line each below the names of the fields; what is empty in all of them is left out."""
    cells = [{name: _cell(getattr(r, name)) for name in kind.model_fields} for r in records]
    names = [name for name in kind.model_fields if not cells or any(row[name] for row in cells)]
    rows = [[name.upper() for name in names], *([row[name] for name in names] for row in cells)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(names))]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)


def _cell(value: object) -> str:
    match value:
        case None | False:
            text = ""
        case True:
            text = "yes"
        case datetime():
            text = value.strftime("%Y-%m-%d %H:%M:%SZ")
        case tuple():
            text = ",".join(map(str, cast("tuple[object, ...]", value)))
        case float():
            text = f"{value:.9f}".rstrip("0").rstrip(".")
        case dict():
            text = json.dumps(value, ensure_ascii=False)
        case BaseModel():
            text = value.model_dump_json(by_alias=True, exclude_defaults=True)
        case _:
            text = str(value)
    return text
