"""SVC-LB, SVC-XIP: load balancer addresses, their source ranges, and external IPs."""

from typing import Any

import pytest

from pointsman.core.apis import Service
from tests.core.objects import service_port

from .world import NODE_PORT, World


@pytest.fixture
def served(world: World) -> World:
    """A world with an endpoint on each node for the Service that tests put."""
    world.put(world.slice("L R"))
    return world


@pytest.mark.parametrize("client", ["Lp", "H", "X"])
def test_SVC_LB_01_the_address_is_handled_wherever_it_is(served: World, client: str) -> None:
    served.put(served.web())
    assert served.send(client, "lb") == "LR +M"
    served.interfaces.add(served.net.lb)
    assert served.send(client, "lb") == "LR +M"


def ranged(served: World, **fields: Any) -> None:
    """The Service, for some clients only."""
    served.put(served.web(loadBalancerSourceRanges=[served.net.clients], **fields))


@pytest.mark.parametrize(("client", "answer"), [("X", "LR +M"), ("O", "DROP"), ("H", "DROP"), ("Lp", "DROP")])
def test_SVC_LB_02_only_sources_in_the_ranges_get_in(served: World, client: str, answer: str) -> None:
    ranged(served)
    assert served.send(client, "lb") == answer
    served.interfaces.add(served.net.lb)
    assert served.send(client, "lb") == answer


def test_SVC_LB_02_any_of_several_ranges_will_do(served: World) -> None:
    served.put(served.web(loadBalancerSourceRanges=[served.net.clients, served.net.pods]))
    assert served.send("X", "lb") == "LR +M"
    assert served.send("Lp", "lb") == "LR +M"
    assert served.send("O", "lb") == "DROP"


def test_SVC_LB_03_the_check_is_on_original_addresses(served: World) -> None:
    """Not on the endpoint's, nor on the node's that a masqueraded client would have."""
    served.put(served.web(loadBalancerSourceRanges=[f"{served.net.H}/{served.family.address_length * 8}"]))
    assert served.send("H", "lb") == "LR +M"
    assert served.send("X", "lb") == "DROP"
    served.put(served.web(loadBalancerSourceRanges=[served.net.local_pods]))
    assert served.send("X", "lb") == "DROP"


def test_SVC_LB_04_the_services_own_addresses_may_enter_where_the_node_may(served: World) -> None:
    bits = served.family.address_length * 8
    both = [{"ip": served.net.lb}, {"ip": served.net.lb2}]
    ranged(served, ingress=both)
    assert served.send("H", "lb", source=served.net.lb2) == "DROP"
    served.put(served.web(loadBalancerSourceRanges=[f"{served.net.H}/{bits}"], ingress=both))
    for source in (served.net.lb, served.net.lb2):
        for address in ("lb", "lb2"):
            assert served.send("H", address, source=source) == "LR +M"
    assert served.send("X", "lb") == "DROP"


@pytest.mark.parametrize(("address", "port"), [("vip", 80), ("H", NODE_PORT), ("ext", 80)])
def test_SVC_LB_05_other_addresses_know_no_ranges(served: World, address: str, port: int) -> None:
    ranged(served)
    assert served.send("O", address, port) == "LR +M"


def test_SVC_LB_06_an_address_that_is_both_keeps_its_ranges(served: World) -> None:
    ranged(served, externalIPs=[served.net.lb])
    assert served.send("O", "lb") == "DROP"
    assert served.send("X", "lb") == "LR +M"


def test_SVC_LB_07_edits_count_at_once(served: World) -> None:
    served.put(served.web())
    assert served.send("O", "lb") == "LR +M"
    ranged(served)
    assert served.send("O", "lb") == "DROP"
    ranged(served, ingress=[{"ip": served.net.lb, "ipMode": "Proxy"}])
    assert served.send("O", "lb") == "PASS"
    served.put(served.web(ingress=[{"ip": served.net.lb2}]))
    assert (served.send("O", "lb"), served.send("O", "lb2")) == ("PASS", "LR +M")


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_SVC_XIP_01_external_ips_work_for_every_type(served: World, kind: str) -> None:
    served.put(served.web(type=kind, ingress=[], ports=[service_port(80)]))
    for client in ("Lp", "H", "X"):
        assert served.send(client, "ext") == "LR +M"


def test_SVC_XIP_01_and_for_every_external_policy(served: World) -> None:
    served.put(served.web(type="ClusterIP", externalTrafficPolicy="Local"))
    assert served.send("X", "ext") == "L -M"
    assert served.send("H", "ext") == "LR +M"


OLD, YOUNG = {"creationTimestamp": "2026-01-01T00:00:00Z"}, {"creationTimestamp": "2026-06-01T00:00:00Z"}


def rivals(served: World, first: dict[str, Any], second: dict[str, Any]) -> tuple[Service, Service]:
    """Two Services at one external IP; the second one has an endpoint elsewhere."""
    served.put(served.slice("R2", service="second", name="second"))
    return (
        served.service(
            "first", served.net.vip, type="ClusterIP", externalIPs=[served.net.ext], metadata=first
        ),
        served.service(
            "second", served.net.vip2, type="ClusterIP", externalIPs=[served.net.ext], metadata=second
        ),
    )


@pytest.mark.parametrize(
    ("first", "second", "answer", "loser"),
    [
        (OLD, YOUNG, "REJECT", "shop/second"),
        (YOUNG, OLD, "R2 +M", "shop/first"),
        ({}, {}, "REJECT", "shop/second"),
        ({}, YOUNG, "R2 +M", "shop/first"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_SVC_XIP_02_the_older_service_has_the_address_whatever_came_first(
    served: World, first: dict[str, Any], second: dict[str, Any], answer: str, loser: str, turned: bool
) -> None:
    both = rivals(served, first, second)
    served.put(*(both[::-1] if turned else both))
    assert served.send("X", "ext") == answer
    assert served.rejected() == [(loser, f"{_at(served.net.ext)}:80/tcp")]


def test_SVC_XIP_02_the_address_passes_on_when_its_owner_goes(served: World) -> None:
    served.put(*rivals(served, OLD, YOUNG))
    served.delete(Service, "first")
    assert served.send("X", "ext") == "R2 +M"
    assert served.rejected() == []
    assert served.send("Lp", "vip2") == "R2 -M"


def test_SVC_XIP_02_a_cluster_ip_is_never_lost_to_an_external_ip(served: World) -> None:
    """Nobody takes over a Service by claiming its address."""
    served.put(served.web(metadata=YOUNG))
    thief = served.service(
        "thief", served.net.vip2, externalIPs=[served.net.vip, served.net.lb], metadata=OLD
    )
    served.put(thief)
    assert served.send("Lp", "vip") == "LR -M"
    assert served.send("X", "lb") == "LR +M"
    assert [name for name, _ in served.rejected()] == ["shop/thief", "shop/thief"]


def test_SVC_XIP_02_one_node_port_has_one_owner(served: World) -> None:
    ports = [service_port(80, nodePort=NODE_PORT)]
    served.put(served.service("first", type="NodePort", ports=ports))
    served.put(served.service("second", served.net.vip2, type="NodePort", ports=ports))
    assert served.send("X", "H", NODE_PORT) == "REJECT"
    assert served.rejected() == [("shop/second", f"*:{NODE_PORT}/tcp")]
    assert len(list(served.model.frontends())) == 3


def _at(address: str) -> str:
    return f"[{address}]" if ":" in address else address
