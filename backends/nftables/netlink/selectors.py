"""Selectors: what a rule can look at, and how a set's key or data names it (``ip daddr``, ``th dport``).

A selector knows both of its faces: the expression that loads it in a rule, and the record by which
nft's ``typeof`` declares a set of it. Rules and sets built from the same selectors agree by
construction.

Sources: nft's ``src/payload.c``, ``src/meta.c``, ``src/ct.c``, ``src/numgen.c`` (loading, and the
``*_build_udata`` functions for ``typeof``), ``src/netlink_linearize.c`` for the registers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from struct import pack
from sys import byteorder as host_order

from . import constants as nf
from . import expressions as x
from .attributes import padded
from .constants import ByteOrder, DataType, Family

# nft's numbers for expression kinds, protocol descriptions and header fields, as in `typeof` records.
_EXPR_PAYLOAD, _EXPR_META, _EXPR_CT, _EXPR_CONCAT, _EXPR_NUMGEN, _EXPR_FIB = 7, 9, 12, 13, 23, 26
_NO_DIRECTION = 0xFFFFFFFF
_DESC_TCP, _DESC_TH, _DESC_IP, _DESC_IP6 = 8, 11, 12, 13
_TH_SPORT, _TH_DPORT = 1, 2
_TCP_FLAGS = 7


@dataclass(frozen=True, slots=True)
class Selector:
    """Something a rule can load into a register.

    Attributes:
        text: the words nft uses for it.
        datatype: how nft prints its bytes.
        length: in bytes, without the padding that a concatenation adds.
        byteorder: of the loaded bytes.
        load: the expression that loads it into a given register.
        typeof: nft's ``typeof`` record.
        render: its bytes as people write them.
        header: payload base and offset, for what is read from a packet header.
    """

    text: str
    datatype: DataType
    length: int
    byteorder: ByteOrder
    load: Callable[[int], bytes]
    typeof: bytes
    render: Callable[[bytes], str]
    header: tuple[int, int] | None = None

    @property
    def slots(self) -> int:
        """How many 4-byte register slots it fills."""
        return (self.length + 3) // 4


def userdata(kind: int, value: bytes) -> bytes:
    """One of nft's user data records: type and length in a byte each, no padding.

    Raises:
        ValueError: the value does not fit into 255 bytes.
    """
    if len(value) > 255:
        raise ValueError(f"user data record {kind}: {len(value)} bytes, at most 255 fit")
    return bytes((kind, len(value))) + value


def userdata_u32(kind: int, value: int) -> bytes:
    """A user data record holding a 32-bit integer in host order."""
    return userdata(kind, pack("=I", value))


def typeof_record(expression: int, *fields: int) -> bytes:
    """The ``typeof`` record of an expression kind with its numbered integer fields."""
    data = b"".join(userdata_u32(number, value) for number, value in enumerate(fields))
    return userdata_u32(nf.NFTNL_UDATA_SET_TYPEOF_EXPR, expression) + userdata(
        nf.NFTNL_UDATA_SET_TYPEOF_DATA, data
    )


def typeof_concatenation(selectors: Sequence[Selector]) -> bytes:
    """The ``typeof`` record of a key or data made of ``selectors``."""
    if len(selectors) == 1:
        return selectors[0].typeof
    parts = b"".join(userdata(number, selector.typeof) for number, selector in enumerate(selectors))
    return userdata_u32(nf.NFTNL_UDATA_SET_TYPEOF_EXPR, _EXPR_CONCAT) + userdata(
        nf.NFTNL_UDATA_SET_TYPEOF_DATA, parts
    )


def load_key(selectors: Sequence[Selector], slot: int = 0, *, interval: bool = False) -> bytes:
    """Load ``selectors`` side by side from register ``slot`` on, as the key of a lookup.

    For an ``interval`` concatenation nft turns host-order parts to network order, even where the swap
    does nothing (one byte); so do we, since ``nft list`` expects it.
    """
    parts: list[bytes] = []
    swap = interval and len(selectors) > 1
    for selector in selectors:
        register = x.register(slot)
        parts.append(selector.load(register))
        if swap and selector.byteorder is ByteOrder.HOST:
            size = 2 if selector.length <= 2 else 4
            parts.append(x.hton(register, selector.length, size))
        slot += selector.slots
    return b"".join(parts)


def slots(selectors: Sequence[Selector]) -> int:
    """How many 4-byte register slots the concatenation fills."""
    return sum(selector.slots for selector in selectors)


def split(selectors: Sequence[Selector], value: bytes) -> list[bytes]:
    """Cut the bytes of a concatenation into its parts, padding removed."""
    parts: list[bytes] = []
    offset = 0
    for selector in selectors:
        parts.append(value[offset : offset + selector.length])
        offset += 4 * selector.slots
    return parts


def join(selectors: Sequence[Selector], parts: Sequence[bytes]) -> bytes:
    """Lay the parts of a concatenation side by side, padded; the bytes of one alone stay as they are.

    Raises:
        ValueError: a part has the wrong length, or there are too many or too few.
    """
    for selector, part in zip(selectors, parts, strict=True):
        if len(part) != selector.length:
            raise ValueError(f"{selector.text}: {len(part)} bytes, expected {selector.length}")
    if len(parts) == 1:
        return parts[0]
    return b"".join(map(padded, parts))


def render(selectors: Sequence[Selector], value: bytes) -> str:
    """A concatenation's bytes as people write them: ``10.96.0.1 . tcp . 80``."""
    return " . ".join(
        selector.render(part) for selector, part in zip(selectors, split(selectors, value), strict=True)
    )


