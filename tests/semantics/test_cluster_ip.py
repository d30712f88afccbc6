"""SVC-CIP: the ClusterIP, its other ports, and the addresses nobody has."""

import pytest

from pointsman.core.apis import Service
from pointsman.core.model import Protocol
from tests.core.objects import service_cidr, service_port

from .world import SCTP, TCP, UDP, World

CLIENTS = ("Lp", "H", "X", "Rp")


@pytest.fixture
def served(world: World) -> World:
    """A world with the service network, a Service and an endpoint on each node."""
    world.put(service_cidr("kubernetes", world.net.services), world.service(), world.slice("L R"))
    return world


@pytest.mark.parametrize("client", CLIENTS)
def test_SVC_CIP_01_everybody_is_forwarded(served: World, client: str) -> None:
    assert served.send(client, "vip").startswith("LR ")
    served.put(served.service(internalTrafficPolicy="Local"))
    assert served.send(client, "vip").startswith("L ")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("port", "protocol"), [(81, TCP), (80, UDP), (80, SCTP), (65535, UDP)])
def test_SVC_CIP_03_other_ports_are_refused(
    served: World, client: str, port: int, protocol: Protocol
) -> None:
    assert served.send(client, "vip", port, protocol) == "REJECT"


@pytest.mark.parametrize("client", CLIENTS)
def test_SVC_CIP_04_unused_service_addresses_are_silent(served: World, client: str) -> None:
    assert served.send(client, "unused") == "DROP"
    assert served.send(client, "unused", 53, UDP) == "DROP"
    assert served.send(client, "unused", protocol=None) == "DROP"


def test_SVC_CIP_04_addresses_outside_are_nobodys_business(served: World) -> None:
    assert served.send("Lp", "X") == "PASS"
    assert served.send("Lp", "L", 8080) == "PASS"


@pytest.mark.parametrize("client", CLIENTS)
def test_SVC_CIP_05_an_echo_is_refused(served: World, client: str) -> None:
    assert served.send(client, "vip", protocol=None) == "REJECT"


def test_SVC_CIP_06_a_deleted_service_leaves_an_unused_address(served: World) -> None:
    served.delete(Service)
    assert served.send("Lp", "vip") == "DROP"
    served.put(served.service())
    assert served.send("Lp", "vip") == "LR -M"
    served.put(served.service(ip=served.net.vip2))
    assert served.send("Lp", "vip") == "DROP"
    assert served.send("Lp", "vip2") == "LR -M"


def test_SVC_CIP_06_an_address_is_in_use_as_long_as_any_port_is(served: World) -> None:
    served.put(served.service(ports=[service_port(80), service_port(81, "a")]))
    served.put(served.service(ports=[service_port(81, "a")]))
    assert served.send("Lp", "vip", 80) == "REJECT"


def test_SVC_CIP_06_without_service_networks_it_is_nobodys(world: World) -> None:
    world.put(world.service())
    world.delete(Service)
    assert world.send("Lp", "vip") == "PASS"
