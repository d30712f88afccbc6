"""Broken parts of a proxy that program no rules: a pytest plugin that breaks those of the simulated node.

For each mutant there is a backend of its name, a healthy one; in its cases that mutant is at work.
"""

from collections.abc import Callable, Generator
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from pointsman.conformance.cluster import Cluster
from pointsman.conformance.selection import variant_of
from pointsman.conformance.simulation import SimulatedNetwork
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Endpoint, NamespacedName, Protocol
from pointsman.core.packet import Packet, Trace
from pointsman.core.plan import HealthCheck

CAUGHT_BY = {
    "keeps_stale_flows": "test_udp_flows::test_a_flow_moves_on_when_its_endpoint_has_left",
    "keeps_stale_flows_at_node_ports": "test_udp_flows::test_a_flow_moves_on_when_its_endpoint_has_left",
    "looks_at_one_address_of_the_node": "test_udp_flows::test_a_flow_moves_on_when_its_endpoint_has_left",
    "takes_streams_away_too": "test_udp_flows::test_a_flow_moves_on_when_its_endpoint_has_left",
    "takes_flows_from_who_terminates": "test_udp_flows::test_a_flow_stays_while_its_endpoint_serves",
    "knows_of_local_endpoints_only": "test_udp_flows::test_a_flow_stays_where_policy_sends_no_new_ones",
    "does_not_look_at_ports": "test_udp_flows::test_a_flow_moves_on_when_the_target_port_changes",
    "takes_the_last_flow_away": "test_udp_flows::test_a_flow_is_left_alone_while_there_is_nobody_else",
    "passes_over_flows_that_nobody_translated": (
        "test_udp_flows::test_a_flow_that_began_before_its_service_finds_it"
    ),
    "takes_flows_of_others": "test_udp_flows::test_flows_of_others_are_left_alone",
    "counts_who_terminates": "test_health_check::test_endpoints_that_terminate_do_not_count",
    "counts_everybody": "test_health_check::test_it_tells_how_many_endpoints_are_here",
    "counts_ports": "test_health_check::test_an_endpoint_of_several_ports_counts_once",
    "is_always_well": "test_health_check::test_endpoints_come_and_go",
    "listens_everywhere": "test_health_check::test_it_tells_how_many_endpoints_are_here",
    "keeps_listening": "test_health_check::test_it_opens_and_closes_with_policy_and_type",
    "tells_of_the_first_service_on_any_port": (
        "test_health_check::test_two_services_are_asked_about_on_two_ports"
    ),
    "does_not_renew_memories": "test_affinity::test_a_client_is_remembered_until_it_was_away_for_too_long",
    "knows_clients_by_the_address_that_endpoints_see": (
        "test_affinity::test_many_clients_are_spread_and_all_remembered"
    ),
}
"""The mutants, and for each a case that finds it out, after its module."""

Serving = frozenset[Endpoint] | None
Check = tuple[NamespacedName, HealthCheck] | None

_serving, _health_check = Cluster.serving, Cluster.health_check


def keeps_stale_flows() -> None:
    _flows(lambda cluster, packet: None)


def keeps_stale_flows_at_node_ports() -> None:
    _flows(lambda cluster, packet: None if packet.to_node else _serving(cluster, packet))


def looks_at_one_address_of_the_node() -> None:
    first: list[bytes] = []

    def serving(cluster: Cluster, packet: Packet) -> Serving:
        if packet.to_node:
            first.append(packet.destination)
        known = not packet.to_node or packet.destination == first[0]
        return _serving(cluster, packet) if known else None

    _flows(serving)


def takes_streams_away_too() -> None:
    go_on = SimulatedNetwork._go_on

    def broken(self, where, client, packet, last):  # type: ignore[no-untyped-def]
        outcome = go_on(self, where, client, replace(packet, protocol=Protocol.UDP), last)
        return replace(outcome, protocol=packet.protocol) if outcome is not last else last

    patch.object(SimulatedNetwork, "_go_on", broken).start()


def takes_flows_from_who_terminates() -> None:
    _flows(lambda cluster, packet: _pool(cluster, packet, "cluster"))


def knows_of_local_endpoints_only() -> None:
    _flows(lambda cluster, packet: _pool(cluster, packet, "local") or _serving(cluster, packet))


def does_not_look_at_ports() -> None:
    def serving(cluster: Cluster, packet: Packet) -> Serving:
        found = _serving(cluster, packet)
        return found and found | {replace(one, port=port) for one in found for port in (8080, 9090)}

    _flows(serving)


