"""A mapping that forgets what was put first when it is full."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Bounded(OrderedDict[K, V]):
    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def put(self, name: K, value: V) -> None:
        self[name] = value
        self.move_to_end(name)
        if len(self) > self._most:
            self.popitem(last=False)
