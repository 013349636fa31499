"""What `asyncio.timeout` does, at a third of its cost: for what every request passes."""

import asyncio
from types import TracebackType


class Deadline:
    """A block that is over in so many seconds, or raises TimeoutError."""

    __slots__ = ("_before", "_passed", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None  # noqa: S101  for the type checker
        self._task, self._before = task, task.cancelling()
        self._timer = loop.call_later(seconds, self._pass)
        self._passed = False

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._timer.cancel()
        # Somebody else may want the task to end, too.
        if (
            self._passed
            and self._task.uncancel() <= self._before
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def _pass(self) -> None:
        self._passed = True
        self._task.cancel()