def takes_the_last_flow_away() -> None:
    nobody = frozenset([Endpoint(bytes(4), 1)])

    def serving(cluster: Cluster, packet: Packet) -> Serving:
        found = _serving(cluster, packet)
        return nobody if found is not None and not found else found

    _flows(serving)


def passes_over_flows_that_nobody_translated() -> None:
    go_on = SimulatedNetwork._go_on

    def broken(self, where, client, packet, last):  # type: ignore[no-untyped-def]
        return last if last.pod == "router" else go_on(self, where, client, packet, last)

    patch.object(SimulatedNetwork, "_go_on", broken).start()


def takes_flows_of_others() -> None:
    def serving(cluster: Cluster, packet: Packet) -> Serving:
        facts = cluster.proxy.facts(IPFamily.IPV4).serving
        return facts[min(facts)] if facts else None

    _flows(serving)


def counts_who_terminates() -> None:
    _counting(lambda cluster, count: _candidates(cluster, "local"))


def counts_everybody() -> None:
    _counting(lambda cluster, count: _candidates(cluster, "cluster"))


def counts_ports() -> None:
    def count(cluster: Cluster, _: int) -> int:
        model = cluster.proxy.model(IPFamily.IPV4)
        return sum(len(state.local) for state in model.services.values())

    _counting(count)


def is_always_well() -> None:
    _counting(lambda cluster, count: max(count, 1))


def keeps_listening() -> None:
    once: dict[int, Check] = {}

    def check(cluster: Cluster, family: IPFamily, address: str, port: int) -> Check:
        found = _health_check(cluster, family, address, port)
        return once.setdefault(port, found) if found is not None or port in once else None

    patch.object(Cluster, "health_check", check).start()


def listens_everywhere() -> None:
    def check(cluster: Cluster, family: IPFamily, address: str, port: int) -> Check:
        checks = cluster.proxy.facts(family).health_checks
        return next((one for one in checks.items() if one[1].port == port), None)

    patch.object(Cluster, "health_check", check).start()


def tells_of_the_first_service_on_any_port() -> None:
    def check(cluster: Cluster, family: IPFamily, address: str, port: int) -> Check:
        found = _health_check(cluster, family, address, port)
        checks = cluster.proxy.facts(family).health_checks
        return found and (min(checks), checks[min(checks)])

    patch.object(Cluster, "health_check", check).start()


def does_not_renew_memories() -> None:
    pick = SimulatedNetwork._pick

    def broken(self: SimulatedNetwork, packet: Packet, trace: Trace) -> Endpoint:
        key = trace.affinity and (packet.source, trace.affinity.service)
        before = self._met.get(key) if key else None
        endpoint = pick(self, packet, trace)
        if key and before and before[0] == endpoint:
            self._met[key] = before
        return endpoint

    patch.object(SimulatedNetwork, "_pick", broken).start()


def knows_clients_by_the_address_that_endpoints_see() -> None:
    pick = SimulatedNetwork._pick

    def broken(self: SimulatedNetwork, packet: Packet, trace: Trace) -> Endpoint:
        if trace.verdict.masqueraded:
            packet = replace(packet, source=bytes(len(packet.source)))
        return pick(self, packet, trace)

    patch.object(SimulatedNetwork, "_pick", broken).start()


def _flows(serving: Callable[[Cluster, Packet], Serving]) -> None:
    """Have flows looked after by other rules."""
    patch.object(Cluster, "serving", serving).start()


def _counting(count: Callable[[Cluster, int], int]) -> None:
    """Have load balancers told of other numbers."""

    def check(cluster: Cluster, family: IPFamily, address: str, port: int) -> Check:
        found = _health_check(cluster, family, address, port)
        return found and (
            found[0],
            replace(found[1], local_endpoints=count(cluster, found[1].local_endpoints)),
        )

    patch.object(Cluster, "health_check", check).start()


def _pool(cluster: Cluster, packet: Packet, name: str) -> Serving:
    owner = cluster.proxy.owner(packet)
    if owner is None:
        return None
    pool: tuple[Endpoint, ...] = getattr(cluster.proxy.model(IPFamily.IPV4).services[owner], name)
    return frozenset(pool)


def _candidates(cluster: Cluster, name: str) -> int:
    model = cluster.proxy.model(IPFamily.IPV4)
    return len({one.address for state in model.services.values() for one in getattr(state, name)})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Break what is to be broken, for one case."""
    variant = variant_of(item)
    if variant is not None and variant.backend in CAUGHT_BY:
        globals()[variant.backend]()
    try:
        return (yield)
    finally:
        patch.stopall()