def _address(value: bytes) -> str:
    return str(ip_address(value))


def _number(value: bytes) -> str:
    return str(int.from_bytes(value, "big"))


def _host_number(value: bytes) -> str:
    return str(int.from_bytes(value, host_order))


def _host_hex(value: bytes) -> str:
    return f"{int.from_bytes(value, host_order):#x}"


def _class_id(value: bytes) -> str:
    """As tc writes it: two hexadecimal halves, or a word."""
    number = int.from_bytes(value, host_order)
    words = {0: "none", 0xFFFFFFFF: "root"}
    return words.get(number) or f"{number >> 16:x}:{number & 0xFFFF:x}"


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}


def _protocol(value: bytes) -> str:
    return _PROTOCOLS.get(value[0], str(value[0]))


def _payload(
    text: str,
    datatype: DataType,
    header: tuple[int, int, int],
    typeof: tuple[int, int],
    show: Callable[[bytes], str],
) -> Selector:
    base, offset, length = header
    return Selector(
        text,
        datatype,
        length,
        ByteOrder.BIG,
        lambda register: x.payload(register, base, offset, length),
        typeof_record(_EXPR_PAYLOAD, *typeof),
        show,
        (base, offset),
    )


def _meta(
    text: str, datatype: DataType, key: int, length: int, order: ByteOrder, show: Callable[[bytes], str]
) -> Selector:
    record = typeof_record(_EXPR_META, key)
    return Selector(text, datatype, length, order, lambda register: x.meta(register, key), record, show)


def _ct(text: str, datatype: DataType, key: int, show: Callable[[bytes], str]) -> Selector:
    record = typeof_record(_EXPR_CT, key, _NO_DIRECTION)
    return Selector(text, datatype, 4, ByteOrder.HOST, lambda register: x.ct(register, key), record, show)


def _ct_original(
    text: str, datatype: DataType, key: int, length: int, show: Callable[[bytes], str]
) -> Selector:
    def load(register: int) -> bytes:
        return x.ct(register, key, nf.IP_CT_DIR_ORIGINAL)

    record = typeof_record(_EXPR_CT, key, nf.IP_CT_DIR_ORIGINAL)
    return Selector(text, datatype, length, ByteOrder.BIG, load, record, show)


def _fib_type(text: str, flags: int) -> Selector:
    def load(register: int) -> bytes:
        return x.fib_addrtype(register, flags)

    record = typeof_record(_EXPR_FIB, nf.NFT_FIB_RESULT_ADDRTYPE, flags)
    return Selector(text, DataType.FIB_ADDRTYPE, 4, ByteOrder.HOST, load, record, _host_number)


_NETWORK = nf.NFT_PAYLOAD_NETWORK_HEADER
_TRANSPORT = nf.NFT_PAYLOAD_TRANSPORT_HEADER

IP_SADDR = _payload("ip saddr", DataType.IPV4_ADDR, (_NETWORK, 12, 4), (_DESC_IP, 11), _address)
IP_DADDR = _payload("ip daddr", DataType.IPV4_ADDR, (_NETWORK, 16, 4), (_DESC_IP, 12), _address)
IP6_SADDR = _payload("ip6 saddr", DataType.IPV6_ADDR, (_NETWORK, 8, 16), (_DESC_IP6, 8), _address)
IP6_DADDR = _payload("ip6 daddr", DataType.IPV6_ADDR, (_NETWORK, 24, 16), (_DESC_IP6, 9), _address)
TH_SPORT = _payload("th sport", DataType.INET_SERVICE, (_TRANSPORT, 0, 2), (_DESC_TH, _TH_SPORT), _number)
TH_DPORT = _payload("th dport", DataType.INET_SERVICE, (_TRANSPORT, 2, 2), (_DESC_TH, _TH_DPORT), _number)
TCP_FLAGS = _payload("tcp flags", DataType.TCP_FLAG, (_TRANSPORT, 13, 1), (_DESC_TCP, _TCP_FLAGS), _host_hex)

