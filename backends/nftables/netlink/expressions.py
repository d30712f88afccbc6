"""Rule expressions: the kernel's instructions, one small pure function each, packed ready for a rule.

Names, attributes and meanings are those of ``net/netfilter/nft_*.c``. What these functions pack is
what libnftnl packs, so that ``nft list`` can translate every rule back to text; the translations of
whole statements, with nft's choice of registers, are in :mod:`.rules`.

The register file is 64 bytes. A register argument is ``NFT_REG_1`` … ``NFT_REG_4`` (16 bytes each)
or ``NFT_REG32_00`` + *n* (4 bytes each, over the same storage); :func:`register` does the sums.
"""

from __future__ import annotations

from . import constants as nf
from .attributes import attribute, be32, be64, nested, string, u8
from .constants import Family, VerdictCode

_SLOTS_PER_REGISTER = 4
_SLOTS = 16


def register(slot: int) -> int:
    """The number of the register that begins at 4-byte ``slot`` (0 … 15), as nft and the kernel write it.

    Raises:
        ValueError: the register file has no such slot.
    """
    if not 0 <= slot < _SLOTS:
        raise ValueError(f"register slot {slot} is outside the {_SLOTS * 4} bytes of nf_tables registers")
    if slot % _SLOTS_PER_REGISTER:
        return nf.NFT_REG32_00 + slot
    return slot // _SLOTS_PER_REGISTER + 1


def expression(name: str, *attributes: bytes) -> bytes:
    """One expression by its kernel name, an element of a rule's expression list."""
    return nested(nf.NFTA_LIST_ELEM, string(nf.NFTA_EXPR_NAME, name), nested(nf.NFTA_EXPR_DATA, *attributes))


def data_value(value: bytes) -> bytes:
    """``NFTA_DATA_VALUE``: plain data."""
    return attribute(nf.NFTA_DATA_VALUE, value)


def data_verdict(code: int, chain: str | None = None) -> bytes:
    """``NFTA_DATA_VERDICT``: a verdict, with the chain's name for ``JUMP`` and ``GOTO``.

    Raises:
        ValueError: a chain is missing, or named where the verdict takes none.
    """
    if (chain is not None) != (code in (VerdictCode.JUMP, VerdictCode.GOTO)):
        raise ValueError(f"verdict {code}: chain {chain!r}; jump and goto need one, others take none")
    target = b"" if chain is None else string(nf.NFTA_VERDICT_CHAIN, chain)
    return nested(nf.NFTA_DATA_VERDICT, be32(nf.NFTA_VERDICT_CODE, code), target)


def payload(dreg: int, base: int, offset: int, length: int) -> bytes:
    """Load ``length`` bytes of a packet header."""
    return expression(
        "payload",
        be32(nf.NFTA_PAYLOAD_DREG, dreg),
        be32(nf.NFTA_PAYLOAD_BASE, base),
        be32(nf.NFTA_PAYLOAD_OFFSET, offset),
        be32(nf.NFTA_PAYLOAD_LEN, length),
    )


def meta(dreg: int, key: int) -> bytes:
    """Load packet metadata (``NFT_META_*``)."""
    return expression("meta", be32(nf.NFTA_META_KEY, key), be32(nf.NFTA_META_DREG, dreg))


def meta_set(key: int, sreg: int) -> bytes:
    """Write packet metadata, such as the mark."""
    return expression("meta", be32(nf.NFTA_META_KEY, key), be32(nf.NFTA_META_SREG, sreg))


def ct(dreg: int, key: int, direction: int | None = None) -> bytes:
    """Load a property of the packet's connection; ``direction`` 0 is original, 1 is reply."""
    where = b"" if direction is None else u8(nf.NFTA_CT_DIRECTION, direction)
    return expression("ct", be32(nf.NFTA_CT_KEY, key), be32(nf.NFTA_CT_DREG, dreg), where)


def fib_addrtype(dreg: int, flags: int) -> bytes:
    """Ask the routing table for the type (``RTN_*``) of the address that ``flags`` selects."""
    return expression(
        "fib",
        be32(nf.NFTA_FIB_DREG, dreg),
        be32(nf.NFTA_FIB_RESULT, nf.NFT_FIB_RESULT_ADDRTYPE),
        be32(nf.NFTA_FIB_FLAGS, flags),
    )


def numgen_random(dreg: int, modulus: int) -> bytes:
    """A random number from 0 to ``modulus`` - 1, uniform, 4 bytes in host order."""
    return expression(
        "numgen",
        be32(nf.NFTA_NG_DREG, dreg),
        be32(nf.NFTA_NG_MODULUS, modulus),
        be32(nf.NFTA_NG_TYPE, nf.NFT_NG_RANDOM),
        be32(nf.NFTA_NG_OFFSET, 0),
    )


def cmp(sreg: int, value: bytes, op: int = nf.NFT_CMP_EQ) -> bytes:
    """End the rule unless the register compares to ``value`` (``NFT_CMP_*``)."""
    return expression(
        "cmp",
        be32(nf.NFTA_CMP_SREG, sreg),
        be32(nf.NFTA_CMP_OP, op),
        nested(nf.NFTA_CMP_DATA, data_value(value)),
    )


def bitwise(reg: int, mask: bytes, xor: bytes) -> bytes:
    """``reg = (reg & mask) ^ xor``."""
    return expression(
        "bitwise",
        be32(nf.NFTA_BITWISE_SREG, reg),
        be32(nf.NFTA_BITWISE_DREG, reg),
        be32(nf.NFTA_BITWISE_LEN, len(mask)),
        nested(nf.NFTA_BITWISE_MASK, data_value(mask)),
        nested(nf.NFTA_BITWISE_XOR, data_value(xor)),
    )


