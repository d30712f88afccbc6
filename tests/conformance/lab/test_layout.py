from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.conformance.lab import POD_CIDRS, REMOTE_POD_CIDRS, SEGMENT_CIDRS, Client, LabSpec
from pointsman.conformance.lab.layout import lay_out
from pointsman.conformance.lab.topology import Machine, Topology
from pointsman.core.addresses import IPFamily, parse_address, parse_network

names = st.text("abcxyz019-", min_size=1, max_size=11).filter(lambda name: name.strip("-"))


@st.composite
def specs(draw: st.DrawFn) -> LabSpec:
    drawn = draw(st.lists(names, unique=True, max_size=12))
    free = [name for name in drawn if name not in ("node", "node2", "router")]
    first, second = sorted((draw(st.integers(0, len(free))), draw(st.integers(0, len(free)))))
    return LabSpec(
        tuple(free[:first]), tuple(free[first:second]), tuple(Client(name) for name in free[second:])
    )


def machine(topology: Topology, name: str) -> Machine:
    return next(machine for machine in topology.machines if machine.name == name)


@given(specs())
def test_every_interface_has_one_cable_and_every_address_one_owner(spec: LabSpec) -> None:
    topology = lay_out(spec)
    ends = [(cable.machine, cable.interface) for cable in topology.cables]
    ends += [(cable.far_machine, cable.far_interface) for cable in topology.cables]
    interfaces = [(one.name, interface.name) for one in topology.machines for interface in one.interfaces]
    interfaces.remove(("router", "eth0"))  # the bridge
    assert sorted(ends) == sorted(interfaces)
    assert all(len(interface) <= 15 for _, interface in interfaces)
    addresses = list(chain.from_iterable(one.addresses for one in topology.machines))
    assert len(addresses) == len(set(addresses))


@given(specs())
def test_addresses_lie_in_their_networks(spec: LabSpec) -> None:
    topology = lay_out(spec)
    for family in IPFamily:
        for members, cidrs in (
            (spec.pods, POD_CIDRS),
            (spec.remote_pods, REMOTE_POD_CIDRS),
            (("node", "node2", "router", *(client.name for client in spec.clients)), SEGMENT_CIDRS),
        ):
            for name in members:
                main = machine(topology, name).addresses_of(family)[0]
                assert parse_address(main) in parse_network(cidrs[family])


def test_addresses_follow_from_the_place_in_the_specification() -> None:
    topology = lay_out(LabSpec(pods=("a", "b"), remote_pods=("c",), clients=(Client("x"), Client("y"))))
    assert machine(topology, "b").addresses == ("10.244.1.3", "fd00:10:244:1::3")
    assert machine(topology, "c").addresses == ("10.244.2.2", "fd00:10:244:2::2")
    assert machine(topology, "y").addresses == ("192.168.77.101", "fd00:192:168:77::101")
    assert machine(topology, "node").addresses_of(IPFamily.IPV4) == ("192.168.77.1", "10.244.1.1")


def test_pods_hang_on_interfaces_that_a_prefix_tells_apart() -> None:
    node = machine(lay_out(LabSpec(pods=("web-1", "web-2"))), "node")
    assert [interface.name for interface in node.interfaces] == ["eth0", "vethweb-1", "vethweb-2"]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (LabSpec(pods=("a", "a")), "called 'a'"),
        (LabSpec(pods=("node2",)), "called 'node2'"),
        (LabSpec(pods=("twelve-chars",)), "'twelve-chars'"),
        (LabSpec(pods=("a/b",)), "'a/b'"),
        (LabSpec(remote_pods=("",)), "''"),
        (LabSpec(node_addresses=("192.168.77.300",)), "'192.168.77.300'"),
        (LabSpec(node_addresses=("192.168.77.100",)), "client .* 192.168.77.100, which is node's"),
        (LabSpec(node_addresses=("192.168.77.1",)), "node .* 192.168.77.1, which is node's"),
        (LabSpec(clients=(Client("x", ("10.244.1.2",)),)), "pod-a .* 10.244.1.2, which is x's"),
        (LabSpec(pods=tuple(f"p{index}" for index in range(251))), "251 pods"),
        (LabSpec(clients=tuple(Client(f"c{index}") for index in range(155))), "155 clients"),
    ],
)
def test_a_contradictory_specification_is_refused_by_name(spec: LabSpec, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        lay_out(spec)


def test_a_client_may_have_whole_networks() -> None:
    """They are its own to send from, and everybody else's way to them leads to it."""
    topology = lay_out(LabSpec(clients=(Client("x", networks=("198.18.0.0/15",)),)))
    routes = {one.name: one for one in topology.machines}
    [own] = (route for route in routes["x"].routes if route.destination == "198.18.0.0/15")
    assert own.own
    for other in ("node", "node2", "router"):
        [way] = (route for route in routes[other].routes if route.destination == "198.18.0.0/15")
        assert (way.own, way.gateway) == (False, "192.168.77.100")
