"""The oracle, rule by rule."""

import pytest
from msgspec.structs import replace

from pointsman.backends.memory.oracle import Oracle, judge
from pointsman.core.addresses import parse_address, parse_network
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    LocalInterface,
    LocalInterfacePrefix,
    LocalNetwork,
    LocalTraffic,
    Masquerade,
    Match,
    NodePortAddresses,
    Pool,
    Protocol,
    Refusal,
    ServiceFrontends,
)
from pointsman.core.packet import Packet, Verdict
from tests.backends.memory.cluster import (
    API,
    DROP,
    EXTERNAL,
    EXTERNAL_LOCAL,
    INTERNAL_LOCAL,
    IPV4,
    IPV6,
    NODE_PORT,
    PASS,
    PORT,
    REJECT,
    Cluster,
    forward,
    model,
    web,
)


def external_ways(cluster: Cluster) -> list[tuple[bytes, int, bool]]:
    """Destination, port and to_node for each external address of service web."""
    return [
        (cluster.load_balancer, PORT, False),
        (cluster.external_ip, PORT, False),
        (cluster.node, NODE_PORT, True),
    ]


class TestMatrix:
    """Semantics 2.2: every source to every destination, one local and one remote endpoint."""

    def test_MTX_01_local_pod_reaches_every_endpoint_of_a_cluster_ip_unmasqueraded(
        self, cluster: Cluster
    ) -> None:
        verdict = judge(model(cluster.context, web(cluster)), cluster.from_pod(cluster.cluster_ip))
        assert verdict == forward([cluster.local, cluster.remote])

    def test_MTX_01_internal_policy_local_leaves_the_local_endpoint(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster, internal=INTERNAL_LOCAL)))
        assert oracle.judge(cluster.from_pod(cluster.cluster_ip)) == forward([cluster.local])

    def test_MTX_02_local_pod_is_masqueraded_at_external_addresses(self, cluster: Cluster) -> None:
        oracle, both = Oracle.of(model(cluster.context, web(cluster))), [cluster.local, cluster.remote]
        for destination, port, to_node in external_ways(cluster):
            packet = cluster.from_pod(destination, port, to_node=to_node)
            assert oracle.judge(packet) == forward(both, both), packet

    def test_MTX_02_DIV_10_external_policy_local_sends_local_pods_everywhere_unmasqueraded(
        self, cluster: Cluster
    ) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster, external=EXTERNAL_LOCAL)))
        for destination, port, to_node in external_ways(cluster):
            packet = cluster.from_pod(destination, port, to_node=to_node)
            assert oracle.judge(packet) == forward([cluster.local, cluster.remote]), packet

    def test_MTX_03_the_node_is_masqueraded_at_a_cluster_ip(self, cluster: Cluster) -> None:
        both = [cluster.local, cluster.remote]
        verdict = judge(model(cluster.context, web(cluster)), cluster.from_node(cluster.cluster_ip))
        assert verdict == forward(both, both)

    def test_MTX_03_internal_policy_local_holds_for_the_node(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster, internal=INTERNAL_LOCAL)))
        assert oracle.judge(cluster.from_node(cluster.cluster_ip)) == forward(
            [cluster.local], [cluster.local]
        )

    @pytest.mark.parametrize("external", [(EXTERNAL, None), EXTERNAL_LOCAL])
    def test_MTX_04_DIV_11_the_node_reaches_all_masqueraded_whatever_the_external_policy(
        self, cluster: Cluster, external: tuple[Answer, Answer | None]
    ) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster, external=external)))
        both = [cluster.local, cluster.remote]
        for destination, port, to_node in external_ways(cluster):
            packet = cluster.from_node(destination, port, to_node=to_node)
            assert oracle.judge(packet) == forward(both, both), packet

    def test_MTX_05_the_node_reaches_a_node_port_by_127_0_0_1(self) -> None:
        node = replace(IPV4.context, node_ports=NodePortAddresses(loopback=True))
        localhost, both = parse_address("127.0.0.1"), [IPV4.local, IPV4.remote]
        packet = Packet(localhost, localhost, NODE_PORT, Protocol.TCP, to_node=True)
        for external in ((EXTERNAL, None), EXTERNAL_LOCAL):
            assert judge(model(node, web(IPV4, external=external)), packet) == forward(both, both)

    def test_MTX_06_external_client_is_masqueraded_at_a_cluster_ip(self, cluster: Cluster) -> None:
        both = [cluster.local, cluster.remote]
        verdict = judge(model(cluster.context, web(cluster)), cluster.from_client(cluster.cluster_ip))
        assert verdict == forward(both, both)

    def test_MTX_07_external_client_is_masqueraded_at_external_addresses(self, cluster: Cluster) -> None:
        oracle, both = Oracle.of(model(cluster.context, web(cluster))), [cluster.local, cluster.remote]
        for destination, port, to_node in external_ways(cluster):
            packet = cluster.from_client(destination, port, to_node=to_node)
            assert oracle.judge(packet) == forward(both, both), packet

    def test_MTX_07_external_client_gets_local_pool_unmasqueraded(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster, external=EXTERNAL_LOCAL)))
        for destination, port, to_node in external_ways(cluster):
            packet = cluster.from_client(destination, port, to_node=to_node)
            assert oracle.judge(packet) == forward([cluster.local]), packet

    def test_MTX_08_where_nobody_is_known_as_a_local_pod_all_but_the_node_are_far(
        self, cluster: Cluster
    ) -> None:
        node = replace(cluster.context, local=None)
        oracle = Oracle.of(model(node, web(cluster, external=EXTERNAL_LOCAL)))
        assert oracle.judge(cluster.from_pod(cluster.external_ip)) == forward([cluster.local])
        both = [cluster.local, cluster.remote]
        assert oracle.judge(cluster.from_node(cluster.external_ip)) == forward(both, both)

    def test_MTX_08_a_cluster_ip_that_never_masquerades_shows_every_client(self, cluster: Cluster) -> None:
        never = Answer(Pool.CLUSTER, Masquerade.NEVER)
        oracle = Oracle.of(model(replace(cluster.context, local=None), web(cluster, internal=never)))
        for packet in (cluster.from_pod, cluster.from_node, cluster.from_client):
            assert oracle.judge(packet(cluster.cluster_ip)) == forward([cluster.local, cluster.remote])

    def test_MTX_09_a_cluster_ip_that_always_masquerades_hides_local_pods(self, cluster: Cluster) -> None:
        always, both = Answer(Pool.CLUSTER, Masquerade.ALWAYS), [cluster.local, cluster.remote]
        oracle = Oracle.of(model(cluster.context, web(cluster, internal=always)))
        assert oracle.judge(cluster.from_pod(cluster.cluster_ip)) == forward(both, both)


