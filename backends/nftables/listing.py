"""Rules in nft's words, for people: what ``nft list`` prints of the rules this backend writes.

The inverse of :mod:`.netlink.rules`, for the shapes that are made of it. Of a rule with anything else in it,
somebody else's work, the expressions are named.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from sys import byteorder

from pointsman.core.addresses import Network, format_endpoint

from .netlink import constants as nf
from .netlink import selectors as sel
from .netlink.constants import CtState, CtStatus, DataType, Family, TcpFlag, VerdictCode
from .netlink.elements import Verdict
from .netlink.objects import Expression, parse_expressions
from .netlink.selectors import Selector
from .operands import NotKnown, Operands

_DREG = 1  # of whatever loads something
_OPERATORS = {
    nf.NFT_CMP_EQ: "",
    nf.NFT_CMP_NEQ: "!= ",
    nf.NFT_CMP_LT: "< ",
    nf.NFT_CMP_LTE: "<= ",
    nf.NFT_CMP_GT: "> ",
    nf.NFT_CMP_GTE: ">= ",
}
_DYNSET = {nf.NFT_DYNSET_OP_ADD: "add", nf.NFT_DYNSET_OP_UPDATE: "update", nf.NFT_DYNSET_OP_DELETE: "delete"}
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


@lru_cache(maxsize=1024)
def describe(expressions: tuple[Expression, ...]) -> str:
    """A rule in nft's words; with anything unknown in it, the names of its expressions."""
    listing = _Listing()
    try:
        for expression in expressions:
            listing.take(expression)
        return listing.text()
    except NotKnown:
        return " ".join(expression.name for expression in expressions)


def describe_verdict(verdict: Verdict) -> str:
    """Such as ``goto pick-4-always`` or ``drop``."""
    name = VerdictCode(verdict.code).name.lower()
    return name if verdict.chain is None else f"{name} {verdict.chain}"


@dataclass(slots=True)
class _Loaded:
    """What a register holds: a selector, and what became of it; a constant; or something out of a map."""

    register: int
    text: str
    selector: Selector | None = None
    constant: bytes = b""
    mask: bytes = b""
    xor: bytes = b""


