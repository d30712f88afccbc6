"""A packet's way through the rules that the kernel holds now, asked of the kernel bit by bit.

Only the rules of chains that the packet meets are read, and of sets only single elements, so what a trace
costs depends on the packet's way and not on how many services there are. The list of chains is read whole; it
grows with the shapes of services, and with those that have session affinity.
"""

from collections.abc import Sequence
from errno import EINTR

from pointsman.core.packet import Packet, Trace

from .declarations import declaration
from .layout import Layout
from .netlink.elements import Element, ElementCodec
from .netlink.errors import DumpInterrupted
from .netlink.netfilter import NetfilterSocket
from .netlink.objects import ChainInfo, RuleInfo
from .story import tell
from .walk import Unreadable, follow

_ATTEMPTS = 8


def trace(layout: Layout, netlink: NetfilterSocket, packet: Packet) -> Trace:
    """What the kernel's rules make of a packet, each rule that has a part in it named as nft lists it.

    Raises:
        Unreadable: a rule on the way holds what this backend never writes.
        DumpInterrupted: the rules kept changing.
        OSError: the kernel can't be asked.
    """
    for _ in range(_ATTEMPTS):
        generation = netlink.generation()
        try:
            found = tell(layout, packet, follow(_Kernel(layout, netlink), packet))
        except (OSError, Unreadable):
            # Perhaps of something that went while we were looking.
            if netlink.generation() == generation:
                raise
        else:
            if netlink.generation() == generation:
                return found
    raise DumpInterrupted(
        EINTR, f"the ruleset changed during each of {_ATTEMPTS} attempts to trace {packet} through it"
    )


class _Kernel:
    """The chains and sets of our table, as far as they have been asked for."""

    def __init__(self, layout: Layout, netlink: NetfilterSocket) -> None:
        self._layout = layout
        self._netlink = netlink
        self._rules: dict[str, Sequence[RuleInfo]] = {}

    def bases(self) -> Sequence[ChainInfo]:
        return [info for info in self._netlink.dump_chains(self._layout.table) if info.hook is not None]

    def rules(self, chain: str) -> Sequence[RuleInfo]:
        if chain not in self._rules:
            self._rules[chain] = self._netlink.dump_rules(self._layout.table, chain)
        return self._rules[chain]

    def key_length(self, name: str) -> int:
        return declaration(self._layout, name).key_length

    def find(self, name: str, key: bytes) -> Element | None:
        codec = ElementCodec(declaration(self._layout, name))
        [element] = self._netlink.get_elements(self._layout.table, codec, [key])
        return element
