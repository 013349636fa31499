"""What is kept in memory for a time: bounded in number and in bytes; pure but for what it holds.

What came first goes first, which is also what ends first: all stay for the same time.
"""

from collections import OrderedDict
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class _Place(NamedTuple, Generic[T]):
    thing: T
    size: int
    until: float


class Shelf(Generic[T]):
    def __init__(self, seconds: float, number: int, size: int) -> None:
        self._seconds, self._number, self._most = seconds, number, size
        self._places: OrderedDict[str, _Place[T]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._places)

    def get(self, name: str) -> T | None:
        place = self._places.get(name)
        if place is None:
            return None
        if place.until <= monotonic():
            self.remove(name)
            return None
        return place.thing

    def put(self, name: str, thing: T, size: int) -> None:
        """In the place of what had this name. What alone is too large is not kept."""
        self.remove(name)
        now = monotonic()
        if size <= self._most:
            self._places[name] = _Place(thing, size, now + self._seconds)
            self.bytes += size
        while self._places:
            oldest = next(iter(self._places))
            full = len(self._places) > self._number or self.bytes > self._most
            if not full and self._places[oldest].until > now:
                break
            self.remove(oldest)

    def remove(self, name: str) -> None:
        if place := self._places.pop(name, None):
            self.bytes -= place.size
