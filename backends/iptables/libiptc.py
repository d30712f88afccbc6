"""Mending the way to our chains in process, by python-iptables, where that is installed: no program is run.

Of python-iptables only the table's own handle is used. Its rules, matches and targets are not safe: two of a
type alive at once corrupt each other and then the process, reading them redirects the standard output of
every thread, looking up a target brings all five tables into being, and `iptc.easy` installs what it doesn't
understand as a broader rule. The handle itself needs care as well: it takes no xtables lock, it stays in the
network namespace that it was opened in, tables are cached for the whole process, and a commit fails if
somebody else has written since it was opened. So it is opened for each use and closed after it, by one
thread at a time, and written to under the lock that iptables itself takes.
"""

import ctypes
import fcntl
import os
import struct
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from pointsman.core.addresses import IPFamily

from .kernel import LOCK_WAIT, Refused, lock_file
from .rules import parse
from .state import ENTRANCES, LEADS
from .tables import ChainName, Change, Rules

# How often somebody who doesn't heed the lock may write between our look at a table and our commit.
_PATIENCE = 5
_LOCK_POLL = 0.05

# include/uapi/linux/netfilter: x_tables.h, xt_comment.h and, in its third revision, xt_conntrack.h.
_HEADER = struct.Struct("=H29sB")
_COMMENT = struct.Struct("256s")
_CONNTRACK = struct.Struct("=136x10xHHHH8x2x")
_BY_STATE, _NEW = 1 << 0, 1 << 3
_VERDICT = struct.Struct("=i")
_PAYLOADS = {b"comment": _COMMENT, b"conntrack": _CONNTRACK}
_STANDARD_TARGET = 40

_one_at_a_time = threading.Lock()


@cache
def why_not() -> str:
    """Why python-iptables can't be used by this process, with the remedy; empty if it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its regular expressions aren't raw strings
            import iptc  # noqa: F401
    except ImportError as error:
        return f"python-iptables is not installed ({error}): pip install 'pointsman[iptables]'"
    except (
        Exception
    ) as error:  # it looks for libraries while it is imported, and takes for granted to find them
        needs = "it needs libxtables, libip4tc, libip6tc and ldconfig"
        return f"python-iptables can't be loaded ({error!r}): {needs}"
    return ""


def lead(family: IPFamily, jumps: Mapping[ChainName, Change]) -> None:
    """Have built-in chains begin with these rules that lead to ours, and with no others that do.

    A table is written in one go. Raises `Refused`.
    """
    with _one_at_a_time, _xtables_lock():
        for name in sorted({base.table for base in jumps}):
            wanted = {base.name: change.new or () for base, change in jumps.items() if base.table == name}
            _rewrite(family, name, wanted)


def written_alike(family: IPFamily, jumps: Mapping[ChainName, Rules]) -> str:
    """Why the rules that iptables has just written aren't what we would write; empty if they are.

    Raises `Refused`.
    """
    with _one_at_a_time:
        for base, rules in jumps.items():
            with _opened(family, base.table) as table:
                kind = _entry_type(family)
                found = [_by_name(table, e) for e in _entries(table, base.name) if _leads(table, e)]
                meant = [_packed(kind, text) for text in rules]
                if [_told(kind, raw) for raw in found] != [_told(kind, raw) for raw in meant]:
                    return f"this iptables writes the rules of {base.name} in another way"
    return ""


def _rewrite(family: IPFamily, name: str, wanted: Mapping[str, Rules]) -> None:
    for left in reversed(range(_PATIENCE)):
        with _opened(family, name) as table:
            try:
                for chain, rules in wanted.items():
                    _replace(table, family, chain, rules)
                table.commit()
            except _iptc().IPTCError as error:
                if not left:
                    raise Refused("libiptc", -1, str(error)) from error
            else:
                return


def _replace(table: Any, family: IPFamily, chain: str, rules: Rules) -> None:
    before = [_by_name(table, entry) for entry in _entries(table, chain) if _leads(table, entry)]
    for raw in before:
        every_bit = (ctypes.c_ubyte * len(raw))(*b"\xff" * len(raw))
        table.delete_entry(chain, ctypes.create_string_buffer(raw, len(raw)), every_bit)
    for at, text in enumerate(rules):
        raw = _packed(_entry_type(family), text)
        table.insert_entry(chain, ctypes.create_string_buffer(raw, len(raw)), at)


def _iptc() -> Any:
    import iptc

    return iptc


def _entry_type(family: IPFamily) -> Any:
    from iptc import ip4tc, ip6tc

    return ip4tc.ipt_entry if family is IPFamily.IPV4 else ip6tc.ip6t_entry


@contextmanager
def _opened(family: IPFamily, name: str) -> Iterator[Any]:
    """A table's handle, in the network namespace of the calling thread."""
    iptc = _iptc()
    kind = iptc.Table if family is IPFamily.IPV4 else iptc.Table6
    try:
        table = kind(name, autocommit=False)
        table.refresh()  # it may have been opened before, in another namespace
    except iptc.IPTCError as error:
        raise Refused("libiptc", -1, str(error)) from error
    try:
        yield table
    finally:
        table.close()


