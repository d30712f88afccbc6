"""Notifications: a foreign write is seen and told from one's own."""

from __future__ import annotations

import os
import selectors
import socket

import pytest

from pointsman.backends.nftables.netlink import rules
from pointsman.backends.nftables.netlink.constants import Family
from pointsman.backends.nftables.netlink.elements import ElementCodec
from pointsman.backends.nftables.netlink.messages import (
    add_chain,
    add_elements,
    add_rule,
    add_set,
    add_table,
    delete_table,
)
from pointsman.backends.nftables.netlink.monitor import Change, Commit, Kind, Monitor, Notification, Overrun
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from tests.backends.nftables.netlink import layouts
from tests.backends.nftables.netlink.namespaces import Namespace

pytestmark = pytest.mark.netns

T = layouts.table(Family.IP)
ADDRESSES = layouts.spec(Family.IP, "addresses")
OPERATIONS = [
    add_table(T),
    add_chain(T, "guard"),
    add_set(T, ADDRESSES),
    *add_elements(T, ADDRESSES, ElementCodec(ADDRESSES).keys([b"\x0a\0\0\x01", b"\x0a\0\0\x02"])),
    add_rule(T, "guard", rules.drop()),
]


def wait(monitor: Monitor) -> list[Notification]:
    with selectors.DefaultSelector() as selector:
        selector.register(monitor, selectors.EVENT_READ)
        assert selector.select(timeout=10), "no notification"
    return monitor.read()


def test_every_change_of_a_transaction_is_told_then_the_commit(
    namespace: Namespace, netfilter: NetfilterSocket
) -> None:
    monitor = namespace.monitor()
    netfilter.commit(OPERATIONS)
    told = wait(monitor)
    me = netfilter.portid
    assert told[:-1] == [
        Change(Kind.TABLE, False, T, T.name, me),
        Change(Kind.CHAIN, False, T, "guard", me),
        Change(Kind.SET, False, T, "addresses", me),
        Change(Kind.ELEMENT, False, T, "addresses", me),
        Change(Kind.ELEMENT, False, T, "addresses", me),
        Change(Kind.RULE, False, T, "guard", me),
    ]
    commit = told[-1]
    assert isinstance(commit, Commit)
    assert (commit.generation, commit.portid, commit.pid) == (netfilter.generation(), me, os.getpid())

    netfilter.commit([delete_table(T)])
    gone = [(one.kind, one.deleted) for one in wait(monitor) if isinstance(one, Change)]
    assert (Kind.TABLE, True) in gone
    assert all(deleted for _, deleted in gone)


def test_foreign_writes_are_told_in_full_ones_own_as_commits(
    namespace: Namespace, netfilter: NetfilterSocket
) -> None:
    monitor = namespace.monitor(own=netfilter.portid)
    foreign = namespace.socket()
    netfilter.commit(OPERATIONS)
    [mine] = wait(monitor)
    assert isinstance(mine, Commit)
    assert mine.portid == netfilter.portid

    foreign.commit([add_chain(T, "intruder")])
    change, commit = wait(monitor)
    assert change == Change(Kind.CHAIN, False, T, "intruder", foreign.portid)
    assert isinstance(commit, Commit)
    assert (commit.generation, commit.portid) == (mine.generation + 1, foreign.portid)


@pytest.mark.program("nft")
def test_a_foreign_program_is_named(namespace: Namespace, netfilter: NetfilterSocket) -> None:
    netfilter.commit(OPERATIONS)
    monitor = namespace.monitor(own=netfilter.portid)
    namespace.nft("flush", "ruleset")
    *changes, commit = wait(monitor)
    assert isinstance(commit, Commit)
    assert commit.program == "nft"
    assert Change(Kind.TABLE, True, T, T.name, commit.portid) in changes


def test_a_paused_monitor_hears_nothing(namespace: Namespace, netfilter: NetfilterSocket) -> None:
    monitor = namespace.monitor()
    with monitor.paused():
        netfilter.commit(OPERATIONS)
    assert monitor.read() == []
    netfilter.commit([add_chain(T, "heard")])
    assert Change(Kind.CHAIN, False, T, "heard", netfilter.portid) in wait(monitor)


def test_lost_notifications_are_admitted(namespace: Namespace, netfilter: NetfilterSocket) -> None:
    netfilter.commit(OPERATIONS)
    monitor = namespace.monitor()
    with socket.socket(fileno=os.dup(monitor.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    many = [number.to_bytes(4, "big") for number in range(1 << 24, (1 << 24) + 1000)]
    netfilter.commit(add_elements(T, ADDRESSES, ElementCodec(ADDRESSES).keys(many)))
    assert Overrun() in monitor.read()
