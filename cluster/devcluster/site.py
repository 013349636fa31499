"""What every part of a cluster is told about where it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from devcluster.addresses import Addresses
from devcluster.layout import Layout
from devcluster.processes import Component, Processes
from devcluster.waiting import wait_until

_START_SECONDS = 60.0


@dataclass(frozen=True)
class Site:
    """One cluster's files, addresses, processes, and programs by name."""

    place: Layout
    addresses: Addresses
    tools: Mapping[str, Path]

    @property
    def processes(self) -> Processes:
        return Processes(self.place.folder, self.place.logs)

    def ensure(self, component: Component) -> bool:
        """Start it where it does not run, and say so; True where it was started."""
        started = self.processes.ensure(component)
        if started:
            print(f"· started {component.name}", flush=True)
        return started

    def wait(self, component: Component, probe: Callable[[], bool]) -> None:
        """Return once `probe` is true; ClusterError with its log if it ends or takes a minute."""

        def ready() -> bool:
            self.processes.require(component)
            return probe()

        wait_until(
            f"{component.name} becoming ready",
            ready,
            _START_SECONDS,
            lambda: self.processes.tail(component.name),
        )
