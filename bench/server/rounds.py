"""In which order the subjects of a comparison are measured. Pure."""

from collections.abc import Sequence
from typing import TypeVar

Subject = TypeVar("Subject")


def order(subjects: Sequence[Subject], number: int) -> list[Subject]:
    """Of round `number`: each is first as often as any other, and follows each other as often.

    What the machine does slowly, as getting warm, then falls on all alike: rounds go through the
    subjects forwards and backwards, beginning one further each second round.
    """
    begin = number // 2 % len(subjects)
    turned = [*subjects[begin:], *subjects[:begin]]
    return turned[::-1] if number % 2 else turned
