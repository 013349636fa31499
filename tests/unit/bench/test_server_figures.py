"""What the server's bench makes of its rounds: pairs, medians, verdicts, and who comes first."""

from collections import Counter
from itertools import pairwise

import pytest

from bench.server.figures import Figure, interval, number, row
from bench.server.rounds import order


def test_a_ratio_is_that_of_the_rounds_and_not_of_the_medians() -> None:
    ours, other = [10, 20, 90], [10, 40, 100]
    figure = Figure("rate", ours, "/s", other, "bare", target=0.9, at_least=True)
    assert figure.compared == [1, 0.5, 0.9]
    assert figure.met  # 0.9; the medians' own ratio is 0.5


def test_a_difference_is_that_of_the_rounds() -> None:
    figure = Figure("wait", [1.5, 9, 3], "ms", [1, 8.9, 1], "bare", "difference", target=0.5)
    assert figure.compared == pytest.approx([0.5, 0.1, 2])
    assert figure.met


def test_a_round_that_one_side_lacks_is_no_pair() -> None:
    with pytest.raises(ValueError, match="shorter"):
        _ = Figure("rate", [1, 2], "/s", [1], "bare").compared


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("without target", [5]), None),
        (Figure("as much as allowed", [1, 2, 3], target=2), True),
        (Figure("more than allowed", [1, 2.01, 3], target=2), False),
        (Figure("as much as wanted", [30], target=30, at_least=True), True),
        (Figure("less than wanted", [29], target=30, at_least=True), False),
        (Figure("not measured", [], target=2), False),
    ],
    ids=lambda value: value.what if isinstance(value, Figure) else "",
)
def test_a_figure_is_judged_by_its_target(figure: Figure, met: object) -> None:
    assert figure.met is met


def test_a_row_has_what_the_target_is_for() -> None:
    by_ratio = Figure("rate", [98, 99, 100], "/s", [100, 100, 100], "bare", target=0.99)
    assert row(by_ratio) == (
        *("rate", "99 /s", "100 /s bare", "0.99 times", "0.98 … 1", "≤ 0.99 times", "met"),
    )
    added = Figure("wait", [2.5], "ms", [2.0], "bare", "difference", target=0.3)
    assert row(added)[1:] == ("2.5 ms", "2 ms bare", "+0.5 ms", "", "≤ +0.3 ms", "MISSED")
    assert row(Figure("cpu", [], "ms", target=1))[1:] == (
        *("not measured", "", "", "", "≤ 1 ms", "MISSED"),
    )


def test_an_interval_has_the_median_and_is_narrower_the_more_pairs_there_are() -> None:
    few, many = [0.9, 1.0, 1.1] * 3, [0.9, 1.0, 1.1] * 100
    assert interval(few) == (0.9, 1.1)
    low, high = interval([value + number / 1e4 for number, value in enumerate(many)])
    assert 0.95 < low < high < 1.1
    assert interval([1.0] * 9) == (1, 1)


def test_pairs_of_one_sitting_do_not_stand_for_another() -> None:
    pairs = [1.0, 1.01, 1.02] * 20 + [1.1, 1.11, 1.12] * 20
    alike, apart = [number % 2 for number in range(120)], [number // 60 for number in range(120)]
    _, high = interval(pairs, alike)
    low_apart, high_apart = interval(pairs, apart)
    assert high_apart >= 1.11 > 1.01 >= low_apart
    assert high_apart - low_apart > high - interval(pairs, alike)[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.12345, "0.123"), (12.345, "12.3"), (1234.5, "1,234"), (-0.5, "-0.5"), (30, "30")],
)
def test_a_number_has_three_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize("subjects", ["ab", "abc", "abcd"])
def test_each_subject_is_first_as_often_as_any_other_and_before_each_as_often_as_after(
    subjects: str,
) -> None:
    rounds = [order(subjects, number) for number in range(2 * len(subjects))]
    assert all(sorted(each) == sorted(subjects) for each in rounds)
    assert set(Counter(each[0] for each in rounds).values()) == {2}
    followed = Counter(pair for each in rounds for pair in pairwise(each))
    assert all(followed[a, b] == followed[b, a] for a, b in followed)
