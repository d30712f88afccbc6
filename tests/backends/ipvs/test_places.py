"""Where virtual servers live."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.backends.ipvs.places import Owner, Places, block
from pointsman.backends.ipvs.servers import Server
from pointsman.core.addresses import IPFamily, Network, parse_network
from pointsman.core.model import Pool, Protocol, ServicePortName

RESERVED = {IPFamily.IPV4: parse_network("240.0.0.0/4"), IPFamily.IPV6: parse_network("100::/64")}

families = st.sampled_from(IPFamily)
names = st.builds(
    ServicePortName,
    st.sampled_from(("default", "kube-system")),
    st.text("abc", min_size=1, max_size=3),
    st.sampled_from(("", "http")),
    st.sampled_from(Protocol),
)
owners = st.builds(Owner, names, st.sampled_from(Pool))


@given(families, st.text(max_size=20))
def test_a_block_lies_in_what_is_reserved_and_not_at_the_broadcast_address(
    family: IPFamily, instance: str
) -> None:
    network = block(family, instance)
    assert network.address in RESERVED[family]
    assert network.prefix > RESERVED[family].prefix
    assert b"\xff" * 4 not in network


@given(families, st.lists(owners, unique=True))
def test_everybody_has_a_place_of_their_own(family: IPFamily, everybody: list[Owner]) -> None:
    network = block(family, "pointsman")
    places = Places(network)
    given_out = [places.of(owner) for owner in everybody]
    assert len(set(given_out)) == len(everybody)
    assert [places.of(owner) for owner in everybody] == given_out
    for owner, place in zip(everybody, given_out, strict=True):
        assert place.protocol is owner.name.protocol
        assert place.address in network
        assert place.address != network.address  # where probes try things
        assert 1 <= place.port <= 65535


@given(families, st.lists(owners, unique=True))
def test_places_follow_from_names_alone(family: IPFamily, everybody: list[Owner]) -> None:
    """A new process finds everything where it would put it, in whatever order it hears of things."""
    before, after = Places(block(family, "a")), Places(block(family, "a"))
    expected = {owner: before.of(owner) for owner in everybody}
    assert {owner: after.of(owner) for owner in reversed(everybody)} == expected


def test_two_instances_do_not_meet() -> None:
    for family in IPFamily:
        assert block(family, "one") != block(family, "two")


def test_whose_place_is_taken_has_the_next_best_and_it_is_free_again_afterwards() -> None:
    """In a network of two hosts, owners must meet."""
    crowded = Network(bytes((240, 0, 0, 0)), 30)
    first: dict[Server, Owner] = {}
    alone = (Owner(ServicePortName("n", str(i), "", Protocol.TCP), Pool.CLUSTER) for i in range(100_000))
    for rival in alone:
        place = Places(crowded).of(rival)
        if place in first:
            break
        first[place] = rival
    else:
        pytest.fail("nobody ever met anybody")
    holder, places = first[place], Places(crowded)
    assert places.of(holder) == place
    evaded = places.of(rival)
    assert evaded != place
    places.leave(holder.name)
    assert places.of(rival) == evaded  # nobody moves without need
    places.leave(rival.name)
    assert places.of(rival) == place
