"""Maps that packets fill: the kernel runs the rules, IPv6 included, and nft can list them.

nft 1.0.6 cannot load the IPv6 forms (its ``netlink_gen_expr`` aborts on the number of registers), so
there is no text to compare with; it does list them, and packets say whether they work.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from pointsman.backends.nftables.netlink import rules
from pointsman.backends.nftables.netlink.constants import CtState, CtStatus, Family, Hook
from pointsman.backends.nftables.netlink.elements import ElementCodec
from pointsman.backends.nftables.netlink.messages import Operation, add_base_chain, add_rule, delete_rule
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.backends.nftables.netlink.selectors import (
    CT_ORIGINAL_PROTO_DST,
    L4PROTO,
    TH_DPORT,
    ct_original_daddr,
    daddr,
    join,
    saddr,
)
from tests.backends.nftables.netlink import layouts
from tests.backends.nftables.netlink.namespaces import Namespace

pytestmark = pytest.mark.netns

families = pytest.mark.parametrize("family", layouts.FAMILIES, ids=str)
LOOPBACK = {Family.IP: "127.0.0.1", Family.IP6: "::1"}
SOCKETS = {Family.IP: socket.AF_INET, Family.IP6: socket.AF_INET6}
PORT = 4242


def send(family: Family) -> None:
    with socket.socket(SOCKETS[family], socket.SOCK_DGRAM) as client:
        client.sendto(b"hello", (LOOPBACK[family], PORT))


def on_output(family: Family, *packed: bytes) -> list[Operation]:
    where = layouts.table(family)
    return [
        *layouts.skeleton(family),
        add_base_chain(where, "out", "filter", Hook.OUTPUT, 0),
        *(add_rule(where, "out", one) for one in packed),
    ]


@families
@pytest.mark.parametrize("name", ["affinity", "sticky"])
@pytest.mark.parametrize("add", [False, True], ids=["update", "add"])
def test_a_packet_is_remembered(
    family: Family, name: str, add: bool, namespace: Namespace, netfilter: NetfilterSocket
) -> None:
    where, spec, endpoint = layouts.table(family), layouts.spec(family, name), (daddr(family), TH_DPORT)
    learn = rules.match(L4PROTO, b"\x11") + rules.update_map(
        spec.key, endpoint, name, timeout=60_000, add=add
    )
    netfilter.commit(on_output(family, learn))
    namespace.loopback_up()
    namespace.call(send, family)

    address, port = ip_address(LOOPBACK[family]).packed, PORT.to_bytes(2, "big")
    key = [address] if name == "affinity" else [address, address, b"\x11", port]
    [found] = netfilter.dump_elements(where, name)
    assert found.key == join(spec.key, key)
    assert found.data == join(endpoint, [address, port])
    assert 0 < found.expires <= 60_000


@families
def test_a_packet_can_make_forget(family: Family, namespace: Namespace, netfilter: NetfilterSocket) -> None:
    where, spec, endpoint = layouts.table(family), layouts.spec(family, "affinity"), (daddr(family), TH_DPORT)
    learn = rules.match(L4PROTO, b"\x11") + rules.update_map(spec.key, endpoint, spec.name)
    forget = rules.match(TH_DPORT, PORT.to_bytes(2, "big")) + rules.delete_from_map(
        spec.key, endpoint, spec.name
    )
    netfilter.commit(on_output(family, learn))
    namespace.loopback_up()
    namespace.call(send, family)
    assert len(netfilter.dump_elements(where, spec.name)) == 1
    netfilter.commit([add_rule(where, "out", forget)])
    namespace.call(send, family)
    assert netfilter.dump_elements(where, spec.name) == []


@families
def test_a_set_remembers_too(family: Family, namespace: Namespace, netfilter: NetfilterSocket) -> None:
    where, spec = layouts.table(family), layouts.spec(family, "seen")
    learn = rules.match(L4PROTO, b"\x11") + rules.update_set(spec.key, spec.name)
    netfilter.commit(on_output(family, learn))
    namespace.loopback_up()
    namespace.call(send, family)
    address = ip_address(LOOPBACK[family]).packed
    assert [one.key for one in netfilter.dump_elements(where, spec.name)] == [
        join(spec.key, [address, address])
    ]


@families
def test_what_is_remembered_decides_the_destination(
    family: Family, namespace: Namespace, netfilter: NetfilterSocket
) -> None:
    """The whole path of session affinity: look up, else pick; remember after the rewriting."""
    where, spec = layouts.table(family), layouts.spec(family, "sticky")
    endpoint = (daddr(family), TH_DPORT)
    loopback = ip_address(LOOPBACK[family]).packed
    learned_from = (saddr(family), ct_original_daddr(family), L4PROTO, CT_ORIGINAL_PROTO_DST)
    udp = rules.match(L4PROTO, b"\x11")
    netfilter.commit(
        [
            *layouts.skeleton(family),
            add_base_chain(where, "dnat", "nat", Hook.OUTPUT, -100),
            add_rule(where, "dnat", rules.dnat_map(family, spec.key, spec.name)),
            add_rule(
                where,
                "dnat",
                rules.match(TH_DPORT, PORT.to_bytes(2, "big")) + udp + rules.dnat_to(family, loopback, 5353),
            ),
            add_base_chain(where, "learn", "filter", Hook.OUTPUT, -99),
            add_rule(
                where,
                "learn",
                udp,
                rules.match_ct_status(CtStatus.DNAT),
                rules.match_ct_state(CtState.NEW),
                rules.update_map(learned_from, endpoint, spec.name, timeout=60_000),
            ),
        ]
    )
    namespace.loopback_up()
    namespace.call(send, family)
    key = join(spec.key, [loopback, loopback, b"\x11", PORT.to_bytes(2, "big")])
    assert netfilter.dump_pairs(where, ElementCodec(spec)) == {
        key: join(endpoint, [loopback, (5353).to_bytes(2, "big")])
    }

    server = namespace.call(bound, family, 5353)
    with server:
        # The rule that picks is gone: only the map knows the way now.
        picked = netfilter.dump_rules(where, "dnat")[1]
        netfilter.commit([delete_rule(where, "dnat", picked.handle)])
        namespace.call(send, family)
        assert server.recv(100) == b"hello"


def bound(family: Family, port: int) -> socket.socket:
    server = socket.socket(SOCKETS[family], socket.SOCK_DGRAM)
    server.settimeout(10)
    server.bind((LOOPBACK[family], port))
    return server


@pytest.mark.program("nft")
def test_nft_lists_what_it_cannot_load(make_namespace: Callable[[], Namespace]) -> None:
    family, data = Family.IP6, (daddr(Family.IP6), TH_DPORT)
    sticky = (saddr(family), ct_original_daddr(family), L4PROTO, CT_ORIGINAL_PROTO_DST)
    affinity = (saddr(family),)
    forms = {
        "update @affinity { ip6 saddr timeout 1m : ip6 daddr . th dport }": rules.update_map(
            affinity, data, "affinity", timeout=60_000
        ),
        "add @affinity { ip6 saddr : ip6 daddr . th dport }": rules.update_map(
            affinity, data, "affinity", add=True
        ),
        "delete @affinity { ip6 saddr : ip6 daddr . th dport }": rules.delete_from_map(
            affinity, data, "affinity"
        ),
        "update @sticky { ip6 saddr . ct original ip6 daddr . meta l4proto . ct original proto-dst"
        " timeout 1m : ip6 daddr . udp dport }": rules.match(L4PROTO, b"\x11")
        + rules.update_map(sticky, data, "sticky", timeout=60_000),
    }
    ours = make_namespace()
    ours.socket().commit(
        [*layouts.skeleton(family), *(layouts.rule(family, packed) for packed in forms.values())]
    )
    listed = ours.listing()
    tested = listed[listed.index("chain tested") :].splitlines()[1:]
    assert [line.strip() for line in tested[: len(forms)]] == list(forms)