L4PROTO = _meta("meta l4proto", DataType.INET_PROTO, nf.NFT_META_L4PROTO, 1, ByteOrder.HOST, _protocol)
NFPROTO = _meta("meta nfproto", DataType.NFPROTO, nf.NFT_META_NFPROTO, 1, ByteOrder.HOST, _host_number)
PROTOCOL = _meta("meta protocol", DataType.ETHER_TYPE, nf.NFT_META_PROTOCOL, 2, ByteOrder.BIG, _number)
PRIORITY = _meta("meta priority", DataType.CLASSID, nf.NFT_META_PRIORITY, 4, ByteOrder.HOST, _class_id)
MARK = _meta("meta mark", DataType.MARK, nf.NFT_META_MARK, 4, ByteOrder.HOST, _host_hex)
IIFNAME = _meta("iifname", DataType.IFNAME, nf.NFT_META_IIFNAME, 16, ByteOrder.HOST, _text)
OIFNAME = _meta("oifname", DataType.IFNAME, nf.NFT_META_OIFNAME, 16, ByteOrder.HOST, _text)

CT_STATE = _ct("ct state", DataType.CT_STATE, nf.NFT_CT_STATE, _host_hex)
CT_STATUS = _ct("ct status", DataType.CT_STATUS, nf.NFT_CT_STATUS, _host_hex)
CT_MARK = _ct("ct mark", DataType.MARK, nf.NFT_CT_MARK, _host_hex)
CT_ORIGINAL_IP_SADDR = _ct_original("ct original ip saddr", DataType.IPV4_ADDR, nf.NFT_CT_SRC_IP, 4, _address)
CT_ORIGINAL_IP_DADDR = _ct_original("ct original ip daddr", DataType.IPV4_ADDR, nf.NFT_CT_DST_IP, 4, _address)
CT_ORIGINAL_IP6_SADDR = _ct_original(
    "ct original ip6 saddr", DataType.IPV6_ADDR, nf.NFT_CT_SRC_IP6, 16, _address
)
CT_ORIGINAL_IP6_DADDR = _ct_original(
    "ct original ip6 daddr", DataType.IPV6_ADDR, nf.NFT_CT_DST_IP6, 16, _address
)
CT_ORIGINAL_PROTO_SRC = _ct_original(
    "ct original proto-src", DataType.INET_SERVICE, nf.NFT_CT_PROTO_SRC, 2, _number
)
CT_ORIGINAL_PROTO_DST = _ct_original(
    "ct original proto-dst", DataType.INET_SERVICE, nf.NFT_CT_PROTO_DST, 2, _number
)

FIB_SADDR_TYPE = _fib_type("fib saddr type", nf.NFTA_FIB_F_SADDR)
FIB_DADDR_TYPE = _fib_type("fib daddr type", nf.NFTA_FIB_F_DADDR)


def numgen_random(modulus: int) -> Selector:
    """``numgen random mod modulus``: 0 to ``modulus`` - 1, in host byte order.

    In a set's declaration the modulus has no meaning beyond what ``nft list`` prints.

    Raises:
        ValueError: the modulus is not positive.
    """
    if modulus < 1:
        raise ValueError(f"numgen random mod {modulus}: the modulus must be positive")
    return Selector(
        f"numgen random mod {modulus}",
        DataType.INTEGER,
        4,
        ByteOrder.HOST,
        lambda register: x.numgen_random(register, modulus),
        typeof_record(_EXPR_NUMGEN, nf.NFT_NG_RANDOM, modulus, 0),
        _host_number,
    )


def saddr(family: Family) -> Selector:
    """The source address of ``family``."""
    return _by_family(family, IP_SADDR, IP6_SADDR)


def daddr(family: Family) -> Selector:
    """The destination address of ``family``."""
    return _by_family(family, IP_DADDR, IP6_DADDR)


def ct_original_saddr(family: Family) -> Selector:
    """The source address of the connection's first packet, before any rewriting."""
    return _by_family(family, CT_ORIGINAL_IP_SADDR, CT_ORIGINAL_IP6_SADDR)


def ct_original_daddr(family: Family) -> Selector:
    """The destination address of the connection's first packet, before any rewriting."""
    return _by_family(family, CT_ORIGINAL_IP_DADDR, CT_ORIGINAL_IP6_DADDR)


def _by_family(family: Family, ip: Selector, ip6: Selector) -> Selector:
    if family is Family.IP:
        return ip
    if family is Family.IP6:
        return ip6
    raise ValueError(f"family {family}: addresses exist for ip and ip6")
