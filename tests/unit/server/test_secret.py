"""Secrets, from where the configuration says that they lie."""

from pathlib import Path

import pytest
from llmservice_server import secret
from llmservice_server.config import ConfigError, Place
from llmservice_server.config.static_keys import static_keys


def test_a_secret_is_in_a_variable_or_a_file_and_in_no_error(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-from-file\n")
    assert secret.read_line(Place(variable="K"), "f", {"K": "sk-1"}) == "sk-1"
    assert secret.read_line(Place(file=str(file)), "f") == "sk-from-file"
    assert secret.read(Place(variable="K"), "f", {"K": "a: 1\nb: 2\n"}) == "a: 1\nb: 2"
    for given in ({}, {"K": "sk-\nx"}, {"K": "sk-\x00x"}, {"K": "sk-é"}):
        with pytest.raises(ConfigError) as refused:
            secret.read_line(Place(variable="K"), "auth.keys", given)
        assert str(refused.value).startswith("auth.keys: ")
        assert "sk-" not in str(refused.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        secret.read(Place(file=str(tmp_path / "none")), "f")
    file.write_bytes(b"sk-\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        secret.read(Place(file=str(file)), "f")


def test_static_keys_are_one_alone_or_lines_with_names() -> None:
    assert static_keys("just-one-key", "f") == (("default", "just-one-key"),)
    assert static_keys("just:one:key", "f") == (("default", "just:one:key"),)
    text = "# two of ada's\nada: 12345678\n\n ada:   abcdefgh \neva.x-1: s:e:c:r:e:t\n"
    found = (("ada", "12345678"), ("ada", "abcdefgh"), ("eva.x-1", "s:e:c:r:e:t"))
    assert static_keys(text, "f") == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no key"),
        ("# nothing\n", "holds no key"),
        ("secret7", "shorter than 8"),
        ("ada: secret7", "shorter than 8"),
        ("ada: secret-1\nsecret-2", "line 2 is no key"),
        ("ada: secret-1\neva: secret-1", "line 2 is there twice"),
        ("secret with blanks", "line 1 is no key"),
        ("-x: secret-1\na: secret-2", "line 1 is no key"),
        ("a: secret-1 secret-2", "line 1 is no key"),
    ],
)
def test_a_line_that_is_no_key_is_named_and_not_repeated(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        static_keys(text, "auth.keys")
    assert str(refused.value).startswith("auth.keys: ")
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)