class _Listing:
    """Turns expressions into words, one after the other.

    Whoever uses registers uses all that were loaded since the last use, for that is how rules are written.
    """

    def __init__(self) -> None:
        self._words: list[str] = []
        self._loaded: list[_Loaded] = []

    def text(self) -> str:
        """All words, once there are no more expressions."""
        self._check_all_used()
        return " ".join(self._words)

    def take(self, expression: Expression) -> None:
        """The words for one more expression, if it completes any."""
        operands = Operands(expression.attributes)
        if expression.name == "meta" and operands.has(nf.NFTA_META_SREG):
            self._set_meta(operands)
        elif expression.name in ("payload", "meta", "ct", "fib", "numgen"):
            self._load(expression, operands)
        elif expression.name in _WORDS:
            _WORDS[expression.name](self, operands)
        else:
            raise NotKnown(f"no words for {expression.name}")

    def _check_all_used(self) -> None:
        if self._loaded:
            raise NotKnown("something is loaded and not used")

    def _used(self) -> list[_Loaded]:
        used, self._loaded = self._loaded, []
        return used

    def _key(self) -> str:
        return " . ".join(part.text for part in self._used())

    def _single(self) -> _Loaded:
        used = self._used()
        if len(used) != 1:
            raise NotKnown("a single value was expected")
        return used[0]

    def _load(self, expression: Expression, operands: Operands) -> None:
        register = operands.number(_DREG)
        selector = _selector(expression, operands)
        self._loaded.append(_Loaded(register, selector.text, selector))

    def _bitwise(self, operands: Operands) -> None:
        if operands.number(nf.NFTA_BITWISE_OP) or not self._loaded:
            raise NotKnown("a calculation that has no words here")
        last = self._loaded[-1]
        last.mask, last.xor = operands.constant(nf.NFTA_BITWISE_MASK), operands.constant(nf.NFTA_BITWISE_XOR)

    def _byteorder(self, operands: Operands) -> None:
        """Part of loading a key; nft has no word for it."""

    def _cmp(self, operands: Operands) -> None:
        loaded, value = self._single(), operands.constant(nf.NFTA_CMP_DATA)
        operation = operands.number(nf.NFTA_CMP_OP)
        if loaded.selector is None:
            raise NotKnown("a comparison with what is no selector")
        self._words.append(_comparison(loaded, loaded.selector, _OPERATORS[operation], value))

    def _lookup(self, operands: Operands) -> None:
        key, name = self._key(), operands.text(nf.NFTA_LOOKUP_SET)
        inverted = operands.number(nf.NFTA_LOOKUP_FLAGS) & nf.NFT_LOOKUP_F_INV
        if not operands.has(nf.NFTA_LOOKUP_DREG):
            self._words.append(f"{key} {'!= ' if inverted else ''}@{name}")
        elif operands.number(nf.NFTA_LOOKUP_DREG) == nf.NFT_REG_VERDICT:
            self._words.append(f"{key} vmap @{name}")
        else:
            register = operands.number(nf.NFTA_LOOKUP_DREG)
            self._loaded.append(_Loaded(register, f"{key} map @{name}"))

    def _immediate(self, operands: Operands) -> None:
        value = operands.value(nf.NFTA_IMMEDIATE_DATA)
        if isinstance(value, Verdict):
            self._check_all_used()
            self._words.append(describe_verdict(value))
        else:
            self._loaded.append(_Loaded(operands.number(nf.NFTA_IMMEDIATE_DREG), value.hex(), constant=value))

    def _nat(self, operands: Operands) -> None:
        used = self._used()
        if operands.number(nf.NFTA_NAT_TYPE) != nf.NFT_NAT_DNAT:
            raise NotKnown("source NAT")
        if len(used) == 1 and not used[0].constant:
            family = Family(operands.number(nf.NFTA_NAT_FAMILY))
            self._words.append(f"dnat {family} to {used[0].text}")
        elif len(used) == 2 and used[0].constant and used[1].constant:
            address, port = used[0].constant, int.from_bytes(used[1].constant)
            self._words.append(f"dnat to {format_endpoint(address, port)}")
        else:
            raise NotKnown("a destination from elsewhere")

    def _masq(self, operands: Operands) -> None:
        fully = operands.number(nf.NFTA_MASQ_FLAGS) & nf.NF_NAT_RANGE_PROTO_RANDOM_FULLY
        self._words.append("masquerade fully-random" if fully else "masquerade")

    def _reject(self, operands: Operands) -> None:
        reset = operands.number(nf.NFTA_REJECT_TYPE) == nf.NFT_REJECT_TCP_RST
        self._words.append("reject with tcp reset" if reset else "reject")

    def _counter(self, operands: Operands) -> None:
        packets, size = operands.number(nf.NFTA_COUNTER_PACKETS), operands.number(nf.NFTA_COUNTER_BYTES)
        self._words.append(f"counter packets {packets} bytes {size}")

    def _set_meta(self, operands: Operands) -> None:
        value = self._single()
        key = operands.number(nf.NFTA_META_KEY)
        if key == nf.NFT_META_PRIORITY and value.selector is None:
            text = sel.PRIORITY.render(value.constant) if value.constant else value.text
            self._words.append(f"meta priority set {text}")
        elif key == nf.NFT_META_MARK and value.selector is sel.MARK:
            self._words.append(f"meta mark set {_changed_mark(value)}")
        else:
            raise NotKnown("a field that has no words here")

    def _dynset(self, operands: Operands) -> None:
        used = self._used()
        start = operands.number(nf.NFTA_DYNSET_SREG_DATA) if operands.has(nf.NFTA_DYNSET_SREG_DATA) else None
        at = next((i for i, part in enumerate(used) if part.register == start), len(used))
        element = " . ".join(part.text for part in used[:at])
        timeout = operands.number(nf.NFTA_DYNSET_TIMEOUT)
        if timeout:
            element += f" timeout {_duration(timeout)}"
        if at < len(used):
            element += " : " + " . ".join(part.text for part in used[at:])
        verb = _DYNSET[operands.number(nf.NFTA_DYNSET_OP)]
        self._words.append(f"{verb} @{operands.text(nf.NFTA_DYNSET_SET_NAME)} {{ {element} }}")


_WORDS: dict[str, Callable[[_Listing, Operands], None]] = {
    "bitwise": _Listing._bitwise,
    "byteorder": _Listing._byteorder,
    "cmp": _Listing._cmp,
    "lookup": _Listing._lookup,
    "immediate": _Listing._immediate,
    "nat": _Listing._nat,
    "masq": _Listing._masq,
    "reject": _Listing._reject,
    "counter": _Listing._counter,
    "dynset": _Listing._dynset,
}


