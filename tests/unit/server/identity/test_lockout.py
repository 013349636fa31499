"""Addresses that show wrong keys again and again."""

from llmservice_server.gateway.identity.lockout import Lockout

_A, _B = "192.0.2.1", "192.0.2.2"


def _locked(failures: int = 10) -> Lockout:
    made = Lockout()
    for _ in range(failures):
        made.failed(_A, 0.0)
    return made


def test_ten_wrong_keys_lock_an_address_and_no_other() -> None:
    assert _locked(9).wait(_A, 0.0) == 0
    made = _locked()
    assert made.wait(_A, 0.0) == 30
    assert made.wait(_B, 0.0) == 0


def test_it_is_let_in_slowly_one_try_at_a_time() -> None:
    made = _locked()
    assert made.wait(_A, 29.9) > 0
    assert made.wait(_A, 30.1) == 0
    made.failed(_A, 30.1)
    assert 29 < made.wait(_A, 30.2) <= 30
    assert made.wait(_A, 10_000) == 0
    for _ in range(9):  # forgotten, all ten are there again
        made.failed(_A, 10_000)
    assert made.wait(_A, 10_000) == 0


def test_who_goes_on_waits_longer_up_to_a_bound() -> None:
    assert _locked(15).wait(_A, 0.0) == 180
    assert _locked(1000).wait(_A, 0.0) == 330


def test_a_key_that_was_good_from_there_stays_good() -> None:
    made = _locked()
    made.succeeded(_A, b"key")
    assert made.proven(_A, b"key")
    assert not made.proven(_B, b"key")
    assert not made.proven(_A, b"other")


def test_memory_is_bounded_so_that_the_oldest_is_forgotten() -> None:
    made = _locked()
    made.succeeded(_A, b"key")
    for number in range(10_000):
        made.failed(f"a{number}", 0.0)
    for number in range(100_000):
        made.succeeded(f"a{number}", b"key")
    assert made.wait(_A, 0.0) == 0
    assert not made.proven(_A, b"key")
