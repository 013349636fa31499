"""What the bench makes of what it measured: verdicts, ratios, and when a process was idle."""

import pytest

from bench.operator.figures import Figure, busy_until, cpu_target, memory_target, row


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("without target", 5), None),
        (Figure("as much as allowed", 2, target=2), True),
        (Figure("more than allowed", 2.01, target=2), False),
        (Figure("to be under", 1, target=1, below=True), False),
        (Figure("under", 0.99, target=1, below=True), True),
        (Figure("of the floor, within", 15, floor=10, target=1.5), True),
        (Figure("of the floor, beyond", 15.1, floor=10, target=1.5), False),
        (Figure("not measured", None, target=1), False),
        (Figure("not measured, of the floor", None, floor=10, target=1.5), False),
    ],
    ids=lambda value: value.what if isinstance(value, Figure) else "",
)
def test_a_figure_is_judged_by_its_target(figure: Figure, met: object) -> None:
    assert figure.met is met


def test_a_row_has_the_target_of_the_ratio_beside_a_floor() -> None:
    figure = Figure("ready", 82.5, "s", floor=55, target=1.5, rival="146 s")
    assert row(figure) == (*("ready", "82.5 s", "55 s", "1.50", "≤ 1.50 times", "met", "146 s"),)


def test_a_row_says_what_was_missed_and_what_was_not_measured() -> None:
    assert row(Figure("cpu", 30, "s", target=25))[4:6] == ("≤ 25 s", "MISSED")
    assert row(Figure("cpu", None, "s", target=25))[1] == "not measured"
    assert row(Figure("cpu", 0.1234, "%"))[1:6] == ("0.12%", "", "", "", "")


@pytest.mark.parametrize(
    ("resources", "mebibytes"), [(50, 150), (1000, 150), (3000, 275), (5000, 400)]
)
def test_memory_grows_linearly_with_resources(resources: int, mebibytes: float) -> None:
    assert memory_target(resources) == mebibytes


def test_cpu_grows_with_resources() -> None:
    assert (cpu_target(200), cpu_target(1000)) == (5, 25)


def test_a_process_is_busy_until_the_last_interval_with_work() -> None:
    samples = [(0, 0.0), (0.1, 0.1), (0.2, 0.11), (0.3, 0.19), (0.4, 0.2), (0.5, 0.2)]
    assert busy_until(samples, share=0.25) == 0.3


def test_a_renewed_lease_is_no_work() -> None:
    assert busy_until([(0, 1.0), (0.1, 1.01), (0.2, 1.01)], share=0.25) == 0
