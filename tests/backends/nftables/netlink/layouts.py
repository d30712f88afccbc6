"""The sets and rules the nftables backend is made of, each as text and as ours."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from pointsman.backends.nftables.netlink import constants as nf
from pointsman.backends.nftables.netlink import rules
from pointsman.backends.nftables.netlink.constants import CtState, CtStatus, Family, SetFlag
from pointsman.backends.nftables.netlink.messages import (
    Operation,
    Table,
    add_chain,
    add_rule,
    add_set,
    add_table,
)
from pointsman.backends.nftables.netlink.selectors import (
    CT_MARK,
    CT_ORIGINAL_PROTO_DST,
    CT_ORIGINAL_PROTO_SRC,
    IIFNAME,
    L4PROTO,
    MARK,
    OIFNAME,
    PRIORITY,
    PROTOCOL,
    TH_DPORT,
    TH_SPORT,
    Selector,
    ct_original_daddr,
    ct_original_saddr,
    daddr,
    numgen_random,
    saddr,
)
from pointsman.backends.nftables.netlink.sets import VERDICTS, SetSpec

FAMILIES = [Family.IP, Family.IP6]
TABLE = "pointsman-test"


class Case(NamedTuple):
    """A rule as nft's text and as our expressions.

    ``reloads`` is false where nft 1.0.6 cannot read its own listing back.
    """

    text: str
    packed: bytes
    reloads: bool = True


def table(family: Family) -> Table:
    return Table(family, TABLE)


def sets(family: Family) -> list[tuple[str, SetSpec]]:
    """Every shape of set and map, with its declaration as text."""
    source, destination, service = saddr(family), daddr(family), (L4PROTO, TH_DPORT)
    endpoint = (destination, TH_DPORT)
    index = numgen_random(4)
    ip = str(family)
    key = f"{ip} daddr . meta l4proto . th dport"
    dynamic = SetFlag.EVAL | SetFlag.TIMEOUT
    return [
        (
            f"map services {{ typeof {key} : verdict; }}",
            SetSpec("services", (destination, *service), VERDICTS),
        ),
        (
            "map nodeports { typeof meta l4proto . th dport : verdict; }",
            SetSpec("nodeports", service, VERDICTS),
        ),
        (
            f"map numbers {{ typeof {key} : meta priority; }}",
            SetSpec("numbers", (destination, *service), (PRIORITY,)),
        ),
        (
            f"map counted {{ typeof {ip} daddr . meta l4proto . th dport : meta priority; counter; }}",
            SetSpec("counted", (destination, *service), (PRIORITY,), counted=True),
        ),
        ("map classes { typeof meta priority : verdict; }", SetSpec("classes", (PRIORITY,), VERDICTS)),
        (
            f"map endpoints {{ typeof {key} . numgen random mod 4 : {ip} daddr . th dport; }}",
            SetSpec("endpoints", (destination, *service, index), endpoint),
        ),
        (
            "map nodeport-endpoints {"
            f" typeof meta l4proto . th dport . numgen random mod 4 : {ip} daddr . th dport; }}",
            SetSpec("nodeport-endpoints", (*service, index), endpoint),
        ),
        (
            f'set addresses {{ typeof {ip} daddr; comment "all of them"; }}',
            SetSpec("addresses", (destination,), comment="all of them"),
        ),
        ("set ports { typeof th dport; size 100; }", SetSpec("ports", (TH_DPORT,), size=100)),
        ("set marks { typeof meta mark; }", SetSpec("marks", (MARK,))),
        (f"set hairpin {{ typeof {ip} saddr . {ip} daddr; }}", SetSpec("hairpin", (source, destination))),
        (
            f"set prefixes {{ typeof {ip} saddr; flags interval; }}",
            SetSpec("prefixes", (source,), flags=SetFlag.INTERVAL),
        ),
        (
            f"set allowed {{ typeof {key} . {ip} saddr; }}",
            SetSpec("allowed", (destination, *service, source)),
        ),
        (
            f"set ranges {{ typeof {key} . {ip} saddr; flags interval; }}",
            SetSpec("ranges", (destination, *service, source), flags=SetFlag.INTERVAL),
        ),
        (
            f"map affinity {{ typeof {ip} saddr : {ip} daddr . th dport;"
            " flags dynamic,timeout; size 65535; timeout 60s; }",
            SetSpec("affinity", (source,), endpoint, flags=dynamic, size=65535, timeout=60_000),
        ),
        (
            f"map sticky {{ typeof {ip} saddr . {key} : {ip} daddr . th dport;"
            " flags dynamic,timeout; size 65535; }",
            SetSpec("sticky", (source, destination, *service), endpoint, flags=dynamic, size=65535),
        ),
        (
            f"set seen {{ typeof {ip} saddr . {ip} daddr; flags dynamic,timeout; size 1000; timeout 10s; }}",
            SetSpec("seen", (source, destination), flags=dynamic, size=1000, timeout=10_000),
        ),
    ]


def spec(family: Family, name: str) -> SetSpec:
    return next(spec for _, spec in sets(family) if spec.name == name)


def cases(family: Family) -> list[Case]:
    """Every match and statement that nft 1.0.6 can load as text, in both families."""
    return [
        *_picks(family),
        *_marks(),
        *_addresses(family),
        *_memberships(family),
        *_places(),
        *_connections(family),
        *_transports(family),
        *_ends(),
        *_writes(family),
        *(_dynamic_maps() if family is Family.IP else []),
    ]


def _vip(family: Family) -> str:
    return f"{family} daddr . meta l4proto . th dport"


def _keys(family: Family) -> dict[str, tuple[Selector, ...]]:
    return {spec.name: spec.key for _, spec in sets(family)}


def _picks(family: Family) -> list[Case]:
    ip, vip, key = str(family), _vip(family), _keys(family)
    destination = daddr(family)
    return [
        Case(f"{vip} vmap @services", rules.verdict_map(key["services"], "services")),
        Case(
            f"meta priority set {vip} map @numbers meta priority vmap @classes",
            rules.set_priority_from_map(key["numbers"], "numbers")
            + rules.verdict_map(key["classes"], "classes"),
        ),
        Case("meta priority set none", rules.clear_priority()),
        Case("meta l4proto . th dport vmap @nodeports", rules.verdict_map(key["nodeports"], "nodeports")),
        *(
            Case(
                f"dnat {ip} to {vip} . numgen random mod {n} map @endpoints",
                rules.dnat_map(family, (destination, L4PROTO, TH_DPORT, numgen_random(n)), "endpoints"),
            )
            for n in (1, 4, 250)
        ),
        Case(
            f"dnat {ip} to meta l4proto . th dport . numgen random mod 3 map @nodeport-endpoints",
            rules.dnat_map(family, (L4PROTO, TH_DPORT, numgen_random(3)), "nodeport-endpoints"),
        ),
        Case(
            f"meta l4proto tcp dnat {ip} to {ip} saddr map @affinity",
            rules.match(L4PROTO, b"\x06") + rules.dnat_map(family, key["affinity"], "affinity"),
        ),
        Case(f"dnat {ip} to {ip} saddr . {vip} map @sticky", rules.dnat_map(family, key["sticky"], "sticky")),
    ]


def _marks() -> list[Case]:
    return [
        Case("meta mark set meta mark | 0x4000", rules.set_mark_bits(0x4000)),
        Case("meta mark set meta mark ^ 0x4000", rules.flip_mark_bits(0x4000)),
        Case(
            "meta mark & 0x4000 == 0 return",
            rules.match_mark(0x4000, 0) + rules.return_(),
        ),
        Case(
            "meta mark & 0x4000 == 0x4000 accept",
            rules.match_mark(0x4000, 0x4000) + rules.accept(),
        ),
        Case(
            "meta mark & 0x4000 != 0x4000 accept",
            rules.match_mark(0x4000, 0x4000, negate=True) + rules.accept(),
        ),
    ]


def _memberships(family: Family) -> list[Case]:
    ip, vip, key = str(family), _vip(family), _keys(family)
    return [
        Case(f"{ip} daddr @addresses drop", rules.match_set(key["addresses"], "addresses") + rules.drop()),
        Case(
            f"{ip} daddr != @addresses drop",
            rules.match_set(key["addresses"], "addresses", negate=True) + rules.drop(),
        ),
        Case(
            f"{ip} saddr @prefixes drop",
            rules.match_set(key["prefixes"], "prefixes", interval=True) + rules.drop(),
        ),
        Case(
            f"{ip} saddr . {ip} daddr @hairpin counter masquerade fully-random",
            rules.match_set(key["hairpin"], "hairpin")
            + rules.counter()
            + rules.masquerade(fully_random=True),
        ),
        Case(
            f"{vip} . {ip} saddr @allowed return",
            rules.match_set(key["allowed"], "allowed") + rules.return_(),
        ),
        Case(
            f"{vip} . {ip} saddr != @allowed drop",
            rules.match_set(key["allowed"], "allowed", negate=True) + rules.drop(),
        ),
        Case(
            f"{vip} . {ip} saddr @ranges return",
            rules.match_set(key["ranges"], "ranges", interval=True) + rules.return_(),
        ),
    ]


def _places() -> list[Case]:
    return [
        Case('iifname "cni0" drop', rules.match_interface(IIFNAME, "cni0") + rules.drop()),
        Case('iifname != "cni0" drop', rules.match_interface(IIFNAME, "cni0", negate=True) + rules.drop()),
        Case('iifname "veth*" drop', rules.match_interface(IIFNAME, "veth*") + rules.drop()),
        Case('iifname != "veth*" drop', rules.match_interface(IIFNAME, "veth*", negate=True) + rules.drop()),
        Case('oifname "lo" accept', rules.match_interface(OIFNAME, "lo") + rules.accept()),
        Case(
            'oifname "a-15-byte-name0" accept',
            rules.match_interface(OIFNAME, "a-15-byte-name0") + rules.accept(),
        ),
        Case("fib daddr type local jump other", rules.match_local() + rules.jump("other")),
        Case("fib daddr type != local return", rules.match_local(negate=True) + rules.return_()),
        Case("fib saddr type local goto other", rules.match_local(source=True) + rules.goto("other")),
    ]


def _connections(family: Family) -> list[Case]:
    ip, key = str(family), _keys(family)
    return [
        Case("masquerade", rules.masquerade()),
        Case("masquerade fully-random", rules.masquerade(fully_random=True)),
        Case(
            f"ct status dnat {ip} saddr . {ip} daddr @hairpin masquerade fully-random",
            rules.match_ct_status(CtStatus.DNAT)
            + rules.match_set(key["hairpin"], "hairpin")
            + rules.masquerade(fully_random=True),
        ),
        Case("ct state new jump other", rules.match_ct_state(CtState.NEW) + rules.jump("other")),
        Case("ct state invalid drop", rules.match_ct_state(CtState.INVALID) + rules.drop()),
        Case(
            "ct state established,related accept",
            rules.match_ct_state(CtState.ESTABLISHED | CtState.RELATED) + rules.accept(),
        ),
        Case("ct mark 0x00000005 accept", rules.match(CT_MARK, (5).to_bytes(4, "little")) + rules.accept()),
        Case("meta mark 0x00000005 accept", rules.match(MARK, (5).to_bytes(4, "little")) + rules.accept()),
        Case(
            f"ct original {ip} daddr {_address(family)} accept",
            rules.match(ct_original_daddr(family), _packed(family)) + rules.accept(),
        ),
        Case(
            f"ct original {ip} saddr {_address(family)} accept",
            rules.match(ct_original_saddr(family), _packed(family)) + rules.accept(),
        ),
        *(
            Case(
                f"meta l4proto udp ct original {word} 53 accept",
                rules.match(L4PROTO, b"\x11") + rules.match(selector, b"\0\x35") + rules.accept(),
            )
            for word, selector in (("proto-dst", CT_ORIGINAL_PROTO_DST), ("proto-src", CT_ORIGINAL_PROTO_SRC))
        ),
    ]


def _transports(family: Family) -> list[Case]:
    return [
        Case("reject", rules.reject(family)),
        Case("meta l4proto tcp reject with tcp reset", rules.reject_tcp_reset()),
        Case(
            "meta l4proto tcp tcp flags & (syn | ack) != syn reject with tcp reset",
            rules.reject_tcp_reset(begun=True),
        ),
        Case("meta l4proto sctp drop", rules.match(L4PROTO, b"\x84") + rules.drop()),
        Case("th dport 53 drop", rules.match(TH_DPORT, b"\0\x35") + rules.drop()),
        *(
            Case(f"th dport {sign} 1024 drop", rules.match(TH_DPORT, b"\4\0", op=op) + rules.drop())
            for sign, op in (
                ("!=", nf.NFT_CMP_NEQ),
                ("<", nf.NFT_CMP_LT),
                ("<=", nf.NFT_CMP_LTE),
                (">", nf.NFT_CMP_GT),
                (">=", nf.NFT_CMP_GTE),
            )
        ),
        Case("meta protocol vlan drop", rules.match(PROTOCOL, b"\x81\0") + rules.drop()),
        Case("th sport 53 drop", rules.match(TH_SPORT, b"\0\x35") + rules.drop()),
    ]


def _ends() -> list[Case]:
    return [
        Case("counter", rules.counter()),
        Case(
            'limit rate 10/second burst 5 packets log prefix "pointsman: "',
            rules.limit(10) + rules.log("pointsman: "),
        ),
        Case("limit rate 1/minute burst 7 packets accept", rules.limit(1, per=60, burst=7) + rules.accept()),
        Case("goto other", rules.goto("other")),
        Case("accept", rules.accept()),
        Case("drop", rules.drop()),
        Case("return", rules.return_()),
    ]


def _writes(family: Family) -> list[Case]:
    ip, key = str(family), _keys(family)
    return [
        Case(
            f"meta l4proto tcp dnat to {_socket(family)}",
            rules.match(L4PROTO, b"\x06") + rules.dnat_to(family, _packed(family), 8080),
        ),
        Case(f"update @seen {{ {ip} saddr . {ip} daddr }}", rules.update_set(key["seen"], "seen")),
        Case(
            f"add @seen {{ {ip} saddr . {ip} daddr timeout 1m }}",
            rules.update_set(key["seen"], "seen", timeout=60_000, add=True),
        ),
    ]


def _addresses(family: Family) -> list[Case]:
    ip, selector, text = str(family), saddr(family), _address(family)
    bits = 8 * selector.length
    found = [Case(f"{ip} saddr {text} drop", rules.match(selector, _packed(family)) + rules.drop())]
    for length in (1, 7, 8, 12, 16, 24, 31, *((63, 64, 96, 127) if bits == 128 else ())):
        network = _network(_packed(family), length)
        prefix = f"{ip_address(network)}/{length}"
        for word, negate in (("", False), ("!= ", True)):
            packed = rules.match_prefix(selector, _packed(family), length, negate=negate)
            listed = f"{ip} saddr {word}{prefix} meta mark set meta mark | 0x00004000"
            found.append(Case(listed, packed + rules.set_mark_bits(0x4000)))
    return found


def _dynamic_maps() -> list[Case]:
    """What nft 1.0.6 takes as text for IPv4 only: for IPv6 it aborts with an assertion of its own."""
    family = Family.IP
    data = (daddr(family), TH_DPORT)
    affinity = spec(family, "affinity").key
    learn = (saddr(family), ct_original_daddr(family), L4PROTO, CT_ORIGINAL_PROTO_DST)
    return [
        Case(
            "update @affinity { ip saddr timeout 1m : ip daddr . th dport }",
            rules.update_map(affinity, data, "affinity", timeout=60_000),
        ),
        Case(
            "update @affinity { ip saddr : ip daddr . th dport }",
            rules.update_map(affinity, data, "affinity"),
        ),
        Case(
            "add @affinity { ip saddr : ip daddr . th dport }",
            rules.update_map(affinity, data, "affinity", add=True),
        ),
        Case(
            "delete @affinity { ip saddr : ip daddr . th dport }",
            rules.delete_from_map(affinity, data, "affinity"),
        ),
        Case(
            "meta l4proto udp ct status dnat ct state new update @sticky { ip saddr . ct original ip daddr"
            " . meta l4proto . ct original proto-dst timeout 1m : ip daddr . th dport }",
            rules.match(L4PROTO, b"\x11")
            + rules.match_ct_status(CtStatus.DNAT)
            + rules.match_ct_state(CtState.NEW)
            + rules.update_map(learn, data, "sticky", timeout=60_000),
            reloads=False,  # the listing leaves the protocol out, on which the type of proto-dst depends
        ),
    ]


def _address(family: Family) -> str:
    return "10.244.129.193" if family is Family.IP else "fd00:8081:8283::8485:8687:88c1"


def _socket(family: Family) -> str:
    return f"{_address(family)}:8080" if family is Family.IP else f"[{_address(family)}]:8080"


def _packed(family: Family) -> bytes:
    return ip_address(_address(family)).packed


def _network(address: bytes, length: int) -> bytes:
    bits = 8 * len(address)
    host = (1 << bits - length) - 1
    return (int.from_bytes(address, "big") & ~host).to_bytes(len(address), "big")


def skeleton(family: Family) -> list[Operation]:
    """The table with its sets and the empty chains ``other`` and ``tested``."""
    where = table(family)
    return [
        add_table(where),
        *(add_set(where, spec) for _, spec in sets(family)),
        add_chain(where, "other"),
        add_chain(where, "tested"),
    ]


def skeleton_text(family: Family, rule: str = "") -> str:
    declared = "\n".join(f"  {text}" for text, _ in sets(family))
    return f"table {family} {TABLE} {{\n{declared}\n  chain other {{ }}\n  chain tested {{ {rule}\n }}\n}}\n"


def rule(family: Family, packed: bytes) -> Operation:
    return add_rule(table(family), "tested", packed)
