"""nf_tables' expressions in Python: what each does to the first packet of a connection.

No random choice is taken: where an expression draws a number, the packet's way forks, and every fork carries
its probability. What a `Packet` doesn't say isn't guessed: an expression that asks for it can't be evaluated,
and neither can one that isn't known here. Kernel counterparts: ``net/netfilter/nft_*.c``.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from sys import byteorder
from typing import Protocol

from pointsman.core.addresses import IPFamily

from .machine import (
    ACCEPT,
    BREAK,
    DROP,
    Chosen,
    Found,
    Marked,
    Masqueraded,
    Missed,
    Noted,
    Rejected,
    State,
    Translated,
)
from .netlink import constants as nf
from .netlink.constants import CtState, CtStatus
from .netlink.elements import Element, Verdict
from .netlink.objects import Expression
from .operands import NotKnown, Operands

_RTN_UNICAST = 1


class Sets(Protocol):
    """The sets and maps of a table."""

    def key_length(self, name: str) -> int:
        """Bytes in a key of a set or map."""

    def find(self, name: str, key: bytes) -> Element | None:
        """The element that holds for a key: in a set of intervals the one that covers it."""


def evaluate(expression: Expression, state: State, sets: Sets) -> Iterable[State]:
    """What an expression makes of a packet: one state, or where chance decides, one for every outcome.

    Raises:
        NotKnown: the expression, or something it asks for, is not known.
    """
    if expression.name not in _INSTRUCTIONS:
        raise NotKnown("the expression is not known")
    instruction, known = _INSTRUCTIONS[expression.name]
    operands = Operands(expression.attributes)
    if known is not None:
        operands.reject_others(known)
    return instruction(operands, state, sets)


def _payload(operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    base, offset = operands.number(nf.NFTA_PAYLOAD_BASE), operands.number(nf.NFTA_PAYLOAD_OFFSET)
    length = operands.number(nf.NFTA_PAYLOAD_LEN)
    for header, start, value in _headers(state):
        if header == base and start <= offset and offset + length <= start + len(value):
            field = value[offset - start : offset - start + length]
            yield state.put(operands.number(nf.NFTA_PAYLOAD_DREG), field)
            return
    raise NotKnown(f"{length} bytes at {offset} of header {base}: the packet doesn't say what they are")


def _headers(state: State) -> Iterable[tuple[int, int, bytes]]:
    """The known parts of the packet's headers: header, offset, bytes."""
    network, v4 = nf.NFT_PAYLOAD_NETWORK_HEADER, state.family is IPFamily.IPV4
    if state.source is not None:
        yield network, 12 if v4 else 8, state.source + state.destination
    yield network, 16 if v4 else 24, state.destination
    yield network, 9 if v4 else 6, bytes((state.protocol,))
    yield nf.NFT_PAYLOAD_TRANSPORT_HEADER, 2, state.port.to_bytes(2)


