"""Elements of every shape of set: into the kernel, back, and as nft prints them."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointsman.backends.nftables.netlink.constants import Family, VerdictCode
from pointsman.backends.nftables.netlink.elements import Element, ElementCodec, Verdict, prefix_range
from pointsman.backends.nftables.netlink.errors import NetlinkError
from pointsman.backends.nftables.netlink.messages import (
    add_elements,
    delete_elements,
    destroy_elements,
    flush_set,
)
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.backends.nftables.netlink.selectors import join
from pointsman.backends.nftables.netlink.sets import VERDICTS, SetSpec
from tests.backends.nftables.netlink import layouts
from tests.backends.nftables.netlink.namespaces import Namespace

pytestmark = pytest.mark.netns

families = pytest.mark.parametrize("family", layouts.FAMILIES, ids=str)
by_key = sorted

ADDRESSES = {
    Family.IP: ["10.96.0.10", "10.96.0.11", "10.244.3.7"],
    Family.IP6: ["fd00:96::a", "fd00:96::b", "fd00:244::3:7"],
}
PREFIXES = {
    Family.IP: ["10.0.0.0/8", "192.168.7.0/25", "203.0.113.9/32", "255.255.255.0/24"],
    Family.IP6: ["fd00::/8", "2001:db8:7::/65", "2001:db8::9/128", "ffff::/16"],
}


def key_of(family: Family, spec: SetSpec, number: int) -> bytes:
    """A key of ``spec`` made of plausible parts."""
    address = ip_address(ADDRESSES[family][number]).packed
    parts = {4: address, 16: address, 1: b"\x06", 2: (80 + number).to_bytes(2, "big")}
    small = number.to_bytes(4, "little")
    special = {
        "numgen random mod 4": small,
        "meta priority": small,
        "meta mark": bytes((number, 64, 0, 0)),
    }
    return join(spec.key, [special.get(part.text) or parts[part.length] for part in spec.key])


def endpoint(family: Family, number: int) -> bytes:
    return join(
        layouts.spec(family, "endpoints").data or (),  # type: ignore[arg-type]
        [ip_address(ADDRESSES[family][number]).packed, (8080 + number).to_bytes(2, "big")],
    )


@pytest.fixture
def ready(netfilter: NetfilterSocket) -> NetfilterSocket:
    for family in layouts.FAMILIES:
        netfilter.commit(layouts.skeleton(family))
    return netfilter


@families
def test_every_shape_of_set_gives_back_what_it_got(family: Family, ready: NetfilterSocket) -> None:
    where = layouts.table(family)
    for _, spec in layouts.sets(family):
        if spec.flags & spec.flags.INTERVAL:
            continue
        codec = ElementCodec(spec)
        data: list[bytes | Verdict | None] = [None, None, None]
        if spec.data is VERDICTS:
            data = [
                Verdict(VerdictCode.GOTO, "other"),
                Verdict(VerdictCode.JUMP, "other"),
                Verdict(VerdictCode.DROP),
            ]
        elif spec.data is not None:
            data = [endpoint(family, number)[: spec.data_length] for number in range(3)]
        some = [Element(key_of(family, spec, number), data[number]) for number in range(3)]
        some[1] = some[1]._replace(comment="the second")
        ready.commit(add_elements(where, spec, [codec.element(one) for one in some]))
        found = ready.dump_elements(where, spec.name)
        assert sorted(one.key for one in found) == sorted(one.key for one in some), spec.name
        assert {(one.key, one.data, one.comment) for one in found} == {
            (one.key, one.data, one.comment) for one in some
        }
        if spec.data is not None:
            assert ready.dump_pairs(where, codec) == {one.key: one.data for one in some}
        assert set(ready.dump_keys(where, codec)) == {one.key for one in some}


@families
def test_prefixes_as_intervals(family: Family, ready: NetfilterSocket, namespace: Namespace) -> None:
    where, spec = layouts.table(family), layouts.spec(family, "prefixes")
    codec = ElementCodec(spec)
    packed: list[bytes] = []
    for prefix in PREFIXES[family]:
        network = ip_network(prefix)
        packed += codec.interval(*prefix_range(network.network_address.packed, network.prefixlen))
    ready.commit(add_elements(where, spec, packed))
    starts = {one.key for one in ready.dump_elements(where, spec.name) if not one.interval_end}
    assert starts == {ip_network(prefix).network_address.packed for prefix in PREFIXES[family]}


@pytest.mark.program("nft")
@families
def test_intervals_are_those_of_nft(family: Family, make_namespace: Callable[[], Namespace]) -> None:
    theirs, ours = make_namespace(), make_namespace()
    where, ip = layouts.table(family), str(family)
    plain, ranges = layouts.spec(family, "prefixes"), layouts.spec(family, "ranges")
    vip = ADDRESSES[family][0]
    concatenated = ", ".join(f"{vip} . tcp . 80 . {prefix}" for prefix in PREFIXES[family])
    theirs.load(
        layouts.skeleton_text(family)
        + f"add element {ip} {layouts.TABLE} prefixes {{ {', '.join(PREFIXES[family])} }}\n"
        + f"add element {ip} {layouts.TABLE} ranges {{ {concatenated} }}\n"
    )
    socket = ours.socket()
    operations = layouts.skeleton(family)
    for prefix in PREFIXES[family]:
        network = ip_network(prefix)
        first, last = prefix_range(network.network_address.packed, network.prefixlen)
        service = [ip_address(vip).packed, b"\x06", b"\0\x50"]
        whole = (join(ranges.key, [*service, first]), join(ranges.key, [*service, last]))
        operations += add_elements(where, plain, ElementCodec(plain).interval(first, last))
        operations += add_elements(where, ranges, ElementCodec(ranges).interval(*whole))
    socket.commit(operations)
    their_socket = theirs.socket()
    for spec in (plain, ranges):
        mine, reference = socket.dump_elements(where, spec.name), their_socket.dump_elements(where, spec.name)
        assert {one for one in mine if one.key.strip(b"\0")} == {
            one for one in reference if one.key.strip(b"\0")
        }
    assert ours.listing() == theirs.listing()


@pytest.mark.program("nft")
@families
def test_nft_prints_elements_as_people_write_them(
    family: Family, ready: NetfilterSocket, namespace: Namespace
) -> None:
    where = layouts.table(family)
    services, endpoints = layouts.spec(family, "services"), layouts.spec(family, "endpoints")
    to_other = Verdict(VerdictCode.GOTO, "other")
    ready.commit(
        [
            *add_elements(
                where, services, ElementCodec(services).verdicts([(key_of(family, services, 0), to_other)])
            ),
            *add_elements(
                where,
                endpoints,
                ElementCodec(endpoints).pairs([(key_of(family, endpoints, 2), endpoint(family, 1))]),
            ),
        ]
    )
    listing = namespace.listing()
    first, second, third = ADDRESSES[family]
    assert f"{{ {first} . tcp . 80 : goto other }}" in listing
    assert f"{{ {third} . tcp . 82 . 2 : {second} . 8081 }}" in listing


@families
def test_timeouts(family: Family, ready: NetfilterSocket) -> None:
    where, spec = layouts.table(family), layouts.spec(family, "affinity")
    codec = ElementCodec(spec)
    first, second = key_of(family, spec, 0), key_of(family, spec, 1)
    ready.commit(
        add_elements(
            where,
            spec,
            [
                codec.pack(first, endpoint(family, 0), timeout=3_600_000, expires=1_800_000),
                codec.pack(second, endpoint(family, 1)),
            ],
        )
    )
    found = {one.key: one for one in ready.dump_elements(where, spec.name)}
    assert found[first].timeout == 3_600_000
    assert 1_700_000 < found[first].expires <= 1_800_000
    assert 0 < found[second].expires <= spec.timeout


@families
def test_deleting_and_flushing(family: Family, ready: NetfilterSocket) -> None:
    where, spec = layouts.table(family), layouts.spec(family, "endpoints")
    codec = ElementCodec(spec)
    pairs = [(key_of(family, spec, number), endpoint(family, number)) for number in range(3)]
    ready.commit(add_elements(where, spec, codec.pairs(pairs)))
    ready.commit(delete_elements(where, spec, codec.keys([pairs[0][0]])))
    assert ready.dump_pairs(where, codec) == dict(pairs[1:])
    ready.commit(destroy_elements(where, spec, codec.keys([pairs[0][0], pairs[1][0]])))
    assert ready.dump_pairs(where, codec) == dict(pairs[2:])
    ready.commit([flush_set(where, spec), *add_elements(where, spec, codec.pairs(pairs[:1]))])
    assert ready.dump_pairs(where, codec) == dict(pairs[:1])


def test_adding_again_is_harmless_unless_the_data_differs_or_it_is_to_be_new(ready: NetfilterSocket) -> None:
    family = Family.IP
    where, spec = layouts.table(family), layouts.spec(family, "endpoints")
    codec, key = ElementCodec(spec), key_of(family, spec, 0)
    same, other = codec.pairs([(key, endpoint(family, 0))]), codec.pairs([(key, endpoint(family, 1))])
    ready.commit(add_elements(where, spec, same))
    ready.commit(add_elements(where, spec, same))
    with pytest.raises(NetlinkError, match="File exists"):
        ready.commit(add_elements(where, spec, other))
    with pytest.raises(NetlinkError, match="File exists"):
        ready.commit(add_elements(where, spec, same, exclusive=True))
    ready.commit([*delete_elements(where, spec, codec.keys([key])), *add_elements(where, spec, other)])
    assert ready.dump_pairs(where, codec) == {key: endpoint(family, 1)}


@families
def test_single_elements_can_be_asked_for(family: Family, ready: NetfilterSocket) -> None:
    where, spec = layouts.table(family), layouts.spec(family, "endpoints")
    codec = ElementCodec(spec)
    keys = [key_of(family, spec, number) for number in range(3)]
    ready.commit(add_elements(where, spec, codec.pairs([(keys[1], endpoint(family, 1))])))
    found = ready.get_elements(where, codec, [keys[0], keys[1], keys[2], keys[1]])
    assert [one and (one.key, one.data) for one in found] == [
        None,
        (keys[1], endpoint(family, 1)),
        None,
        (keys[1], endpoint(family, 1)),
    ]
    assert ready.get_elements(where, codec, []) == []


def test_more_elements_can_be_asked_for_than_fit_into_one_request(ready: NetfilterSocket) -> None:
    where, spec = layouts.table(Family.IP), layouts.spec(Family.IP, "addresses")
    codec = ElementCodec(spec)
    keys = [(0x0A000000 + number).to_bytes(4, "big") for number in range(6000)]
    ready.commit(add_elements(where, spec, codec.keys(keys[:5800])))
    found = ready.get_elements(where, codec, keys)
    assert [one and one.key for one in found] == keys[:5800] + [None] * 200


def test_asking_for_elements_of_what_does_not_exist(ready: NetfilterSocket) -> None:
    where, spec = layouts.table(Family.IP), layouts.spec(Family.IP, "endpoints")
    nowhere = where._replace(name="nowhere")
    codec, missing = ElementCodec(spec), ElementCodec(SetSpec("missing", spec.key, spec.data))
    for table, some in ((nowhere, codec), (where, missing)):
        with pytest.raises(NetlinkError, match="No such file"):
            ready.get_elements(table, some, [bytes(16)])
        with pytest.raises(NetlinkError, match="No such file"):
            ready.dump_elements(table, some.spec.name)
    with pytest.raises(NetlinkError, match="No such file"):
        ready.dump_sets(nowhere)
    assert ready.dump_rules(nowhere) == []
    assert ready.dump_chains(nowhere) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_kernel_keeps_a_map_like_a_dict(ready: NetfilterSocket, data: st.DataObject) -> None:
    where, spec = layouts.table(Family.IP), layouts.spec(Family.IP, "nodeport-endpoints")
    codec = ElementCodec(spec)
    ready.commit([flush_set(where, spec)])
    model: dict[bytes, bytes] = {}
    keys = [bytes((6, 0, 0, 0, 0, 80, 0, 0, number, 0, 0, 0)) for number in range(4)]
    for _ in range(data.draw(st.integers(1, 6))):
        wanted = data.draw(
            st.dictionaries(
                st.sampled_from(keys), st.binary(min_size=6, max_size=6).map(lambda b: b + b"\0\0")
            )
        )
        gone = [key for key, value in model.items() if wanted.get(key) != value]
        added = [(key, value) for key, value in wanted.items() if model.get(key) != value]
        ready.commit(
            [*delete_elements(where, spec, codec.keys(gone)), *add_elements(where, spec, codec.pairs(added))]
        )
        model = wanted
        assert ready.dump_pairs(where, codec) == model
