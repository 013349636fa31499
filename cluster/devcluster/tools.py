"""The programs a cluster is made of, built from the Go modules beside this package.

Promises: a program is built once for each content of its module's go.mod and go.sum and kept below
the cache; it appears there whole or not at all; two processes never build the same module at once.
Only what is asked for is built.
"""

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from devcluster import golang, layout, locks, mortal
from devcluster.waiting import ticking

_MODULES = Path(__file__).parent.parent / "go"
_BUILD_SECONDS = 3600.0
_LIST_SECONDS = 300.0  # it may have to fetch the list first


@dataclass(frozen=True)
class Tool:
    """A Go package that is a program; `ldflags` tell it its own version ({version} is put in)."""

    module: str
    package: str
    ldflags: str = ""


# without these the API server reports v0.0.0 and clients misjudge it
_KUBERNETES_LDFLAGS = " ".join(
    f"-X k8s.io/component-base/version.{variable}"
    for variable in ("gitVersion={version}", "gitMajor={major}", "gitMinor={minor}")
)


def _kubernetes(command: str) -> Tool:
    return Tool("kubernetes", f"k8s.io/kubernetes/cmd/{command}", _KUBERNETES_LDFLAGS)


TOOLS = {
    "etcd": Tool("kubernetes", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": _kubernetes("kube-apiserver"),
    "kube-controller-manager": _kubernetes("kube-controller-manager"),
    "kube-scheduler": _kubernetes("kube-scheduler"),
    "kubectl": _kubernetes("kubectl"),
    "kubelet": _kubernetes("kubelet"),
    "kube-proxy": _kubernetes("kube-proxy"),
    "kwok": Tool("kubernetes", "sigs.k8s.io/kwok/cmd/kwok"),
    "coredns": Tool("coredns", "github.com/coredns/coredns"),
    "metrics-server": Tool("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server"),
    "helm": Tool("helm", "helm.sh/helm/v4/cmd/helm"),
    "pause": Tool("pause", "devcluster/pause"),
    "buildkitd": Tool("buildkit", "github.com/moby/buildkit/cmd/buildkitd"),
    "buildctl": Tool("buildkit", "github.com/moby/buildkit/cmd/buildctl"),
}

CONTROL_PLANE = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "kwok",
)
NODE = ("kubelet", "kube-proxy", "coredns", "metrics-server", "pause")


def path(name: str) -> Path:
    """Where the program lies or will lie once built."""
    return _folder(TOOLS[name].module) / name


def ensure(*names: str) -> dict[str, Path]:
    """Build what is missing of `names`, with progress lines, and return the path of each.

    ClusterError with the compiler's last lines where a build fails.
    """
    missing: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if not path(name).exists():
            missing[TOOLS[name].module].append(name)
    for module, absent in missing.items():
        with locks.held(_folder(module) / ".lock", f"building {module}"):
            _build(module, [name for name in absent if not path(name).exists()])
    return {name: path(name) for name in names}


@functools.cache
def _folder(module: str) -> Path:
    digest = hashlib.sha256()
    for file in sorted((_MODULES / module).iterdir()):
        digest.update(file.read_bytes())
    for name, tool in sorted(TOOLS.items()):
        if tool.module == module:
            digest.update(f"{name} {tool}".encode())
    return layout.home() / "bin" / f"{module}-{digest.hexdigest()[:12]}"


def _build(module: str, names: list[str]) -> None:
    if not names:
        return
    go = golang.command()
    flags = sorted({TOOLS[name].ldflags for name in names if TOOLS[name].ldflags})
    ldflags = " ".join(["-s", "-w", *flags]).format(**_version(go, module))
    print(f"· building {', '.join(names)} (minutes the first time)", flush=True)
    begun = time.monotonic()
    for stale in _folder(module).glob("building-*"):  # of a build that was killed
        shutil.rmtree(stale, ignore_errors=True)
    building = tempfile.TemporaryDirectory(dir=_folder(module), prefix="building-")
    with building as target, ticking(names[0]):
        mortal.run(
            f"go build in {_MODULES / module}",
            [go, "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", f"{target}/"]
            + [TOOLS[name].package for name in names],
            _BUILD_SECONDS,
            cwd=_MODULES / module,
            env=_environment() | {"GOTMPDIR": target},
        )
        for name in names:
            (Path(target) / _program(TOOLS[name].package)).replace(path(name))
    print(f"  built in {time.monotonic() - begun:.0f} s", flush=True)


def _program(package: str) -> str:
    """What `go build` calls the program: the package's last part that is no version."""
    parts = package.split("/")
    return parts[-2] if parts[-1].removeprefix("v").isdigit() else parts[-1]


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "",
        "GOWORK": "off",
    }


def _version(go: str, module: str) -> dict[str, str]:
    if module != "kubernetes":
        return {}
    listed = subprocess.run(
        [go, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes"],
        cwd=_MODULES / module,
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=_LIST_SECONDS,
    )
    version = listed.stdout.strip()
    major, minor = version.removeprefix("v").split(".")[:2]
    return {"version": version, "major": major, "minor": minor}
