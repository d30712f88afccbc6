"""Deltas: exact, and found at the cost of the change alone. Their laws under edits are in the machine."""

import pytest
from immutables import Map

from pointsman.core.addresses import IPFamily
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    Masquerade,
    Match,
    Model,
    NodeContext,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import AddressChange, Delta, ServiceChange, advance, diff

from .objects import port_name

NODE = NodeContext(IPFamily.IPV4)
A, B = port_name("a"), port_name("b")


def state(name: ServicePortName, ip: int, *endpoints: int, weight: int = 1) -> ServiceFrontends:
    at = Match(bytes((10, 96, 0, ip)), Protocol.TCP, 80)
    cluster_ip = Frontend(at, FrontendKind.CLUSTER_IP, Answer(Pool.CLUSTER, Masquerade.NEVER))
    return ServiceFrontends(
        name, (cluster_ip,), tuple(Endpoint(bytes((10, 0, 0, e)), 80, weight) for e in endpoints)
    )


@pytest.fixture
def model() -> Model:
    model, _ = advance(Model(NODE), [(A, state(A, 1, 1, 2)), (B, state(B, 1, 2, 3))], NODE)
    return model


def test_users_are_counted(model: Model) -> None:
    assert model.cluster_ips == Map({bytes((10, 96, 0, 1)): 2})
    assert model.endpoint_addresses == Map({bytes((10, 0, 0, e)): n for e, n in ((1, 1), (2, 2), (3, 1))})


def test_an_address_counts_once_for_both_pools_of_a_port() -> None:
    endpoint = Endpoint(bytes((10, 0, 0, 1)), 80)
    both = ServiceFrontends(A, state(A, 1).frontends, (endpoint,), (endpoint,))
    model, _ = advance(Model(NODE), [(A, both)], NODE)
    assert model.endpoint_addresses == Map({endpoint.address: 1})


def test_addresses_go_with_their_last_user(model: Model) -> None:
    _, delta = advance(model, [(A, None)], NODE)
    assert delta.cluster_ips == AddressChange()
    assert delta.endpoint_addresses == AddressChange(removed=(bytes((10, 0, 0, 1)),))
    empty, delta = advance(model, [(A, None), (B, None)], NODE)
    assert delta.cluster_ips.removed == (bytes((10, 96, 0, 1)),)
    assert len(delta.endpoint_addresses.removed) == 3
    assert empty == Model(NODE)


def test_an_address_that_passes_on_neither_comes_nor_goes(model: Model) -> None:
    _, delta = advance(model, [(A, None), (B, state(B, 1, 1, 2))], NODE)
    assert delta.endpoint_addresses == AddressChange(removed=(bytes((10, 0, 0, 3)),))


def test_what_changes_nothing_falls_away(model: Model) -> None:
    same, delta = advance(model, [(A, state(A, 1, 1, 2)), (port_name("c"), None)], NODE)
    assert same == model
    assert delta == Delta()
    assert not delta


def test_changes_are_sorted_and_hold_both_states(model: Model) -> None:
    new = state(A, 1, 1, 2, weight=2)
    _, delta = advance(model, [(B, None), (A, new)], NODE)
    assert delta.services == (
        ServiceChange(A, state(A, 1, 1, 2), new),
        ServiceChange(B, state(B, 1, 2, 3), None),
    )
    assert delta.endpoint_addresses == AddressChange(removed=(bytes((10, 0, 0, 3)),))


def test_another_context_is_a_change(model: Model) -> None:
    other = NodeContext(IPFamily.IPV4, masquerade_mark=1)
    moved, delta = advance(model, [], other)
    assert delta == Delta(node=(NODE, other))
    assert delta
    assert moved.node == other


def test_the_old_model_stays_as_it_was(model: Model) -> None:
    before = dict(model.services)
    advance(model, [(A, None)], NODE)
    assert dict(model.services) == before


def test_diff_finds_what_advance_tells(model: Model) -> None:
    moved, delta = advance(
        model, [(A, None), (B, state(B, 2, 9))], NodeContext(IPFamily.IPV4, drop_invalid=False)
    )
    assert diff(model, moved) == delta
    assert not diff(model, model)
