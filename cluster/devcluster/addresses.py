"""Where a cluster listens and which addresses it uses, all from one small number.

Promises: two different indexes share no port and no address. Pure: nothing is probed here.

The ranges are cut from 198.18.0.0/15, which RFC 2544 sets aside for test networks: office networks,
VPNs and container tools use others. Some proxies (Clash, Surge) answer names with addresses from
198.18.0.0/16; an index whose range is routed elsewhere is not given out, see `state`.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

RANGE = IPv4Network("198.18.0.0/15")
_BLOCK_PREFIX = 20
_FIRST_PORT = 26400
_PORTS_EACH = 10

MAX_CLUSTERS = 2 ** (_BLOCK_PREFIX - RANGE.prefixlen)


@dataclass(frozen=True)
class Addresses:
    """The ports (on the host) and ranges of the cluster with this index, 0 to MAX_CLUSTERS - 1."""

    index: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < MAX_CLUSTERS:
            raise ValueError(f"a cluster's index is 0 to {MAX_CLUSTERS - 1}, not {self.index}")

    def _port(self, offset: int) -> int:
        return _FIRST_PORT + _PORTS_EACH * self.index + offset

    @property
    def etcd_port(self) -> int:
        return self._port(0)

    @property
    def etcd_peer_port(self) -> int:
        return self._port(1)

    @property
    def api_port(self) -> int:
        return self._port(2)

    @property
    def controller_manager_port(self) -> int:
        return self._port(3)

    @property
    def scheduler_port(self) -> int:
        return self._port(4)

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port this cluster may listen on at the host."""
        return tuple(self._port(offset) for offset in range(_PORTS_EACH))

    @property
    def block(self) -> IPv4Network:
        """Everything below lies in this range, 4096 addresses."""
        size = 2 ** (32 - _BLOCK_PREFIX)
        return IPv4Network((int(RANGE.network_address) + size * self.index, _BLOCK_PREFIX))

    @property
    def link(self) -> IPv4Network:
        """The two ends of the cable between the host and the node."""
        return IPv4Network((int(self.block.network_address), 30))

    @property
    def host_ip(self) -> IPv4Address:
        """The host as the node and its pods see it: where they find the API server."""
        return self.link[1]

    @property
    def node_ip(self) -> IPv4Address:
        return self.link[2]

    @property
    def fake_pods(self) -> IPv4Network:
        """Pods of fake nodes get these; nothing answers there."""
        return IPv4Network((int(self.block.network_address) + 512, 23))

    @property
    def services(self) -> IPv4Network:
        return IPv4Network((int(self.block.network_address) + 1024, 22))

    @property
    def api_service_ip(self) -> IPv4Address:
        """The address that Kubernetes gives the Service `kubernetes`: the first of the range."""
        return self.services[1]

    @property
    def dns_service_ip(self) -> IPv4Address:
        return self.services[10]

    @property
    def pods(self) -> IPv4Network:
        return IPv4Network((int(self.block.network_address) + 2048, 21))
