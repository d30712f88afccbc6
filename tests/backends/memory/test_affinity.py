"""Session affinity, on top of verdicts."""

import pytest
from msgspec.structs import replace

from pointsman.backends.memory.affinity import Connection, admissible
from pointsman.backends.memory.oracle import Oracle
from pointsman.core.model import Answer, Endpoint, Masquerade, Pool, ServiceFrontends
from tests.backends.memory.cluster import (
    API,
    EXTERNAL_LOCAL,
    IPV4,
    NODE_PORT,
    WEB,
    Cluster,
    forward,
    model,
    web,
)

TIMEOUT = 60
NEVER = Answer(Pool.CLUSTER, Masquerade.NEVER)


def sticky(cluster: Cluster, service: ServiceFrontends | None = None) -> Oracle:
    service = service or web(cluster, internal=NEVER)
    return Oracle.of(model(cluster.context, replace(service, affinity=TIMEOUT)))


def before(cluster: Cluster, endpoint: Endpoint, time: float = 100) -> Connection:
    return Connection(cluster.pod, WEB, endpoint, time)


@pytest.mark.parametrize("sought", ["local", "remote"])
def test_AFF_01_a_client_meets_its_endpoint_again(cluster: Cluster, sought: str) -> None:
    endpoint = getattr(cluster, sought)
    packet, history = cluster.from_pod(cluster.cluster_ip), [before(cluster, endpoint)]
    assert admissible(sticky(cluster), packet, history, 159.9) == forward([endpoint])


def test_AFF_01_after_the_timeout_anything_goes(cluster: Cluster) -> None:
    packet, history = cluster.from_pod(cluster.cluster_ip), [before(cluster, cluster.remote)]
    for now in (160, 10_000):
        found = admissible(sticky(cluster), packet, history, now)
        assert found == forward([cluster.local, cluster.remote])


def test_AFF_01_each_connection_renews(cluster: Cluster) -> None:
    packet = cluster.from_pod(cluster.cluster_ip)
    history = [before(cluster, cluster.remote, time) for time in (190, 100, 145)]
    assert admissible(sticky(cluster), packet, history, 240) == forward([cluster.remote])


def test_AFF_01_the_last_connection_counts(cluster: Cluster) -> None:
    packet = cluster.from_pod(cluster.cluster_ip)
    history = [before(cluster, cluster.local, 120), before(cluster, cluster.remote, 110)]
    assert admissible(sticky(cluster), packet, history, 130) == forward([cluster.local])


def test_AFF_01_what_comes_later_does_not_count_yet(cluster: Cluster) -> None:
    packet, history = cluster.from_pod(cluster.cluster_ip), [before(cluster, cluster.local, 200)]
    assert len(admissible(sticky(cluster), packet, history, 199).endpoints) == 2


def test_AFF_02_all_addresses_of_a_service_port_share_it(cluster: Cluster) -> None:
    """A connection by one address binds those by the others: nothing in history tells by which it came."""
    oracle, history = sticky(cluster), [before(cluster, cluster.remote)]
    for packet in (
        cluster.from_pod(cluster.cluster_ip),
        cluster.from_pod(cluster.load_balancer),
        cluster.from_pod(cluster.external_ip),
        cluster.from_pod(cluster.node, NODE_PORT, to_node=True),
    ):
        assert admissible(oracle, packet, history, 110).endpoints == (cluster.remote,)


def test_AFF_03_other_service_ports_stick_on_their_own(cluster: Cluster) -> None:
    packet = cluster.from_pod(cluster.cluster_ip)
    for other in (API, WEB._replace(port="https")):
        history = [replace(before(cluster, cluster.remote), service=other)]
        assert len(admissible(sticky(cluster), packet, history, 110).endpoints) == 2


def test_AFF_04_an_endpoint_that_left_is_forgotten_at_once(cluster: Cluster) -> None:
    oracle = sticky(cluster, replace(web(cluster, internal=NEVER), cluster=(cluster.local,)))
    packet, history = cluster.from_pod(cluster.cluster_ip), [before(cluster, cluster.remote)]
    assert admissible(oracle, packet, history, 110) == forward([cluster.local])


def test_AFF_04_another_port_of_the_same_pod_is_another_endpoint(cluster: Cluster) -> None:
    pool = tuple(replace(cluster.local, port=port) for port in (8080, 9090))
    oracle = sticky(cluster, replace(web(cluster, internal=NEVER), cluster=pool))
    packet, history = cluster.from_pod(cluster.cluster_ip), [before(cluster, pool[1])]
    assert admissible(oracle, packet, history, 110) == forward(pool[1:])


def test_AFF_04_a_new_weight_does_not_make_it_another_endpoint(cluster: Cluster) -> None:
    heavy = replace(cluster.local, weight=7)
    oracle = sticky(cluster, replace(web(cluster, internal=NEVER), cluster=(heavy, cluster.remote)))
    packet, history = cluster.from_pod(cluster.cluster_ip), [before(cluster, cluster.local)]
    assert admissible(oracle, packet, history, 110) == forward([heavy])


def test_AFF_05_other_clients_are_free(cluster: Cluster) -> None:
    packet, history = cluster.from_client(cluster.cluster_ip), [before(cluster, cluster.remote)]
    assert len(admissible(sticky(cluster), packet, history, 110).endpoints) == 2


def test_AFF_05_policy_comes_before_affinity(cluster: Cluster) -> None:
    """A far client, bound to a remote endpoint by the ClusterIP, asks where only local ones may answer."""
    oracle = sticky(cluster, web(cluster, internal=NEVER, external=EXTERNAL_LOCAL))
    history = [Connection(cluster.client, WEB, cluster.remote, 100)]
    found = admissible(oracle, cluster.from_client(cluster.external_ip), history, 110)
    assert found == forward([cluster.local])


def test_AFF_05_the_source_ranges_come_before_affinity(cluster: Cluster) -> None:
    oracle, packet = sticky(cluster, web(cluster, sources=())), cluster.from_pod(cluster.load_balancer)
    assert admissible(oracle, packet, [before(cluster, cluster.remote)], 110) == oracle.judge(packet)


def test_AFF_06_without_affinity_history_means_nothing(cluster: Cluster) -> None:
    oracle = Oracle.of(model(cluster.context, web(cluster)))
    packet, history = cluster.from_pod(cluster.cluster_ip), [before(cluster, cluster.remote)]
    for now in (100, 110):
        assert admissible(oracle, packet, history, now) == oracle.judge(packet)


def test_masquerading_is_that_of_the_endpoint_met() -> None:
    """A pod bound to itself is masqueraded; bound to another one, it isn't (MSQ-03)."""
    packet = replace(IPV4.from_pod(IPV4.cluster_ip), source=IPV4.local.address)
    for endpoint, masqueraded in ((IPV4.local, [IPV4.local]), (IPV4.remote, [])):
        history = [Connection(IPV4.local.address, WEB, endpoint, 100)]
        assert admissible(sticky(IPV4), packet, history, 110) == forward([endpoint], masqueraded)


def test_what_no_frontend_is_for_has_no_affinity(cluster: Cluster) -> None:
    packet = cluster.from_pod(cluster.cluster_ip, 81)
    history = [before(cluster, cluster.remote)]
    assert admissible(sticky(cluster), packet, history, 110) == sticky(cluster).judge(packet)
