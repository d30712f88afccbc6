"""What is written when: examples of changes that a packet would feel if the order were another."""

from msgspec.structs import replace

from pointsman.backends.nftables.changes import Changes, Writer
from pointsman.backends.nftables.layout import layout
from pointsman.backends.nftables.netlink.sets import VERDICTS
from pointsman.backends.nftables.walk import follow
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Answer, Endpoint, FrontendKind, Masquerade, Model, Pool, ServiceFrontends
from pointsman.core.packet import Packet
from pointsman.core.plan import advance
from tests.backends.nftables.fates import End, ends, right
from tests.backends.nftables.models import NAME, seed
from tests.backends.nftables.synced import Synced
from tests.strategies import WORLDS

IPV4 = IPFamily.IPV4
WORLD = WORLDS[IPV4]
OUTSIDE = WORLD.strangers[0]
OTHER = Endpoint(WORLD.pods[2], 9090)
OTHER_NAME, THIRD_NAME = NAME._replace(port="other"), NAME._replace(port="third")


def changed(model: Model, new: ServiceFrontends, packet: Packet) -> list[set[End]]:
    """What becomes of a packet before a change, after each of its transactions, and in the end."""
    desired, delta = advance(model, [(new.name, new)], model.node)
    synced = Synced(model)
    met = [ends(follow(synced.table, packet)) for _ in synced.advance(desired, delta)]
    before, after = right(packet, model, desired)
    assert all(one in (before, after) for one in met)
    assert met[-1] == after
    assert before != after
    return [set(one) for one in met]


def from_outside(service: ServiceFrontends) -> Packet:
    match = service.frontends[0].match
    assert match.address is not None
    return Packet(OUTSIDE, match.address, match.port, match.protocol, "eth0")


def test_nobody_slips_in_to_a_new_endpoint_while_source_ranges_close() -> None:
    model = seed(IPV4, 1)
    service = model.services[NAME]
    [frontend] = service.frontends
    closed = replace(frontend, kind=FrontendKind.LOAD_BALANCER, sources=(WORLD.source_networks[1],))
    changed(model, replace(service, frontends=(closed,), cluster=(OTHER,)), from_outside(service))


def test_a_new_endpoint_never_sees_what_the_old_rule_of_masquerading_leaves() -> None:
    model = seed(IPV4, 2)
    service = model.services[NAME]
    [frontend] = service.frontends
    other = replace(frontend, near=Answer(Pool.CLUSTER, Masquerade.NEVER))
    new = replace(service, frontends=(other,), cluster=(service.cluster[0], OTHER))
    changed(model, new, from_outside(service))


def test_growing_shrinking_and_replacing_at_once_leave_no_index_empty() -> None:
    model = seed(IPV4, 3)
    service = model.services[NAME]
    for cluster in ((OTHER,), (*service.cluster[1:], OTHER), (*service.cluster, OTHER), ()):
        changed(model, replace(service, cluster=cluster), from_outside(service))


def test_one_endpoint_for_another_leaves_the_way_there_as_it_is() -> None:
    model = seed(IPV4, 3)
    service = model.services[NAME]
    new = replace(service, cluster=(*service.cluster[1:], OTHER))
    desired, delta = advance(model, [(NAME, new)], model.node)
    synced = Synced(model)
    before = synced.table.elements["services"].copy()
    for _ in synced.advance(desired, delta):
        assert synced.table.elements["services"] == before


def test_services_of_known_shapes_come_and_grow_without_a_new_verdict() -> None:
    """The kernel walks every map of verdicts when one that leads to a chain is added; data it doesn't."""
    model = seed(IPV4, 3)
    service = model.services[NAME]
    [frontend] = service.frontends
    larger = replace(service, cluster=(*service.cluster, OTHER))
    at_81, at_82 = (replace(frontend, match=frontend.match._replace(port=port)) for port in (81, 82))
    other = replace(larger, name=OTHER_NAME, frontends=(at_81,))
    model, _ = advance(model, [(OTHER_NAME, other)], model.node)
    third = replace(service, name=THIRD_NAME, frontends=(at_82,))
    desired, delta = advance(model, [(NAME, larger), (THIRD_NAME, third)], model.node)
    synced = Synced(model)
    maps = [spec.name for spec in synced.layout.sets if spec.data is VERDICTS]
    before = {name: set(synced.table.elements[name].values()) for name in maps}
    for _ in synced.advance(desired, delta):
        for name in maps:
            assert set(synced.table.elements[name].values()) <= before[name]


def test_no_change_is_no_transaction() -> None:
    assert Writer(layout(IPV4, "pointsman")).phases(Changes()) == []
