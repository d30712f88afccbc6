"""Elements of sets and maps: packing them fast, and taking dumped ones apart.

A set's shape fixes the length of keys and data, so all the attribute headers of an element are
constants. :class:`ElementCodec` computes them once; packing an element then is one concatenation of
bytes (see the package's docstring for figures).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct, unpack_from
from typing import NamedTuple

from . import constants as nf
from .attributes import HEADER_SIZE, attribute, be32, be64, iterate, nested, table, to_int, to_text
from .constants import SetFlag
from .expressions import data_value, data_verdict
from .selectors import userdata
from .sets import SetSpec

# Of a verdict map that few chains are led from, all fit; of those by which service ports have chains of their
# own, names come and go for as long as the process lives.
_FRAMES_KEPT = 1024

_END = be32(nf.NFTA_SET_ELEM_FLAGS, nf.NFT_SET_ELEM_INTERVAL_END)


class Verdict(NamedTuple):
    """What a verdict map's element decides: a :class:`.VerdictCode`, with a ``chain`` for jump and goto."""

    code: int
    chain: str | None = None


class Element(NamedTuple):
    """An element as the kernel reports it.

    Attributes:
        key: packed bytes.
        data: packed bytes of a data map, the verdict of a verdict map, ``None`` in a set.
        key_end: last key of a concatenated range, or ``None``.
        interval_end: marks the first key *behind* an interval, in plain interval sets.
        timeout: in milliseconds, 0 for none.
        expires: milliseconds left, 0 for none.
        comment: as given to nft.
        packets: that have looked it up, in a set whose elements count them; else ``None``.
    """

    key: bytes
    data: bytes | Verdict | None = None
    key_end: bytes | None = None
    interval_end: bool = False
    timeout: int = 0
    expires: int = 0
    comment: str = ""
    packets: int | None = None


