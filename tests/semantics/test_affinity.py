"""AFF: clients that stick to their endpoint."""

from typing import Any

import pytest

from pointsman.backends.memory.affinity import Connection, admissible
from pointsman.backends.memory.oracle import Oracle
from pointsman.core.addresses import parse_address
from pointsman.core.model import Endpoint, ServicePortName
from pointsman.core.servicemap import DEFAULT_AFFINITY_SECONDS
from tests.core.objects import port_name, service_port

from .world import NODE_PORT, World

SECONDS = 60
STICKY: dict[str, Any] = {
    "sessionAffinity": "ClientIP",
    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": SECONDS}},
}


@pytest.fixture
def sticky(world: World) -> World:
    """A Service whose clients stick, with an endpoint on each node."""
    world.put(world.web(**STICKY), world.slice("L R"))
    return world


def connection(
    world: World, client: str, letter: str, time: float, service: ServicePortName | None = None
) -> Connection:
    """A connection that was made."""
    address = parse_address(getattr(world.net, letter))
    return Connection(
        parse_address(getattr(world.net, client)), service or port_name(), Endpoint(address, 8080), time
    )


def next_of(
    world: World, now: float, *history: Connection, client: str = "X", to: str = "vip", port: int = 80
) -> str:
    """Where a client's next connection may go."""
    oracle = Oracle.of(world.model)
    return world.words(admissible(oracle, world.packet(client, to, port), history, now))


@pytest.mark.parametrize(("now", "answer"), [(0, "R +M"), (SECONDS - 1, "R +M"), (SECONDS, "LR +M")])
def test_AFF_01_a_client_sticks_for_a_while(sticky: World, now: float, answer: str) -> None:
    assert next_of(sticky, now, connection(sticky, "X", "R", 0)) == answer


def test_AFF_01_each_connection_renews_and_others_do_not_count(sticky: World) -> None:
    history = [connection(sticky, "X", "R", time) for time in (0, SECONDS - 1)]
    assert next_of(sticky, 1.5 * SECONDS, *history) == "R +M"
    assert next_of(sticky, 1, connection(sticky, "O", "R", 0)) == "LR +M"


@pytest.mark.parametrize(("to", "port"), [("vip", 80), ("lb", 80), ("ext", 80), ("H", NODE_PORT)])
def test_AFF_02_all_addresses_of_a_port_share_it(sticky: World, to: str, port: int) -> None:
    assert next_of(sticky, 1, connection(sticky, "X", "L", 0), to=to, port=port) == "L +M"


def test_AFF_03_the_ports_of_a_service_stick_by_themselves(world: World) -> None:
    names = ("a", "b")
    world.put(
        world.web(ports=[service_port(80 + n, name) for n, name in enumerate(names)], **STICKY),
        world.slice("L R", ports=[{"name": name, "port": 8080} for name in names]),
    )
    history = connection(world, "X", "L", 0, port_name(port="a"))
    assert next_of(world, 1, history, port=80) == "L +M"
    assert next_of(world, 1, history, port=81) == "LR +M"


def test_AFF_04_an_endpoint_that_left_is_replaced_at_once(sticky: World) -> None:
    history = connection(sticky, "X", "R", 0)
    sticky.put(sticky.slice("L", sticky.endpoint("R", ready=False)))
    assert next_of(sticky, 1, history) == "L +M"
    sticky.put(sticky.slice("L R"), sticky.web(internalTrafficPolicy="Local", **STICKY))
    assert next_of(sticky, 1, history) == "L +M"


def test_AFF_05_the_key_is_the_client_and_policy_comes_first(sticky: World) -> None:
    sticky.put(sticky.web(externalTrafficPolicy="Local", **STICKY))
    assert next_of(sticky, 1, connection(sticky, "X", "R", 0), to="lb") == "L -M"
    assert next_of(sticky, 1, connection(sticky, "X", "R", 0), to="vip") == "R +M"
    # Masqueraded, all outside clients would look like the node.
    assert next_of(sticky, 1, connection(sticky, "H", "R", 0), to="vip") == "LR +M"


def test_AFF_06_edits_count_at_once(sticky: World) -> None:
    history = connection(sticky, "X", "R", 0)
    assert sticky.state().affinity == SECONDS
    longer = {**STICKY, "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}}}
    sticky.put(sticky.web(**longer))
    assert next_of(sticky, 599, history) == "R +M"
    sticky.put(sticky.web(sessionAffinity="None"))
    assert sticky.state().affinity == 0
    assert next_of(sticky, 1, history) == "LR +M"
    sticky.put(sticky.web(sessionAffinity="ClientIP", sessionAffinityConfig=None))
    assert sticky.state().affinity == DEFAULT_AFFINITY_SECONDS == 3 * 3600


@pytest.mark.parametrize("affinity", [None, "None", "Cookie"])
def test_AFF_06_all_else_is_no_affinity(world: World, affinity: str | None) -> None:
    world.put(world.web(**{**STICKY, "sessionAffinity": affinity}), world.slice("L"))
    assert world.state().affinity == 0
