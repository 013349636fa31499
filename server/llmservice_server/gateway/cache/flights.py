"""Who runs, of those that ask the same at the same time; pure but for who waits.

Promises that one leads and the others wait; that all get its answer where it is one to be kept,
and that where it is not, or where the leader left, the next one leads; that no more wait than may.
"""

import asyncio
from collections import OrderedDict

from llmservice_server.gateway.answers.recorded import Recorded


class Flight:
    __slots__ = ("key", "seats")

    def __init__(self, key: str) -> None:
        self.key = key
        self.seats: OrderedDict[Seat, None] = OrderedDict()


Seat = asyncio.Future[Recorded | Flight | None]
"""The answer; or the flight, which who waited leads now; or None: everybody runs alone."""


class Flights:
    def __init__(self, most: int) -> None:
        self._most = most
        self._flights: dict[str, Flight] = {}
        self._waiting = 0

    def lead(self, key: str) -> Flight | None:
        """None where one is on its way already; otherwise it is to be landed."""
        if key in self._flights:
            return None
        flight = self._flights[key] = Flight(key)
        return flight

    def join(self, key: str) -> Seat | None:
        """Wait for the one that is on its way; None where enough wait."""
        if self._waiting >= self._most:
            return None
        seat: Seat = asyncio.get_running_loop().create_future()
        self._flights[key].seats[seat] = None
        self._waiting += 1
        return seat

    def leave(self, key: str, seat: Seat) -> None:
        """Wait no longer. Whoever led in the same moment leads no more."""
        if seat.done():
            if not seat.cancelled() and isinstance(flight := seat.result(), Flight):
                self.land(flight, None)
        elif (flight := self._flights.get(key)) and seat in flight.seats:
            del flight.seats[seat]
            self._waiting -= 1

    def land(self, flight: Flight, answer: Recorded | None) -> None:
        """The leader has its answer, or None that is to be kept. Once it has landed, nothing."""
        if self._flights.get(flight.key) is not flight:
            return
        del self._flights[flight.key]
        if answer is None and flight.seats:
            seat, _ = flight.seats.popitem(last=False)
            self._waiting -= 1
            goes_on = self._flights[flight.key] = Flight(flight.key)
            goes_on.seats = flight.seats
            seat.set_result(goes_on)
        else:
            self._let_go(flight, answer)

    def dissolve(self, flight: Flight) -> None:
        """Its answer will not be one to be kept: nobody need wait for it."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
            self._let_go(flight, None)

    def _let_go(self, flight: Flight, answer: Recorded | None) -> None:
        for seat in flight.seats:
            seat.set_result(answer)
        self._waiting -= len(flight.seats)
        flight.seats.clear()
