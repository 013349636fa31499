"""Prints which of these names the vLLM that is installed here lacks; reads it and imports nothing.

    python3 - '[["vllm.module", "Class or nothing", "name"], …]'

Runs inside the server's own container on Python's standard library.
"""

import ast
import json
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def names(module: str, class_: str) -> set[str]:
    """What is defined, set, imported or written out there."""
    place = Path(find_spec("vllm").origin).parents[1].joinpath(*module.split("."))
    files = [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    if class_:
        classes = [n for n in nodes if isinstance(n, ast.ClassDef) and n.name == class_]
        nodes = [node for found in classes for node in ast.walk(found)]
    return set(filter(None, map(name, nodes)))


def name(node: ast.AST) -> str | None:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return node.name
        case ast.Name(ctx=ast.Store()):
            return node.id
        case ast.Attribute(ctx=ast.Store()):
            return node.attr
        case ast.alias():
            return node.asname or node.name
        case ast.Constant(value=str()):
            return node.value
        case _:
            return None


asked = json.loads(sys.argv[1])
lacks = [row for row in asked if row[2] not in names(*row[:2])]
sys.stdout.write(json.dumps(lacks))
