"""Statements and matches in nft's words, translated to expressions as nft 1.0.6 translates them.

Each function returns packed expressions for a part of a rule; a rule is such parts side by side:
``add_rule(table, "services", rules.verdict_map(key, "services"))``. Registers are those nft would
choose (``src/netlink_linearize.c``): every match and statement starts at the first one again.

Staying close to nft is not cosmetic: ``nft list`` aborts on rules it has no text for, and with it
every tool on the node that calls it. The tests load the text form of each function with ``nft`` and
compare attribute by attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack

from . import constants as nf
from . import expressions as x
from .constants import CtState, CtStatus, Family, TcpFlag, VerdictCode
from .selectors import (
    CT_STATE,
    CT_STATUS,
    FIB_DADDR_TYPE,
    FIB_SADDR_TYPE,
    L4PROTO,
    MARK,
    TCP_FLAGS,
    Selector,
    load_key,
    slots,
)

_FIRST = nf.NFT_REG_1
_ALL_BITS = 0xFFFFFFFF


# --- matches -------------------------------------------------------------------------------------


def match(selector: Selector, value: bytes, *, op: int = nf.NFT_CMP_EQ) -> bytes:
    """``ip daddr 10.96.0.1``, ``meta l4proto udp``, ``th dport != 80``: compare with a constant."""
    _check_length(selector, value)
    return selector.load(_FIRST) + x.cmp(_FIRST, value, op)


def match_prefix(selector: Selector, prefix: bytes, length: int, *, negate: bool = False) -> bytes:
    """``ip saddr != 10.244.0.0/16``: compare the first ``length`` bits of an address.

    nft loads whole bytes only where the prefix ends on one, and masks otherwise.

    Raises:
        ValueError: the length is 0 (matches everything: write no match) or does not fit.
    """
    _check_length(selector, prefix)
    if not 1 <= length <= 8 * selector.length:
        raise ValueError(f"{selector.text}: prefix length {length}, expected 1 to {8 * selector.length}")
    op = nf.NFT_CMP_NEQ if negate else nf.NFT_CMP_EQ
    host_bits = 8 * selector.length - length
    mask = ((1 << 8 * selector.length) - (1 << host_bits)).to_bytes(selector.length, "big")
    network = bytes(a & b for a, b in zip(prefix, mask, strict=True))
    if length % 8 == 0 and selector.header is not None:
        size = length // 8
        return x.payload(_FIRST, *selector.header, size) + x.cmp(_FIRST, network[:size], op)
    return (
        selector.load(_FIRST) + x.bitwise(_FIRST, mask, bytes(selector.length)) + x.cmp(_FIRST, network, op)
    )


def match_interface(selector: Selector, name: str, *, negate: bool = False) -> bytes:
    """``iifname "cni0"``; a name that ends in ``*`` matches every interface that begins so.

    Raises:
        ValueError: the name is empty, longer than 15 bytes, or ``*`` alone.
    """
    text = name.encode()
    wildcard = text.endswith(b"*")
    value = text[:-1] if wildcard else text.ljust(selector.length, b"\0")
    if not 1 <= len(text) <= 15 or not value:
        raise ValueError(f"{selector.text} {name!r}: an interface name has 1 to 15 bytes")
    return selector.load(_FIRST) + x.cmp(_FIRST, value, nf.NFT_CMP_NEQ if negate else nf.NFT_CMP_EQ)


def match_mark(mask: int, value: int, *, negate: bool = False) -> bytes:
    """``meta mark & mask == value``."""
    zero = bytes(4)
    return (
        MARK.load(_FIRST)
        + x.bitwise(_FIRST, pack("=I", mask), zero)
        + x.cmp(_FIRST, pack("=I", value), nf.NFT_CMP_NEQ if negate else nf.NFT_CMP_EQ)
    )


def match_ct_state(states: CtState) -> bytes:
    """``ct state new``, ``ct state established,related``: any of the states."""
    return _any_bit(CT_STATE, states)


def match_ct_status(bits: CtStatus) -> bytes:
    """``ct status dnat``: any of the bits."""
    return _any_bit(CT_STATUS, bits)


def _any_bit(selector: Selector, bits: int) -> bytes:
    zero = bytes(4)
    return (
        selector.load(_FIRST)
        + x.bitwise(_FIRST, pack("=I", bits), zero)
        + x.cmp(_FIRST, zero, nf.NFT_CMP_NEQ)
    )


def match_local(*, source: bool = False, negate: bool = False) -> bytes:
    """``fib daddr type local`` (``source``: ``fib saddr …``): is the address one of the node's own?"""
    selector = FIB_SADDR_TYPE if source else FIB_DADDR_TYPE
    return match(selector, pack("=I", nf.RTN_LOCAL), op=nf.NFT_CMP_NEQ if negate else nf.NFT_CMP_EQ)


