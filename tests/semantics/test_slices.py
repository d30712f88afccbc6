"""IN-EPS: what is read of EndpointSlices."""

from typing import Any

import pytest

from pointsman.core.addresses import format_address
from pointsman.core.apis import EndpointSlice, Service
from pointsman.core.endpointsmap import HEADLESS
from tests.core.objects import OTHER_NODE, draining, service_port

from .world import NETS, SCTP, TCP, UDP, V4, V6, World


@pytest.fixture
def served(world: World) -> World:
    """A world with a Service that waits for endpoints."""
    world.put(world.web())
    return world


def test_IN_EPS_01_headless_slices_are_left_alone(served: World) -> None:
    served.put(served.slice("L", name="a"), served.slice("R", name="b"))
    assert served.send("Lp", "vip") == "LR -M"
    served.put(served.slice("R", name="b", labels={HEADLESS: ""}))
    assert served.send("Lp", "vip") == "L -M"
    served.put(served.slice("R", name="b"))
    assert served.send("Lp", "vip") == "LR -M"


@pytest.mark.parametrize("service", [None, "", "other"])
def test_IN_EPS_02_slices_of_nobody_and_of_others_are_ignored(served: World, service: str | None) -> None:
    served.put(served.slice("L", service=service))
    assert served.send("Lp", "vip") == "REJECT"


@pytest.mark.parametrize("kind", ["FQDN", "IPv5", ""])
def test_IN_EPS_02_other_address_types_are_ignored(served: World, kind: str) -> None:
    served.put(served.slice("L"))
    odd = served.slice("R", name="odd")
    odd.address_type = kind
    served.put(odd)
    assert served.send("Lp", "vip") == "L -M"


def test_IN_EPS_02_slices_of_the_other_family_are_ignored(served: World) -> None:
    other = World(V6 if served.family is V4 else V4)
    served.put(other.slice("L"))
    assert served.send("Lp", "vip") == "REJECT"


def test_IN_EPS_02_a_name_that_is_none_is_reported(served: World) -> None:
    served.put(served.slice("L", service="we\nb"))
    assert served.send("Lp", "vip") == "REJECT"
    assert served.rejected() == [("shop/web-1", "$.metadata.labels[kubernetes.io/service-name]")]


def test_IN_EPS_03_the_target_is_the_slices_port(world: World) -> None:
    ports = [service_port(80, "http"), service_port(80, "http-udp", "UDP")]
    world.put(
        world.service(ports=ports),
        world.slice("L", name="a", ports=[{"name": "http", "port": 8080}]),
        world.slice("R", name="b", ports=[{"name": "http", "port": 9090}, {"name": "x", "port": 1}]),
        world.slice("R", name="c", ports=[{"name": "http-udp", "port": 5353, "protocol": "UDP"}]),
    )
    targets = {(format_address(e.address), e.port) for e in world.state(port="http").cluster}
    assert targets == {(world.net.L, 8080), (world.net.R, 9090)}
    assert [e.port for e in world.state(port="http-udp", protocol=UDP).cluster] == [5353]


@pytest.mark.parametrize(
    ("port", "answer"),
    [
        ({"name": "", "port": 8080, "protocol": "TCP"}, "L -M"),
        ({"name": "", "port": 8080, "protocol": None}, "L -M"),
        ({"name": "", "port": 8080, "protocol": ""}, "L -M"),
        ({"name": None, "port": 8080, "protocol": "TCP"}, "REJECT"),
        ({"name": "", "port": None, "protocol": "TCP"}, "REJECT"),
        ({"name": "", "port": 0, "protocol": "TCP"}, "REJECT"),
        ({"name": "", "port": 8080, "protocol": "UDP"}, "REJECT"),
        ({"name": "http", "port": 8080, "protocol": "TCP"}, "REJECT"),
    ],
)
def test_IN_EPS_04_which_ports_match(served: World, port: dict[str, Any], answer: str) -> None:
    served.put(served.slice("L", ports=[port]))
    assert served.send("Lp", "vip") == answer


def test_IN_EPS_04_an_unknown_protocol_is_reported(served: World) -> None:
    served.put(served.slice("L", ports=[{"name": "", "port": 1, "protocol": "DCCP"}]))
    assert served.rejected() == [("shop/web-1", "$.ports[0].protocol")]


def test_IN_EPS_05_only_the_first_address_counts(served: World) -> None:
    many = served.endpoint("L") | {"addresses": [served.net.L, served.net.R]}
    none = served.endpoint("R2") | {"addresses": []}
    absent = served.endpoint("L2") | {"addresses": None}
    served.put(served.slice(many, none, absent))
    assert served.send("Lp", "vip") == "L -M"
    assert served.rejected() == []


def test_IN_EPS_05_an_address_that_is_none_or_of_the_other_family_is_skipped_and_reported(
    served: World,
) -> None:
    other = NETS[V6 if served.family is V4 else V4].L
    bad = [served.endpoint("R") | {"addresses": [text]} for text in ("nonsense", other)]
    served.put(served.slice("L", *bad))
    assert served.send("Lp", "vip") == "L -M"
    assert served.rejected() == [
        ("shop/web-1", "$.endpoints[1].addresses[0]"),
        ("shop/web-1", "$.endpoints[2].addresses[0]"),
    ]


