"""Where the API server is and who we are to it: in a pod the service account, else a kubeconfig.

Promises: a token from a file is read again as it is renewed, and while that fails the last one is
used; certificates are always verified.
Kubeconfigs may hold a CA and a token or a client certificate, as files or inline; a credential
plug-in is asked where the caller allows it, and refused with a sentence elsewhere. Never: a token
in a log or an exception.
"""

import base64
import os
import ssl
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from llmservice_operator.credentials import PluginError, from_plugin

_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_SECONDS = 60.0  # the kubelet renews a pod's token well before it ends


class ConnectError(Exception):
    """Neither a service account nor a usable kubeconfig; says what is missing."""


@dataclass
class Connection:
    """server: https://host:port without a path. namespace: where nothing else is said."""

    server: str
    tls: ssl.SSLContext
    token_file: Path | None = None
    token: str = field(default="", repr=False)
    namespace: str = "default"
    _read_at: float = -_TOKEN_SECONDS

    def headers(self) -> dict[str, str]:
        """Raises OSError where there is no token yet and its file cannot be read."""
        now = time.monotonic()
        if self.token_file and now - self._read_at >= _TOKEN_SECONDS:
            try:
                self.token, self._read_at = self.token_file.read_text().strip(), now
            except OSError:
                if not self.token:
                    raise
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def connect(*, plugins: bool = False) -> Connection:
    """As KUBECONFIG says, or a pod's service account, or ~/.kube/config. plugins: may be asked."""
    host, port = (
        os.environ.get("KUBERNETES_SERVICE_HOST"),
        os.environ.get("KUBERNETES_SERVICE_PORT", "443"),
    )
    named = os.environ.get("KUBECONFIG")
    if host and not named and (_POD / "token").is_file():
        literal = f"[{host}]" if ":" in host else host
        tls = ssl.create_default_context(cafile=str(_POD / "ca.crt"))
        namespace = (_POD / "namespace").read_text().strip()
        server = f"https://{literal}:{port}"
        return Connection(server, tls, token_file=_POD / "token", namespace=namespace)
    path = Path(named or "~/.kube/config").expanduser()
    if not path.is_file():
        raise ConnectError(f"no service account and no kubeconfig at {path}: set KUBECONFIG")
    return from_kubeconfig(path, plugins=plugins)


def from_kubeconfig(path: Path, *, plugins: bool = False) -> Connection:
    config: dict[str, Any] = yaml.safe_load(path.read_text())

    def named(kind: str, name: str) -> dict[str, Any]:
        found = [entry for entry in config.get(f"{kind}s") or () if entry["name"] == name]
        if not found:
            raise ConnectError(f"{path} has no {kind} {name!r}")
        return found[0][kind] or {}

    context = named("context", config.get("current-context", ""))
    cluster, user = named("cluster", context["cluster"]), named("user", context["user"])
    if "auth-provider" in user or ("exec" in user and not plugins):
        raise ConnectError(
            f"{path} asks a credential plug-in: write a token or a client certificate instead"
        )
    if "exec" in user:
        try:
            user = from_plugin(user["exec"], path.parent)
        except PluginError as error:
            raise ConnectError(f"{path}: {error}") from None
    tls = ssl.create_default_context(
        cafile=_beside(path, cluster.get("certificate-authority")),
        cadata=_inline(cluster.get("certificate-authority-data")),
    )
    if "client-certificate" in user or "client-certificate-data" in user:
        _load_client_certificate(tls, path, user)
    token_file = _beside(path, user.get("tokenFile"))
    return Connection(
        cluster["server"].rstrip("/"),
        tls,
        token_file=Path(token_file) if token_file else None,
        token=user.get("token", ""),
        namespace=context.get("namespace") or "default",
    )


def _load_client_certificate(tls: ssl.SSLContext, path: Path, user: dict[str, Any]) -> None:
    certificate = _inline(user.get("client-certificate-data"))
    key = _inline(user.get("client-key-data"))
    with tempfile.TemporaryDirectory() as folder:  # Python loads client certificates from files
        files: list[str] = []
        for name, inline in (("client-certificate", certificate), ("client-key", key)):
            if inline is None:
                files.append(_beside(path, user[name]) or "")
                continue
            file = Path(folder) / name
            file.touch(mode=0o600)
            file.write_text(inline)
            files.append(str(file))
        tls.load_cert_chain(*files)


def _beside(path: Path, name: str | None) -> str | None:
    return str(path.parent / name) if name else None


def _inline(data: str | None) -> str | None:
    return base64.b64decode(data).decode() if data else None