def match_set(key: Sequence[Selector], name: str, *, negate: bool = False, interval: bool = False) -> bytes:
    """``ip saddr . ip daddr @hairpin``, ``ip daddr != @addresses``: is the key in the set?

    ``interval`` says that the set has the interval flag, which changes how nft loads a concatenation.
    """
    return load_key(key, interval=interval) + x.lookup(name, _FIRST, invert=negate)


# --- statements ----------------------------------------------------------------------------------


def verdict_map(key: Sequence[Selector], name: str) -> bytes:
    """``ip daddr . meta l4proto . th dport vmap @services``: the element's verdict, if there is one."""
    return load_key(key) + x.lookup(name, _FIRST, nf.NFT_REG_VERDICT)


def set_priority_from_map(key: Sequence[Selector], name: str) -> bytes:
    """``meta priority set ip daddr . meta l4proto . th dport map @services``.

    Without an element for the key the rule ends and the packet goes on to the next one.
    """
    return load_key(key) + x.lookup(name, _FIRST, _FIRST) + x.meta_set(nf.NFT_META_PRIORITY, _FIRST)


def clear_priority() -> bytes:
    """``meta priority set none``."""
    return x.immediate(_FIRST, bytes(4)) + x.meta_set(nf.NFT_META_PRIORITY, _FIRST)


def dnat_map(family: Family, key: Sequence[Selector], name: str) -> bytes:
    """``dnat ip to <key> map @endpoints``, the map's data being ``ip daddr . th dport``.

    Without an element for the key the rule ends and the packet goes on to the next one.
    """
    return (
        load_key(key)
        + x.lookup(name, _FIRST, _FIRST)
        + x.dnat(family, _FIRST, x.register(_address_slots(family)))
    )


def dnat_to(family: Family, address: bytes, port: int) -> bytes:
    """``dnat to 10.244.1.5:8080``: a fixed destination; nft wants a match on the protocol before it."""
    port_register = x.register(4)  # nft gives every constant a 16-byte register of its own
    return (
        x.immediate(_FIRST, address)
        + x.immediate(port_register, port.to_bytes(2, "big"))
        + x.dnat(family, _FIRST, port_register, flags=nf.NF_NAT_RANGE_PROTO_SPECIFIED)
    )


def _address_slots(family: Family) -> int:
    return 1 if family is Family.IP else 4


def set_mark_bits(bits: int) -> bytes:
    """``meta mark set meta mark | bits``."""
    return _change_mark(_ALL_BITS ^ bits, bits)


def flip_mark_bits(bits: int) -> bytes:
    """``meta mark set meta mark ^ bits``: clears bits known to be set, as kube-proxy does."""
    return _change_mark(_ALL_BITS, bits)


def _change_mark(mask: int, xor: int) -> bytes:
    return (
        MARK.load(_FIRST)
        + x.bitwise(_FIRST, pack("=I", mask), pack("=I", xor))
        + x.meta_set(nf.NFT_META_MARK, _FIRST)
    )


