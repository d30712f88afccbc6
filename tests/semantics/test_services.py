"""IN-SVC: what is read of a Service."""

import pytest

from pointsman.core.addresses import format_address
from pointsman.core.apis import Service
from pointsman.core.servicemap import SERVICE_PROXY_NAME
from tests.core.objects import port_name, service, service_port

from .world import NETS, NODE_PORT, TCP, UDP, V4, V6, World


@pytest.fixture
def served(world: World) -> World:
    """A world with an endpoint on each node for the Service that tests put."""
    world.put(world.slice("L R"))
    return world


@pytest.mark.parametrize("value", ["other", "", "kube-proxy"])
def test_IN_SVC_01_another_proxys_services_are_left_alone(served: World, value: str) -> None:
    served.put(served.web())
    assert served.send("Lp", "vip") == "LR -M"
    served.put(served.web(metadata={"labels": {SERVICE_PROXY_NAME: value}}))
    assert served.send("Lp", "vip") == "PASS"
    assert served.send("X", "H", NODE_PORT) == "PASS"
    served.put(served.web())
    assert served.send("Lp", "vip") == "LR -M"


def test_IN_SVC_01_headless_services_have_no_rules(served: World) -> None:
    served.put(served.web(clusterIP="None", clusterIPs=["None"]))
    assert not served.model.services
    assert served.send("X", "lb") == "PASS"


@pytest.mark.parametrize("fields", [{"clusterIP": ""}, {"clusterIP": "None"}, {"type": "ExternalName"}])
def test_IN_SVC_02_without_cluster_ip_there_are_no_rules(served: World, fields: dict[str, str]) -> None:
    served.put(served.web())
    assert served.send("X", "lb") == "LR +M"
    served.put(served.web(**fields))
    assert not served.model.services
    assert served.send("X", "lb") == "PASS"
    served.put(served.web())
    assert served.send("X", "lb") == "LR +M"


def test_IN_SVC_03_each_family_has_the_address_at_its_place() -> None:
    both = service(
        ip=NETS[V6].vip,
        clusterIPs=[NETS[V6].vip, NETS[V4].vip],
        ipFamilies=["IPv6", "IPv4"],
    )
    for family in (V4, V6):
        world = World(family)
        world.put(world.slice("L"), both)
        assert world.send("Lp", "vip") == "L -M"


def test_IN_SVC_03_without_families_the_one_address_counts(served: World) -> None:
    served.put(served.service(clusterIPs=[]))
    assert served.send("Lp", "vip") == "LR -M"


def test_IN_SVC_03_a_service_of_the_other_family_is_invisible_altogether() -> None:
    world = World(V4)
    world.put(
        world.slice("L"),
        service(
            ip=NETS[V6].vip,
            clusterIPs=[NETS[V6].vip],
            ipFamilies=["IPv6"],
            type="LoadBalancer",
            ports=[service_port(80, nodePort=NODE_PORT)],
            ingress=[{"ip": world.net.lb}],
            externalIPs=[world.net.ext],
            externalTrafficPolicy="Local",
            healthCheckNodePort=30999,
        ),
    )
    assert not world.model.services
    assert not world.engine.families[V4].proxy.services.current
    assert world.send("X", "H", NODE_PORT) == "PASS"
    assert world.send("X", "lb") == "PASS"


def test_IN_SVC_04_ports_are_told_apart_by_name_and_protocol(world: World) -> None:
    ports = [service_port(53, "dns", "UDP"), service_port(53, "dns-tcp"), service_port(80, "http")]
    world.put(
        world.service(ports=ports),
        world.slice("L", name="a", ports=[{"name": "dns", "port": 5353, "protocol": "UDP"}]),
        world.slice("R", name="b", ports=[{"name": "dns-tcp", "port": 5353}]),
    )
    assert world.send("Lp", "vip", 53, UDP) == "L -M"
    assert world.send("Lp", "vip", 53, TCP) == "R -M"
    assert world.send("Lp", "vip", 80, TCP) == "REJECT"
    assert set(world.model.services) == {
        port_name("web", "dns", UDP),
        port_name("web", "dns-tcp"),
        port_name("web", "http"),
    }


