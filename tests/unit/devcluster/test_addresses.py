from ipaddress import IPv4Network
from itertools import combinations

import pytest
from devcluster.addresses import MAX_CLUSTERS, Addresses

_ALL = [Addresses(index) for index in range(MAX_CLUSTERS)]


def test_no_two_clusters_share_a_port() -> None:
    ports = [port for addresses in _ALL for port in addresses.ports]
    assert len(set(ports)) == len(ports)


def test_no_two_clusters_share_an_address() -> None:
    assert not any(one.block.overlaps(other.block) for one, other in combinations(_ALL, 2))


def test_ports_stay_below_node_ports_and_ephemeral_ports() -> None:
    assert all(1024 < port < 30000 for addresses in _ALL for port in addresses.ports)


@pytest.mark.parametrize("addresses", [_ALL[0], _ALL[-1]])
def test_ranges_of_a_cluster_lie_in_its_block_and_do_not_overlap(addresses: Addresses) -> None:
    ranges = [addresses.link, addresses.fake_pods, addresses.services, addresses.pods]
    assert all(part.subnet_of(addresses.block) for part in ranges)
    assert not any(one.overlaps(other) for one, other in combinations(ranges, 2))


def test_every_block_lies_in_the_range_for_test_networks() -> None:
    assert all(addresses.block.subnet_of(IPv4Network("198.18.0.0/15")) for addresses in _ALL)


def test_an_index_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 31, not 32"):
        Addresses(MAX_CLUSTERS)