@contextmanager
def _xtables_lock() -> Iterator[None]:
    """What every iptables of the legacy variant holds while it writes."""
    path = lock_file()
    deadline = time.monotonic() + LOCK_WAIT
    lock = os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    what = f"somebody else has held the xtables lock, {path}, for {LOCK_WAIT} seconds"
                    raise Refused("libiptc", 4, what) from None
                time.sleep(_LOCK_POLL)
        yield
    finally:
        os.close(lock)


def _entries(table: Any, chain: str) -> Iterator[Any]:
    entry = table.first_rule(chain)
    while entry:
        yield entry
        entry = table.next_rule(entry)


def _raw(entry: Any) -> bytes:
    return ctypes.string_at(ctypes.addressof(entry), entry.next_offset)


def _leads(table: Any, entry: Any) -> bool:
    target = table.get_target(entry)
    return target is not None and target.decode() in ENTRANCES and _comment(entry).startswith(LEADS.encode())


def _comment(entry: Any) -> bytes:
    raw, at = _raw(entry), ctypes.sizeof(entry)
    while at < entry.target_offset:
        size, name, _ = _HEADER.unpack_from(raw, at)
        if name.partition(b"\0")[0] == b"comment":
            return raw[at + _HEADER.size : at + size].partition(b"\0")[0]
        at += size
    return b""


def _by_name(table: Any, entry: Any) -> bytes:
    """A rule as libiptc takes it: the chain that it leads to by name, and nothing counted yet."""
    raw = bytearray(_raw(entry))
    for at in (type(entry).comefrom, type(entry).counters):  # the kernel's own
        raw[at.offset : at.offset + at.size] = bytes(at.size)
    raw[entry.target_offset :] = _target(table.get_target(entry))
    return bytes(raw)


def _told(kind: Any, raw: bytes) -> list[object]:
    """What a rule says, without what iptables leaves behind names and between matches."""
    at = ctypes.sizeof(kind)
    told: list[object] = [raw[:at]]
    while at < len(raw):
        size, name, revision = _HEADER.unpack_from(raw, at)
        name = name.partition(b"\0")[0]
        payload = _PAYLOADS.get(name, _VERDICT).size
        told.append((name, revision, raw[at + _HEADER.size : at + _HEADER.size + payload]))
        at += size
    return told


def _packed(kind: Any, text: str) -> bytes:
    """A rule that leads to a chain, whatever packets are for; its matches are those that our jumps have."""
    rule = parse(text)
    matches = []
    for option, value in rule.options.items():
        if option == "--comment":
            matches.append(_match(b"comment", 0, _COMMENT.pack(value.encode())))
        elif (option, value) == ("--ctstate", "NEW"):
            matches.append(_match(b"conntrack", 3, _CONNTRACK.pack(_BY_STATE, 0, _NEW, 0)))
        else:
            raise Refused("libiptc", -1, f"{text!r} has an option that isn't known here")
    target = _target(rule.target.encode())
    head = kind.from_buffer(bytearray(ctypes.sizeof(kind)))
    head.target_offset = ctypes.sizeof(kind) + sum(map(len, matches))
    head.next_offset = head.target_offset + len(target)
    return b"".join((bytes(head), *matches, target))


def _match(name: bytes, revision: int, data: bytes) -> bytes:
    size = -(-(_HEADER.size + len(data)) // 8) * 8
    return (_HEADER.pack(size, name, revision) + data).ljust(size, b"\0")


def _target(name: bytes) -> bytes:
    return _HEADER.pack(_STANDARD_TARGET, name, 0).ljust(_STANDARD_TARGET, b"\0")