class ElementCodec:
    """Packs the elements of one set or map, and takes dumped ones apart.

    Keys and data are the packed bytes of the set's selectors (:func:`.selectors.join`).
    """

    __slots__ = ("_key_prefix", "_key_tail", "_middle", "_pair_prefix", "_suffix", "_verdicts", "spec")

    def __init__(self, spec: SetSpec) -> None:
        self.spec = spec
        key = nested(nf.NFTA_SET_ELEM_KEY, data_value(bytes(spec.key_length)))
        data = nested(nf.NFTA_SET_ELEM_DATA, data_value(bytes(spec.data_length)))
        heads = 3 * HEADER_SIZE
        self._key_prefix = nested(nf.NFTA_LIST_ELEM, key)[:heads]
        self._pair_prefix = nested(nf.NFTA_LIST_ELEM, key, data)[:heads]
        self._key_tail = bytes(-spec.key_length & 3)
        self._middle = self._key_tail + data[: 2 * HEADER_SIZE]
        self._suffix = bytes(-spec.data_length & 3)
        self._verdicts: dict[Verdict, tuple[bytes, bytes]] = {}

    def keys(self, keys: Iterable[bytes]) -> list[bytes]:
        """Elements of a set; or of any map, to delete or get them by key.

        Raises:
            ValueError: a key has the wrong length.
        """
        prefix, tail = self._key_prefix, self._key_tail
        packed = [prefix + key + tail for key in keys] if tail else [prefix + key for key in keys]
        self._check_sizes(packed, len(prefix) + self.spec.key_length + len(tail))
        return packed

    def pairs(self, pairs: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """Elements of a data map.

        Raises:
            ValueError: key and data together have the wrong length.
        """
        prefix, middle, suffix = self._pair_prefix, self._middle, self._suffix
        if suffix:
            packed = [prefix + key + middle + data + suffix for key, data in pairs]
        else:
            packed = [prefix + key + middle + data for key, data in pairs]
        self._check_sizes(packed, self._pair_size)
        return packed

    def verdicts(self, pairs: Iterable[tuple[bytes, Verdict]]) -> list[bytes]:
        """Elements of a verdict map.

        Raises:
            ValueError: a key has the wrong length, or a verdict lacks its chain.
        """
        known, build, length = self._verdicts, self._verdict_frame, self.spec.key_length
        packed: list[bytes] = []
        for key, verdict in pairs:
            if len(key) != length:
                self._check("key", key, length)
            frame = known.get(verdict) or build(verdict)
            packed.append(frame[0] + key + frame[1])
        return packed

    @property
    def _pair_size(self) -> int:
        spec = self.spec
        heads = len(self._pair_prefix) + len(self._middle) + len(self._suffix)
        return heads + spec.key_length + spec.data_length

    def _check_sizes(self, packed: list[bytes], size: int) -> None:
        # A wrong length would not only spoil its own element: the kernel loses step and silently
        # ignores the rest of the list.
        if set(map(len, packed)) <= {size}:
            return
        index, wrong = next((index, one) for index, one in enumerate(packed) if len(one) != size)
        off = f"element {index} is {len(wrong) - size:+} bytes off in key or data"
        raise ValueError(f"{self.spec.noun} {self.spec.name}: {off}")

    def _verdict_frame(self, verdict: Verdict) -> tuple[bytes, bytes]:
        whole = self.pack(bytes(self.spec.key_length), verdict)
        start, stop = 3 * HEADER_SIZE, 3 * HEADER_SIZE + self.spec.key_length
        if len(self._verdicts) >= _FRAMES_KEPT:
            self._verdicts.clear()
        frame = self._verdicts[verdict] = whole[:start], whole[stop:]
        return frame

    def pack(
        self,
        key: bytes,
        data: bytes | Verdict | None = None,
        *,
        key_end: bytes | None = None,
        interval_end: bool = False,
        timeout: int = 0,
        expires: int = 0,
        comment: str = "",
    ) -> bytes:
        """One element with everything it can carry; the arguments are those of :class:`Element`.

        Raises:
            ValueError: a key or data has a length that the set has not.
        """
        self._check("key", key, self.spec.key_length)
        parts = [nested(nf.NFTA_SET_ELEM_KEY, data_value(key))]
        if key_end is not None:
            self._check("key end", key_end, self.spec.key_length)
            parts.append(nested(nf.NFTA_SET_ELEM_KEY_END, data_value(key_end)))
        if isinstance(data, Verdict):
            parts.append(nested(nf.NFTA_SET_ELEM_DATA, data_verdict(data.code, data.chain)))
        elif data is not None:
            self._check("data", data, self.spec.data_length)
            parts.append(nested(nf.NFTA_SET_ELEM_DATA, data_value(data)))
        if interval_end:
            parts.append(_END)
        if timeout:
            parts.append(be64(nf.NFTA_SET_ELEM_TIMEOUT, timeout))
        if expires:
            parts.append(be64(nf.NFTA_SET_ELEM_EXPIRATION, expires))
        if comment:
            record = userdata(nf.NFTNL_UDATA_COMMENT, comment.encode() + b"\0")
            parts.append(attribute(nf.NFTA_SET_ELEM_USERDATA, record))
        return nested(nf.NFTA_LIST_ELEM, *parts)

    def element(self, element: Element) -> bytes:
        """Pack what :func:`parse_element` returned."""
        return self.pack(
            element.key,
            element.data,
            key_end=element.key_end,
            interval_end=element.interval_end,
            timeout=element.timeout,
            expires=element.expires,
            comment=element.comment,
        )

    def interval(self, first: bytes, last: bytes) -> list[bytes]:
        """The elements for ``first`` … ``last`` (both included) of an ``INTERVAL`` set.

        One element with a key end in a concatenation; else a start and, unless the interval reaches
        the greatest key there is, an end mark behind it. Intervals of one set must not overlap.

        Raises:
            ValueError: the set has no intervals, or ``last`` is smaller than ``first``.
        """
        if not self.spec.flags & SetFlag.INTERVAL:
            raise ValueError(f"{self.spec.noun} {self.spec.name} has no interval flag")
        if last < first and len(self.spec.key) == 1:
            raise ValueError(f"interval of {self.spec.noun} {self.spec.name} ends before it starts")
        if len(self.spec.key) > 1:
            return [self.pack(first, key_end=last)]
        behind = int.from_bytes(last, "big") + 1
        if behind >> 8 * len(last):
            return [self.pack(first)]
        return [self.pack(first), self.pack(behind.to_bytes(len(last), "big"), interval_end=True)]

    def parse_pairs(self, buffer: bytes) -> Iterable[tuple[bytes, bytes | Verdict]]:
        """Keys and data of a dumped list of elements.

        Plain elements of a data map, all alike, are cut at fixed places, about ten times as fast as
        attribute by attribute; whatever differs from that takes the long way.
        """
        size = unpack_from("=H", buffer)[0] if buffer else 0
        more = size - self._pair_size  # what its counter takes
        if self.spec.data_length and size and more >= 0 and len(buffer) % size == 0:
            cut = Struct(
                f"={3 * HEADER_SIZE}s{self.spec.key_length}s{len(self._middle)}s"
                f"{self.spec.data_length}s{len(self._suffix) + more}x"
            )
            heads, keys, middles, values = zip(*cut.iter_unpack(buffer), strict=True)
            first = parse_element(buffer[HEADER_SIZE:size])
            alike = len(set(heads)) == 1 and len(set(middles)) == 1
            if alike and (first.key, first.data) == (keys[0], values[0]):
                return zip(keys, values, strict=True)
        return [(e.key, e.data) for e in parse_elements(buffer) if e.data is not None]

    def parse_keys(self, buffer: bytes) -> Sequence[bytes]:
        """The keys of a dumped list of elements; plain ones, all alike, are cut at fixed places too."""
        size = len(self._key_prefix) + self.spec.key_length + len(self._key_tail)
        if buffer and unpack_from("=H", buffer)[0] == size and len(buffer) % size == 0:
            cut = Struct(f"={len(self._key_prefix)}s{self.spec.key_length}s{len(self._key_tail)}x")
            heads, keys = zip(*cut.iter_unpack(buffer), strict=True)
            if len(set(heads)) == 1 and parse_element(buffer[HEADER_SIZE:size]) == Element(keys[0]):
                return keys
        return [element.key for element in parse_elements(buffer)]

    def _check(self, what: str, value: bytes, length: int) -> None:
        if len(value) != length:
            raise ValueError(
                f"{self.spec.noun} {self.spec.name}: {what} of {len(value)} bytes, expected {length}"
            )


def prefix_range(address: bytes, length: int) -> tuple[bytes, bytes]:
    """First and last address of the prefix ``address/length``; bits behind the prefix are ignored.

    Raises:
        ValueError: the length does not fit the address.
    """
    bits = 8 * len(address)
    if not 0 <= length <= bits:
        raise ValueError(f"prefix length {length} of a {bits}-bit address")
    host = (1 << bits - length) - 1
    first = int.from_bytes(address, "big") & ~host
    return first.to_bytes(len(address), "big"), (first | host).to_bytes(len(address), "big")


def parse_elements(buffer: bytes) -> list[Element]:
    """All elements of a dumped list, the payload of an ``NFTA_SET_ELEM_LIST_ELEMENTS``."""
    return [parse_element(payload) for _, payload in iterate(buffer)]


def parse_element(buffer: bytes) -> Element:
    """An element from the payload of its ``NFTA_LIST_ELEM``.

    Raises:
        MalformedAttribute: the bytes are no attributes.
        KeyError: the element has neither key nor end mark, or a verdict without code.
    """
    found = table(buffer)
    flags = to_int(found.get(nf.NFTA_SET_ELEM_FLAGS, b""))
    data = found.get(nf.NFTA_SET_ELEM_DATA)
    end = found.get(nf.NFTA_SET_ELEM_KEY_END)
    notes = found.get(nf.NFTA_SET_ELEM_USERDATA)
    return Element(
        key=table(found[nf.NFTA_SET_ELEM_KEY])[nf.NFTA_DATA_VALUE],
        data=None if data is None else parse_data(data),
        key_end=None if end is None else table(end)[nf.NFTA_DATA_VALUE],
        interval_end=bool(flags & nf.NFT_SET_ELEM_INTERVAL_END),
        timeout=to_int(found.get(nf.NFTA_SET_ELEM_TIMEOUT, b"")),
        expires=to_int(found.get(nf.NFTA_SET_ELEM_EXPIRATION, b"")),
        comment="" if notes is None else parse_comment(notes),
        packets=_packets(found.get(nf.NFTA_SET_ELEM_EXPR, b"")),
    )


def _packets(expression: bytes) -> int | None:
    found = table(expression)
    if found.get(nf.NFTA_EXPR_NAME, b"").rstrip(b"\0") != b"counter":
        return None
    return to_int(table(found[nf.NFTA_EXPR_DATA])[nf.NFTA_COUNTER_PACKETS])


def parse_data(buffer: bytes) -> bytes | Verdict:
    """Data of a map's element or of an immediate: bytes, or a verdict."""
    found = table(buffer)
    if nf.NFTA_DATA_VALUE in found:
        return found[nf.NFTA_DATA_VALUE]
    verdict = table(found[nf.NFTA_DATA_VERDICT])
    chain = verdict.get(nf.NFTA_VERDICT_CHAIN)
    code = int.from_bytes(verdict[nf.NFTA_VERDICT_CODE], "big", signed=True)
    return Verdict(code, None if chain is None else to_text(chain))


def parse_comment(records: bytes) -> str:
    """The comment in nft's user data of a table, chain, rule or element; empty without one."""
    offset = 0
    while offset + 2 <= len(records):
        kind, length = records[offset], records[offset + 1]
        if kind == nf.NFTNL_UDATA_COMMENT:
            return to_text(records[offset + 2 : offset + 2 + length])
        offset += 2 + length
    return ""