class TestLocalPods:
    """Semantics MSQ-06: four ways to tell local pods, by whether the client is masqueraded."""

    def is_local(self, local: LocalTraffic | None, source: bytes, interface: str | None) -> bool:
        oracle = Oracle.of(model(replace(IPV4.context, local=local), web(IPV4)))
        verdict = oracle.judge(Packet(source, IPV4.cluster_ip, PORT, Protocol.TCP, interface))
        assert verdict.endpoints == (IPV4.local, IPV4.remote)
        return not verdict.masqueraded

    def test_MSQ_06_by_network_the_source_decides(self) -> None:
        local = LocalNetwork(IPV4.pod_network)
        assert self.is_local(local, IPV4.pod, "eth0")
        assert not self.is_local(local, IPV4.remote_pod, "veth1")

    def test_MSQ_06_by_network_the_nodes_own_packets_count_by_their_source(self) -> None:
        local = LocalNetwork(IPV4.pod_network)
        assert self.is_local(local, parse_address("10.244.1.1"), None)
        assert not self.is_local(local, IPV4.node, None)

    def test_MSQ_06_by_interface_its_whole_name_decides(self) -> None:
        local = LocalInterface("cni0")
        assert self.is_local(local, IPV4.client, "cni0")
        assert not self.is_local(local, IPV4.pod, "cni01")
        assert not self.is_local(local, IPV4.pod, None)

    def test_MSQ_06_by_interface_prefix_its_start_decides(self) -> None:
        local = LocalInterfacePrefix("veth")
        assert self.is_local(local, IPV4.client, "veth9")
        assert not self.is_local(local, IPV4.pod, "eth0")
        assert not self.is_local(local, IPV4.pod, None)

    def test_MSQ_06_without_a_way_nobody_is_local(self) -> None:
        assert not self.is_local(None, IPV4.pod, "veth1")

    def test_SVC_NP_10_a_remote_pod_is_near_where_the_network_holds_all_pods(self) -> None:
        packet = IPV4.from_remote_pod(IPV4.node, NODE_PORT, to_node=True)
        services = web(IPV4, external=EXTERNAL_LOCAL)
        cluster_cidr = LocalNetwork(parse_network("10.244.0.0/16"))
        near = model(replace(IPV4.context, local=cluster_cidr), services)
        assert judge(near, packet) == forward([IPV4.local, IPV4.remote])
        far = model(replace(IPV4.context, local=LocalInterfacePrefix("veth")), services)
        assert judge(far, packet) == forward([IPV4.local])


