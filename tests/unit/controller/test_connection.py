"""Who we are to the API server, as a kubeconfig says."""

import json
from pathlib import Path

import pytest
import yaml
from llmservice_operator import connection
from llmservice_operator.connection import ConnectError, connect, from_kubeconfig

_CREDENTIAL = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "kind": "ExecCredential",
    "status": {"token": "s3cret"},
}
_PLUGIN = """\
#!/bin/sh
[ "$1" = get-token ] && [ "$ACCOUNT" = me ] || exit 3
case "$KUBERNETES_EXEC_INFO" in *'"interactive": false'*) ;; *) exit 4 ;; esac
echo '%s'
"""


def _kubeconfig(folder: Path, user: dict[str, object], namespace: str | None = None) -> Path:
    context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
    config = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": context}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1/"}}],
        "users": [{"name": "u", "user": user}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(config))
    return path


def _plugin(folder: Path, prints: object) -> dict[str, object]:
    script = folder / "plugin"
    script.write_text(_PLUGIN % json.dumps(prints))
    script.chmod(0o700)
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./plugin",
        "args": ["get-token"],
        "env": [{"name": "ACCOUNT", "value": "me"}],
    }


def test_the_namespace_is_the_contexts(tmp_path: Path) -> None:
    assert from_kubeconfig(_kubeconfig(tmp_path, {"token": "t"}, "ml")).namespace == "ml"
    assert from_kubeconfig(_kubeconfig(tmp_path, {"token": "t"})).namespace == "default"


def test_a_token_is_read_again_and_goes_on_while_its_file_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_TOKEN_SECONDS", 0.0)
    file = tmp_path / "token"
    found = from_kubeconfig(_kubeconfig(tmp_path, {"tokenFile": "token"}))
    with pytest.raises(OSError, match="No such file"):
        found.headers()
    file.write_text("one\n")
    assert found.headers() == {"Authorization": "Bearer one"}
    file.unlink()
    assert found.headers() == {"Authorization": "Bearer one"}
    file.write_text("two\n")
    assert found.headers() == {"Authorization": "Bearer two"}


def test_a_plugin_beside_the_kubeconfig_gives_the_token(tmp_path: Path) -> None:
    user: dict[str, object] = {"exec": _plugin(tmp_path, _CREDENTIAL)}
    connection = from_kubeconfig(_kubeconfig(tmp_path, user), plugins=True)
    assert connection.headers() == {"Authorization": "Bearer s3cret"}
    assert "s3cret" not in repr(connection)


def test_a_process_that_outlives_a_credential_asks_no_plugin(tmp_path: Path) -> None:
    user: dict[str, object] = {"exec": _plugin(tmp_path, _CREDENTIAL)}
    with pytest.raises(ConnectError, match="write a token or a client certificate instead"):
        from_kubeconfig(_kubeconfig(tmp_path, user))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"command": "./none", "installHint": "get\nit"}, r"No such file or directory\. get it"),
        ({"args": []}, "plugin failed:"),
        ({}, "plugin printed no ExecCredential"),
    ],
)
def test_a_plugin_that_gives_nothing_is_named(
    tmp_path: Path, changed: dict[str, object], sentence: str
) -> None:
    user: dict[str, object] = {"exec": _plugin(tmp_path, [7]) | changed}
    with pytest.raises(ConnectError, match=sentence) as refused:
        from_kubeconfig(_kubeconfig(tmp_path, user), plugins=True)
    assert "\n" not in str(refused.value)


def test_the_named_kubeconfig_wins_over_a_pods_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "198.18.0.1")
    monkeypatch.setenv("KUBECONFIG", str(_kubeconfig(tmp_path, {"token": "t"})))
    assert connect().server == "https://127.0.0.1:1"
