"""Of those who ask the same at the same time one leads, whoever fails, leaves or comes late."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from llmservice_server.gateway.answers.recorded import Recorded
from llmservice_server.gateway.cache.flights import Flight, Flights, Seat

_ANSWER = Recorded(200, (), b"{}", 0)
_MOST = 3


@dataclass
class _Asking:
    """All that ask for one key."""

    flights: Flights
    key: str
    leads: list[Flight] = field(default_factory=list[Flight])
    seats: list[Seat] = field(default_factory=list[Seat])
    came: int = 0
    served: int = 0

    def come(self, _: int) -> None:
        self.came += 1
        if flight := self.flights.lead(self.key):
            self.leads.append(flight)
        elif seat := self.flights.join(self.key):
            self.seats.append(seat)
        else:
            self.served += 1  # alone

    def leave(self, which: int) -> None:
        if self.seats:
            self.came -= 1
            self.flights.leave(self.key, self.seats.pop(which % len(self.seats)))

    def whole(self, _: int) -> None:
        self._land(_ANSWER)

    def fail(self, _: int) -> None:
        self._land(None)

    def too_large(self, _: int) -> None:
        if self.leads:
            self.flights.dissolve(flight := self.leads.pop())
            self.flights.land(flight, None)
            self.served += 1

    def _land(self, answer: Recorded | None) -> None:
        if self.leads:
            self.flights.land(flight := self.leads.pop(), answer)
            self.flights.land(flight, None)  # as who lands in any case does
            self.served += 1

    def hear(self) -> None:
        """Whoever waited and need not any more, goes on."""
        for seat in self.promised:
            self.seats.remove(seat)
            found = seat.result()
            if isinstance(found, Flight):
                self.leads.append(found)
            else:
                self.served += 1

    @property
    def promised(self) -> list[Seat]:
        return [seat for seat in self.seats if seat.done()]

    def check(self) -> None:
        will = [seat for seat in self.promised if isinstance(seat.result(), Flight)]
        assert len(self.leads) + len(will) <= 1
        assert self.leads or will or len(self.promised) == len(self.seats)


_DOES = (_Asking.come, _Asking.come, _Asking.leave, _Asking.whole, _Asking.fail, _Asking.too_large)
_steps = st.lists(
    st.tuples(st.sampled_from(_DOES), st.sampled_from("ab"), st.integers(0, 9)), max_size=40
)


@given(_steps)
async def test_one_leads_and_nobody_waits_for_nobody(
    steps: list[tuple[Callable[[_Asking, int], None], str, int]],
) -> None:
    flights = Flights(_MOST)
    every = {key: _Asking(flights, key) for key in "ab"}
    for does, key, which in steps:
        does(every[key], which)
        for asking in every.values():
            if which % 2:  # they hear of it at once, or later
                asking.hear()
            asking.check()
        waiting = sum(len(one.seats) - len(one.promised) for one in every.values())
        assert waiting <= _MOST
    for asking in every.values():
        while asking.leads or asking.seats:
            asking.hear()
            asking.fail(0)
        assert asking.served == asking.came
    flights.lead("c")
    assert all(flights.join("c") for _ in range(_MOST))  # all places are free again


async def test_who_leaves_in_the_moment_in_which_it_would_lead_leads_no_more() -> None:
    flights = Flights(_MOST)
    flight = flights.lead("a")
    first, second = flights.join("a"), flights.join("a")
    assert flight
    assert first
    assert second
    flights.land(flight, None)
    flights.leave("a", first)
    assert isinstance(await asyncio.wait_for(second, 1), Flight)