def _changed_mark(mark: _Loaded) -> str:
    """What becomes of the mark, in nft's words."""
    all_bits = 0xFFFFFFFF
    mask, xor = int.from_bytes(mark.mask, byteorder), int.from_bytes(mark.xor, byteorder)
    if mask == all_bits:
        return f"meta mark ^ {xor:#010x}"
    if mask == all_bits ^ xor:
        return f"meta mark | {xor:#010x}"
    raise NotKnown("a calculation that has no words here")


def _comparison(loaded: _Loaded, selector: Selector, operator: str, value: bytes) -> str:
    """A match in nft's words."""
    flags = _FLAGS.get(selector.datatype)
    if flags is not None and loaded.mask:
        bits = flags(int.from_bytes(loaded.mask, byteorder))
        return f"{loaded.text} {','.join(sorted(str(bit.name).lower() for bit in bits))}"
    if selector.datatype is DataType.TCP_FLAG and loaded.mask:
        return f"{loaded.text} {operator}{_tcp_flags(value)} / {_tcp_flags(loaded.mask)}"
    if selector.datatype is DataType.MARK:
        number = f"{int.from_bytes(value, byteorder):#010x}"
        if not loaded.mask:
            return f"{loaded.text} {operator}{number}"
        mask = int.from_bytes(loaded.mask, byteorder)
        return f"{loaded.text} & {mask:#010x} {operator or '== '}{number}"
    return f"{loaded.text} {operator}{_constant(loaded, selector, value)}"


def _tcp_flags(bits: bytes) -> str:
    return ",".join(str(flag.name).lower() for flag in TcpFlag(bits[0]))


_FLAGS: dict[DataType, type[CtState] | type[CtStatus]] = {
    DataType.CT_STATE: CtState,
    DataType.CT_STATUS: CtStatus,
}


def _constant(loaded: _Loaded, selector: Selector, value: bytes) -> str:
    if selector.datatype is DataType.IFNAME:
        name = value.rstrip(b"\0").decode(errors="replace")
        return f'"{name}"' if len(value) == selector.length else f'"{name}*"'
    if selector.datatype is DataType.FIB_ADDRTYPE and int.from_bytes(value, byteorder) == nf.RTN_LOCAL:
        return "local"
    if loaded.mask or len(value) < selector.length:
        prefix = int.from_bytes(loaded.mask).bit_count() if loaded.mask else 8 * len(value)
        return str(Network(value.ljust(selector.length, b"\0"), prefix))
    return selector.render(value)


def _selector(expression: Expression, operands: Operands) -> Selector:
    """What an expression loads; of an address it may be the first bytes alone."""
    if expression.name == "numgen" and operands.number(nf.NFTA_NG_TYPE) == nf.NFT_NG_RANDOM:
        return sel.numgen_random(operands.number(nf.NFTA_NG_MODULUS))
    if expression.name == "payload":
        header = operands.number(nf.NFTA_PAYLOAD_BASE), operands.number(nf.NFTA_PAYLOAD_OFFSET)
        length = operands.number(nf.NFTA_PAYLOAD_LEN)
        for selector in _selectors().values():
            if selector.header == header and length <= selector.length:
                return selector
        raise NotKnown("a header field that has no words here")
    try:
        return _selectors()[_what(expression)]
    except KeyError:
        raise NotKnown("a selector that has no words here") from None


_What = tuple[str, frozenset[tuple[int, object]]]


def _what(expression: Expression) -> _What:
    """An expression but for the register that it loads."""
    return expression.name, frozenset(one for one in expression.attributes if one[0] != _DREG)


@cache
def _selectors() -> dict[_What, Selector]:
    """Every selector there is, by the expression that loads it."""
    every = [value for value in vars(sel).values() if isinstance(value, Selector)]
    return {_what(parse_expressions(selector.load(nf.NFT_REG_1))[0]): selector for selector in every}


def _duration(milliseconds: int) -> str:
    """As nft writes it: ``1h30m``."""
    words = ""
    for unit, length in _UNITS:
        count, milliseconds = divmod(milliseconds, length)
        words += f"{count}{unit}" if count else ""
    return words
