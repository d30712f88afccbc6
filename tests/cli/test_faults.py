"""Faults between the API server and the daemon, as packets and those who ask over HTTP see them.

One daemon lives through all of them. Each ends in the right kernel state without a restart; while it lasts,
what was known goes on to be served, and health and metrics say how it stands.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pointsman.conformance.apiserver import FOREVER
from pointsman.core.apis import KINDS

from .faulty import MOVING, Node, faulty_node
from .manifests import service

pytestmark = pytest.mark.netns

DAY = 86400.0
SLICES = "endpointslices"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with faulty_node(tmp_path_factory.mktemp("faulty")) as node:
        assert_well(node)
        yield node
        assert node.process.end() == 0


@pytest.fixture
def node(daemon: Node) -> Iterator[Node]:
    """The node in good health, as it will have to be after the test, with every connection answered in it."""
    daemon.clocks.advance(200.0)  # long enough for earlier failures to be forgotten
    with daemon.all_answered():
        yield daemon
        daemon.server.faults.clear()
        assert_well(daemon)


def assert_well(node: Node) -> None:
    node.follows()
    node.until(node.is_heard_of)
    assert node.source("staleness_seconds") < 10.0
    assert_up(node)


def assert_up(node: Node) -> None:
    """Nothing waits for the kernel, and that is all that kube-proxy's health is about (HZ-02)."""
    for path in ("/healthz", "/livez"):
        status, said = node.health(path)
        assert (status, said["healthy"]) == (200, True)


@contextmanager
def unheard(node: Node) -> Iterator[None]:
    """A change that can't be heard of, for the fault is there: the endpoint from before goes on to serve."""
    before = node.who_answers()
    assert before
    node.server.drop_connections()
    node.move()
    yield
    assert node.who_answers() == before
    assert_up(node)


def test_a_stream_that_is_cut_in_an_object(node: Node) -> None:
    before = node.counts()
    node.server.faults.cut(times=2, plural=SLICES)
    node.follows()
    node.follows()
    assert node.source("lists_total") == before["lists"]
    assert node.source("watches_total") >= before["watches"] + 2


def test_events_that_come_twice(node: Node) -> None:
    before = node.counts()
    node.server.faults.duplicate(times=4)
    node.follows()
    node.follows()
    assert node.counts() == before


def test_events_that_come_out_of_order(node: Node) -> None:
    before = node.counts()
    node.server.faults.reorder(plural=SLICES)
    node.move()
    pod = node.move()
    node.until(lambda: node.source("lists_total") == before["lists"] + 1)
    node.until(lambda: node.who_answers() == pod)


def test_a_line_that_is_no_event(node: Node) -> None:
    before = node.counts()
    node.server.faults.garble(plural=SLICES)
    node.follows()
    assert node.source("lists_total") == before["lists"] + 1


def test_410_in_a_row(node: Node) -> None:
    before = node.counts()
    node.server.faults.expire(times=FOREVER, plural=SLICES)
    with unheard(node):
        node.until(lambda: node.source("failures") > 2)
    node.server.faults.clear()
    node.follows()
    assert node.source("lists_total") == before["lists"] + 1


@pytest.mark.parametrize("code", [500, 503])
def test_errors_of_the_server(node: Node, code: int) -> None:
    before = node.metric("rest_client_requests_total", code=str(code))
    node.server.faults.fail(code, times=FOREVER, plural=SLICES)
    with unheard(node):
        node.until(lambda: node.source("failures") > 2)
    assert node.metric("rest_client_requests_total", code=str(code)) > before + 2
    node.server.faults.clear()
    node.follows()


def test_a_server_that_wants_to_be_left_alone_for_a_while(node: Node) -> None:
    asked = node.metric("rest_client_requests_total", code="429")
    began = time.monotonic()
    node.server.faults.fail(429, times=FOREVER, plural=SLICES, retry_after=1)
    with unheard(node):
        node.until(lambda: node.source("failures") > 1)
    times = node.metric("rest_client_requests_total", code="429") - asked
    assert 2 <= times <= 1 + time.monotonic() - began
    node.server.faults.clear()
    node.follows()


def test_something_on_the_way_that_answers_for_the_server(node: Node) -> None:
    before = node.counts()
    node.server.faults.intercept(times=FOREVER, plural=SLICES)
    with unheard(node):
        node.process.wait_for("watch_failed", "text/html")
        node.until(lambda: node.source("failures") > 1)
    node.server.faults.clear()
    node.follows()
    assert node.source("lists_total") == before["lists"]


def test_a_server_that_cannot_prove_who_it_is(node: Node) -> None:
    node.server.break_tls()
    with unheard(node):
        said = node.process.wait_for("watch_failed", "TLS", "certificate")
        node.until(lambda: node.source("failures") > 1)
    assert "kept=" in node.process.lines[said - 1]
    node.server.mend_tls()
    node.follows()


def test_a_wrong_token_and_then_the_right_one(node: Node) -> None:
    before = node.metric("rest_client_requests_total", code="401")
    node.server.change_token()
    with unheard(node):
        node.until(lambda: node.source("failures") > 1)
    assert node.metric("rest_client_requests_total", code="401") > before
    node.kubeconfig()
    node.follows()


def test_a_server_that_is_away_for_a_minute(node: Node) -> None:
    node.server.go_away()
    with unheard(node):
        node.until(lambda: node.source("failures") > 2)
        before = {kind: node.source("staleness_seconds", kind) for kind in KINDS}
        node.clocks.advance(61.0)
        for kind, seconds in before.items():
            assert 61.0 < node.source("staleness_seconds", kind) - seconds < 90.0
        assert re.search(r"Service</dt><dd>.*?failed \d+ times in a row.*?Connection refused", node.page())
    node.server.come_back()
    node.follows()
    assert node.source("staleness_seconds") < 10.0
    assert re.search(r"EndpointSlice</dt><dd>[^/]*>heard of \d s ago<", node.page())


def test_a_server_that_comes_back_with_another_past(node: Node) -> None:
    """What happened meanwhile is nowhere to be read: all is listed, and what is gone goes."""
    node.server.go_away()
    node.server.delete("Service", "shop", "moving")
    node.server.compact()
    node.server.come_back()
    node.until(lambda: not node.who_answers())
    node.server.put(service("moving", MOVING))
    node.follows()


def test_a_connection_that_stalls(node: Node) -> None:
    before = node.who_answers()
    node.server.faults.freeze()
    node.move()
    node.clocks.advance(30.0)
    assert node.source("staleness_seconds") >= 30.0
    assert node.who_answers() == before
    assert_up(node)
    node.server.faults.thaw()
    node.follows()


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_a_wall_clock_that_is_set(node: Node, seconds: float) -> None:
    """Nothing but what shows the time of day takes notice; the other way it is set right again."""
    before = node.counts()
    node.clocks.step(seconds)
    node.follows()
    assert node.counts() == before
    assert node.source("staleness_seconds") < 10.0
    assert_up(node)
    stamp = node.metric("kubeproxy_sync_proxy_rules_last_timestamp_seconds", ip_family="IPv4")
    assert abs(stamp - node.clocks.now()) < 60.0
    node.server.faults.fail(500, times=3, plural=SLICES)
    node.server.drop_connections()
    node.follows()
