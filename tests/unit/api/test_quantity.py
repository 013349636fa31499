"""Quantities are read as apimachinery reads them."""

from decimal import Decimal

import pytest
from llmservice_operator.api.quantity import parse


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("0", "0"),
        (2, "2"),
        ("500m", "0.5"),
        (".5", "0.5"),
        ("1.", "1"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1E", "1000000000000000000"),
        ("2Ei", "2305843009213693952"),
        ("1.5Gi", "1610612736"),
        ("3k", "3000"),
        ("7n", "0.000000007"),
    ],
)
def test_reads_every_form(written: object, number: str) -> None:
    assert parse(written) == Decimal(number)


@pytest.mark.parametrize("written", ["1e1000000", "1e40", "8Ei", "9" * 32, "9" * 99 + "E"])
def test_refuses_what_no_node_has(written: str) -> None:
    with pytest.raises(ValueError, match="write less than 8Ei"):
        parse(written)


def test_what_is_next_to_nothing_is_a_number_too() -> None:
    assert 0 <= parse("1e-99999999999999999999") <= parse("1e-1000000") < Decimal("1e-9")


@pytest.mark.parametrize(
    "written", ["", "-1", "+1", "1K", "1gi", "1 Gi", "Gi", "1e", True, None, "٣"]
)
def test_refuses_what_is_none(written: object) -> None:
    with pytest.raises(ValueError, match="not a quantity; write"):
        parse(written)