class TestMasquerade:
    """Hairpins."""

    @pytest.mark.parametrize("masquerade", [Masquerade.UNLESS_LOCAL, Masquerade.NEVER])
    def test_MSQ_03_a_pod_that_may_reach_itself_is_masqueraded_there_only(
        self, cluster: Cluster, masquerade: Masquerade
    ) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster, Answer(Pool.CLUSTER, masquerade))))
        packet = Packet(cluster.local.address, cluster.cluster_ip, PORT, Protocol.TCP, "veth2")
        assert oracle.judge(packet) == forward([cluster.local, cluster.remote], [cluster.local])

    def test_MSQ_03_every_port_of_the_pod_is_itself(self, cluster: Cluster) -> None:
        pod = cluster.local.address
        twice = (Endpoint(pod, 8080), Endpoint(pod, 9090))
        service = replace(web(cluster), cluster=twice)
        packet = Packet(pod, cluster.cluster_ip, PORT, Protocol.TCP, "veth2")
        assert judge(model(cluster.context, service), packet) == forward(twice, twice)


class TestNodePorts:
    """Semantics 2.4: where node ports answer."""

    def test_SVC_NP_01_every_address_of_the_node_answers(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster)))
        both = [cluster.local, cluster.remote]
        for address in (cluster.node, cluster.unused_service_ip, cluster.external_ip):
            packet = cluster.from_client(address, NODE_PORT, to_node=True)
            assert oracle.judge(packet) == forward(both, both), packet

    def test_SVC_NP_01_other_addresses_do_not(self, cluster: Cluster) -> None:
        packet = cluster.from_client(cluster.node, NODE_PORT, to_node=False)
        assert judge(model(cluster.context, web(cluster)), packet) == PASS

    def test_SVC_NP_02_listed_addresses_alone_answer(self, cluster: Cluster) -> None:
        node = replace(cluster.context, node_ports=NodePortAddresses((cluster.external_ip,)))
        oracle = Oracle.of(model(node, web(cluster)))
        assert oracle.judge(cluster.from_client(cluster.node, NODE_PORT, to_node=True)) == PASS
        both = [cluster.local, cluster.remote]
        packet = cluster.from_client(cluster.external_ip, NODE_PORT, to_node=True)
        assert oracle.judge(packet) == forward(both, both)

    @pytest.mark.parametrize("text", ["127.0.0.1", "127.255.255.254"])
    @pytest.mark.parametrize("addresses", [None, (), (parse_address("127.0.0.1"),)])
    def test_SVC_NP_07_DIV_06_loopback_answers_where_it_is_switched_on(
        self, text: str, addresses: tuple[bytes, ...] | None
    ) -> None:
        packet = Packet(parse_address("127.0.0.1"), parse_address(text), NODE_PORT, Protocol.TCP, None, True)
        both = [IPV4.local, IPV4.remote]
        for loopback, verdict in ((False, PASS), (True, forward(both, both))):
            node = replace(IPV4.context, node_ports=NodePortAddresses(addresses, loopback))
            assert judge(model(node, web(IPV4)), packet) == verdict

    @pytest.mark.parametrize("loopback", [False, True])
    def test_SVC_NP_07_IPv6_loopback_never_answers(self, loopback: bool) -> None:
        localhost = parse_address("::1")
        packet = Packet(localhost, localhost, NODE_PORT, Protocol.TCP, None, True)
        for addresses in (None, (localhost,)):
            node = replace(IPV6.context, node_ports=NodePortAddresses(addresses, loopback))
            assert judge(model(node, web(IPV6)), packet) == PASS

    def test_SVC_NP_09_source_ranges_do_not_matter(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster, sources=())))
        both = [cluster.local, cluster.remote]
        packet = cluster.from_client(cluster.node, NODE_PORT, to_node=True)
        assert oracle.judge(packet) == forward(both, both)

    def test_an_address_of_its_own_comes_first(self, cluster: Cluster) -> None:
        """An external IP that the node has, at a port that is a node port as well."""
        other = Endpoint(cluster.remote_pod, 9090)
        match = Match(cluster.node, Protocol.TCP, NODE_PORT)
        api = ServiceFrontends(
            name=API,
            frontends=(Frontend(match, FrontendKind.EXTERNAL_IP, Answer(Pool.CLUSTER, Masquerade.ALWAYS)),),
            cluster=(other,),
        )
        packet = cluster.from_client(cluster.node, NODE_PORT, to_node=True)
        assert judge(model(cluster.context, web(cluster), api), packet) == forward([other], [other])

    def test_the_other_family_is_not_answered(self, cluster: Cluster) -> None:
        """Match-all is every address of one family: the dataplanes of both run side by side (PRO-02)."""
        other = IPV6 if cluster is IPV4 else IPV4
        packet = other.from_client(other.node, NODE_PORT, to_node=True)
        assert judge(model(cluster.context, web(cluster)), packet) == PASS


