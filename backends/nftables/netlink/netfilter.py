"""The one door to the kernel: a netlink socket kept open for good.

Kept open, because closing a ``NETLINK_NETFILTER`` socket after a deletion waits for an RCU grace
period (10 to 15 ms, ``nft_rcv_nl_event`` on ``NETLINK_URELEASE``), a thousand times a small change; and
with the lock of all commits in the namespace, so that whoever commits meanwhile waits too.

Nothing here waits: the kernel handles a request inside ``send`` and has queued every answer when it
returns (``nfnetlink_rcv`` runs in the sender's context), so a missing answer is a lost one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence, Sized
from errno import EINTR, ENOBUFS, ENOENT, ERESTART
from types import TracebackType
from typing import Self, TypeVar

from . import constants as nf
from . import framing, objects
from .attributes import string, table
from .constants import Family
from .elements import Element, ElementCodec, Verdict, parse_elements
from .errors import DumpInterrupted, Failure, NetlinkError, OutcomeUnknown, StaleGeneration
from .messages import Operation, Table, element_lists, set_reference
from .objects import ChainInfo, RuleInfo, SetInfo, TableInfo
from .sets import SetSpec

D = TypeVar("D", bound=Sized)

SEND_BUFFER = 1 << 28
"""Bytes one transaction may take: it has to go out in a single send."""

RECEIVE_BUFFER = 1 << 24
"""Bytes of answers that may queue up. A dump fills it a message at a time, so this is for errors."""

# The kernel sends dumps in pieces of at most 32 KiB (netlink_recvmsg); acknowledgements are tiny.
_RECEIVE_SIZE = 1 << 16
_DUMP_ATTEMPTS = 8
# How often elements are asked for again that a dump lacks. They may also be those of a transaction under way.
_WHOLE_ATTEMPTS = 3
# So many keys always fit into one list of elements, and their answers, a buffer of some KiB for each,
# into the receive buffer.
_GET_AT_ONCE = 500
_GREATEST_SEQUENCE = 0xFFFFFFFF


def open_netlink() -> socket.socket:
    """A bound, non-blocking ``NETLINK_NETFILTER`` socket in the calling thread's network namespace.

    Raises:
        PermissionError: without ``CAP_NET_ADMIN`` the kernel lets nobody read or change nf_tables.
        OSError: the kernel has no nfnetlink.
    """
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, nf.NETLINK_NETFILTER)
    try:
        opened.setsockopt(nf.SOL_NETLINK, nf.NETLINK_EXT_ACK, 1)
        opened.setsockopt(nf.SOL_NETLINK, nf.NETLINK_CAP_ACK, 1)
        opened.setsockopt(socket.SOL_SOCKET, nf.SO_SNDBUFFORCE, SEND_BUFFER)
        opened.setsockopt(socket.SOL_SOCKET, nf.SO_RCVBUFFORCE, RECEIVE_BUFFER)
        opened.bind((0, 0))
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


def receive(opened: socket.socket) -> Iterator[framing.Message]:
    """Every message queued on the socket; ends when there is none left.

    Where the kernel had to throw messages away, an ``NLMSG_OVERRUN`` stands for them.
    """
    while True:
        try:
            buffer = opened.recv(_RECEIVE_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != ENOBUFS:
                raise
            yield framing.Message(nf.NLMSG_OVERRUN, 0, 0, 0, b"")
        else:
            yield from framing.messages(buffer)


class NetfilterSocket:
    """Transactions and reads on the nf_tables of one network namespace, for one thread at a time.

    A context manager; :meth:`close` is the same.
    """

    def __init__(self) -> None:
        self._socket = open_netlink()
        self._sequence = int.from_bytes(os.urandom(3), "big")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket. Tables owned by it go with it, unless they persist."""
        self._socket.close()

    @property
    def portid(self) -> int:
        """The socket's netlink address: notifications carry the one of whoever made the change."""
        return int(self._socket.getsockname()[0])

    # --- transactions ----------------------------------------------------------------------------

    def commit(self, operations: Sequence[Operation], genid: int | None = None) -> None:
        """Apply all operations at once, or none of them.

        Args:
            operations: in the order the kernel is to see them.
            genid: apply only if the ruleset still is of this generation (:meth:`generation`).

        Raises:
            NetlinkError: the kernel refused an operation; nothing was applied.
            StaleGeneration: somebody has changed the ruleset since ``genid``; nothing was applied.
            OutcomeUnknown: the answer got lost.
            OSError: the transaction is larger than :data:`SEND_BUFFER`, or the socket is closed.
        """
        if not operations:
            return
        begin = self._take_numbers(len(operations) + 2)
        self._send(framing.batch(operations, begin, genid))
        self._check_commit(operations, begin, genid)

    def _check_commit(self, operations: Sequence[Operation], begin: int, genid: int | None) -> None:
        failures: list[Failure] = []
        last = begin + len(operations)
        acknowledged = False
        for answer in receive(self._socket):
            if answer.kind != nf.NLMSG_ERROR or not begin <= answer.sequence <= last + 1:
                continue
            error, offset, words = framing.parse_error(answer)
            if answer.sequence == last and not error:
                acknowledged = True
            elif error == ERESTART and answer.sequence == begin and genid is not None:
                raise StaleGeneration(genid)
            elif error:
                index = answer.sequence - begin - 1
                inside = 0 <= index < len(operations)
                culprit = operations[index].describe(offset) if inside else "commit of the transaction"
                failures.append(Failure(error, culprit, words))
        if failures:
            raise NetlinkError(failures)
        if not acknowledged:
            raise OutcomeUnknown(ENOBUFS, f"no answer to a transaction of {len(operations)} operations")

    def generation(self) -> int:
        """The ruleset's generation: a number that grows with every transaction of anybody."""
        answer = self._ask(nf.NFT_MSG_GETGEN, Family.UNSPEC, b"", "get generation")
        return objects.parse_generation(answer).number

    # --- reads -----------------------------------------------------------------------------------

    def _ask(self, message: int, family: Family, attributes: bytes, what: str) -> bytes:
        """The body of the one answer to a question."""
        self._request(message, 0, family, attributes)
        for answer in receive(self._socket):
            if answer.sequence != self._sequence:
                continue
            if answer.kind == nf.NLMSG_ERROR:
                error, _, words = framing.parse_error(answer)
                raise NetlinkError([Failure(error, what, words)])
            return answer.body
        raise OutcomeUnknown(ENOBUFS, f"no answer to {what}")

    def dump_tables(self, family: Family = Family.UNSPEC) -> list[TableInfo]:
        """All tables, of every family unless one is named."""
        return [
            objects.parse_table(body) for body in self._dump(nf.NFT_MSG_GETTABLE, family, b"", "list tables")
        ]

    def dump_chains(self, where: Table) -> list[ChainInfo]:
        """The chains of a table; none when it does not exist."""
        # The kernel ignores the table's name in this dump, so the others are sorted out here.
        bodies = self._dump(nf.NFT_MSG_GETCHAIN, where.family, b"", f"list chains of {where}")
        return [chain for chain in map(objects.parse_chain, bodies) if chain.table == where]

    def dump_rules(self, where: Table, chain: str | None = None) -> list[RuleInfo]:
        """The rules of a table, or of one chain, in their order; none when it does not exist."""
        attributes = string(nf.NFTA_RULE_TABLE, where.name)
        if chain is not None:
            attributes += string(nf.NFTA_RULE_CHAIN, chain)
        bodies = self._dump(nf.NFT_MSG_GETRULE, where.family, attributes, f"list rules of {where}")
        return [objects.parse_rule(body) for body in bodies]

    def dump_sets(self, where: Table) -> list[SetInfo]:
        """The sets and maps of a table, anonymous ones included.

        Raises:
            NetlinkError: ``ENOENT``, the table does not exist.
        """
        attributes = string(nf.NFTA_SET_TABLE, where.name)
        bodies = self._dump(nf.NFT_MSG_GETSET, where.family, attributes, f"list sets of {where}")
        return [objects.parse_set(body) for body in bodies]

    def dump_elements(self, where: Table, name: str) -> list[Element]:
        """All elements of a set or map.

        The kernel walks the set from its start for every 32 KiB it hands out, so this takes quadratic
        time: 5 ms for 10,000 elements, 0.5 s for 120,000. Elements may be missing from the answer when
        the kernel happened to be resizing the set's hash table, as it does for some milliseconds after many
        were added.

        Raises:
            NetlinkError: ``ENOENT``, there is no such table or set.
        """
        return [element for part in self._dump_lists(where, name) for element in parse_elements(part)]

    def dump_pairs(self, where: Table, codec: ElementCodec) -> dict[bytes, bytes | Verdict]:
        """Keys and data of a map without intervals or timeouts; for large maps faster than `dump_elements`.

        None is missing where the kernel tells how many there are (Linux 6.16).
        """

        def taken(parts: Iterator[bytes]) -> dict[bytes, bytes | Verdict]:
            pairs: dict[bytes, bytes | Verdict] = {}
            for part in parts:
                pairs.update(codec.parse_pairs(part))
            return pairs

        return self._dump_whole(where, codec.spec.name, taken)

    def dump_keys(self, where: Table, codec: ElementCodec) -> dict[bytes, None]:
        """The keys of a set without intervals or timeouts, likewise."""

        def taken(parts: Iterator[bytes]) -> dict[bytes, None]:
            return dict.fromkeys(key for part in parts for key in codec.parse_keys(part))

        return self._dump_whole(where, codec.spec.name, taken)

    def _dump_whole(self, where: Table, name: str, taken: Callable[[Iterator[bytes]], D]) -> D:
        """What is taken from a set's elements, asked again while the kernel has more than it told of."""
        found = taken(self._dump_lists(where, name))
        for _ in range(_WHOLE_ATTEMPTS):
            if len(found) >= self.count_elements(where, name):
                break
            found = taken(self._dump_lists(where, name))
        return found

    def count_elements(self, where: Table, name: str) -> int:
        """How many elements a set or map has; 0 where the kernel doesn't tell.

        Raises:
            NetlinkError: ``ENOENT``, there is no such table or set.
        """
        reference = string(nf.NFTA_SET_TABLE, where.name) + string(nf.NFTA_SET_NAME, name)
        answer = self._ask(nf.NFT_MSG_GETSET, where.family, reference, f"count elements of {where} {name}")
        return int.from_bytes(table(answer, framing.NFGENMSG_SIZE).get(nf.NFTA_SET_COUNT, b""))

    def _dump_lists(self, where: Table, name: str) -> Iterator[bytes]:
        bodies = self._dump(
            nf.NFT_MSG_GETSETELEM,
            where.family,
            set_reference(where, name),
            f"list elements of {where} {name}",
        )
        found = (table(body, framing.NFGENMSG_SIZE) for body in bodies)
        return (
            part[nf.NFTA_SET_ELEM_LIST_ELEMENTS] for part in found if nf.NFTA_SET_ELEM_LIST_ELEMENTS in part
        )

    def get_elements(self, where: Table, codec: ElementCodec, keys: Sequence[bytes]) -> list[Element | None]:
        """The elements with these keys, ``None`` for a missing one.

        Raises:
            NetlinkError: ``ENOENT``, there is no such table or set.
        """
        found: list[Element | None] = []
        elements = codec.keys(keys)
        while len(found) < len(keys):
            part = elements[len(found) : len(found) + _GET_AT_ONCE]
            answers = self._get(where, codec.spec, part)
            found.extend(answers)
            if len(answers) < len(part):
                found.append(None)
        return found

    def _get(self, where: Table, spec: SetSpec, elements: Sequence[bytes]) -> list[Element]:
        """The answers for ``elements`` up to the first missing one, where the kernel stops."""
        what = f"get element {where} {spec.name}"
        reference = set_reference(where, spec.name)
        attributes = reference + next(element_lists(elements))
        self._request(nf.NFT_MSG_GETSETELEM, nf.NLM_F_ACK, where.family, attributes)
        answers: list[Element] = []
        for answer in receive(self._socket):
            if answer.sequence != self._sequence:
                continue
            if answer.kind != nf.NLMSG_ERROR:
                part = table(answer.body, framing.NFGENMSG_SIZE)[nf.NFTA_SET_ELEM_LIST_ELEMENTS]
                answers.extend(parse_elements(part))
                continue
            error, offset, words = framing.parse_error(answer)
            # An offset inside the list of elements tells a missing element from a missing set.
            if error and not (
                error == ENOENT
                and offset is not None
                and offset > framing.HEADER_SIZE + framing.NFGENMSG_SIZE + len(reference)
            ):
                raise NetlinkError([Failure(error, what, words)])
            return answers
        raise OutcomeUnknown(ENOBUFS, f"no answer to {what}")

    def _dump(self, message: int, family: Family, attributes: bytes, what: str) -> list[bytes]:
        """The bodies of all answers to a question about many objects, asked again when it was disturbed."""
        for _ in range(_DUMP_ATTEMPTS):
            bodies = self._dump_once(message, family, attributes, what)
            if bodies is not None:
                return bodies
        raise DumpInterrupted(EINTR, f"{what}: the ruleset changed during each of {_DUMP_ATTEMPTS} attempts")

    def _dump_once(self, message: int, family: Family, attributes: bytes, what: str) -> list[bytes] | None:
        self._request(message, nf.NLM_F_DUMP, family, attributes)
        bodies: list[bytes] = []
        for answer in receive(self._socket):
            if answer.kind == nf.NLMSG_OVERRUN:
                return None
            if answer.sequence != self._sequence:
                continue
            if answer.flags & nf.NLM_F_DUMP_INTR:
                return None
            if answer.kind in (nf.NLMSG_ERROR, nf.NLMSG_DONE):
                error, _, words = framing.parse_error(answer)
                if error == EINTR:
                    return None
                if error:
                    raise NetlinkError([Failure(error, what, words)])
                return bodies
            bodies.append(answer.body)
        return None

    def _request(self, message: int, flags: int, family: Family, attributes: bytes) -> None:
        number = self._take_numbers(1)
        self._send(framing.request(message, flags, family, attributes, number))

    def _take_numbers(self, count: int) -> int:
        """The first of ``count`` sequence numbers in a row, all within 32 bits."""
        if self._sequence + count > _GREATEST_SEQUENCE:
            self._sequence = 0
        self._sequence += count
        return self._sequence - count + 1

    def _send(self, request: bytes) -> None:
        # What an earlier request left unread goes first: the kernel starts no dump while another one
        # is under way, and old answers would take up room.
        for _ in receive(self._socket):
            pass
        self._socket.send(request)
