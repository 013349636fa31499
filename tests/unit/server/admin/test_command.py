"""``llmservice-server admin`` as people run it: what it prints, and how it ends."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from llmservice_server.admin.command import main
from llmservice_server.config import DatabaseConfig


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def command(
    database_config: DatabaseConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """In this process, for it is asked dozens of times."""
    file = tmp_path / "config.yaml"
    document = {
        "database": database_config.model_dump(by_alias=True, exclude_none=True),
        "auth": {"stored": True, "pepper": {"variable": "PEPPER"}, "plans": [{"name": "own"}]},
        "engine": {"type": "another version's"},
    }
    file.write_text(yaml.dump(document))

    def run(*arguments: str, text: str = "", pepper: str = "a-pepper-of-the-tests") -> Done:
        monkeypatch.setenv("PEPPER", pepper)
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        try:
            code = main(["--config", str(file), *arguments])
        except SystemExit as error:
            code = int(error.code or 0)
        return Done(code, *capsys.readouterr())

    return run


def test_from_nothing_to_a_users_key(command: Command) -> None:
    first = command("bootstrap")
    assert (first.returncode, "sk-" in first.stdout) == (0, True), first.stderr
    assert first.stderr == "The key is shown this once; keep it where secrets are kept.\n"
    again = command("bootstrap")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.endswith("is an administrator's already; have it make more\n")

    assert command("plans", "put", "-", text="{name: small, monthlyTokens: 100}").returncode == 0
    assert command("users", "add", "alice", "--plan", "small").returncode == 0
    made = json.loads(command("--json", "keys", "add", "alice", "--expires", "90d").stdout)
    assert made["key"].startswith(f"sk-{made['prefix']}")
    listed = command("keys", "list", "--user", "alice")
    assert made["prefix"] in listed.stdout
    assert made["key"] not in listed.stdout
    assert command("keys", "revoke", made["prefix"]).returncode == 0
    assert json.loads(command("--json", "keys", "list", "--user", "alice").stdout)[0]["revoked"]
    assert command("users", "plan", "alice", "own").stdout.split()[3:5] == ["alice", "own"]
    assert command("plans", "remove", "small").returncode == 0
    plans = command("plans", "list").stdout.splitlines()
    assert plans[0].split() == ["PLAN", "CONFIGURED"]
    assert [line.split()[0] for line in plans[1:]] == [
        '{"name":"anonymous"}',
        '{"name":"default"}',
        '{"name":"own"}',
    ]
    assert command("users", "remove", "alice").returncode == 0
    assert "alice" not in command("users", "list").stdout
    trail = json.loads(command("--json", "audit").stdout)
    assert trail[0]["action"] == "user.remove"
    assert all(entry["actor"].startswith("command ") for entry in trail)
    assert "sk-" not in json.dumps(trail)
    assert json.loads(command("--json", "usage").stdout) == []
    assert json.loads(command("--json", "history", "--since", "2d", "--user", "alice").stdout) == []
    assert command("history", "--limit", "5").stdout.startswith("NUMBER  AT  REQUEST_ID")
    assert command("users", "forget", "alice").returncode == 0
    assert command("months").stdout.split() == ["USER", "MONTH", "REQUESTS", "TOKENS"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["users", "add", "a b"], 2, "name: string should match pattern"),
        (["users", "plan", "bob"], 1, "user bob: there is none; list users, or add it"),
        (["keys", "add", "bob"], 1, "user bob: there is none; add it first"),
        (
            ["keys", "add", "bob", "--expires", "soon"],
            2,
            "'soon' is no time; write 90d, 2030-01-31",
        ),
        (["keys", "add", "bob", "--expires", "2020-01-01"], 2, "write a time to come"),
        (["keys", "add", "bob", "--route", "/x"], 2, "routes.0: write one of /, /api/chat"),
        (["keys", "revoke", "sk-none"], 1, "there is none; list keys, and write a key's prefix"),
        (["plans", "put", "/no/such/file"], 2, "/no/such/file: cannot be read: No such file"),
        (["plans", "put", "-"], 2, "-: "),
        (["plans", "remove", "own"], 1, "plan own: is the configuration's; change it there"),
        (["usage", "--by", "mood"], 2, "by.0: input should be 'day', 'user', 'key' or 'model'"),
        (["history", "--limit", "0"], 2, "limit: input should be greater than or equal to 1"),
        (["history", "4711"], 1, "request 4711: there is none; list them, and write a number"),
        (["history", "--since", "soon"], 2, "'soon' is no time; write 90d, 2030-01-31"),
        (["months", "--month", "May"], 2, "month: string should match pattern"),
        (["migrate", "77"], 1, "there is no revision 77; write one of base, 0001"),
        (["keys", "burn"], 2, "invalid choice: 'burn'"),
        ([], 2, "the following arguments are required: WHAT"),
    ],
)
def test_what_is_wrong_is_one_line_that_says_what_to_write(
    command: Command, arguments: list[str], code: int, told: str
) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_tables_go_down_and_up_again(command: Command) -> None:
    assert command("users", "add", "alice").returncode == 0
    assert command("migrate", "base").returncode == 0
    assert command("migrate").returncode == 0
    assert "alice" not in command("users", "list").stdout


def test_a_pepper_that_is_missing_is_named(command: Command) -> None:
    done = command("bootstrap", pepper="")
    assert done.returncode == 2
    assert (
        "auth.pepper: the secret that the variable PEPPER should hold is not there" in done.stderr
    )


def test_without_a_configuration_the_variables_are_enough(tmp_path: Path) -> None:
    def run(**environment: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "llmservice_server", "admin", "users", "list"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, **environment},
        )
        return Done(done.returncode, done.stdout, done.stderr)

    done = run(XDG_DATA_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "NAME  PLAN  CREATED\n"), done.stderr
    assert (tmp_path / "llmservice/store.db").exists()
    done = run(KUBERNETES_SERVICE_HOST="10.0.0.1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("database: is missing, and nothing in a pod stays; write")
    done = run(LLMSERVICE_DATABASE_SQLITE=str(tmp_path / "a.db"), MODEL_NAME="m", LOG_LEVEL="info")
    assert (done.returncode, done.stdout) == (0, "NAME  PLAN  CREATED\n"), done.stderr
    done = run(DATABASE_URL="postgresql://u:verysecret@127.0.0.1:9/d")
    assert (done.returncode, done.stdout) == (1, "")
    assert "verysecret" not in done.stderr