def masquerade(*, fully_random: bool = False) -> bytes:
    """``masquerade``, ``masquerade fully-random``."""
    return x.masq(nf.NF_NAT_RANGE_PROTO_RANDOM_FULLY if fully_random else 0)


def reject(family: Family) -> bytes:
    """``reject``: ICMP or ICMPv6 port unreachable, to any protocol."""
    code = nf.ICMP_PORT_UNREACH if family is Family.IP else nf.ICMPV6_PORT_UNREACH
    return x.reject(nf.NFT_REJECT_ICMP_UNREACH, code)


def reject_tcp_reset(*, begun: bool = False) -> bytes:
    """``meta l4proto tcp reject with tcp reset``.

    ``begun``: only what doesn't begin a connection, ``tcp flags & (syn | ack) != syn``.
    """
    flags = (
        TCP_FLAGS.load(_FIRST)
        + x.bitwise(_FIRST, bytes([TcpFlag.SYN | TcpFlag.ACK]), b"\0")
        + x.cmp(_FIRST, bytes([TcpFlag.SYN]), nf.NFT_CMP_NEQ)
    )
    return match(L4PROTO, b"\x06") + (flags if begun else b"") + x.reject(nf.NFT_REJECT_TCP_RST, 0)


def update_map(
    key: Sequence[Selector], data: Sequence[Selector], name: str, *, timeout: int = 0, add: bool = False
) -> bytes:
    """``update @affinity { ip saddr timeout 60s : ip daddr . th dport }`` (``add``: ``add @affinity …``).

    ``timeout`` in milliseconds; 0 takes the set's own. An existing element keeps its data.

    Raises:
        ValueError: key and data do not fit into the registers together.
    """
    key_slots = slots(key)
    data_slot = (key_slots + 3) // 4 * 4
    if data_slot + slots(data) > 16:
        data_slot = key_slots
    store = x.dynset_add if add else x.dynset_update
    return (
        load_key(key)
        + load_key(data, data_slot)
        + store(name, _FIRST, x.register(data_slot), timeout=timeout)
    )


def update_set(key: Sequence[Selector], name: str, *, timeout: int = 0, add: bool = False) -> bytes:
    """``update @seen { ip saddr . ip daddr timeout 60s }`` (``add``: ``add @seen …``)."""
    store = x.dynset_add if add else x.dynset_update
    return load_key(key) + store(name, _FIRST, timeout=timeout)


def delete_from_map(key: Sequence[Selector], data: Sequence[Selector], name: str) -> bytes:
    """``delete @affinity { ip saddr : ip daddr . th dport }``: by key; the data only fills a register."""
    data_slot = (slots(key) + 3) // 4 * 4
    return load_key(key) + load_key(data, data_slot) + x.dynset_delete(name, _FIRST, x.register(data_slot))


def accept() -> bytes:
    """``accept``."""
    return x.verdict(VerdictCode.ACCEPT)


def drop() -> bytes:
    """``drop``."""
    return x.verdict(VerdictCode.DROP)


def return_() -> bytes:
    """``return``."""
    return x.verdict(VerdictCode.RETURN)


def jump(chain: str) -> bytes:
    """``jump chain``."""
    return x.verdict(VerdictCode.JUMP, chain)


def goto(chain: str) -> bytes:
    """``goto chain``."""
    return x.verdict(VerdictCode.GOTO, chain)


def counter() -> bytes:
    """``counter``."""
    return x.counter()


def log(prefix: str) -> bytes:
    """``log prefix "…"``."""
    return x.log(prefix)


def limit(rate: int, *, per: int = 1, burst: int = 5) -> bytes:
    """``limit rate 10/second burst 5 packets``; ``per`` in seconds (1, 60, 3600, …)."""
    return x.limit(rate, per, burst)


def _check_length(selector: Selector, value: bytes) -> None:
    if len(value) != selector.length:
        raise ValueError(f"{selector.text}: {len(value)} bytes, expected {selector.length}")