@pytest.mark.parametrize(
    ("conditions", "answer"),
    [
        ({}, "L -M"),
        ({"ready": True, "terminating": True}, "L -M"),
        ({"ready": True, "serving": False}, "L -M"),
        ({"ready": False}, "REJECT"),
        ({"ready": False, "terminating": True}, "L -M"),  # serving by default
        ({"ready": False, "serving": True}, "REJECT"),
        ({"ready": False, "serving": False, "terminating": True}, "REJECT"),
    ],
)
def test_IN_EPS_06_conditions_and_their_defaults(
    served: World, conditions: dict[str, Any], answer: str
) -> None:
    served.put(served.slice(served.endpoint("L", **conditions)))
    assert served.send("Lp", "vip") == answer


def test_IN_EPS_06_no_conditions_at_all(served: World) -> None:
    served.put(served.slice(served.endpoint("L") | {"conditions": None}))
    assert served.send("Lp", "vip") == "L -M"


@pytest.mark.parametrize(
    ("node", "answer"), [("node-a", "L -M"), ("node-b", "DROP"), (None, "DROP"), ("NODE-A", "DROP")]
)
def test_IN_EPS_07_local_is_what_names_this_node(world: World, node: str | None, answer: str) -> None:
    world.put(world.service(internalTrafficPolicy="Local"), world.slice(world.endpoint("L", node)))
    assert world.send("Lp", "vip") == answer


def test_IN_EPS_08_slices_are_united_and_each_place_counts_once(served: World) -> None:
    served.put(
        served.slice("L R", name="a"),
        served.slice("R R2", name="b"),
        served.slice("R", name="c", ports=[{"name": "", "port": 9090}]),
    )
    assert served.send("Lp", "vip") == "LRR2 -M"
    assert [endpoint.port for endpoint in served.state().cluster].count(8080) == 3
    assert len(served.state().cluster) == 4


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_IN_EPS_09_a_record_that_terminates_replaces_no_other(served: World, order: tuple[str, ...]) -> None:
    """An address is used again at once: the pod that goes must not hide the one that comes."""
    slices = {
        "a": served.slice(draining(served.net.R), name="a"),
        "b": served.slice("R", name="b"),
    }
    served.put(*(slices[name] for name in order))
    assert served.send("Lp", "vip") == "R -M"
    served.put(served.slice("L", name="c"))
    assert served.send("Lp", "vip") == "LR -M"


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_IN_EPS_09_of_two_records_in_use_the_outcome_is_one(served: World, order: tuple[str, ...]) -> None:
    """Not said upstream; here the ready one counts, whatever came first."""
    slices = {
        "a": served.slice(served.endpoint("R", ready=False), name="a"),
        "b": served.slice("R", name="b"),
    }
    served.put(*(slices[name] for name in order))
    assert served.send("Lp", "vip") == "R -M"


def test_IN_EPS_10_an_endpoint_that_moves_never_vanishes(served: World) -> None:
    """First it is in both slices, then in the new one alone; or it is gone from both in between."""
    served.put(served.slice("L R", name="a"))
    served.put(served.slice("R", name="b"))
    assert served.send("Lp", "vip") == "LR -M"
    served.put(served.slice("L", name="a"))
    assert served.send("Lp", "vip") == "LR -M"
    served.delete(EndpointSlice, "a")
    assert served.send("Lp", "vip") == "R -M"


def test_IN_EPS_11_slices_may_come_before_their_service(world: World) -> None:
    world.put(world.slice("L"))
    assert world.send("Lp", "vip") == "PASS"
    world.put(world.service())
    assert world.send("Lp", "vip") == "L -M"
    world.delete(Service)
    assert world.send("Lp", "vip") == "PASS"
    world.put(world.service())
    assert world.send("Lp", "vip") == "L -M"
    world.delete(EndpointSlice, "web-1")
    assert world.send("Lp", "vip") == "REJECT"


def test_IN_EPS_12_a_relabelled_slice_moves(served: World) -> None:
    served.put(served.service("other", served.net.vip2), served.slice("R"))
    assert (served.send("Lp", "vip"), served.send("Lp", "vip2")) == ("R -M", "REJECT")
    served.put(served.slice("R", service="other"))
    assert (served.send("Lp", "vip"), served.send("Lp", "vip2")) == ("REJECT", "R -M")
    served.delete(EndpointSlice, "web-1")
    assert (served.send("Lp", "vip"), served.send("Lp", "vip2")) == ("REJECT", "REJECT")


def test_IN_EPS_03_every_protocol_finds_its_own(world: World) -> None:
    protocols = (TCP, UDP, SCTP)
    world.put(
        world.service(ports=[service_port(80, p.name.lower(), p.name) for p in protocols]),
        *(
            world.slice(
                letter,
                name=p.name.lower(),
                ports=[{"name": p.name.lower(), "port": 8080, "protocol": p.name}],
            )
            for letter, p in zip(("L", "L2", "R"), protocols, strict=True)
        ),
    )
    assert [world.send("Lp", "vip", 80, p) for p in protocols] == ["L -M", "L2 -M", "R -M"]


def test_IN_EPS_08_endpoints_on_other_nodes_than_said_first(served: World) -> None:
    """Of records that say the same but for the node, the first slice by name counts."""
    served.put(served.web(internalTrafficPolicy="Local"))
    served.put(served.slice(served.endpoint("L", OTHER_NODE), name="b"), served.slice("L", name="a"))
    assert served.send("Lp", "vip") == "L -M"
    served.put(served.slice(served.endpoint("L", OTHER_NODE), name="0"))
    assert served.send("Lp", "vip") == "DROP"
