"""Health check node ports, asked over real sockets."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import pytest
from immutables import Map

from pointsman.core.addresses import IPFamily, parse_address
from pointsman.core.events import Event
from pointsman.core.model import Model, NamespacedName, NodeContext, NodePortAddresses
from pointsman.core.plan import Delta, Facts, HealthCheck, SyncPlan, SyncReport
from pointsman.plugins.health.services import ServiceHealthChecks
from pointsman.plugins.http.server import HttpServer
from tests.plugins.http.clients import ask

V4, V6 = IPFamily.IPV4, IPFamily.IPV6
WEB = NamespacedName("shop", "web")
LOOPBACK = {V4: "127.0.0.1", V6: "::1"}


class Bench:
    """Health checks on loopback."""

    def __init__(self) -> None:
        self.healthy = True
        self.events: list[Event] = []
        self.server = HttpServer("test-health")
        self.checks = ServiceHealthChecks(self.server, lambda: self.healthy, self.events.append, "node-a")

    def sync(
        self,
        checks: dict[NamespacedName, HealthCheck],
        family: IPFamily = V4,
        *,
        ok: bool = True,
        complete: bool = True,
        addresses: tuple[str, ...] | None = None,
    ) -> None:
        places = (LOOPBACK[family],) if addresses is None else addresses
        node = NodeContext(family, node_ports=NodePortAddresses(tuple(map(parse_address, places))))
        plan = SyncPlan(
            family,
            Model(node),
            Delta(),
            full=False,
            complete=complete,
            facts=Facts(health_checks=Map(checks)),
        )
        self.checks.pointsman_after_sync(plan, SyncReport() if ok else None)

    def follow(self, facts: Facts, address: str = LOOPBACK[V4]) -> None:
        """Sync with these very facts."""
        node = NodeContext(V4, node_ports=NodePortAddresses((parse_address(address),)))
        plan = SyncPlan(V4, Model(node), Delta(), full=False, facts=facts)
        self.checks.pointsman_after_sync(plan, SyncReport())

    def close(self) -> None:
        self.checks.close()
        self.server.stop()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with closing(Bench()) as made:
        yield made


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
        return number


def refused(port: int, host: str = "127.0.0.1") -> bool:
    try:
        ask(port, host=host)
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize(
    ("count", "healthy", "status"), [(2, True, 200), (0, True, 503), (2, False, 503), (0, False, 503)]
)
def test_HC_02_and_HC_03_what_load_balancers_hear(
    bench: Bench, port: int, count: int, healthy: bool, status: int
) -> None:
    bench.healthy = healthy
    bench.sync({WEB: HealthCheck(port, count)})
    found, headers, body = ask(port)
    assert found == status
    assert json.loads(body) == {
        "service": {"namespace": "shop", "name": "web"},
        "localEndpoints": count,
        "serviceProxyHealthy": healthy,
    }
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Load-Balancing-Endpoint-Weight"] == str(count)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "BREW"])
def test_HC_01_every_path_and_method_is_answered(bench: Bench, port: int, method: str) -> None:
    bench.sync({WEB: HealthCheck(port, 1)})
    assert ask(port, "/any/where?x", method)[0] == 200


def test_HC_01_each_family_has_its_own_listener(bench: Bench, port: int) -> None:
    bench.sync({WEB: HealthCheck(port, 1)}, V4)
    assert refused(port, "::1")
    bench.sync({WEB: HealthCheck(port, 0)}, V6)
    assert (ask(port)[0], ask(port, host="::1")[0]) == (200, 503)
    bench.sync({}, V4)
    assert refused(port)
    assert ask(port, host="::1")[0] == 503


def test_HC_01_only_the_addresses_of_node_ports(bench: Bench, port: int) -> None:
    bench.sync({WEB: HealthCheck(port, 1)}, addresses=("127.0.0.2", "127.0.0.3"))
    assert ask(port, host="127.0.0.2")[0] == ask(port, host="127.0.0.3")[0] == 200
    assert refused(port)
    bench.sync({WEB: HealthCheck(port, 1)}, addresses=("127.0.0.3",))
    assert refused(port, "127.0.0.2")
    assert ask(port, host="127.0.0.3")[0] == 200


def test_HC_04_only_complete_successful_syncs_count(bench: Bench, port: int) -> None:
    bench.sync({WEB: HealthCheck(port, 1)}, ok=False)
    bench.sync({WEB: HealthCheck(port, 1)}, complete=False)
    assert refused(port)
    bench.sync({WEB: HealthCheck(port, 1)})
    bench.sync({WEB: HealthCheck(port, 0)}, ok=False)
    bench.sync({}, ok=False)
    assert ask(port)[0] == 200
    bench.sync({WEB: HealthCheck(port, 0)})
    assert ask(port)[0] == 503


def test_HC_04_ports_that_change_or_go_refuse(bench: Bench, port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        other = free.getsockname()[1]
    bench.sync({WEB: HealthCheck(port, 1)})
    bench.sync({WEB: HealthCheck(other, 1)})
    assert refused(port)
    assert ask(other)[0] == 200
    bench.sync({})
    assert refused(other)


def test_HC_04_a_port_in_use_is_told_once_and_tried_again(bench: Bench, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        bench.sync({WEB: HealthCheck(port, 1)})
        bench.sync({WEB: HealthCheck(port, 1)})
    (event,) = bench.events
    assert (event.kind, event.name, event.type) == ("Service", WEB, "Warning")
    assert event.reason == "FailedToStartServiceHealthcheck"
    assert f"port {port}" in event.message
    bench.sync({WEB: HealthCheck(port, 1)})
    assert ask(port)[0] == 200
    assert len(bench.events) == 1


class Counting(dict[NamespacedName, HealthCheck]):
    """Checks that count how often somebody goes through all of them."""

    looks = 0

    def items(self) -> Any:
        self.looks += 1
        return super().items()


def test_syncs_that_change_no_check_look_through_none(bench: Bench, port: int) -> None:
    """They are most: with a thousand balanced Services each change of endpoints would go through them all."""
    checks = Counting({WEB: HealthCheck(port, 1)})
    facts = Facts(health_checks=cast("Map[NamespacedName, HealthCheck]", checks))
    bench.follow(facts)
    first = checks.looks
    for _ in range(3):
        bench.follow(facts)
    assert (first, checks.looks) == (2, 2)
    bench.follow(facts, "127.0.0.2")
    assert checks.looks == 4
    assert refused(port)


def test_HC_04_a_port_in_use_is_tried_again_though_no_check_has_changed(bench: Bench, port: int) -> None:
    facts = Facts(health_checks=Map({WEB: HealthCheck(port, 1)}))
    with socket.create_server(("127.0.0.1", port)):
        bench.follow(facts)
    bench.follow(facts)
    assert ask(port)[0] == 200