def hton(reg: int, length: int, size: int) -> bytes:
    """Turn ``length`` bytes of ``reg``, in units of ``size``, to network byte order."""
    return expression(
        "byteorder",
        be32(nf.NFTA_BYTEORDER_SREG, reg),
        be32(nf.NFTA_BYTEORDER_DREG, reg),
        be32(nf.NFTA_BYTEORDER_OP, nf.NFT_BYTEORDER_HTON),
        be32(nf.NFTA_BYTEORDER_LEN, length),
        be32(nf.NFTA_BYTEORDER_SIZE, size),
    )


def immediate(dreg: int, value: bytes) -> bytes:
    """Put constant bytes into a register."""
    return expression(
        "immediate", be32(nf.NFTA_IMMEDIATE_DREG, dreg), nested(nf.NFTA_IMMEDIATE_DATA, data_value(value))
    )


def verdict(code: int, chain: str | None = None) -> bytes:
    """End the rule with a verdict."""
    return expression(
        "immediate",
        be32(nf.NFTA_IMMEDIATE_DREG, nf.NFT_REG_VERDICT),
        nested(nf.NFTA_IMMEDIATE_DATA, data_verdict(code, chain)),
    )


def lookup(set_name: str, sreg: int, dreg: int | None = None, *, invert: bool = False) -> bytes:
    """Look a key up in a set or map and end the rule when it is missing (``invert``: when it is there).

    ``dreg`` receives a map's data; ``NFT_REG_VERDICT`` makes the element's verdict the rule's.
    """
    return expression(
        "lookup",
        string(nf.NFTA_LOOKUP_SET, set_name),
        be32(nf.NFTA_LOOKUP_SREG, sreg),
        b"" if dreg is None else be32(nf.NFTA_LOOKUP_DREG, dreg),
        be32(nf.NFTA_LOOKUP_FLAGS, nf.NFT_LOOKUP_F_INV) if invert else b"",
    )


def _dynset(op: int, set_name: str, sreg_key: int, sreg_data: int | None, timeout: int) -> bytes:
    return expression(
        "dynset",
        be32(nf.NFTA_DYNSET_SREG_KEY, sreg_key),
        b"" if sreg_data is None else be32(nf.NFTA_DYNSET_SREG_DATA, sreg_data),
        be32(nf.NFTA_DYNSET_OP, op),
        be64(nf.NFTA_DYNSET_TIMEOUT, timeout) if timeout else b"",
        string(nf.NFTA_DYNSET_SET_NAME, set_name),
    )


def dynset_add(set_name: str, sreg_key: int, sreg_data: int | None = None, *, timeout: int = 0) -> bytes:
    """Add an element from the packet path; an existing one stays as it is. ``timeout`` in milliseconds."""
    return _dynset(nf.NFT_DYNSET_OP_ADD, set_name, sreg_key, sreg_data, timeout)


def dynset_update(set_name: str, sreg_key: int, sreg_data: int | None = None, *, timeout: int = 0) -> bytes:
    """Add an element or restart the clock of an existing one, whose data it does *not* replace.

    ``timeout`` in milliseconds; 0 takes the set's own.
    """
    return _dynset(nf.NFT_DYNSET_OP_UPDATE, set_name, sreg_key, sreg_data, timeout)


def dynset_delete(set_name: str, sreg_key: int, sreg_data: int | None = None) -> bytes:
    """Delete an element from the packet path. For a map the kernel wants a data register all the same."""
    return _dynset(nf.NFT_DYNSET_OP_DELETE, set_name, sreg_key, sreg_data, 0)


def dnat(family: Family, address: int, port: int | None = None, *, flags: int = 0) -> bytes:
    """Rewrite the destination to the address, and the port, in the named registers."""
    return expression(
        "nat",
        be32(nf.NFTA_NAT_TYPE, nf.NFT_NAT_DNAT),
        be32(nf.NFTA_NAT_FAMILY, family),
        be32(nf.NFTA_NAT_REG_ADDR_MIN, address),
        b"" if port is None else be32(nf.NFTA_NAT_REG_PROTO_MIN, port),
        be32(nf.NFTA_NAT_FLAGS, flags) if flags else b"",
    )


def masq(flags: int = 0) -> bytes:
    """Rewrite the source to the outgoing interface's address (``NF_NAT_RANGE_*`` flags)."""
    return expression("masq", be32(nf.NFTA_MASQ_FLAGS, flags) if flags else b"")


def reject(kind: int, code: int) -> bytes:
    """Answer with an ICMP error of the table's family, or a TCP reset (``NFT_REJECT_*``)."""
    return expression("reject", be32(nf.NFTA_REJECT_TYPE, kind), u8(nf.NFTA_REJECT_ICMP_CODE, code))


def counter() -> bytes:
    """Count packets and bytes, from zero."""
    return expression("counter", be64(nf.NFTA_COUNTER_BYTES, 0), be64(nf.NFTA_COUNTER_PACKETS, 0))


def limit(rate: int, unit: int, burst: int) -> bytes:
    """Let through ``rate`` packets per ``unit`` seconds, ``burst`` at once; end the rule beyond that."""
    return expression(
        "limit",
        be64(nf.NFTA_LIMIT_RATE, rate),
        be64(nf.NFTA_LIMIT_UNIT, unit),
        be32(nf.NFTA_LIMIT_BURST, burst),
        be32(nf.NFTA_LIMIT_TYPE, nf.NFT_LIMIT_PKTS),
        be32(nf.NFTA_LIMIT_FLAGS, 0),
    )


def log(prefix: str) -> bytes:
    """Write the packet to the kernel log behind ``prefix``."""
    return expression("log", string(nf.NFTA_LOG_PREFIX, prefix))