def test_IN_SVC_04_a_port_that_is_there_twice_counts_once_and_is_reported(served: World) -> None:
    served.put(served.service(ports=[service_port(80), service_port(81)]))
    assert served.send("Lp", "vip", 80) == "LR -M"
    assert served.send("Lp", "vip", 81) == "REJECT"
    assert served.rejected() == [("shop/web", "$.spec.ports[1]")]


def test_IN_SVC_05_leading_zeros_are_decimal() -> None:
    world = World(V4)
    world.put(
        world.slice("L"),
        world.web(externalIPs=["198.051.100.020"], loadBalancerSourceRanges=["203.0.113.000/025"]),
    )
    assert world.send("X", "198.51.100.20") == "L +M"
    assert world.send("X", "lb") == "L +M"
    assert world.send("203.0.113.200", "lb") == "DROP"
    _, load_balancer, external, _ = world.state().frontends
    assert external.match.address is not None
    assert format_address(external.match.address) == "198.51.100.20"
    assert list(map(str, load_balancer.sources or ())) == ["203.0.113.0/25"]


def test_IN_SVC_05_addresses_and_ranges_are_split_by_family() -> None:
    nets = NETS.values()
    for each in (V4, V6):
        world = World(each)
        world.put(
            world.slice("L"),
            world.web(
                externalIPs=[net.ext for net in nets],
                ingress=[{"ip": net.lb} for net in nets],
                loadBalancerSourceRanges=[net.clients for net in nets],
            ),
        )
        assert [len(f.match.address) for f in world.state().frontends if f.match.address] == [
            each.address_length
        ] * 3
        assert world.send("X", "lb") == "L +M"
        assert world.send("Rp", "lb") == "DROP"


def test_IN_SVC_05_what_cannot_be_read_is_skipped_with_a_word_and_blanks_without(served: World) -> None:
    net = served.net
    served.put(
        served.web(
            externalIPs=["", "nonsense", " ", net.ext],
            ingress=[{"ip": "256.0.0.1"}, {"ip": net.lb}],
            loadBalancerSourceRanges=["10.0.0.0", f"  {net.clients}\t", ""],
        )
    )
    assert served.send("X", "ext") == "LR +M"
    assert served.send("X", "lb") == "LR +M"
    assert served.send("Rp", "lb") == "DROP"
    assert served.rejected() == [
        ("shop/web", "$.spec.externalIPs"),
        ("shop/web", "$.status.loadBalancer.ingress"),
        ("shop/web", "$.spec.loadBalancerSourceRanges"),
    ]


@pytest.mark.parametrize(
    ("ingress", "answer"),
    [
        ({}, "LR +M"),
        ({"ipMode": "VIP"}, "LR +M"),
        ({"ipMode": None}, "LR +M"),
        ({"ipMode": "Proxy"}, "PASS"),
        ({"ip": None, "hostname": "lb.example.net"}, "PASS"),
    ],
)
def test_IN_SVC_06_only_virtual_ingress_addresses_are_ours(
    served: World, ingress: dict[str, str | None], answer: str
) -> None:
    served.put(served.web(ingress=[{"ip": served.net.lb, **ingress}]))
    assert served.send("X", "lb") == answer
    assert served.send("Lp", "vip") == "LR -M"


