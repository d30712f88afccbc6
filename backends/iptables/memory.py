"""How clients are remembered for session affinity: in ip_set sets, or where the kernel has none, xt_recent.

A set remembers 65536 clients per endpoint and can be made larger; a list of xt_recent as many as the module
was loaded with, 100 by default (AFF-07), which no option of a rule changes.
"""

from enum import Enum

from pointsman.core.addresses import IPFamily

from .rules import rule

_MASK = {IPFamily.IPV4: "255.255.255.255", IPFamily.IPV6: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}


class Memory(Enum):
    """One way to remember clients, for one family."""

    SETS_IPV4 = True, IPFamily.IPV4
    SETS_IPV6 = True, IPFamily.IPV6
    RECENT_IPV4 = False, IPFamily.IPV4
    RECENT_IPV6 = False, IPFamily.IPV6

    @property
    def needs_sets(self) -> bool:
        """Whether there is a set per endpoint to be made before the rules."""
        return self.value[0]

    def remembers(self, name: str, seconds: int) -> str:
        """The match for clients that were sent to an endpoint less than so many seconds ago (AFF-01)."""
        if self.needs_sets:
            return f"-m set --match-set {name} src"
        return f"-m recent --rcheck --seconds {seconds} --reap --name {name} --mask {self._mask} --rsource"

    def remember(self, name: str, seconds: int) -> str:
        """The rule that remembers a client, anew if it is known already."""
        if self.needs_sets:
            return rule(f"SET --add-set {name} src --exist --timeout {seconds}")
        return rule(matches=f"-m recent --set --name {name} --mask {self._mask} --rsource")

    @property
    def _mask(self) -> str:
        return _MASK[self.value[1]]


def memory(family: IPFamily, *, sets: bool) -> Memory:
    """The way to remember a family's clients."""
    return Memory((sets, family))
