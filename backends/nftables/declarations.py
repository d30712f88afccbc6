"""How a set of ours is declared, told from its name: needed to ask for its elements, and to print them."""

from .affinity import MEMBERS, members
from .layout import Layout
from .netlink import selectors as sel
from .netlink.constants import SetFlag
from .netlink.sets import SetSpec
from .operands import NotKnown


def declaration(layout: Layout, name: str) -> SetSpec:
    """The declaration of a set or map.

    Raises:
        NotKnown: the name is none that this backend gives.
    """
    for spec in layout.sets:
        if spec.name == name:
            return spec
    client, place = (sel.saddr(layout.family),), (sel.daddr(layout.family), sel.TH_DPORT)
    if name.startswith("allow-"):
        return SetSpec(name, client, flags=SetFlag.INTERVAL)
    if name.startswith(MEMBERS):
        return members(layout, name)
    if name.startswith("sticky-"):
        return SetSpec(name, client, place, flags=SetFlag.EVAL | SetFlag.TIMEOUT)
    raise NotKnown(f"set {name} is none of ours")