@pytest.mark.parametrize(("allowed", "answer"), [(True, "LR +M"), (False, "PASS")])
def test_IN_SVC_07_external_ips_can_be_switched_off(allowed: bool, answer: str) -> None:
    world = World(external_ips_allowed=allowed)
    world.put(world.web(), world.slice("L R"))
    assert world.send("X", "ext") == answer
    assert world.send("X", "lb") == "LR +M"


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"type": "NodePort"}, "L -M"),
        ({"type": "LoadBalancer"}, "L -M"),
        ({"type": "ClusterIP"}, "L -M"),  # it has external IPs
        ({"type": "ClusterIP", "externalIPs": []}, "LR +M"),
        ({"externalTrafficPolicy": None}, "LR +M"),
    ],
)
def test_IN_SVC_08_where_the_external_traffic_policy_counts(
    served: World, fields: dict[str, object], answer: str
) -> None:
    served.put(served.web(**{"externalTrafficPolicy": "Local", **fields}))
    assert served.send("X", "H", NODE_PORT) == answer


@pytest.mark.parametrize(
    ("policy", "answer"), [(None, "LR -M"), ("Cluster", "LR -M"), ("Local", "L -M"), ("Nearby", "LR -M")]
)
def test_IN_SVC_09_internal_traffic_policy(served: World, policy: str | None, answer: str) -> None:
    served.put(served.service(internalTrafficPolicy=policy))
    assert served.send("Lp", "vip") == answer


@pytest.mark.parametrize(
    ("fields", "port", "complaints"),
    [
        ({}, 30999, 0),
        ({"type": "NodePort"}, 0, 0),
        ({"externalTrafficPolicy": "Cluster"}, 0, 0),
        ({"healthCheckNodePort": 0}, 0, 1),
        ({"healthCheckNodePort": None}, 0, 1),
    ],
)
def test_IN_SVC_10_where_a_health_check_node_port_counts(
    served: World, fields: dict[str, object], port: int, complaints: int
) -> None:
    usual = {"externalTrafficPolicy": "Local", "healthCheckNodePort": 30999}
    served.put(served.web(**{**usual, **fields}))
    ((known,),) = served.engine.families[served.family].proxy.services.current.values()
    assert known.health_check_node_port == port
    assert len(served.rejected()) == complaints


@pytest.mark.parametrize(
    ("ranges", "answer"),
    [
        (["clients"], "DROP"),
        (["clients", "everyone"], "LR +M"),
        ([], "LR +M"),
        (["other"], "LR +M"),
        (["other", "clients"], "DROP"),
    ],
)
def test_IN_SVC_11_which_source_ranges_restrict(served: World, ranges: list[str], answer: str) -> None:
    """Ranges of the other family alone restrict nothing."""
    other = NETS[V6 if served.family is V4 else V4].clients
    texts = [other if name == "other" else getattr(served.net, name) for name in ranges]
    served.put(served.web(loadBalancerSourceRanges=texts))
    assert served.send("Rp", "lb") == answer


def test_IN_SVC_12_what_is_ignored(served: World) -> None:
    served.put(served.web())
    plain = served.model
    plans = served.plans()
    served.put(
        served.web(
            metadata={
                "annotations": {"service.beta.kubernetes.io/load-balancer-source-ranges": served.net.clients}
            },
            ports=[service_port(80, nodePort=NODE_PORT, targetPort="other", appProtocol="kubernetes.io/h2c")],
            loadBalancerClass="example.net/lb",
            loadBalancerIP=served.net.lb2,
            selector={"app": "other"},
            trafficDistribution="PreferClose",
            publishNotReadyAddresses=True,
        )
    )
    assert served.model == plain
    assert served.plans() == plans


def test_IN_SVC_13_without_node_port_there_are_no_node_port_rules(served: World) -> None:
    served.put(served.web(ports=[service_port(80, nodePort=0)], allocateLoadBalancerNodePorts=False))
    assert served.send("X", "H", NODE_PORT) == "PASS"
    assert served.send("X", "lb") == "LR +M"
    assert all(frontend.match.address is not None for frontend in served.state().frontends)


def test_IN_SVC_02_deletion_and_return(served: World) -> None:
    served.put(served.web())
    served.delete(Service)
    assert served.send("X", "lb") == "PASS"
    served.put(served.web())
    assert served.send("X", "lb") == "LR +M"
