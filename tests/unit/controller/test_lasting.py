"""For how long something has been so, by a clock that never goes back."""

from llmservice_operator.lasting import Lasting
from llmservice_operator.records import Key

_X, _Y = Key("ns", "x"), Key("ns", "y")


def test_it_lasts_from_when_it_was_first_so_until_it_is_not_or_begins_anew() -> None:
    now = 1000.0
    lasting = Lasting(lambda: now)
    assert lasting.seconds(_X, "since noon") == 0
    now += 5
    assert lasting.seconds(_X, "since noon") == 5
    assert lasting.seconds(_Y, "since noon") == 0
    assert lasting.seconds(_X, "since one") == 0
    now += 5
    assert lasting.seconds(_X, "") == 0
    assert lasting.seconds(_X, "since one") == 0
    assert lasting.seconds(_Y, "since noon") == 5


def test_of_what_is_not_so_or_not_ours_to_know_nothing_is_kept() -> None:
    lasting = Lasting()
    for key in (_X, _Y):
        lasting.seconds(key, "since noon")
    lasting.seconds(_X, "")
    lasting.forget(_Y)
    lasting.forget(_Y)
    kept = vars(lasting)
    assert not any(kept[name] for name in kept if isinstance(kept[name], dict))
