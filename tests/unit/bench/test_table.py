"""The tables of the benches."""

from bench.table import table


def test_columns_stand_in_line() -> None:
    lines = table([("a", "bb"), ("ccc", "d")]).splitlines()
    assert lines == ["| a   | bb |", "|-----|----|", "| ccc | d  |"]
