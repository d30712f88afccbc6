"""A packet's way through the rules that the kernel holds now, asked of the kernel bit by bit.

Only the rules of chains that the packet meets are read, and of sets only single elements, so what a trace
costs depends on the packet's way and not on how many services there are.
"""

from collections.abc import Sequence
from errno import EINTR

from pointsman.core.packet import Packet, Trace

from .affinity import MEMBERS, members
from .layout import Layout
from .netlink import selectors as sel
from .netlink.constants import SetFlag
from .netlink.elements import Element, ElementCodec
from .netlink.errors import DumpInterrupted
from .netlink.netfilter import NetfilterSocket
from .netlink.objects import ChainInfo, RuleInfo
from .netlink.sets import SetSpec
from .operands import NotKnown
from .story import tell
from .walk import follow

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
        kernel = _Kernel(layout, netlink)
        found = tell(layout, kernel.spec, packet, follow(kernel, packet))
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
        self._specs = {spec.name: spec for spec in layout.sets}
        self._rules: dict[str, Sequence[RuleInfo]] = {}

    def bases(self) -> Sequence[ChainInfo]:
        return [info for info in self._netlink.dump_chains(self._layout.table) if info.hook is not None]

    def rules(self, chain: str) -> Sequence[RuleInfo]:
        if chain not in self._rules:
            self._rules[chain] = self._netlink.dump_rules(self._layout.table, chain)
        return self._rules[chain]

    def key_length(self, name: str) -> int:
        return self.spec(name).key_length

    def find(self, name: str, key: bytes) -> Element | None:
        codec = ElementCodec(self.spec(name))
        [element] = self._netlink.get_elements(self._layout.table, codec, [key])
        return element

    def spec(self, name: str) -> SetSpec:
        """How a set is declared: one of the layout's, or what its name says it belongs to."""
        if name not in self._specs:
            self._specs[name] = _owned(self._layout, name)
        return self._specs[name]


def _owned(layout: Layout, name: str) -> SetSpec:
    saddr, target = sel.saddr(layout.family), (sel.daddr(layout.family), sel.TH_DPORT)
    if name.startswith("allow-"):
        return SetSpec(name, (saddr,), flags=SetFlag.INTERVAL)
    if name.startswith(MEMBERS):
        return members(layout, name)
    if name.startswith("sticky-"):
        return SetSpec(name, (saddr,), target, flags=SetFlag.EVAL | SetFlag.TIMEOUT)
    raise NotKnown(f"set {name} is none of ours")
