"""A table that was read back from a kernel, for packets to be followed through."""

from collections.abc import Iterable, Sequence

from pointsman.backends.nftables.netlink.constants import SetFlag
from pointsman.backends.nftables.netlink.elements import Element
from pointsman.backends.nftables.netlink.objects import ChainInfo, RuleInfo
from pointsman.backends.nftables.state import TableState


class Held:
    """The whole of a table at one moment."""

    def __init__(self, state: TableState) -> None:
        self._state = state

    def bases(self) -> Iterable[ChainInfo]:
        return [chain for chain in self._state.chains.values() if chain.hook is not None]

    def rules(self, chain: str) -> Sequence[RuleInfo]:
        return self._state.rules.get(chain, [])

    def key_length(self, name: str) -> int:
        return self._state.sets[name].key_length

    def find(self, name: str, key: bytes) -> Element | None:
        if name in self._state.elements:
            elements = self._state.elements[name]
            return Element(key, elements[key]) if key in elements else None
        held = self._state.owned[name]
        if not self._state.sets[name].flags & SetFlag.INTERVAL:
            return next((element for element in held if element.key == key), None)
        below = max((element for element in held if element.key <= key), default=None, key=_order)
        return None if below is None or below.interval_end else below


def _order(element: Element) -> tuple[bytes, bool]:
    """An end and a start may share a key: then the next interval begins where the last one ends."""
    return element.key, not element.interval_end