class TestSourceRanges:
    """Semantics 2.5: who may use a load balancer's address."""

    def test_SVC_LB_02_inside_the_ranges_all_is_as_ever(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster, sources=(cluster.client_network,))))
        both = [cluster.local, cluster.remote]
        assert oracle.judge(cluster.from_client(cluster.load_balancer)) == forward(both, both)

    def test_SVC_LB_02_outside_everyone_is_dropped_pods_and_node_included(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster, sources=(cluster.client_network,))))
        for way in (cluster.from_pod, cluster.from_remote_pod, cluster.from_node):
            assert oracle.judge(way(cluster.load_balancer)) == DROP
            assert oracle.judge(way(cluster.load_balancer, to_node=True)) == DROP

    def test_SVC_LB_02_one_range_of_several_is_enough(self, cluster: Cluster) -> None:
        sources = (cluster.service_network, cluster.client_network)
        oracle = Oracle.of(model(cluster.context, web(cluster, sources=sources)))
        assert oracle.judge(cluster.from_client(cluster.load_balancer)).endpoints
        assert oracle.judge(cluster.from_pod(cluster.load_balancer)) == DROP

    def test_SVC_LB_02_no_range_at_all_admits_nobody(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster, sources=())))
        assert oracle.judge(cluster.from_client(cluster.load_balancer)) == DROP

    def test_SVC_LB_05_other_addresses_of_the_service_ignore_them(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster, sources=())))
        for address in (cluster.cluster_ip, cluster.external_ip):
            assert oracle.judge(cluster.from_client(address)).endpoints

    def test_NOEP_05_DIV_12_the_ranges_come_before_the_refusal(self, cluster: Cluster) -> None:
        empty = replace(web(cluster, sources=(cluster.client_network,)), cluster=(), local=())
        oracle = Oracle.of(model(cluster.context, empty))
        assert oracle.judge(cluster.from_pod(cluster.load_balancer)) == DROP
        assert oracle.judge(cluster.from_client(cluster.load_balancer)) == REJECT


class TestNoEndpoints:
    """Semantics 2.6."""

    @pytest.mark.parametrize(("refusal", "verdict"), [(Refusal.REJECT, REJECT), (Refusal.DROP, DROP)])
    def test_NOEP_01_to_04_DIV_04_every_client_meets_the_services_refusal(
        self, cluster: Cluster, refusal: Refusal, verdict: Verdict
    ) -> None:
        empty = replace(web(cluster), cluster=(), local=(), when_empty=refusal)
        oracle = Oracle.of(model(cluster.context, empty))
        for way in (cluster.from_pod, cluster.from_remote_pod, cluster.from_node, cluster.from_client):
            assert oracle.judge(way(cluster.cluster_ip)) == verdict
            for destination, port, to_node in external_ways(cluster):
                assert oracle.judge(way(destination, port, to_node=to_node)) == verdict

    def test_NOEP_04_DIV_07_an_excluded_address_is_left_to_its_sockets(self, cluster: Cluster) -> None:
        empty = replace(web(cluster), cluster=(), local=())
        node = replace(cluster.context, node_ports=NodePortAddresses((cluster.external_ip,)))
        packet = cluster.from_client(cluster.node, NODE_PORT, to_node=True)
        assert judge(model(node, empty), packet) == PASS

    def test_NOEP_06_DIV_08_internal_policy_local_without_local_endpoints_is_silent(
        self, cluster: Cluster
    ) -> None:
        service = replace(web(cluster, internal=INTERNAL_LOCAL), local=(), when_empty=Refusal.DROP)
        oracle = Oracle.of(model(cluster.context, service))
        assert oracle.judge(cluster.from_pod(cluster.cluster_ip)) == DROP
        assert oracle.judge(cluster.from_client(cluster.external_ip)).endpoints

    def test_NOEP_07_and_08_DIV_09_external_policy_local_is_silent_to_the_far_alone(
        self, cluster: Cluster
    ) -> None:
        service = replace(
            web(cluster, external=EXTERNAL_LOCAL),
            cluster=(cluster.remote,),
            local=(),
            when_empty=Refusal.DROP,
        )
        oracle = Oracle.of(model(cluster.context, service))
        for destination, port, to_node in external_ways(cluster):
            assert oracle.judge(cluster.from_client(destination, port, to_node=to_node)) == DROP
            assert oracle.judge(cluster.from_pod(destination, port, to_node=to_node)).endpoints == (
                cluster.remote,
            )
            assert oracle.judge(cluster.from_node(destination, port, to_node=to_node)).endpoints == (
                cluster.remote,
            )