def _meta(operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    key = operands.number(nf.NFTA_META_KEY)
    if operands.has(nf.NFTA_META_SREG):
        number = int.from_bytes(state.get(operands.number(nf.NFTA_META_SREG), 4), byteorder)
        if key == nf.NFT_META_MARK:
            return [replace(state, mark=number).note(Marked(number))]
        if key == nf.NFT_META_PRIORITY:
            return [replace(state, priority=number)]
        raise NotKnown(f"setting key {key}")
    if key == nf.NFT_META_MARK:
        value = state.mark.to_bytes(4, byteorder)
    elif key == nf.NFT_META_PRIORITY:
        value = state.priority.to_bytes(4, byteorder)
    elif key == nf.NFT_META_L4PROTO:
        value = bytes((state.protocol,))
    elif key == nf.NFT_META_NFPROTO:
        value = bytes((state.family,))
    elif key == nf.NFT_META_IIFNAME:
        value = (state.packet.interface or "").encode().ljust(16, b"\0")
    else:
        raise NotKnown(f"key {key}: the packet doesn't say")
    return [state.put(operands.number(nf.NFTA_META_DREG), value)]


def _ct(operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    key, packet = operands.number(nf.NFTA_CT_KEY), state.packet
    original: dict[int, bytes] = {
        nf.NFT_CT_SRC_IP: packet.source,
        nf.NFT_CT_DST_IP: packet.destination,
        nf.NFT_CT_SRC_IP6: packet.source,
        nf.NFT_CT_DST_IP6: packet.destination,
        nf.NFT_CT_PROTO_DST: packet.port.to_bytes(2),
    }
    connection: dict[int, int] = {
        nf.NFT_CT_STATE: CtState.NEW,
        nf.NFT_CT_STATUS: state.status,
        nf.NFT_CT_MARK: 0,
    }
    forth = operands.has(nf.NFTA_CT_DIRECTION) and not operands.number(nf.NFTA_CT_DIRECTION)
    if key in connection:
        value = connection[key].to_bytes(4, byteorder)
    elif key in original and forth:
        value = original[key]
    else:
        raise NotKnown(f"key {key}: not known of a new connection")
    return [state.put(operands.number(nf.NFTA_CT_DREG), value)]


def _fib(operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    flags = operands.number(nf.NFTA_FIB_FLAGS)
    if operands.number(nf.NFTA_FIB_RESULT) != nf.NFT_FIB_RESULT_ADDRTYPE:
        raise NotKnown("routes are not known")
    if flags == nf.NFTA_FIB_F_SADDR:
        local = state.packet.interface is None
    elif flags == nf.NFTA_FIB_F_DADDR:
        local = state.packet.to_node and state.destination == state.packet.destination
    else:
        raise NotKnown(f"flags {flags}")
    value = (nf.RTN_LOCAL if local else _RTN_UNICAST).to_bytes(4, byteorder)
    return [state.put(operands.number(nf.NFTA_FIB_DREG), value)]


def _numgen(operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    modulus = operands.number(nf.NFTA_NG_MODULUS)
    if operands.number(nf.NFTA_NG_TYPE) != nf.NFT_NG_RANDOM or not modulus:
        raise NotKnown("not a random number")
    register, first = operands.number(nf.NFTA_NG_DREG), operands.number(nf.NFTA_NG_OFFSET)
    even = replace(state, probability=state.probability / modulus)
    return (
        even.put(register, (first + value).to_bytes(4, byteorder)).note(Chosen(modulus, value))
        for value in range(modulus)
    )


_COMPARISONS: dict[int, Callable[[bytes, bytes], bool]] = {
    nf.NFT_CMP_EQ: bytes.__eq__,
    nf.NFT_CMP_NEQ: bytes.__ne__,
    nf.NFT_CMP_LT: bytes.__lt__,
    nf.NFT_CMP_LTE: bytes.__le__,
    nf.NFT_CMP_GT: bytes.__gt__,
    nf.NFT_CMP_GTE: bytes.__ge__,
}


def _cmp(operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    constant = operands.constant(nf.NFTA_CMP_DATA)
    value = state.get(operands.number(nf.NFTA_CMP_SREG), len(constant))
    holds = _COMPARISONS[operands.number(nf.NFTA_CMP_OP)](value, constant)
    return [state if holds else state.end(BREAK)]


def _bitwise(operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    if operands.number(nf.NFTA_BITWISE_OP):
        raise NotKnown("not of the form (value & mask) ^ bits")
    mask, xor = operands.constant(nf.NFTA_BITWISE_MASK), operands.constant(nf.NFTA_BITWISE_XOR)
    value = state.get(operands.number(nf.NFTA_BITWISE_SREG), operands.number(nf.NFTA_BITWISE_LEN))
    result = bytes((v & m) ^ x for v, m, x in zip(value, mask, xor, strict=True))
    return [state.put(operands.number(nf.NFTA_BITWISE_DREG), result)]


def _byteorder(operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    """To network order or from it: the same swap either way."""
    length, size = operands.number(nf.NFTA_BYTEORDER_LEN), operands.number(nf.NFTA_BYTEORDER_SIZE)
    value = state.get(operands.number(nf.NFTA_BYTEORDER_SREG), length)
    units = [value[at : at + size] for at in range(0, length, size)]
    if byteorder == "little":
        units = [unit[::-1] if len(unit) == size else unit for unit in units]
    return [state.put(operands.number(nf.NFTA_BYTEORDER_DREG), b"".join(units))]


def _immediate(operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    value = operands.value(nf.NFTA_IMMEDIATE_DATA)
    if isinstance(value, Verdict):
        return [state.end(value)]
    return [state.put(operands.number(nf.NFTA_IMMEDIATE_DREG), value)]


def _lookup(operands: Operands, state: State, sets: Sets) -> Iterable[State]:
    name = operands.text(nf.NFTA_LOOKUP_SET)
    key = state.get(operands.number(nf.NFTA_LOOKUP_SREG), sets.key_length(name))
    element = sets.find(name, key)
    invert = bool(operands.number(nf.NFTA_LOOKUP_FLAGS) & nf.NFT_LOOKUP_F_INV)
    if element is None:
        missed = state.note(Missed(name, key))
        return [missed if invert else missed.end(BREAK)]
    found = state.note(Found(name, key, element.data))
    if invert:
        return [found.end(BREAK)]
    if not operands.has(nf.NFTA_LOOKUP_DREG) or element.data is None:
        return [found]
    if isinstance(element.data, Verdict):
        return [found.end(element.data)]
    return [found.put(operands.number(nf.NFTA_LOOKUP_DREG), element.data)]


def _nat(operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    for least, greatest in (
        (nf.NFTA_NAT_REG_ADDR_MIN, nf.NFTA_NAT_REG_ADDR_MAX),
        (nf.NFTA_NAT_REG_PROTO_MIN, nf.NFTA_NAT_REG_PROTO_MAX),
    ):
        if operands.number(greatest, operands.number(least)) != operands.number(least):
            raise NotKnown("a range of destinations")
    settled = nf.NF_NAT_RANGE_MAP_IPS | nf.NF_NAT_RANGE_PROTO_SPECIFIED
    if operands.number(nf.NFTA_NAT_TYPE) != nf.NFT_NAT_DNAT:
        raise NotKnown("a source that is rewritten to other than the node's own")
    if operands.number(nf.NFTA_NAT_FLAGS) & ~settled:
        raise NotKnown(f"flags {operands.number(nf.NFTA_NAT_FLAGS):#x}")
    address, port = state.destination, state.port
    if operands.has(nf.NFTA_NAT_REG_ADDR_MIN):
        address = state.get(operands.number(nf.NFTA_NAT_REG_ADDR_MIN), len(address))
    if operands.has(nf.NFTA_NAT_REG_PROTO_MIN):
        port = int.from_bytes(state.get(operands.number(nf.NFTA_NAT_REG_PROTO_MIN), 2))
    sent = replace(state, destination=address, port=port, status=state.status | CtStatus.DNAT)
    return [sent.note(Translated(address, port)).end(ACCEPT)]


def _masq(_operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    hidden = replace(state, source=None, status=state.status | CtStatus.SNAT)
    return [hidden.note(Masqueraded()).end(ACCEPT)]


def _reject(_operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    return [state.note(Rejected()).end(DROP)]


def _dynset(operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    return [state.note(Noted(operands.text(nf.NFTA_DYNSET_SET_NAME)))]


def _nothing(_operands: Operands, state: State, _sets: Sets) -> Iterable[State]:
    return [state]


_Instruction = Callable[[Operands, State, Sets], Iterable[State]]
# Each with the attributes that it takes account of, or None where none has a bearing on the packet's way.
_INSTRUCTIONS: dict[str, tuple[_Instruction, frozenset[int] | None]] = {
    "payload": (_payload, frozenset(range(1, 5))),
    "meta": (_meta, frozenset(range(1, 4))),
    "ct": (_ct, frozenset(range(1, 4))),
    "fib": (_fib, frozenset(range(1, 4))),
    "numgen": (_numgen, frozenset(range(1, 5))),
    "cmp": (_cmp, frozenset(range(1, 4))),
    "bitwise": (_bitwise, frozenset(range(1, 7))),
    "byteorder": (_byteorder, frozenset(range(1, 6))),
    "immediate": (_immediate, frozenset(range(1, 3))),
    "lookup": (_lookup, frozenset(range(1, 6))),
    "nat": (_nat, frozenset(range(1, 8))),
    "masq": (_masq, None),
    "reject": (_reject, None),
    "dynset": (_dynset, None),
    "counter": (_nothing, None),
    "log": (_nothing, None),
}
