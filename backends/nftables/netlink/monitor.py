"""Notifications: who changes the ruleset, and what.

A second socket, joined to ``NFNLGRP_NFTABLES``. The kernel announces every object of a transaction,
then the transaction itself (``nft_commit_notify`` and ``nf_tables_gen_notify`` in
``net/netfilter/nf_tables_api.c``).

Being listened to is not free for whoever writes: the kernel builds a message for each element, which
makes a bulk load about three times as slow even when a filter then drops them, and twelve times
when they have to be queued. Hence :meth:`Monitor.paused` for bulk loads.
"""

from __future__ import annotations

import ctypes
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from struct import pack
from types import TracebackType
from typing import NamedTuple, Self, TypeAlias

from . import constants as nf
from . import objects
from .attributes import table, to_text
from .framing import NFGENMSG_SIZE, Message
from .messages import Table
from .netfilter import open_netlink, receive

_SUBSYSTEM = nf.NFNL_SUBSYS_NFTABLES << 8
_NEWGEN = _SUBSYSTEM | nf.NFT_MSG_NEWGEN


class Kind(Enum):
    """What sort of object a change concerns."""

    TABLE = "table"
    CHAIN = "chain"
    RULE = "rule"
    SET = "set"
    ELEMENT = "element"
    OBJECT = "object"
    FLOWTABLE = "flowtable"


class Change(NamedTuple):
    """One object was added, changed or (``deleted``) taken away.

    Attributes:
        kind: of the object.
        deleted: whether it is gone.
        table: it belongs to, or is.
        name: of the chain, set, object or flow table; a rule's chain, an element's set; the table's own.
        portid: netlink address of the socket that did it (:attr:`.netfilter.NetfilterSocket.portid`);
            0 when the kernel did, as for an element whose time was up.
    """

    kind: Kind
    deleted: bool
    table: Table
    name: str
    portid: int


class Commit(NamedTuple):
    """A transaction was applied; the changes before it, since the last ``Commit``, are its own.

    Attributes:
        generation: of the ruleset from now on.
        portid: netlink address of the socket that committed.
        pid: of the process, in the reader's PID namespace.
        program: name of the process.
    """

    generation: int
    portid: int
    pid: int
    program: str


class Overrun(NamedTuple):
    """Notifications came faster than they were read, and some are lost: look at the ruleset itself."""


Notification: TypeAlias = Change | Commit | Overrun

_KINDS: dict[int, tuple[Kind, bool]] = {
    nf.NFT_MSG_NEWTABLE: (Kind.TABLE, False),
    nf.NFT_MSG_DELTABLE: (Kind.TABLE, True),
    nf.NFT_MSG_DESTROYTABLE: (Kind.TABLE, True),
    nf.NFT_MSG_NEWCHAIN: (Kind.CHAIN, False),
    nf.NFT_MSG_DELCHAIN: (Kind.CHAIN, True),
    nf.NFT_MSG_DESTROYCHAIN: (Kind.CHAIN, True),
    nf.NFT_MSG_NEWRULE: (Kind.RULE, False),
    nf.NFT_MSG_DELRULE: (Kind.RULE, True),
    nf.NFT_MSG_DESTROYRULE: (Kind.RULE, True),
    nf.NFT_MSG_NEWSET: (Kind.SET, False),
    nf.NFT_MSG_DELSET: (Kind.SET, True),
    nf.NFT_MSG_DESTROYSET: (Kind.SET, True),
    nf.NFT_MSG_NEWSETELEM: (Kind.ELEMENT, False),
    nf.NFT_MSG_DELSETELEM: (Kind.ELEMENT, True),
    nf.NFT_MSG_DESTROYSETELEM: (Kind.ELEMENT, True),
    nf.NFT_MSG_NEWOBJ: (Kind.OBJECT, False),
    nf.NFT_MSG_DELOBJ: (Kind.OBJECT, True),
    nf.NFT_MSG_DESTROYOBJ: (Kind.OBJECT, True),
    nf.NFT_MSG_NEWFLOWTABLE: (Kind.FLOWTABLE, False),
    nf.NFT_MSG_DELFLOWTABLE: (Kind.FLOWTABLE, True),
    nf.NFT_MSG_DESTROYFLOWTABLE: (Kind.FLOWTABLE, True),
}
# Every message names its table in attribute 1; where the object's own name is differs.
_TABLE_ATTRIBUTE = 1
_NAME_ATTRIBUTES = {Kind.TABLE: nf.NFTA_TABLE_NAME, Kind.CHAIN: nf.NFTA_CHAIN_NAME}
_OTHER_NAME_ATTRIBUTE = 2