class TestUnclaimed:
    """Packets that no frontend is for."""

    def test_SVC_CIP_03_DIV_01_a_cluster_ips_other_ports_are_rejected(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster)))
        for way in (cluster.from_pod, cluster.from_remote_pod, cluster.from_node, cluster.from_client):
            assert oracle.judge(way(cluster.cluster_ip, 81)) == REJECT

    def test_IN_SVC_04_SVC_CIP_03_the_same_port_of_another_protocol_is_another_port(
        self, cluster: Cluster
    ) -> None:
        packet = Packet(cluster.pod, cluster.cluster_ip, PORT, Protocol.UDP, "veth1")
        assert judge(model(cluster.context, web(cluster)), packet) == REJECT

    def test_SVC_CIP_05_DIV_03_an_echo_to_a_cluster_ip_is_rejected(self, cluster: Cluster) -> None:
        echo = Packet(cluster.pod, cluster.cluster_ip, 0, None, "veth1")
        assert judge(model(cluster.context, web(cluster)), echo) == REJECT

    def test_an_echo_to_an_external_address_passes(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster)))
        for address in (cluster.load_balancer, cluster.external_ip):
            assert oracle.judge(Packet(cluster.client, address, 0, None, "eth0")) == PASS

    def test_other_ports_of_an_external_address_pass(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster)))
        for address in (cluster.load_balancer, cluster.external_ip):
            assert oracle.judge(cluster.from_client(address, 81)) == PASS

    def test_SVC_CIP_04_DIV_02_an_unused_service_ip_is_dropped(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster)))
        for way in (cluster.from_pod, cluster.from_node, cluster.from_client):
            assert oracle.judge(way(cluster.unused_service_ip)) == DROP
        assert oracle.judge(Packet(cluster.pod, cluster.unused_service_ip, 0, None, "veth1")) == DROP

    def test_SVC_CIP_04_outside_the_service_networks_all_pass(self, cluster: Cluster) -> None:
        oracle = Oracle.of(model(replace(cluster.context, service_cidrs=()), web(cluster)))
        assert oracle.judge(cluster.from_pod(cluster.unused_service_ip)) == PASS
        assert oracle.judge(cluster.from_pod(cluster.remote.address, 8080)) == PASS

    def test_SVC_CIP_03_and_04_what_others_send_to_the_nodes_own_address_is_for_its_sockets(
        self, cluster: Cluster
    ) -> None:
        oracle = Oracle.of(model(cluster.context, web(cluster)))
        for address in (cluster.cluster_ip, cluster.unused_service_ip):
            assert oracle.judge(cluster.from_client(address, 81, to_node=True)) == PASS
        assert oracle.judge(cluster.from_node(cluster.cluster_ip, 81, to_node=True)) == REJECT
        assert oracle.judge(cluster.from_node(cluster.unused_service_ip, 81, to_node=True)) == DROP

    def test_SVC_CIP_06_without_its_service_a_cluster_ip_is_unused(self, cluster: Cluster) -> None:
        assert judge(model(cluster.context), cluster.from_pod(cluster.cluster_ip)) == DROP
