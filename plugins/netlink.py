"""How netlink frames messages, whatever they are about, for plugins that ask the kernel by themselves.

Reference: ``man 7 netlink``, ``include/uapi/linux/netlink.h``.
"""

from collections.abc import Iterator
from struct import Struct

REQUEST, DUMP, INTERRUPTED = 0x001, 0x300, 0x010  # NLM_F_…
ERROR, DONE = 2, 3

HEADER = Struct("=IHHII")
"""Length, kind, flags, sequence, port."""
ATTRIBUTE = Struct("=HH")
"""Length, kind."""
ERRNO = Struct("=i")
RECEIVE_SIZE = 1 << 16
"""What is enough for one read: the kernel sends dumps in pieces of at most 32 KiB."""


def messages(buffer: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Kind, flags, start and end of the body of each message."""
    at = 0
    while at + HEADER.size <= len(buffer):
        length, kind, flags, _, _ = HEADER.unpack_from(buffer, at)
        yield kind, flags, at + HEADER.size, at + length
        at += max(length, HEADER.size) + 3 & ~3


def attributes(buffer: bytes) -> Iterator[tuple[int, int, int]]:
    """Kind, start and end, header and padding included, of each attribute."""
    at = 0
    while at + ATTRIBUTE.size <= len(buffer):
        length, kind = ATTRIBUTE.unpack_from(buffer, at)
        end = at + (max(length, ATTRIBUTE.size) + 3 & ~3)
        yield kind, at, end
        at = end