class Monitor:
    """Reads notifications; wait for them with :mod:`selectors` on :meth:`fileno`.

    Args:
        own: port ID of the caller's own socket. The kernel then keeps that socket's changes to itself
            and only tells of its commits, so that a bulk load does not flood the monitor with a
            message an element. 0 tells everything.
    """

    def __init__(self, own: int = 0) -> None:
        self._socket = open_netlink()
        try:
            if own:
                _drop_changes_of(self._socket, own)
            self._socket.setsockopt(nf.SOL_NETLINK, nf.NETLINK_ADD_MEMBERSHIP, nf.NFNLGRP_NFTABLES)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not listen meanwhile: for bulk transactions of one's own.

        What others change in that time shows only in the generation.
        """
        self._socket.setsockopt(nf.SOL_NETLINK, nf.NETLINK_DROP_MEMBERSHIP, nf.NFNLGRP_NFTABLES)
        try:
            yield
        finally:
            self._socket.setsockopt(nf.SOL_NETLINK, nf.NETLINK_ADD_MEMBERSHIP, nf.NFNLGRP_NFTABLES)

    def fileno(self) -> int:
        """Readable when there are notifications."""
        return self._socket.fileno()

    def read(self) -> list[Notification]:
        """All notifications that have arrived, without waiting."""
        parsed = map(_parse, receive(self._socket))
        return [notification for notification in parsed if notification is not None]


def _parse(message: Message) -> Notification | None:
    if message.kind == nf.NLMSG_OVERRUN:
        return Overrun()
    if message.kind & 0xFF00 != _SUBSYSTEM:
        return None
    if message.kind == _NEWGEN:
        made = objects.parse_generation(message.body)
        return Commit(made.number, message.portid, made.pid, made.program)
    known = _KINDS.get(message.kind & 0xFF)
    if known is None:
        return None
    kind, deleted = known
    found = table(message.body, NFGENMSG_SIZE)
    where = Table(objects.family(message.body), to_text(found[_TABLE_ATTRIBUTE]))
    name = to_text(found.get(_NAME_ATTRIBUTES.get(kind, _OTHER_NAME_ATTRIBUTE), b""))
    return Change(kind, deleted, where, name, message.portid)


# Classic BPF (linux/filter.h): load a word, load a half-word, jump if equal, return.
_LOAD_WORD, _LOAD_HALF, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x15, 0x06
_EVERYTHING = 0xFFFFFFFF


def _drop_changes_of(opened: socket.socket, portid: int) -> None:
    """Have the kernel drop messages caused by ``portid``, unless they announce a commit.

    A buffer of notifications holds only those of one transaction, so the first header speaks for all.
    """

    def seen(value: int, size: int) -> int:
        # BPF loads big-endian whatever the machine; netlink headers are in host order.
        return int.from_bytes(value.to_bytes(size, sys.byteorder), "big")

    program = b"".join(
        pack("=HBBI", *instruction)
        for instruction in (
            (_LOAD_WORD, 0, 0, 12),  # nlmsg_pid
            (_JUMP_EQUAL, 0, 3, seen(portid, 4)),
            (_LOAD_HALF, 0, 0, 4),  # nlmsg_type
            (_JUMP_EQUAL, 1, 0, seen(_NEWGEN, 2)),
            (_RETURN, 0, 0, 0),
            (_RETURN, 0, 0, _EVERYTHING),
        )
    )
    code = ctypes.create_string_buffer(program, len(program))
    opened.setsockopt(
        socket.SOL_SOCKET, nf.SO_ATTACH_FILTER, pack("HP", len(program) // 8, ctypes.addressof(code))
    )
