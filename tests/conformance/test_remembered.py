"""Where clients are bound to go, as far as it is known for sure."""

from pointsman.conformance.remembered import GRAIN, Remembered, Span
from pointsman.core.model import Protocol, ServicePortName
from pointsman.core.packet import Affinity

WEB = Affinity(ServicePortName("default", "web", "", Protocol.TCP), 10)
API = Affinity(ServicePortName("default", "api", "", Protocol.TCP), 10)
CLIENT, OTHER = b"\1\1\1\1", b"\2\2\2\2"
HERE, THERE = (b"\n\0\0\1", 8080), (b"\n\0\0\2", 8080)
POOL = [HERE, THERE]


def at(began: float, ended: float | None = None) -> Span:
    return Span(began, began if ended is None else ended)


def test_a_client_is_bound_to_the_endpoint_it_met() -> None:
    remembered = Remembered()
    assert not remembered.bound(CLIENT, WEB, POOL, at(0))
    remembered.learn(CLIENT, WEB, HERE, at(0))
    assert remembered.bound(CLIENT, WEB, POOL, at(9)) == {HERE}
    assert not remembered.bound(OTHER, WEB, POOL, at(9))
    assert not remembered.bound(CLIENT, API, POOL, at(9))
    assert not remembered.bound(CLIENT, WEB, [THERE], at(9)), "it has left"


def test_nobody_is_bound_by_what_may_be_over() -> None:
    """Neither if the visit may have been long ago, nor if the return may have come late."""
    remembered = Remembered()
    remembered.learn(CLIENT, WEB, HERE, at(0, 5))
    assert remembered.bound(CLIENT, WEB, POOL, at(9, 9.5)) == {HERE}
    assert not remembered.bound(CLIENT, WEB, POOL, at(9, 10))
    assert not remembered.bound(CLIENT, WEB, POOL, at(10 - GRAIN / 2))


def test_a_visit_renews_the_last_one() -> None:
    remembered = Remembered()
    for time in (0, 8):
        remembered.learn(CLIENT, WEB, HERE, at(time))
    assert remembered.bound(CLIENT, WEB, POOL, at(16)) == {HERE}


def test_two_endpoints_that_a_client_has_met_bind_it_to_either() -> None:
    """Until the older visit is over for sure."""
    remembered = Remembered()
    remembered.learn(CLIENT, WEB, HERE, at(0))
    remembered.learn(CLIENT, WEB, THERE, at(5))
    assert remembered.bound(CLIENT, WEB, POOL, at(9)) == {HERE, THERE}
    assert remembered.bound(CLIENT, WEB, POOL, at(10 + GRAIN / 2)) == {HERE, THERE}
    assert remembered.bound(CLIENT, WEB, POOL, at(10 + 2 * GRAIN)) == {THERE}


def test_a_change_sets_clients_free_until_they_come_again() -> None:
    """Where they were before then is still a place where they may be."""
    remembered = Remembered()
    remembered.learn(CLIENT, WEB, HERE, at(0))
    remembered.changed()
    assert not remembered.bound(CLIENT, WEB, POOL, at(1))
    remembered.learn(CLIENT, WEB, THERE, at(2))
    assert remembered.bound(CLIENT, WEB, POOL, at(3)) == {HERE, THERE}
