"""The command's exit codes and its one line, as Kubernetes and people see them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from llmservice_server.config import ServerConfig

_MODEL = "model: {uri: 'pvc://models/m', source: /no/such/model, servedName: chat}\n"


def _run(tmp_path: Path, command: str, text: str | bytes, **env: str) -> tuple[int, str, str, str]:
    """Exit code, standard output, standard error, termination log."""
    file, log = tmp_path / "config.yaml", tmp_path / "termination-log"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    done = subprocess.run(
        [sys.executable, "-m", "llmservice_server", command, "--config", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "LLMSERVICE_TERMINATION_LOG": str(log), **env},
    )
    return done.returncode, done.stdout, done.stderr, log.read_text() if log.exists() else ""


def test_check_prints_the_effective_configuration(tmp_path: Path) -> None:
    code, out, err, log = _run(tmp_path, "check", _MODEL)
    assert (code, err, log) == (0, "", "")
    assert ServerConfig.from_yaml(out) == ServerConfig.from_yaml(_MODEL)


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_broken_file_exits_2_with_one_line_that_is_also_the_termination_log(
    tmp_path: Path, command: str
) -> None:
    code, out, err, log = _run(tmp_path, command, _MODEL + "engine: {args: {host: x}}")
    assert (code, out) == (2, "")
    assert err == log + "\n"
    assert "\n" not in log
    assert "config.yaml: engine.args.host: the server sets host itself; " in log


def test_a_file_that_is_no_text_exits_2_with_one_line(tmp_path: Path) -> None:
    code, _, err, _ = _run(tmp_path, "check", b"\xff\xfe")
    assert code == 2
    assert "not UTF-8" in err


def test_a_file_that_is_not_there_exits_2_with_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llmservice_server", "serve", "--config", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == f"{tmp_path / 'none'}: cannot be read: No such file or directory\n"


def test_a_path_without_a_model_exits_3_before_the_engine_is_loaded(tmp_path: Path) -> None:
    code, _, err, log = _run(tmp_path, "serve", _MODEL)
    assert code == 3
    assert err == log + "\n"
    assert log.startswith("no model at /no/such/model (model.uri pvc://models/m): it does not")


def test_an_engine_that_does_not_start_exits_1_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("")
    code, _, err, log = _run(tmp_path, "serve", _MODEL.replace("/no/such/model", str(tmp_path)))
    assert code == 1
    assert err.endswith(log + "\n")
    assert log.startswith("vLLM did not start: ")


def test_no_secret_reaches_the_termination_log(tmp_path: Path) -> None:
    secret = "verysecretvalue"
    text = _MODEL.replace("/no/such/model", f"/no/{secret}/hf_abcdefgh1234")
    code, _, err, log = _run(tmp_path, "serve", text, HF_TOKEN=secret)
    assert code == 3
    assert "no model at /no/***/***" in log
    assert secret not in err + log
    assert "hf_abc" not in err + log


def test_the_termination_log_is_bounded_as_the_kubelet_bounds_it(tmp_path: Path) -> None:
    long = _MODEL.replace("/no/such/model", "/no/" + "/".join(["ä" * 101] * 40))
    code, _, _, log = _run(tmp_path, "serve", long)
    assert code in {1, 3}
    assert 4000 < len(log.encode()) <= 4096


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_key_that_is_not_there_exits_2_and_is_named(tmp_path: Path, command: str) -> None:
    upstream = "{url: 'https://one.example/v1', apiKey: {variable: SOME_KEY}}"
    text = f"engine: {{type: proxy, upstreams: [{upstream}]}}"
    code, out, err, log = _run(tmp_path, command, text)
    assert (code, out, err) == (2, "", log + "\n")
    assert "the variable SOME_KEY" in log
    if command == "check":
        assert _run(tmp_path, command, text, SOME_KEY="k")[0] == 0


def test_check_hides_flags_whose_names_look_secret(tmp_path: Path) -> None:
    flags = (
        "{some-token: s1, x.api_key: s1, kv-config: {list: [{dbPassword: s1}], client-secret: s1}"
    )
    text = _MODEL + f"engine: {{args: {flags}, max-num-batched-tokens: 8, tokenizer: t}}}}"
    code, out, _, _ = _run(tmp_path, "check", text)
    assert code == 0
    assert "s1" not in out
    assert out.count("***") == 4
    assert ServerConfig.from_yaml(out).engine.args["max-num-batched-tokens"] == 8
    assert ServerConfig.from_yaml(out).engine.args["tokenizer"] == "t"
