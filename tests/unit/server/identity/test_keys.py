"""API keys: what they look like, and what is kept of them."""

import hashlib
import hmac

import pytest
from llmservice_server.gateway.identity import keys

_PEPPER = b"pepper"


def test_a_new_key_has_its_shape_and_is_nobodys() -> None:
    made = {keys.new_key() for _ in range(100)}
    assert len(made) == 100
    for key in made:
        assert (len(key), key[:3]) == (54, "sk-")
        assert keys.prefix_of(key) == key[3:11]


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "sk-",
        "sk-short",
        "sk-" + "a" * 52,
        "sk-" + "a" * 50,
        "pk-" + "a" * 51,
        "sk-" + "a" * 51 + "\n",
        "sk-" + "-" * 51,  # no prefix has a dash
        "sk-" + "a" * 50 + "é",
        "sk-" + "a" * 50 + "'",
        "x" * 100_000,
    ],
)
def test_what_has_another_shape_is_looked_up_nowhere(wrong: str) -> None:
    assert keys.prefix_of(wrong) is None


def test_a_digest_is_of_the_whole_key_and_of_the_pepper() -> None:
    key = keys.new_key()
    digest = keys.digest(key, _PEPPER)
    assert digest == hmac.new(_PEPPER, key.encode(), hashlib.sha256).digest()
    assert digest != keys.digest(key[:-1] + ("a" if key[-1] != "a" else "b"), _PEPPER)
    assert digest != keys.digest(key, b"another")
    assert keys.signing_secret(key, _PEPPER) != keys.signing_secret(key, b"another")
    assert key not in keys.signing_secret(key, _PEPPER)


def test_without_a_pepper_nothing_is_made_of_a_key() -> None:
    for make in (keys.digest, keys.signing_secret):
        with pytest.raises(ValueError, match="pepper"):
            make(keys.new_key(), b"")
